package gateway

import "time"

// draft is the tentative state of a partition's owner while it makes a group of records: what it adds
// lies over what the log already holds and becomes true, or is forgotten, with the append.
type draft struct {
	now     time.Time
	below   reader // what the owner has appended
	calls   map[callKey]*Call
	events  map[eventKey]struct{}
	records []*Record
	out     encoder // the records, a line each
	joins   int     // of one event so far
}

// reader is the state that a draft lies over.
type reader interface {
	call(account, id string) (*Call, bool)
	knowsEvent(key eventKey) bool
	liveCalls(account, pbx string) map[string]*Call
}

// newDraft returns a draft without records. It writes them into buffer's room.
func newDraft(below reader, now time.Time, buffer []byte) *draft {
	return &draft{
		now: now, below: below, calls: map[callKey]*Call{}, events: map[eventKey]struct{}{},
		out: encoder{data: append(buffer[:0], entryHead...)},
	}
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
	overlay(calls, d.calls, account, pbx)
	return calls
}

// overlay brings the live calls of a PBX up to date with later versions of calls.
func overlay(calls map[string]*Call, later map[callKey]*Call, account, pbx string) {
	for key, c := range later {
		if own, _, _ := cutCallID(key.id); key.account != account || own != pbx {
			continue
		}
		if c.Over() {
			delete(calls, key.id)
		} else {
			calls[key.id] = c
		}
	}
}

// over says whether an event comes after its call's end.
func (d *draft) over(e Event) bool {
	c, ok := d.call(e.Account, callID(e.PBX, e.Call))
	return ok && c.Over()
}

// apply folds an event into its call and records that. It returns false for an event that is known.
func (d *draft) apply(e Event) bool {
	before, ok := d.call(e.Account, callID(e.PBX, e.Call))
	if !ok && e.Type == EventPresent { // of whom nothing was told
		return false
	}
	if !ok {
		before = &Call{Account: e.Account, ID: callID(e.PBX, e.Call)}
	} else if before.StartedAt.IsZero() && d.now.Sub(before.Seen) > undialledLife {
		// What was heard before the dial waits for it so long and no longer: this begins the call anew.
		before = &Call{Account: e.Account, ID: before.ID, Version: before.Version}
	}
	return d.fold(before, e, d.now)
}

func (d *draft) fold(before *Call, e Event, seen time.Time) bool {
	if e.ID != "" && e.Type != EventJoin && d.knowsEvent(eventKey{e.Account, e.PBX, e.ID}) {
		return false
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
	after.Seen = seen
	d.record(&Record{Event: e.Type, EventID: e.ID, Users: concerned(before, &after), Call: &after})
	if after.Into != "" || before.Into != "" {
		d.join(e, after)
	}
	return true
}

// end ends a call that nobody else will end, after everything that is known of it.
func (d *draft) end(c *Call, at time.Time) {
	pbx, id, _ := cutCallID(c.ID)
	if last := c.lastAt(); !at.After(last) {
		at = last.Add(time.Microsecond)
	}
	d.fold(c, Event{Account: c.Account, PBX: pbx, Call: id, Type: EventHangup, At: at, Cause: CauseNormal}, c.Seen)
}

// join moves the legs that a call had when it was merged into another to that one: who talked talks on
// there, who rang rings on. It is done after each event of the merged call, since one from before the merge
// may come late and tell that somebody had left, or come; the join then takes the place of the one before.
//
// Calls merged into each other at the same instant could hand their legs to and fro; that ends after maxJoins.
func (d *draft) join(cause Event, from Call) {
	if d.joins == 0 {
		defer func() { d.joins = 0 }()
	}
	for _, join := range from.Joins() {
		join.Account, join.PBX = cause.Account, cause.PBX
		into, ok := d.call(join.Account, callID(join.PBX, join.Call))
		if d.joins < maxJoins && (join.tells() || ok && into.has(join.ID)) {
			d.joins++
			d.apply(join)
		}
	}
}

const maxJoins = 32

// record adds a record to the group.
func (d *draft) record(r *Record) {
	r.At = d.now
	if r.Call != nil {
		r.Account = r.Call.Account
	}
	d.note(r)
	d.out.record(r)
	d.out.data = append(d.out.data, '\n')
	d.records = append(d.records, r)
}

// note makes the record count for those after it.
func (d *draft) note(r *Record) {
	if r.Call == nil {
		return
	}
	d.calls[callKey{r.Account, r.Call.ID}] = r.Call
	if pbx, _, ok := cutCallID(r.Call.ID); ok && r.EventID != "" {
		d.events[eventKey{r.Account, pbx, r.EventID}] = struct{}{}
	}
}

// mark is a state of a draft to go back to.
type mark struct{ records, bytes int }

func (d *draft) mark() mark { return mark{len(d.records), len(d.out.data)} }

// since is how many bytes of records came after m.
func (d *draft) since(m mark) int { return len(d.out.data) - m.bytes }

// undo takes back what was recorded after m.
func (d *draft) undo(m mark) {
	clear(d.records[m.records:])
	d.records, d.out.data, d.out.err = d.records[:m.records], d.out.data[:m.bytes], nil
	clear(d.calls)
	clear(d.events)
	for _, r := range d.records {
		d.note(r)
	}
}
