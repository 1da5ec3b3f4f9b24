package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

const (
	saveTime = 3 * time.Minute // a Save has, the time that it waits for the platform's limits included
	noCRM    = time.Minute     // before it is looked again whether an account has one
)

// journalState is how far saving a call has come.
type journalState string

const (
	stateSending journalState = "sending" // the CRM was asked, or is about to be
	stateDone    journalState = "done"
	stateParked  journalState = "parked" // a person has to see it; the CRM may have been asked, as in sending
)

// journalEntry is a call's value in the store.
type journalEntry struct {
	State   journalState `json:"state"`
	Version int          `json:"version"`          // of the call, as it is sent or was saved
	Ended   time.Time    `json:"ended"`            // the call did
	Saved   Saved        `json:"saved,omitzero"`   // by the last Save that succeeded, also of an earlier version
	Since   time.Time    `json:"since"`            // it is in this state; sending: the last Save was begun
	Term    string       `json:"term,omitempty"`   // sending: by this one
	Parked  uint64       `json:"parked,omitempty"` // the place of its item among the parked ones
	Mend    *CallMend    `json:"mend,omitempty"`   // what a person has said of it

	rev uint64
}

func journalKey(account, call string) string { return keyJournal + "." + journalID(account, call) }

func (j *journal) entry(ctx context.Context, key string) (e journalEntry, err error) {
	v, err := j.store.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return e, nil
	}
	if err == nil {
		err = json.Unmarshal(v.Data, &e)
	}
	if err != nil {
		return e, fmt.Errorf("what is known of saving a call: %w", err)
	}
	e.rev = v.Rev
	return e, nil
}

// put writes an entry in the place of the one that it was made of.
func (j *journal) put(ctx context.Context, key string, e *journalEntry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	store, expires := j.store.(ExpiringStore)
	rev := e.rev
	if expires && e.State == stateDone && rev != 0 {
		rev, err = store.PutFor(ctx, key, data, rev, j.Keep)
	} else {
		rev, err = j.store.Put(ctx, key, data, rev)
	}
	if err != nil {
		return fmt.Errorf("note how far saving a call has come: %w", err)
	}
	e.rev = rev
	return nil
}

// of says whether an entry is of this very call. A PBX may use its ids again.
func (e journalEntry) of(c *Call) bool {
	return e.State != stateDone || !c.StartedAt.After(e.Ended)
}

// unsure says whether the CRM may have the call though nothing is known of it there. A parked call that was given up may
// have been asked for, too.
func (e journalEntry) unsure() bool {
	return e.State == stateSending || e.State == stateParked || e.State == stateDone && e.Saved.ID == "" && e.Saved.Data == nil
}

// maxSkew is by how much another node's clock may be ahead to be believed.
const maxSkew = 10 * time.Minute

// asked returns when, at the latest, another term may have asked the CRM to write a call: how that ended is not known. The
// zero time: none has. A node that stood still may have asked after this term began.
func (t *journalTerm) asked(e journalEntry) time.Time {
	switch {
	case e.State != stateSending || e.Term == t.id:
		return time.Time{}
	case e.Since.Before(t.began):
		if asked := e.Since.Add(saveTime); asked.Before(t.began) {
			return asked
		}
		return t.began
	case e.Since.Sub(t.now()) > maxSkew:
		return t.began
	default:
		return e.Since
	}
}

// latest returns the call of a task as it is by now.
func (j *journal) latest(c *Call) *Call {
	if now, ok := j.call(c.Account, c.ID); ok && now.Version > c.Version && now.Over() && !now.StartedAt.After(c.EndedAt) {
		return now
	}
	return c
}

