package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// JournalAccount is how the calls of one account fare on their way into the CRM.
type JournalAccount struct {
	Account string          `json:"account"`
	Waiting int             `json:"waiting"`          // calls in the queue; those that are not due yet are not in it
	Oldest  *Millis         `json:"oldest,omitempty"` // since when the first of them is
	Parked  int             `json:"parked"`           // calls that wait for a person
	Trouble *JournalTrouble `json:"trouble,omitempty"`
}

// ParkedCall is a call that was not saved and waits for a person.
type ParkedCall struct {
	ID        string    `json:"id"` // for ReleaseParked and DropParked
	Account   string    `json:"account"`
	Call      string    `json:"call"`
	Version   int       `json:"version"`
	Direction Direction `json:"direction"`
	From      string    `json:"from"` // as the PBX wrote it
	To        string    `json:"to"`
	StartedAt Millis    `json:"started_at"`
	EndedAt   Millis    `json:"ended_at"`
	Reason    string    `json:"reason"`
	Since     Millis    `json:"since"`
	Mend      *CallMend `json:"mend,omitempty"` // what was said of it at the last release
}

// maxParkedShown is how many parked calls of an account are returned, the oldest.
const maxParkedShown = 200

// parkingTime is by when an entry points to the item that was parked, if it ever will: the queue, too, takes it for the
// same only for two minutes.
const parkingTime = 5 * time.Minute

func (g *Gateway) theJournal() (*journal, error) {
	if g.journal == nil {
		return nil, Errorf(CodeNotFound, "no account has a CRM")
	}
	return g.journal, nil
}

// Journal returns the accounts that have calls waiting or parked, or a CRM that takes none; account "": of all.
func (g *Gateway) Journal(ctx context.Context, account string) ([]JournalAccount, error) {
	j, err := g.theJournal()
	if err != nil {
		return nil, err
	}
	return j.accounts(ctx, func(a string) bool { return account == "" || a == account })
}

// JournalHere is Journal of the accounts whose calls this node saves. Without a journal there are none.
func (g *Gateway) JournalHere(ctx context.Context) ([]JournalAccount, error) {
	if g.journal == nil {
		return nil, nil
	}
	return g.journal.accounts(ctx, func(a string) bool {
		g.journal.mu.Lock()
		defer g.journal.mu.Unlock()
		return g.journal.terms[g.partition(a)] != nil
	})
}

func (j *journal) accounts(ctx context.Context, wanted func(account string) bool) ([]JournalAccount, error) {
	all := map[string]*JournalAccount{}
	at := func(account string) *JournalAccount {
		if all[account] == nil {
			all[account] = &JournalAccount{Account: account}
		}
		return all[account]
	}
	err := j.Queue.Lanes(ctx, func(name string, items int) {
		kind, account := cutLane(name)
		switch {
		case !wanted(account):
		case kind == laneDue:
			at(account).Waiting = items
		case kind == laneParked:
			at(account).Parked = items
		}
	})
	if err != nil {
		return nil, err
	}
	err = j.store.List(ctx, keyJournalTrouble, func(v Value) error {
		account, ok := accountAt(keyJournalTrouble, v.Key)
		if !ok || !wanted(account) {
			return nil
		}
		at(account).Trouble = new(JournalTrouble)
		return json.Unmarshal(v.Data, at(account).Trouble)
	})
	if err != nil {
		return nil, err
	}
	list := make([]JournalAccount, 0, len(all))
	for _, a := range all {
		list = append(list, *a)
		if a.Waiting == 0 {
			continue
		}
		first, err := j.Queue.Next(ctx, laneDue+a.Account, 0)
		if err == nil {
			list[len(list)-1].Oldest = (*Millis)(&first.Added)
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b JournalAccount) int { return cmp.Compare(a.Account, b.Account) })
	return list, nil
}

