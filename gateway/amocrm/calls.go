package amocrm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	settling    = 15 * time.Second
	settlePause = 2 * time.Second // after which the CRM is asked once more

	// How long a call waits for an earlier one of the same unknown caller to be taken from unsorted, and how often it is
	// looked whether that has happened.
	following   = 15 * time.Minute
	followPause = time.Minute
)

// requestID names the one item of each write.
const requestID = "call"

// CallLogConfig is what a CallLog needs.
type CallLogConfig struct {
	API     API
	Account string
	Rules   LogRules
	Store   gateway.Store // remembers unknown callers

	// Link returns the address of a call's recording for the CRM's player. "", or nil: what the call has, if that is an
	// address of the web.
	Link func(*gateway.Call) string

	Settling time.Duration // how long after a call the CRM may not find somebody yet who was made in it; 0: 15 s

	Logger *slog.Logger
}

// CallLog writes the calls of one account: a gateway.CRM. It keeps nothing but in the store, so any number of them may
// write for one account.
type CallLog struct {
	cfg   CallLogConfig
	rules LogRules
}

var _ gateway.CRM = (*CallLog)(nil)

// NewCallLog returns the log of an account's calls.
func NewCallLog(cfg CallLogConfig) *CallLog {
	cfg.Settling = cmp.Or(cfg.Settling, settling)
	return &CallLog{cfg: cfg, rules: cfg.Rules.withDefaults()}
}

// link returns the address of a call's recording, "" if there is none.
func (l *CallLog) link(c *gateway.Call) string {
	if l.cfg.Link != nil {
		if link := l.cfg.Link(c); link != "" {
			return link
		}
	}
	if strings.HasPrefix(c.Recording, "https://") || strings.HasPrefix(c.Recording, "http://") {
		return c.Recording
	}
	return ""
}

// entry is what was made of a call, kept in Saved.Data.
type entry struct {
	Call     int64  `json:"call,omitempty"` // by POST /calls
	Note     int64  `json:"note,omitempty"`
	Unsorted string `json:"unsorted,omitempty"`
	Entity   entity `json:"entity,omitzero"` // which has it; in unsorted: the one to be
	Lead     int64  `json:"lead,omitempty"`  // in unsorted: the lead to be, which has the call's note then
	Task     int64  `json:"task,omitempty"`
	Digest   string `json:"digest,omitempty"` // of what the CRM was told; "": not known
}

func (e *entry) saved() (gateway.Saved, error) {
	if *e == (entry{}) {
		return gateway.Saved{}, nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return gateway.Saved{}, err
	}
	id := e.Unsorted
	if n := cmp.Or(e.Note, e.Call, e.Task); id == "" && n != 0 {
		id = strconv.FormatInt(n, 10)
	}
	return gateway.Saved{ID: id, Data: data}, nil
}

// Save writes a call as the account's rules have it.
func (l *CallLog) Save(ctx context.Context, due gateway.DueCall) (gateway.Saved, error) {
	if !l.rules.wants(&due.Call) {
		return due.Before, nil
	}
	f := factsOf(&due.Call, l.link(&due.Call))
	var at *entry
	var err error
	if len(due.Before.Data) > 0 {
		at = &entry{}
		if err := json.Unmarshal(due.Before.Data, at); err != nil {
			return gateway.Saved{}, &gateway.ParkError{Err: fmt.Errorf("what was noted of the call cannot be read: %w", err)}
		}
	}
	if at != nil && (at.Call != 0 || at.Note != 0 || at.Unsorted != "" || at.Digest != "") { // the last: the CRM took it and did not say as what
		err = l.update(ctx, f, at)
	} else {
		at, err = l.add(ctx, f, at, due.Unsure)
	}
	if err != nil {
		return gateway.Saved{}, verdict(err)
	}
	return at.saved()
}

