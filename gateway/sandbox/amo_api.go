package sandbox

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AmoNote is a note in a contact's card.
type AmoNote struct {
	ID        int64
	Contact   int64
	Author    int64 // a user
	Text      string
	CreatedAt time.Time
}

// amoProblem is an error of amoCRM's API: a problem document.
type amoProblem struct {
	Status int
	Detail string
	Errors []amoFieldError // of the item at the same place in the request
}

type amoFieldError struct {
	Item   int    `json:"-"`
	Code   string `json:"code"`
	Path   string `json:"path"`
	Detail string `json:"detail"`
}

func (p amoProblem) Error() string { return p.Detail }

func badRequest(detail string, errs ...amoFieldError) amoProblem {
	return amoProblem{Status: http.StatusBadRequest, Detail: detail, Errors: errs}
}

func writeAmoProblem(w http.ResponseWriter, p amoProblem) {
	type failed struct {
		RequestID string          `json:"request_id"`
		Errors    []amoFieldError `json:"errors"`
	}
	body := map[string]any{
		"title":  http.StatusText(p.Status),
		"type":   "https://tools.ietf.org/html/rfc9110#section-15",
		"status": p.Status,
		"detail": p.Detail,
	}
	if len(p.Errors) > 0 {
		byItem := []failed{}
		for _, e := range p.Errors {
			byItem = append(byItem, failed{RequestID: strconv.Itoa(e.Item), Errors: []amoFieldError{e}})
		}
		body["validation-errors"] = byItem
	}
	writeAmo(w, p.Status, "application/problem+json", body)
}

func writeAmo(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the browser went away: nobody is left to tell
}

const halJSON = "application/hal+json"

// readAmo reads a JSON body into v.
func readAmo(r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return amoProblem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type must be application/json"}
	}
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return badRequest("Invalid JSON: " + err.Error())
	}
	return nil
}

// amoContact is a contact as it is kept.
type amoContact struct {
	AmoContact
	updated time.Time
}

// matches is the CRM's search: a substring of any field, numbers also without their punctuation.
func (c amoContact) matches(query string) bool {
	number := amoDigits(query)
	for _, phone := range c.Phones {
		if strings.Contains(phone, query) || len(number) >= 3 && strings.Contains(amoDigits(phone), number) {
			return true
		}
	}
	query = strings.ToLower(query)
	return strings.Contains(strings.ToLower(c.Name), query) || strings.Contains(strings.ToLower(c.Company), query)
}

func (c amoContact) body(account int64) map[string]any {
	var fields any // null, as the real one, when nothing is filled in
	if len(c.Phones) > 0 {
		values := []map[string]any{}
		for _, phone := range c.Phones {
			values = append(values, map[string]any{"value": phone, "enum_id": 1, "enum_code": "WORK"})
		}
		fields = []map[string]any{{
			"field_id": 1, "field_name": "Телефон", "field_code": "PHONE", "field_type": "multitext", "values": values,
		}}
	}
	first, last, _ := strings.Cut(c.Name, " ")
	return map[string]any{
		"id": c.ID, "name": c.Name, "first_name": first, "last_name": last,
		"responsible_user_id": c.Responsible, "group_id": 0, "created_by": c.Responsible, "updated_by": c.Responsible,
		"created_at": c.updated.Unix(), "updated_at": c.updated.Unix(),
		"is_deleted": false, "is_unsorted": false, "closest_task_at": nil,
		"custom_fields_values": fields, "account_id": account,
		"_links":    amoSelf(fmt.Sprintf("/api/v4/contacts/%d", c.ID)),
		"_embedded": map[string]any{"tags": []any{}, "companies": []any{}},
	}
}

func amoSelf(href string) map[string]any {
	return map[string]any{"self": map[string]any{"href": href}}
}

func amoDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func (a *Amo) listContacts(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	query := r.URL.Query()
	limit, page := 50, 1
	for name, to := range map[string]*int{"limit": &limit, "page": &page} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 1 || n > 250 {
			return badRequest("Request validation failed", amoFieldError{Code: "InvalidType", Path: name, Detail: "must be from 1 to 250"})
		}
		*to = n
	}
	found := []map[string]any{}
	more := false
	a.mu.Lock()
	skip := (page - 1) * limit
	for _, c := range a.contacts {
		if !c.matches(query.Get("query")) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(found) == limit {
			more = true
			break
		}
		found = append(found, c.body(a.cfg.Account))
	}
	a.mu.Unlock()
	if len(found) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	links := amoSelf(r.URL.RequestURI())
	if more {
		query.Set("page", strconv.Itoa(page+1))
		links["next"] = map[string]any{"href": "/api/v4/contacts?" + query.Encode()}
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{
		"_page": page, "_links": links, "_embedded": map[string]any{"contacts": found},
	})
	return nil
}