// save brings a task's call into the CRM, unless that is done already, and takes its item off the queue.
func (j *journal) save(ctx context.Context, t *task, term *journalTerm) outcome {
	if t.err != nil { // nobody can mend it
		j.logger.Error("an item of the journal's queue is none", "lane", t.Lane, "item", t.ID, "err", t.err)
		return outcome{err: j.Queue.Remove(ctx, t.Place)}
	}
	c := j.latest(t.Call)
	key := journalKey(c.Account, c.ID)
	entry, err := j.entry(ctx, key)
	if err != nil {
		return outcome{err: err}
	}
	if !entry.of(c) {
		entry = journalEntry{rev: entry.rev}
	}
	merged := c.Into != ""
	if merged { // this became known late
		c = t.Call
	}
	if merged && entry.State == "" || entry.State == stateDone && entry.Version >= c.Version {
		return outcome{err: j.Queue.Remove(ctx, t.Place)}
	}
	crm := j.CRMs(c.Account)
	if crm == nil {
		return outcome{kind: JournalFailed, err: &LaterError{Delay: noCRM, Err: errors.New("the account has no CRM")}}
	}
	if until := term.asked(entry).Add(j.Late); until.After(j.now()) {
		return outcome{until: until}
	}
	if reason := t.tooOften(); reason != nil {
		return j.park(ctx, t, c, entry, reason)
	}
	due := DueCall{Before: entry.Saved, Unsure: entry.unsure()}
	due.Call = *entry.Mend.of(c, j.number)
	entry.State, entry.Version, entry.Ended, entry.Since, entry.Term = stateSending, c.Version, c.EndedAt, j.now().UTC(), term.id
	if err := j.put(ctx, key, &entry); err != nil {
		return outcome{err: err}
	}
	saved, err := callSave(ctx, crm, due)
	var park *ParkError
	switch {
	case errors.As(err, &park):
		return j.park(ctx, t, c, entry, park.Err)
	case err != nil:
		return outcome{kind: JournalFailed, err: err}
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalAnswer) // what is true is noted, also in leaving
	defer cancel()
	if err := j.done(after, key, entry, saved); err != nil {
		return outcome{err: err} // the next try is unsure, and finds it
	}
	j.logger.Info("call saved", "account", c.Account, "call", c.ID, "version", c.Version, "entry", saved.ID, "after", j.now().Sub(c.EndedAt).Round(time.Millisecond))
	if err := j.Queue.Remove(after, t.Place); err != nil {
		return outcome{err: err}
	}
	return outcome{kind: JournalSaved}
}

// done notes that a call is saved, and takes it off the parked ones.
func (j *journal) done(ctx context.Context, key string, entry journalEntry, saved Saved) error {
	parked := entry.Parked
	entry.State, entry.Saved, entry.Since, entry.Term, entry.Parked = stateDone, saved, j.now().UTC(), "", 0
	err := j.put(ctx, key, &entry)
	if errors.Is(err, ErrConflict) {
		// Another node took this one for dead and saves the call too, or it was written though the answer was lost.
		var there journalEntry
		if there, err = j.entry(ctx, key); err != nil {
			return err
		}
		if there.State != stateDone || there.Version < entry.Version {
			entry.rev, parked = there.rev, there.Parked
			err = j.put(ctx, key, &entry)
		}
	}
	if err == nil && parked != 0 {
		err = j.Queue.Remove(ctx, parked)
	}
	return err
}

// callSave is a CRM's Save, which has its time, and whose panic is an error.
func callSave(ctx context.Context, crm CRM, due DueCall) (saved Saved, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, saveTime, fmt.Errorf("saving the call took more than %v", saveTime))
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic in a CRM: %v\n%s", v, debug.Stack())
		}
	}()
	return crm.Save(ctx, due)
}

// park puts a call aside for a person to see. Where an earlier version of it is parked it takes its place.
func (j *journal) park(ctx context.Context, t *task, c *Call, entry journalEntry, reason error) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalAnswer)
	defer cancel()
	now, before := j.now().UTC(), entry.Parked
	item, err := journalItem{Call: c, Reason: reason.Error(), Since: now}.item(laneParked, fmt.Sprint("of ", t.Place))
	if err != nil {
		return outcome{err: err}
	}
	place, err := j.Queue.Add(ctx, item)
	if err != nil {
		return outcome{err: err}
	}
	entry.State, entry.Version, entry.Ended, entry.Since, entry.Term, entry.Parked = stateParked, c.Version, c.EndedAt, now, "", place
	if err := j.put(ctx, journalKey(c.Account, c.ID), &entry); err != nil {
		return outcome{err: err}
	}
	if before != 0 && before != place {
		err = j.Queue.Remove(ctx, before)
	}
	if err = errors.Join(err, j.Queue.Remove(ctx, t.Place)); err != nil {
		return outcome{err: err}
	}
	j.logger.Warn("a call was not saved and waits for a person", "account", c.Account, "call", c.ID, "version", c.Version, "err", reason)
	return outcome{kind: JournalParked}
}
