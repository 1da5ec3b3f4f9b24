package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// PastSink is a Sink that also takes calls from a PBX's own list of past calls: those that were made while nobody
// listened to it. Ask a Sink for it with a type assertion.
type PastSink interface {
	// Unheard returns since when calls of this PBX may be missing in the log. The zero time: none is, this PBX was not
	// listened to before.
	Unheard(ctx context.Context) (time.Time, error)

	// Heard notes that all calls up to a moment are in the log. It is worth noting every minute or so.
	Heard(ctx context.Context, upTo time.Time) error

	// Backfill brings calls into the log that ended before the PBX was heard again. One that is not there is added as a
	// whole, and nobody gets a card for it; one that was half seen gets the rest, and its own end in the place of the
	// one that was guessed at that moment or later. What was seen to its end stays as it is, so a repeat changes nothing.
	// What is too large for the log is left out. On an error some of the calls may have been taken.
	Backfill(ctx context.Context, calls []PastCall, again time.Time) (Backfilled, error)
}

// PastCall is a call that is over, as a PBX's list of past calls has it.
type PastCall struct {
	ID   string   // as the PBX's events call it
	Also []string // what else they may call it
	// Events are what happened, in order, each with its time and an ID that is the same whenever the list is read: a
	// dial first, last a hangup of the whole call.
	Events []Event
}

// Backfilled says what became of past calls.
type Backfilled struct {
	Added   int // they were not in the log
	Mended  int // they were half seen
	Unknown []string
}

// keyBackfill is up to when all calls of a PBX are in the log: backfill.ACCOUNT.PBX.
const keyBackfill = "backfill"

// backfillMark is its value.
type backfillMark struct {
	UpTo time.Time `json:"up_to"`
}

var _ PastSink = sink{}

func (s sink) backfillKey() string { return userKey{s.link.Account, s.link.ID}.in(keyBackfill) }

// Unheard is PastSink.Unheard. Where it was not noted, it is since the last that was heard.
func (s sink) Unheard(ctx context.Context) (time.Time, error) {
	v, err := s.link.gateway.cfg.Store.Get(ctx, s.backfillKey())
	if errors.Is(err, ErrNotFound) {
		return s.link.gateway.feed.lastSeen(s.link.Account, s.link.ID), nil
	}
	var mark backfillMark
	if err == nil {
		err = json.Unmarshal(v.Data, &mark)
	}
	return mark.UpTo, err
}

// Heard is PastSink.Heard.
func (s sink) Heard(ctx context.Context, upTo time.Time) error {
	if s.owner.over() { // another node listens, and notes it
		return nil
	}
	data, err := json.Marshal(backfillMark{upTo.UTC()})
	if err == nil {
		_, err = s.link.gateway.cfg.Store.Put(ctx, s.backfillKey(), data, AnyRevision)
	}
	return err
}

// Backfill is PastSink.Backfill.
func (s sink) Backfill(ctx context.Context, calls []PastCall, again time.Time) (Backfilled, error) {
	var all Backfilled
	for most := endAtOnce; len(calls) > 0; {
		some := calls[:min(most, len(calls))]
		done, err := s.backfill(ctx, some, again)
		switch {
		case CodeOf(err) == CodeTooLarge && most > 1:
			most /= 2
			continue
		case CodeOf(err) == CodeTooLarge: // whenever it is tried, and those behind it would wait for good
			id := callID(s.link.ID, cleanText(some[0].ID))
			s.link.gateway.cfg.Logger.ErrorContext(ctx, "a past call is left out", "account", s.link.Account, "call", id, "err", err)
			calls = calls[1:]
			continue
		case err != nil:
			return all, s.refusal(err)
		}
		all.Added, all.Mended = all.Added+done.Added, all.Mended+done.Mended
		for _, ext := range done.Unknown {
			if !slices.Contains(all.Unknown, ext) {
				all.Unknown = append(all.Unknown, ext)
			}
		}
		calls = calls[len(some):]
	}
	return all, nil
}