// add writes a call for the first time. If unsure, it looks first whether it is there. before, if not nil, is what was
// made of it besides.
func (l *CallLog) add(ctx context.Context, f *facts, before *entry, unsure bool) (at *entry, err error) {
	if unsure {
		if at, err = l.find(ctx, f); err != nil {
			return nil, err
		}
	}
	if at == nil {
		if at, err = l.create(ctx, f); err != nil {
			return nil, err
		}
	}
	if before != nil {
		at.Task = before.Task
	}
	err = l.addTask(ctx, f, at, unsure)
	if isRefused(err) { // the call is there, so it is not set aside for that
		l.cfg.Logger.ErrorContext(ctx, "the CRM does not take the task of a missed call: look at crm.log.missed_task", "call", f.uniq, "err", err)
		err = nil
	}
	return at, err
}

// find looks for a call whose writing may have been carried out. Unsorted comes first: what a person takes goes from there
// to somebody's notes.
func (l *CallLog) find(ctx context.Context, f *facts) (*entry, error) {
	at, err := l.findUnsorted(ctx, f.started, f.isUnsorted)
	if err != nil || at != nil {
		return at, err
	}
	m, _, err := l.recall(ctx, f)
	if err != nil {
		return nil, err
	}
	more := []entity{f.about}
	if m.Made != nil {
		more = append(more, m.Made.Entity, entity{kindLeads, m.Made.Lead})
	}
	var found []entityBody
	if f.reachable() {
		if found, err = l.holders(ctx, f.number); err != nil {
			return nil, err
		}
	}
	return l.findNoteOfAny(ctx, f, found, more...)
}

// create writes a call that is not there.
func (l *CallLog) create(ctx context.Context, f *facts) (*entry, error) {
	if l.rules.As == FormNotes {
		if at, err := l.addAbout(ctx, f); at != nil || err != nil {
			return at, err
		}
	}
	at, err := l.createOfKnown(ctx, f)
	if at != nil || err != nil {
		return at, err
	}
	if at, err := l.addAbout(ctx, f); at != nil || err != nil { // whose card has not got the number
		return at, err
	}
	if f.reachable() && time.Since(f.seen) < l.cfg.Settling { // somebody may have been made just now
		if err := sleep(ctx, settlePause); err != nil {
			return nil, err
		}
		if at, err := l.createOfKnown(ctx, f); at != nil || err != nil {
			return at, err
		}
	}
	if fate := l.rules.fateOf(f); fate != FateNone {
		return l.createOfUnknown(ctx, f, fate)
	}
	return &entry{}, nil
}

// addAbout writes a call on what a user said that it is about; nil: he did not say, or it is gone, or not for us to write on.
func (l *CallLog) addAbout(ctx context.Context, f *facts) (*entry, error) {
	if f.about.ID == 0 {
		return nil, nil
	}
	at, err := l.addNote(ctx, f, f.about)
	if isDenied(err) {
		f.about = entity{}
		return nil, nil
	}
	return at, err
}

// sleep waits for d, or fails at ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// createOfKnown writes a call of somebody whom the CRM knows; nil: it knows nobody with the number.
func (l *CallLog) createOfKnown(ctx context.Context, f *facts) (*entry, error) {
	if !f.reachable() {
		return nil, nil
	}
	if l.rules.As == FormCalls {
		return l.addCall(ctx, f)
	}
	found, err := l.holders(ctx, f.number)
	if err != nil {
		return nil, err
	}
	at, err := l.choose(ctx, found)
	if err != nil || at.ID == 0 {
		return nil, err
	}
	return l.addNote(ctx, f, at)
}

// createOfUnknown writes a call of somebody whom the CRM does not know, with what was made of him at another call where
// there is such.
func (l *CallLog) createOfUnknown(ctx context.Context, f *facts, fate Fate) (*entry, error) {
	m, err := l.claim(ctx, f)
	if err != nil {
		return nil, err
	}
	if m.Made != nil {
		at, err := l.addToMade(ctx, f, m)
		if at != nil || err != nil {
			return at, err
		}
	}
	made, err := l.addUnknown(ctx, f, fate)
	switch {
	case err == nil:
		l.remember(ctx, f, madeOf(f, made))
	case !f.begun:
		l.forget(ctx, f)
	}
	return made, err
}

