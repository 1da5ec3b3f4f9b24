package amocrm

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ringcast/gateway"
)

// The kinds of entities, as the API's paths have them.
const (
	kindContacts  = "contacts"
	kindCompanies = "companies"
	kindLeads     = "leads"
	kindCustomers = "customers"
)

// A lead is closed in one of these statuses, in every pipeline.
const (
	statusWon  = 142
	statusLost = 143
)

const (
	matchDigits = 10 // at the end of a number, as POST /calls compares them
	pageSize    = 250
	maxPages    = 20
)

// entity is something in the CRM that can have a call. The zero entity is nothing.
type entity struct {
	Kind string `json:"kind,omitempty"` // kindContacts or another
	ID   int64  `json:"id,omitempty"`
}

func (e entity) path() string { return fmt.Sprintf("/api/v4/%s/%d", e.Kind, e.ID) }

// kindOf returns the kind that a word of the CRM's or of a widget's names: some parts of the API know only one of each.
func kindOf(word string) string {
	switch word {
	case "contact", kindContacts:
		return kindContacts
	case "company", kindCompanies:
		return kindCompanies
	case "lead", kindLeads:
		return kindLeads
	case "customer", kindCustomers:
		return kindCustomers
	default:
		return ""
	}
}

// parseEntity returns nothing for what cannot have a call.
func parseEntity(e *gateway.Entity) entity {
	id, err := strconv.ParseInt(e.ID, 10, 64)
	kind := kindOf(e.Type)
	if err != nil || id <= 0 || kind == "" {
		return entity{}
	}
	return entity{kind, id}
}

// link is an entity as others name it.
type link struct {
	ID int64 `json:"id"`
}

func ids(links []link) (all []int64) {
	for _, l := range links {
		all = append(all, l.ID)
	}
	return all
}

// entityBody is an entity as lists have it.
type entityBody struct {
	Kind        string `json:"-"` // whose list that was
	ID          int64  `json:"id"`
	Name        string `json:"name"`
	Responsible int64  `json:"responsible_user_id"`
	Status      int64  `json:"status_id"`
	Updated     int64  `json:"updated_at"`
	Deleted     bool   `json:"is_deleted"`
	Fields      []struct {
		Code   string `json:"field_code"`
		Values []struct {
			Value any `json:"value"`
		} `json:"values"`
	} `json:"custom_fields_values"`
	Embedded struct {
		Leads     []link `json:"leads"`
		Customers []link `json:"customers"`
		Companies []link `json:"companies"`
	} `json:"_embedded"`
}

// has says whether the entity has a number: a search finds it in any field.
func (b *entityBody) has(number gateway.Number) bool {
	for _, field := range b.Fields {
		for _, v := range field.Values {
			if field.Code == "PHONE" && gateway.SameNumber(gateway.Number{Raw: text(v.Value)}, number) {
				return true
			}
		}
	}
	return false
}

// getter asks an account's API for something. What is not there leaves out as it is.
type getter func(ctx context.Context, path string, query url.Values, out any) error

