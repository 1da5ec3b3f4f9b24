package sandbox

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The ways a call comes to be logged.
const (
	AmoViaCalls    = "calls"    // POST /api/v4/calls
	AmoViaNotes    = "notes"    // a note call_in or call_out
	AmoViaUnsorted = "unsorted" // POST /api/v4/leads/unsorted/sip with is_call_event_needed
)

// AmoCall is a logged call. It is shown as a note in the card of an entity.
type AmoCall struct {
	ID          int64  // of the note; 0: it waits in unsorted
	Via         string // AmoViaCalls, AmoViaNotes, AmoViaUnsorted
	Kind        string // of the entity, as in AmoNote; empty: it waits in unsorted
	Entity      int64
	Direction   string // inbound, outbound
	Phone       string
	Duration    int64 // seconds
	Source      string
	Uniq        string
	Link        string // of the recording
	Result      string
	Status      int64  // call_status, 1 to 8; 0: none was sent
	Responsible string // as it is shown: the name of the user whose id was sent, or the text that was
	User        int64  // responsible_user_id: who may manage it
	Author      int64  // created_by; 0: the robot
	CreatedAt   time.Time

	responsible any // as it was sent
}

// Calls returns all logged calls, whichever way they came, oldest first.
func (a *Amo) Calls() []AmoCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []AmoCall{}
	for _, c := range a.calls {
		list = append(list, *c)
	}
	return list
}

// What a call is described by, wherever it is.
var amoCallFields = []string{"uniq", "duration", "source", "link", "phone", "call_result", "call_status", "call_responsible"} // fixed

// call reads what is common to the ways of logging one. The caller holds the lock.
func (a *Amo) call(in amoIn, via string) *AmoCall {
	c := &AmoCall{
		Via: via, Phone: in.text("phone"), Source: in.text("source"), Uniq: in.text("uniq"), Link: in.text("link"),
		Result: in.text("call_result"), Duration: in.number("duration"), Status: in.number("call_status"),
	}
	if c.Duration < 0 {
		in.notOffered("duration")
	}
	if _, ok := in.values["call_status"].(json.Number); ok && (c.Status < 1 || c.Status > 8) {
		in.notOffered("call_status")
	}
	c.responsible = in.values["call_responsible"]
	switch value := c.responsible.(type) {
	case string:
		c.Responsible = value
	case json.Number:
		user, ok := a.user(value.String())
		if !ok {
			in.notOffered("call_responsible")
		}
		c.Responsible = user.Name
	default:
		if in.has("call_responsible") {
			in.fail("call_responsible", "InvalidType", "This value should be of type int|string.")
		}
	}
	return c
}

// who reads the ids of users and the times of a write. Where it names no author, that is the user, or the robot. The
// caller holds the lock.
func (a *Amo) who(in amoIn, user AmoUser, robot bool) (responsible, author int64, at time.Time) {
	for _, name := range []string{"responsible_user_id", "created_by", "updated_by"} {
		id := in.number(name)
		if _, ok := a.user(strconv.FormatInt(id, 10)); in.has(name) && !ok && (id != 0 || name == "responsible_user_id") {
			in.notOffered(name)
		}
	}
	author = user.ID
	if in.has("created_by") || robot {
		author = in.number("created_by")
	}
	at = time.Now()
	if created := in.number("created_at"); created != 0 {
		at = time.Unix(created, 0)
	}
	if in.number("created_at") < 0 || in.number("updated_at") < 0 {
		in.notOffered("created_at")
	}
	return cmp.Or(in.number("responsible_user_id"), user.ID), author, at
}