// addToMade writes a call with what was made of its number before; nil: a person has refused that since.
func (l *CallLog) addToMade(ctx context.Context, f *facts, m memory) (*entry, error) {
	waits := false
	if m.Made.Unsorted != "" {
		if m.Call == f.uniq {
			return m.Made, nil // refused or not, it was there
		}
		item, err := l.findUnsorted(ctx, m.Since, func(u *unsorted) bool { return u.UID == m.Made.Unsorted })
		if err != nil {
			return nil, err
		}
		waits = item != nil
	}
	if m.Made.Entity.ID != 0 {
		if at, err := l.addNote(ctx, f, m.Made.Entity); !isRefused(err) {
			return at, err
		}
	}
	if waits && time.Since(m.At) < following { // and cannot have another call until it is taken
		return nil, &gateway.LaterError{
			Delay: followPause, Alone: true,
			Err: fmt.Errorf("the caller's call %s waits in unsorted: this one follows it when it is taken from there", m.Call),
		}
	}
	return nil, nil
}

// callBody is a call as POST /calls takes it.
type callBody struct {
	callParams

	Direction   string `json:"direction"`
	CreatedBy   int64  `json:"created_by,omitempty"`
	Responsible int64  `json:"responsible_user_id,omitempty"`
	CreatedAt   int64  `json:"created_at"`
	RequestID   string `json:"request_id"`
}

// addCall lets the CRM choose who has the call; nil: nobody has the number.
func (l *CallLog) addCall(ctx context.Context, f *facts) (*entry, error) {
	var answer struct {
		Errors   []itemProblem `json:"errors"`
		Embedded struct {
			Calls []struct {
				ID     int64  `json:"id"`
				Entity int64  `json:"entity_id"`
				Kind   string `json:"entity_type"`
			} `json:"calls"`
		} `json:"_embedded"`
	}
	err := l.write(ctx, f, "/api/v4/calls", &answer, func() any {
		return []callBody{{
			callParams: f.params(l.rules.Source), Direction: f.direction(), CreatedBy: f.user, Responsible: f.user,
			CreatedAt: f.started.Unix(), RequestID: requestID,
		}}
	})
	if err == nil && len(answer.Embedded.Calls) == 0 {
		refusal := &Error{Status: http.StatusBadRequest, Title: "the call was not taken"}
		for _, p := range answer.Errors {
			refusal.Fields = append(refusal.Fields, p.field())
		}
		err, f.begun = refusal, false
	}
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.aboutNobody():
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("call: %w", err)
	}
	made := answer.Embedded.Calls[0]
	return &entry{Call: made.ID, Entity: entity{kindOf(made.Kind), made.Entity}, Digest: f.params(l.rules.Source).digest()}, nil
}

// update brings a later version of a call to where it was written. A note can be changed, and a call that the CRM put
// somewhere is a note there; what lies in unsorted stays as it is.
func (l *CallLog) update(ctx context.Context, f *facts, at *entry) error {
	digest := f.params(l.rules.Source).digest()
	if at.Digest == digest {
		return nil
	}
	changed := false
	if at.Note == 0 {
		found, err := l.findNoteOfAny(ctx, f, nil, at.Entity, entity{kindLeads, at.Lead})
		if err != nil {
			return err
		}
		if found != nil {
			at.Note, at.Entity = found.Note, found.Entity
		}
	}
	if at.Note != 0 {
		var err error
		if changed, err = l.changeNote(ctx, f, at); err != nil {
			return err
		}
	}
	if !changed {
		l.cfg.Logger.InfoContext(ctx, "what became known of a call later stays out of the CRM: its entry cannot be changed", "call", f.uniq,
			"recording", f.link != "", "result", f.result != "")
	}
	at.Digest = digest
	return nil
}

// write sends something new. A user whom the CRM does not know, any more perhaps, is left out of it.
func (l *CallLog) write(ctx context.Context, f *facts, path string, out any, body func() any) error {
	err := l.post(ctx, path, body(), out)
	var answer *Error
	if errors.As(err, &answer) && f.user != 0 && answer.aboutUsers() {
		l.cfg.Logger.WarnContext(ctx, "the CRM does not take a call's user: it is written without", "call", f.uniq, "user", f.user, "err", answer)
		f.user = 0
		err = l.post(ctx, path, body(), out)
	}
	if err == nil || errors.As(err, &answer) && answer.Sent {
		f.begun = true
	}
	if err != nil && answer != nil && answer.open() {
		return &gateway.UnsureError{Err: err}
	}
	return err
}
