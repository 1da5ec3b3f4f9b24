package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	amoPipeline    = 1
	amoFirstStatus = 101 // where a lead begins; 102 and 103 follow
)

// amoEntity is a contact, a company, a lead or a customer as it is kept. Links are kept at the contact and the
// company; the other side finds them by looking.
type amoEntity struct {
	Kind        string
	ID          int64
	Name        string
	Phones      []string
	Emails      []string
	Price       int64 // of a lead
	Status      int64 // of a lead
	Company     int64 // of a contact, a lead, a customer; 0: none
	Leads       []int64
	Customers   []int64
	Responsible int64

	created, updated time.Time
}

// matches is the CRM's search: a substring of any field, numbers also without their punctuation.
func (e *amoEntity) matches(query string) bool {
	number := amoDigits(query)
	for _, phone := range e.Phones {
		if strings.Contains(phone, query) || len(number) >= 3 && strings.Contains(amoDigits(phone), number) {
			return true
		}
	}
	query = strings.ToLower(query)
	for _, text := range append([]string{e.Name}, e.Emails...) {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

func amoDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func (e *amoEntity) path() string { return fmt.Sprintf("/api/v4/%s/%d", e.Kind, e.ID) }

func amoSelf(href string) map[string]any {
	return map[string]any{"self": map[string]any{"href": href}}
}

// body is the entity as the API tells it. with names what its _embedded shall have besides the usual. The caller
// holds the lock.
func (a *Amo) body(e *amoEntity, with []string) map[string]any {
	b := map[string]any{
		"id": e.ID, "name": e.Name, "responsible_user_id": e.Responsible, "group_id": 0,
		"created_by": e.Responsible, "updated_by": e.Responsible, "created_at": e.created.Unix(), "updated_at": e.updated.Unix(),
		"is_deleted": false, "closest_task_at": nil, "custom_fields_values": e.fields(), "account_id": a.cfg.Account,
		"_links": amoSelf(e.path()),
	}
	switch e.Kind {
	case amoContacts:
		b["first_name"], b["last_name"], _ = strings.Cut(e.Name, " ")
		b["is_unsorted"] = false
	case amoLeads:
		b["price"], b["status_id"], b["pipeline_id"], b["loss_reason_id"], b["source_id"], b["score"] = e.Price, e.Status, amoPipeline, nil, nil, nil
		b["closed_at"] = nil
		if e.closed() {
			b["closed_at"] = e.updated.Unix()
		}
	case amoCustomers:
		b["next_price"], b["next_date"], b["status_id"], b["periodicity"] = 0, 0, amoFirstStatus, 0
	}
	embedded := map[string]any{"tags": []any{}}
	if e.Kind != amoCompanies {
		embedded[amoCompanies] = a.links(e, amoCompanies)
	}
	for _, kind := range []string{amoContacts, amoLeads, amoCustomers} {
		if kind != e.Kind && slices.Contains(with, kind) {
			embedded[kind] = a.links(e, kind)
		}
	}
	b["_embedded"] = embedded
	return b
}

func (e *amoEntity) closed() bool { return e.Status == AmoStatusWon || e.Status == AmoStatusLost }

// fields is custom_fields_values: null, as the real one, when nothing is filled in.
func (e *amoEntity) fields() any {
	list := []map[string]any{}
	add := func(id int, name, code string, values []string) {
		if len(values) == 0 {
			return
		}
		filled := []map[string]any{}
		for _, value := range values {
			filled = append(filled, map[string]any{"value": value, "enum_id": id * 100, "enum_code": "WORK"})
		}
		list = append(list, map[string]any{"field_id": id, "field_name": name, "field_code": code, "field_type": "multitext", "values": filled})
	}
	add(1, "Телефон", "PHONE", e.Phones)
	add(2, "Email", "EMAIL", e.Emails)
	if len(list) == 0 {
		return nil
	}
	return list
}

// links lists the entities of a kind that e is linked with: their ids and nothing more.
func (a *Amo) links(e *amoEntity, kind string) []map[string]any {
	list := []map[string]any{}
	for i, other := range a.linked(e, kind) {
		link := map[string]any{"id": other.ID, "_links": amoSelf(other.path())}
		if kind == amoContacts {
			link["is_main"] = i == 0
		}
		list = append(list, link)
	}
	return list
}

// linked returns the entities of a kind that e is linked with. The caller holds the lock.
func (a *Amo) linked(e *amoEntity, kind string) []*amoEntity {
	var found []*amoEntity
	for _, other := range a.entities[kind] {
		if e.linksTo(other) || other.linksTo(e) {
			found = append(found, other)
		}
	}
	return found
}

func (e *amoEntity) linksTo(other *amoEntity) bool {
	switch other.Kind {
	case amoCompanies:
		return e.Company == other.ID
	case amoLeads:
		return slices.Contains(e.Leads, other.ID)
	case amoCustomers:
		return slices.Contains(e.Customers, other.ID)
	}
	return false
}

// entity returns nil if there is none. The caller holds the lock.
func (a *Amo) entity(kind string, id int64) *amoEntity {
	i := slices.IndexFunc(a.entities[kind], func(e *amoEntity) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return a.entities[kind][i]
}

// Merge makes one contact of two, as a user who found a double does: what the one has goes to the other, and the one
// is gone.
func (a *Amo) Merge(contact, into int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	gone, stays := a.entity(amoContacts, contact), a.entity(amoContacts, into)
	if gone == nil || stays == nil || gone == stays {
		return
	}
	for _, phone := range gone.Phones {
		if !slices.Contains(stays.Phones, phone) {
			stays.Phones = append(slices.Clone(stays.Phones), phone)
		}
	}
	for _, kind := range []string{amoLeads, amoCustomers, amoCompanies} {
		for _, other := range a.linked(gone, kind) {
			if kind != amoCompanies || stays.Company == 0 {
				stays.link(other)
			}
		}
	}
	for i := range a.notes {
		if n := &a.notes[i]; n.Kind == amoContacts && n.Entity == contact {
			n.Entity = into
			if n.Call != nil {
				n.Call.Entity = into
			}
		}
	}
	stays.updated = time.Now()
	a.entities[amoContacts] = slices.DeleteFunc(a.entities[amoContacts], func(e *amoEntity) bool { return e == gone })
}

// visible returns an entity that a user may see, by the id in a path. The caller holds the lock.
func (a *Amo) visible(user AmoUser, kind, id string) (*amoEntity, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	e := a.entity(kind, n)
	if err != nil || e == nil || !user.may(user.right(kind).View, e.Responsible) {
		return nil, amoProblem{Status: 404, Detail: "Entity not found"}
	}
	return e, nil
}

func (u AmoUser) right(kind string) AmoRights {
	if u.Admin {
		return AmoRights{}
	}
	return u.Rights[kind]
}

// may tells whether a letter lets the user have an entity that somebody is responsible for.
func (u AmoUser) may(letter string, responsible int64) bool {
	return letter == "" || letter == "A" || letter != "D" && responsible == u.ID
}

// nextID returns a new id for an entity. The caller holds the lock.
func (a *Amo) nextID() int64 {
	a.lastID++
	return a.lastID
}
