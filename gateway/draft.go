package gateway

import (
	"maps"
	"time"
)

// draft is the tentative state of a partition's owner while it makes a group of records: what it adds
// lies over what the log already holds and becomes true, or is forgotten, with the append.
type draft struct {
	now     time.Time
	below   reader // what holds without this draft
	calls   map[callKey]*Call
	events  map[eventKey]struct{}
	records []*Record
	data    []byte // the records, encoded
	err     error  // the first record that could not be encoded
}

// reader is a state that a draft lies over: another draft, or what the owner has appended.
type reader interface {
	call(account, id string) (*Call, bool)
	knowsEvent(key eventKey) bool
	liveCalls(account, pbx string) map[string]*Call
}

func newDraft(below reader, now time.Time) *draft {
	return &draft{now: now, below: below}
}

func (d *draft) call(account, id string) (*Call, bool) {
	if c, ok := d.calls[callKey{account, id}]; ok {
		return c, true
	}
	return d.below.call(account, id)
}

func (d *draft) knowsEvent(key eventKey) bool {
	if _, ok := d.events[key]; ok {
		return true
	}
	return d.below.knowsEvent(key)
}

// liveCalls returns the calls of a PBX that have not ended, by their id in the log.
func (d *draft) liveCalls(account, pbx string) map[string]*Call {
	calls := d.below.liveCalls(account, pbx)
	for key, c := range d.calls {
		if ownPBX, _, _ := cutCallID(key.id); key.account != account || ownPBX != pbx {
			continue
		}
		if c.Over() {
			delete(calls, key.id)
		} else {
			calls[key.id] = c
		}
	}
	return calls
}

// apply folds an event into its call and records that. It returns false for an event that is known.
func (d *draft) apply(e Event) bool {
	key := eventKey{e.Account, e.PBX, e.ID}
	if e.ID != "" && d.knowsEvent(key) {
		return false
	}
	before, ok := d.call(e.Account, callID(e.PBX, e.Call))
	if !ok {
		before = &Call{Account: e.Account, ID: callID(e.PBX, e.Call)}
	}
	if e.At.IsZero() {
		// Without a time, the order of arrival is the order of events.
		e.At = d.now
		if last := before.lastAt(); !e.At.After(last) {
			e.At = last.Add(time.Microsecond)
		}
	}
	after, news := Tracker{}.Apply(*before, e)
	if !news {
		return false
	}
	d.record(&Record{Event: e.Type, EventID: e.ID, Users: concerned(before, &after), Call: &after})
	if e.Type == EventMerge {
		d.join(e, before)
	}
	return true
}

// end ends a call that nobody else will end, after everything that is known of it.
func (d *draft) end(c *Call, at time.Time) {
	pbx, id, _ := cutCallID(c.ID)
	if last := c.lastAt(); !at.After(last) {
		at = last.Add(time.Microsecond)
	}
	d.apply(Event{Account: c.Account, PBX: pbx, Call: id, Type: EventHangup, At: at, Cause: CauseNormal})
}

// join moves the legs of a call that was merged into another to that one: who talked talks on there,
// who rang rings on. The legs are those from before the merge.
func (d *draft) join(e Event, from *Call) {
	into := Event{Account: e.Account, PBX: e.PBX, Call: e.Into, At: e.At, Direction: from.Direction}
	if e.ID != "" {
		into.ID = e.ID + "+join"
	}
	talk, ring := into, into
	talk.Type, ring.Type = EventBridge, EventDial
	ring.ID = into.ID + "+ring"
	for _, leg := range from.Legs {
		switch {
		case !leg.TalkingSince.IsZero():
			talk.Extensions, talk.People = append(talk.Extensions, leg.Extension), append(talk.People, leg.Person)
		case leg.Live():
			ring.Extensions, ring.People = append(ring.Extensions, leg.Extension), append(ring.People, leg.Person)
		}
	}
	if len(talk.Extensions) > 0 {
		d.apply(talk)
	}
	if len(ring.Extensions) > 0 {
		d.apply(ring)
	}
}

// record adds a record to the group.
func (d *draft) record(r *Record) {
	r.At = d.now
	if r.Call != nil {
		r.Account = r.Call.Account
		if d.calls == nil { // most drafts hold one record: no map before it is needed
			d.calls, d.events = map[callKey]*Call{}, map[eventKey]struct{}{}
		}
		d.calls[callKey{r.Account, r.Call.ID}] = r.Call
		if pbx, _, ok := cutCallID(r.Call.ID); ok && r.EventID != "" {
			d.events[eventKey{r.Account, pbx, r.EventID}] = struct{}{}
		}
	}
	data, err := appendRecord(d.data, r)
	if err != nil && d.err == nil {
		d.err = err
	}
	d.data, d.records = data, append(d.records, r)
}

// take adds what another draft over this one holds.
func (d *draft) take(over *draft) {
	if d.calls == nil {
		d.calls, d.events = over.calls, over.events
	} else {
		maps.Copy(d.calls, over.calls)
		maps.Copy(d.events, over.events)
	}
	d.data, d.records = append(d.data, over.data...), append(d.records, over.records...)
}