// having returns those of a kind that have a number, the oldest first.
func having(ctx context.Context, get getter, kind string, number gateway.Number) ([]entityBody, error) {
	digits := gateway.Digits(cmp.Or(number.E164, number.Raw))
	query := url.Values{
		"query": {digits[max(0, len(digits)-matchDigits):]}, "with": {"leads,customers"}, "limit": {strconv.Itoa(pageSize)}, "order[id]": {"asc"},
	}
	var answer struct {
		Embedded map[string][]entityBody `json:"_embedded"`
	}
	if err := get(ctx, "/api/v4/"+kind, query, &answer); err != nil {
		return nil, fmt.Errorf("search for the number: %w", err)
	}
	found := slices.DeleteFunc(answer.Embedded[kind], func(b entityBody) bool { return b.Deleted || !b.has(number) })
	for i := range found {
		found[i].Kind = kind
	}
	slices.SortFunc(found, func(a, b entityBody) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// holders returns who has a number, contacts before companies.
func (l *CallLog) holders(ctx context.Context, number gateway.Number) ([]entityBody, error) {
	contacts, err := having(ctx, l.get, kindContacts, number)
	if err != nil {
		return nil, err
	}
	companies, err := having(ctx, l.get, kindCompanies, number)
	return append(contacts, companies...), err
}

// choose returns the entity that gets the call of somebody who has the number, as POST /calls would choose it: his only
// active lead, his only customer, or he himself.
func (l *CallLog) choose(ctx context.Context, found []entityBody) (entity, error) {
	if len(found) == 0 {
		return entity{}, nil
	}
	first := found[0]
	leads, customers := ids(first.Embedded.Leads), first.Embedded.Customers
	active, err := openLeads(ctx, l.get, leads, len(leads))
	switch {
	case err != nil:
		return entity{}, err
	case len(active) == 1 && len(customers) == 0:
		return entity{kindLeads, active[0].ID}, nil
	case len(active) == 0 && len(customers) == 1:
		return entity{kindCustomers, customers[0].ID}, nil
	default:
		return entity{first.Kind, first.ID}, nil
	}
}

// openLeads returns those of the leads that are there and not closed. Where a list cannot be filtered it asks for those
// that it does not show, the first of them, so many at most.
func openLeads(ctx context.Context, get getter, leads []int64, singly int) (open []entityBody, err error) {
	for chunk := range slices.Chunk(leads, pageSize) {
		query := url.Values{"limit": {strconv.Itoa(pageSize)}}
		for _, id := range chunk {
			query.Add("filter[id][]", strconv.FormatInt(id, 10))
		}
		var answer struct {
			Embedded struct {
				Leads []entityBody `json:"leads"`
			} `json:"_embedded"`
		}
		if err := get(ctx, "/api/v4/leads", query, &answer); err != nil {
			return nil, fmt.Errorf("leads: %w", err)
		}
		shown, seen := answer.Embedded.Leads, map[int64]bool{}
		for _, b := range shown {
			seen[b.ID] = true
		}
		if !filtered(seen, chunk) {
			for _, id := range chunk {
				if seen[id] || singly == 0 {
					continue
				}
				singly--
				var b entityBody
				if err := get(ctx, entity{kindLeads, id}.path(), nil, &b); err != nil && !isStatus(err, http.StatusNotFound) {
					return nil, fmt.Errorf("lead: %w", err)
				}
				shown = append(shown, b)
			}
		}
		for _, b := range shown {
			if slices.Contains(chunk, b.ID) && b.open() {
				open = append(open, b)
			}
		}
	}
	return open, nil
}

// filtered says whether a list kept to a filter: an account may have filters switched off, and then takes no notice.
func filtered(seen map[int64]bool, wanted []int64) bool {
	for id := range seen {
		if !slices.Contains(wanted, id) {
			return false
		}
	}
	return true
}

func (b *entityBody) open() bool {
	return !b.Deleted && b.Status != statusWon && b.Status != statusLost
}

// responsible returns the user who is responsible for an entity; 0: nobody, or there is none.
func (l *CallLog) responsible(ctx context.Context, e entity) (int64, error) {
	if e.ID == 0 {
		return 0, nil
	}
	var b entityBody
	if err := l.get(ctx, e.path(), nil, &b); err != nil && !isStatus(err, http.StatusNotFound) {
		return 0, fmt.Errorf("who is responsible: %w", err)
	}
	return b.Responsible, nil
}

// get is a getter.
func (l *CallLog) get(ctx context.Context, path string, query url.Values, out any) error {
	return l.cfg.API.Do(ctx, l.cfg.Account, Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

func (l *CallLog) post(ctx context.Context, path string, body, out any) error {
	return l.cfg.API.Do(ctx, l.cfg.Account, Request{Method: http.MethodPost, Path: path, Body: body}, out)
}

// pages asks for a list page by page, the newest first, until each says that it has seen enough. A list that goes on after
// the last page that it asks for is a *gateway.ParkError: nobody knows what is in it.
func pages[T any](ctx context.Context, l *CallLog, path, name string, query url.Values, each func(T) (enough bool)) error {
	query.Set("limit", strconv.Itoa(pageSize))
	for page := 1; page <= maxPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var answer struct {
			Links struct {
				Next *struct{} `json:"next"`
			} `json:"_links"`
			Embedded map[string][]T `json:"_embedded"`
		}
		if err := l.get(ctx, path, query, &answer); err != nil {
			return fmt.Errorf("list of %s: %w", strings.TrimPrefix(path, "/api/v4/"), err)
		}
		if slices.ContainsFunc(answer.Embedded[name], each) || answer.Links.Next == nil {
			return nil
		}
	}
	return &gateway.ParkError{Err: fmt.Errorf("list of %s: it does not end within %d pages: look yourself whether the call is there",
		strings.TrimPrefix(path, "/api/v4/"), maxPages)}
}