func (a *Amo) getContact(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.contact(r.PathValue("id"))
	if err != nil {
		return err
	}
	writeAmo(w, http.StatusOK, halJSON, c.body(a.cfg.Account))
	return nil
}

// contact finds a contact by its id. The caller holds the lock.
func (a *Amo) contact(id string) (amoContact, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	i := slices.IndexFunc(a.contacts, func(c amoContact) bool { return c.ID == n })
	if err != nil || i < 0 {
		return amoContact{}, amoProblem{Status: http.StatusNotFound, Detail: "Entity not found"}
	}
	return a.contacts[i], nil
}

func (a *Amo) addContacts(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	var items []struct {
		Name   string `json:"name"`
		Fields []struct {
			Code   string `json:"field_code"`
			Values []struct {
				Value string `json:"value"`
			} `json:"values"`
		} `json:"custom_fields_values"`
	}
	if err := readAmo(r, &items); err != nil {
		return err
	}
	if len(items) == 0 || len(items) > 250 {
		return badRequest("From 1 to 250 contacts are taken at once")
	}
	added := []map[string]any{}
	a.mu.Lock()
	for i, item := range items {
		c := AmoContact{ID: a.nextID(), Name: strings.TrimSpace(item.Name), Responsible: user.ID}
		for _, field := range item.Fields {
			for _, v := range field.Values {
				if field.Code == "PHONE" && v.Value != "" {
					c.Phones = append(c.Phones, v.Value)
				}
			}
		}
		a.contacts = append(a.contacts, amoContact{AmoContact: c, updated: time.Now()})
		added = append(added, map[string]any{
			"id": c.ID, "request_id": strconv.Itoa(i), "_links": amoSelf(fmt.Sprintf("/api/v4/contacts/%d", c.ID)),
		})
	}
	a.mu.Unlock()
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"contacts": added}})
	return nil
}

func (a *Amo) listNotes(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.contact(r.PathValue("id"))
	if err != nil {
		return err
	}
	found := []map[string]any{}
	for _, n := range a.notes {
		if n.Contact == c.ID {
			found = append(found, map[string]any{
				"id": n.ID, "entity_id": n.Contact, "created_by": n.Author, "created_at": n.CreatedAt.Unix(),
				"note_type": "common", "params": map[string]any{"text": n.Text},
			})
		}
	}
	if len(found) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_page": 1, "_embedded": map[string]any{"notes": found}})
	return nil
}

func (a *Amo) addNotes(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	var items []struct {
		Type   string `json:"note_type"`
		Params struct {
			Text *string `json:"text"`
		} `json:"params"`
	}
	if err := readAmo(r, &items); err != nil {
		return err
	}
	if len(items) == 0 || len(items) > 250 {
		return badRequest("From 1 to 250 notes are taken at once")
	}
	var bad []amoFieldError
	for i, item := range items {
		if item.Type != "common" {
			bad = append(bad, amoFieldError{Item: i, Code: "NotSupportedChoice", Path: "note_type", Detail: "The value you selected is not a valid choice."})
		}
		if item.Params.Text == nil || *item.Params.Text == "" {
			bad = append(bad, amoFieldError{Item: i, Code: "FieldMissing", Path: "params.text", Detail: "This field is missing."})
		}
	}
	if bad != nil {
		return badRequest("Request validation failed", bad...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.contact(r.PathValue("id"))
	if err != nil {
		return err
	}
	added := []map[string]any{}
	for i, item := range items {
		n := AmoNote{ID: a.nextID(), Contact: c.ID, Author: user.ID, Text: *item.Params.Text, CreatedAt: time.Now()}
		a.notes = append(a.notes, n)
		added = append(added, map[string]any{"id": n.ID, "entity_id": c.ID, "request_id": strconv.Itoa(i)})
	}
	a.push(amoPush{Kind: "note", Data: map[string]any{"contact": c.ID}}, nil)
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"notes": added}})
	return nil
}