// backfill appends what is new of calls in one request.
func (s sink) backfill(ctx context.Context, calls []PastCall, again time.Time) (Backfilled, error) {
	g, account, pbx := s.link.gateway, s.link.Account, s.link.ID
	acc, ok := g.cfg.Directory.Account(account)
	if !ok {
		return Backfilled{}, noAccount(account)
	}
	var err error
	var unknown []string
	var past []pastCall
	for _, c := range calls {
		p := pastCall{account: account}
		for _, id := range slices.Concat([]string{c.ID}, c.Also) {
			if id = callID(pbx, cleanText(id)); !slices.Contains(p.ids, id) {
				p.ids = append(p.ids, id)
			}
		}
		for _, e := range c.Events {
			e, unknown = g.prepare(acc, pbx, e, unknown)
			p.events = append(p.events, e)
		}
		if len(p.events) == 0 {
			continue
		}
		if before, _ := p.seen(g.feed.call, again); before != nil {
			p.known = true
		} else if p.known, err = g.journal.has(ctx, p); err != nil {
			return Backfilled{}, unavailable(err)
		}
		past = append(past, p)
	}
	done := Backfilled{Unknown: unknown}
	var added []*Call
	err = s.owner.submit(ctx, func(d *draft) error {
		done.Added, done.Mended, added = 0, 0, added[:0]
		for _, p := range past {
			before, half := p.seen(d.call, again)
			switch {
			case before == nil && !p.known:
				done.Added++
				added = append(added, d.add(p))
			case half && d.mend(*before, p, again):
				done.Mended++
			}
		}
		return nil
	})
	for _, c := range added {
		if err == nil {
			g.logEnd(ctx, c)
		}
	}
	return done, err
}

// has says whether the journal has brought a past call into the CRM, or is about to, also if the log knows it no more.
func (j *journal) has(ctx context.Context, p pastCall) (bool, error) {
	if j == nil {
		return false, nil
	}
	for _, id := range p.ids {
		entry, err := j.entry(ctx, journalKey(p.account, id))
		if err != nil {
			return false, err
		}
		if entry.State != "" && entry.of(&Call{Known: Known{StartedAt: p.events[0].At}}) {
			return true, nil
		}
	}
	return false, nil
}

// pastCall is a PastCall with its ids as in the log and its events prepared.
type pastCall struct {
	account string
	ids     []string
	events  []Event
	known   bool // in the log, or in the CRM
}

func (p pastCall) end() Event { return p.events[len(p.events)-1] }

// seen returns which of the calls that are remembered a past one is, nil if it is none, and whether it was not seen to its
// end. An id may come again for another call, when a PBX begins to count anew.
func (p pastCall) seen(call func(account, id string) (*Call, bool), again time.Time) (seen *Call, half bool) {
	for _, id := range p.ids {
		c, ok := call(p.account, id)
		switch {
		case !ok, c.StartedAt.IsZero(), c.Over() && c.EndedAt.Add(sameCallWithin).Before(p.events[0].At):
		case !c.Over(), c.Into == "" && !c.EndedAt.Before(again) && p.end().At.Before(again):
			return c, true
		case seen == nil:
			seen = c
		}
	}
	return seen, false
}

// sameCallWithin is how far the clocks of a PBX and of this machine may be apart when calls of an id are compared.
const sameCallWithin = 5 * time.Minute

// add records a call that nobody has seen, as a whole.
func (d *draft) add(p pastCall) *Call {
	c := Call{Account: p.account, ID: p.ids[0], Seen: d.now}
	if was, ok := d.call(p.account, c.ID); ok {
		c.Version = was.Version
	}
	for _, e := range p.events {
		c, _ = Tracker{}.Apply(c, e)
	}
	d.record(&Record{Event: EventHangup, Call: &c})
	return &c
}

// mend adds to a call that was half seen what happened since the last that was heard of it. Only who had a card is told,
// once.
func (d *draft) mend(before Call, p pastCall, again time.Time) bool {
	var heard time.Time
	for _, e := range before.Events {
		if e.At.Before(again) && e.At.After(heard) && rank(e.Type) != rank(EventUpdate) {
			heard = e.At
		}
	}
	after, news := before, false
	for i, e := range p.events {
		last := i == len(p.events)-1
		if !e.At.After(heard) {
			if !last {
				continue
			}
			e.At = heard.Add(time.Microsecond)
		}
		var is bool
		after, is = Tracker{}.Apply(after, e)
		news = news || is
	}
	if !news {
		return false
	}
	had := func(user string) bool { _, ok := before.For(user); return ok }
	users := slices.DeleteFunc(concerned(&before, &after), func(user string) bool { return !had(user) })
	d.record(&Record{Event: EventHangup, Users: users, Call: &after})
	return true
}

// lastSeen returns when something was last heard of a call of a PBX, zero if nothing was.
func (f *Feed) lastSeen(account, pbx string) (last time.Time) {
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, k := range s.calls {
		own, _, _ := cutCallID(key.id)
		if key.account != account || own != pbx {
			continue
		}
		if c := k.get(); c.Seen.After(last) {
			last = c.Seen
		}
	}
	return last
}