// Parked returns the calls of an account that wait for a person, the oldest first, 200 at most; account "": of all
// accounts, so many of each.
func (g *Gateway) Parked(ctx context.Context, account string) ([]ParkedCall, error) {
	j, err := g.theJournal()
	if err != nil {
		return nil, err
	}
	var accounts []string
	err = j.Queue.Lanes(ctx, func(name string, _ int) {
		if kind, a := cutLane(name); kind == laneParked && (account == "" || a == account) {
			accounts = append(accounts, a)
		}
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(accounts)
	var parked []ParkedCall
	for _, a := range accounts {
		some, err := j.parked(ctx, a)
		if err != nil {
			return nil, err
		}
		parked = append(parked, some...)
	}
	return parked, nil
}

func (j *journal) parked(ctx context.Context, account string) (parked []ParkedCall, err error) {
	for after := uint64(0); len(parked) < maxParkedShown; {
		item, err := j.Queue.Next(ctx, laneParked+account, after)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		after = item.Place
		var p journalItem
		if err := json.Unmarshal(item.Data, &p); err != nil {
			return nil, fmt.Errorf("parked item %q: %w", item.ID, err)
		}
		entry, err := j.entry(ctx, journalKey(account, p.Call.ID))
		if err == nil && !(entry.State == stateParked && entry.Parked == item.Place) {
			// The node was killed before the entry said so, and the call was parked once more since, or saved.
			if j.now().Sub(item.Added) > parkingTime {
				err = j.Queue.Remove(ctx, item.Place)
			}
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		parked = append(parked, ParkedCall{
			ID: journalID(account, p.Call.ID), Account: account, Call: p.Call.ID, Version: p.Call.Version, Direction: p.Call.Direction,
			From: p.Call.From.Raw, To: p.Call.To.Raw, StartedAt: Millis(p.Call.StartedAt), EndedAt: Millis(p.Call.EndedAt),
			Reason: p.Reason, Since: Millis(p.Since), Mend: entry.Mend,
		})
	}
	return parked, nil
}

// ReleaseParked has a parked call saved again, as it is by now and as it is mended. An Error with CodeNotFound: there is
// none of that id; CodeInvalid: the mend is none.
func (g *Gateway) ReleaseParked(ctx context.Context, id string, mend CallMend) error {
	j, err := g.theJournal()
	if err != nil {
		return err
	}
	if err := mend.check(); err != nil {
		return err
	}
	entry, item, err := j.parkedItem(ctx, id)
	if err != nil {
		return err
	}
	if mend != (CallMend{}) {
		entry.Mend = mend.over(entry.Mend)
		if err := j.put(ctx, keyJournal+"."+id, &entry); err != nil {
			return err
		}
	}
	again, err := journalItem{Call: item.Call}.item(laneDue, fmt.Sprint("again ", entry.Parked))
	if err == nil {
		_, err = j.Queue.Add(ctx, again)
	}
	if err != nil {
		return err
	}
	// The item goes last: a release that was cut short can be repeated. The entry keeps its place until then, for it.
	if err := j.Queue.Remove(ctx, entry.Parked); err != nil {
		return err
	}
	if t := j.term(j.parts(item.Call.Account)); t != nil {
		t.wake(item.Call.Account)
	}
	return nil
}

// DropParked gives a parked call up: somebody has entered it by hand, or nobody wants it. A later version of it, such
// as one with its recording, is still saved.
func (g *Gateway) DropParked(ctx context.Context, id string) error {
	j, err := g.theJournal()
	if err != nil {
		return err
	}
	entry, _, err := j.parkedItem(ctx, id)
	if err != nil {
		return err
	}
	return j.done(ctx, keyJournal+"."+id, entry, entry.Saved)
}

// parkedItem returns a call that is parked, and what is known of it.
func (j *journal) parkedItem(ctx context.Context, id string) (entry journalEntry, item journalItem, err error) {
	notFound := Errorf(CodeNotFound, "there is no parked call %.200q", id)
	account, hash, _ := strings.Cut(id, ".")
	name, err := keyText.DecodeString(account)
	if err != nil || len(name) == 0 || len(hash) != 32 || !isWord(hash, 32, isID) {
		return entry, item, notFound
	}
	if entry, err = j.entry(ctx, keyJournal+"."+id); err != nil {
		return entry, item, err
	}
	if entry.State != stateParked || entry.Parked == 0 {
		return entry, item, notFound
	}
	found, err := j.Queue.Next(ctx, laneParked+string(name), entry.Parked-1)
	if errors.Is(err, ErrNotFound) || err == nil && found.Place != entry.Parked { // released, and not tried yet
		return entry, item, notFound
	}
	if err == nil {
		err = json.Unmarshal(found.Data, &item)
	}
	return entry, item, err
}

func (j *journal) term(partition int) *journalTerm {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.terms[partition]
}