// addCalls logs calls and chooses where they belong by their numbers. Those with a number that nobody has are
// refused, one by one; if none is left, so is the request.
func (a *Amo) addCalls(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	items, errs, err := readItems(r, 250)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	robot := clientOf(r.Context()) != nil && r.Header.Get("X-Context-User-ID") == ""
	calls := []*AmoCall{}
	for _, in := range items {
		in.only(slices.Concat(amoCallFields, []string{
			"direction", "responsible_user_id", "created_by", "updated_by", "created_at", "updated_at", "request_id",
		})...)
		for _, name := range []string{"direction", "phone", "duration", "source"} {
			in.required(name)
		}
		c := a.call(in, AmoViaCalls)
		c.User, c.Author, c.CreatedAt = a.who(in, user, robot)
		if c.Direction = in.text("direction"); c.Direction != "" && c.Direction != "inbound" && c.Direction != "outbound" {
			in.notOffered("direction")
		}
		calls = append(calls, c)
	}
	if err := invalid(*errs); err != nil {
		return err
	}
	made, failed := []map[string]any{}, []map[string]any{}
	for i, c := range calls {
		e := a.forCall(c.Phone)
		if e == nil {
			failed = append(failed, map[string]any{
				"title": "Entity not found", "status": http.StatusBadRequest, "detail": "Entity not found", "request_id": items[i].request,
			})
			continue
		}
		a.calls = append(a.calls, c)
		a.logCall(c, e)
		self := amoSelf(e.path())
		made = append(made, map[string]any{
			"id": c.ID, "entity_id": e.ID, "entity_type": singular(e.Kind), "account_id": a.cfg.Account, "request_id": items[i].request,
			"_embedded": map[string]any{"entity": map[string]any{"id": e.ID, "_links": self}},
		})
	}
	status, kind := http.StatusOK, halJSON
	if len(made) == 0 {
		status, kind = http.StatusBadRequest, "application/problem+json"
	}
	writeAmo(w, status, kind, map[string]any{"_total_items": len(made), "errors": failed, "_embedded": map[string]any{"calls": made}})
	return nil
}

func singular(kind string) string {
	if kind == amoCompanies {
		return "company"
	}
	return strings.TrimSuffix(kind, "s")
}

// forCall returns the entity that a call belongs to, by the last ten digits of its number: of whoever has it, the one
// active lead or the one customer, if there is only that; otherwise the contact or the company itself. nil: nobody has
// it. The caller holds the lock.
func (a *Amo) forCall(phone string) *amoEntity {
	if amoDigits(phone) == "" {
		return nil
	}
	e := a.byPhone(phone, 10)
	if e == nil {
		return nil
	}
	leads := slices.DeleteFunc(a.linked(e, amoLeads), func(l *amoEntity) bool { return l.closed() })
	customers := a.linked(e, amoCustomers)
	switch {
	case len(leads) == 1 && len(customers) == 0:
		return leads[0]
	case len(leads) == 0 && len(customers) == 1:
		return customers[0]
	}
	return e
}

// logCall puts a call into the card of an entity. The caller holds the lock.
func (a *Amo) logCall(c *AmoCall, e *amoEntity) {
	c.ID, c.Kind, c.Entity = a.nextID(), e.Kind, e.ID
	kind := map[string]string{"inbound": "call_in", "outbound": "call_out"}[c.Direction]
	a.notes = append(a.notes, AmoNote{
		ID: c.ID, Kind: e.Kind, Entity: e.ID, Author: c.Author, Type: kind, Text: c.Result, CreatedAt: c.CreatedAt, Call: c, updated: time.Now(),
	})
	a.touched(e.Kind, e.ID)
}

// change takes over what a change names.
func (c *AmoCall) change(next *AmoCall, in amoIn) {
	for name, to := range map[string]struct{ old, next *string }{
		"phone": {&c.Phone, &next.Phone}, "source": {&c.Source, &next.Source}, "uniq": {&c.Uniq, &next.Uniq}, "link": {&c.Link, &next.Link},
		"call_result": {&c.Result, &next.Result}, "call_responsible": {&c.Responsible, &next.Responsible},
	} {
		if in.has(name) {
			*to.old = *to.next
		}
	}
	if in.has("duration") {
		c.Duration = next.Duration
	}
	if in.has("call_status") {
		c.Status = next.Status
	}
	if in.has("call_responsible") {
		c.responsible = next.responsible
	}
}

// params are a call's as its note tells them.
func (c *AmoCall) params() map[string]any {
	p := map[string]any{"uniq": c.Uniq, "duration": c.Duration, "source": c.Source, "link": c.Link, "phone": c.Phone}
	if c.Result != "" {
		p["call_result"] = c.Result
	}
	if c.Status != 0 {
		p["call_status"] = c.Status
	}
	if c.responsible != nil {
		p["call_responsible"] = c.responsible
	}
	return p
}
