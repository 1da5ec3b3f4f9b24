package amocrm

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"ringcast/gateway"
)

const (
	shortestSearch = 6 // digits: with fewer a search finds half of the CRM
	findPage       = 50
	findTime       = 20 * time.Second // for all that is asked about a number
	leadsSingly    = 3                // the newest ones, where a list cannot be filtered
)

// FinderConfig is what a Finder needs.
type FinderConfig struct {
	API     API
	Account string
	BaseURL func() string // of the account's pages, no slash at the end; "": what is found has no address
	Logger  *slog.Logger
}

// Finder finds who in one account has a number: a gateway.Finder with a short memory. A number is asked about once at a
// time, however many want to know, and only so many numbers are at once.
//
// Who has the number is asked first and urgently, in one request or two. The names of his company, deal and customer
// take more requests, which let other callers' first ones go before; Find waits for them as long as its context allows.
type Finder struct {
	cfg    FinderConfig
	memory answers
	ctx    context.Context //nolint:containedctx // of the questions: they outlive who asked first
	cancel context.CancelFunc
}

var _ gateway.Finder = (*Finder)(nil)

// NewFinder returns the finder of an account. Close ends what it has under way.
func NewFinder(cfg FinderConfig) *Finder {
	f := &Finder{cfg: cfg}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Close ends the questions under way and waits for that. Nothing is asked afterwards.
func (f *Finder) Close() {
	f.cancel()
	f.memory.close()
}

// Find returns who has a number. At ctx's end it returns what is known by then: an error unless that is who has it.
func (f *Finder) Find(ctx context.Context, phone gateway.Number) (gateway.Found, error) {
	key := searchKey(phone)
	if key == "" {
		return gateway.Found{}, nil
	}
	a, err := f.memory.get(key, func(a *answer) { f.ask(phone, a) }) //nolint:contextcheck // it outlives who asked first
	if err != nil {
		return gateway.Found{}, err
	}
	select {
	case <-a.all:
	case <-ctx.Done():
		select {
		case <-a.who:
		default:
			return gateway.Found{}, fmt.Errorf("who has the number: %w", context.Cause(ctx))
		}
	}
	return f.memory.read(a)
}

// Recall returns who has a number if that was asked a moment ago.
func (f *Finder) Recall(phone gateway.Number) (gateway.Found, bool) {
	return f.memory.recall(searchKey(phone))
}

// searchKey is what a number is searched by, "" if it cannot be.
func searchKey(phone gateway.Number) string {
	key := cmp.Or(phone.E164, gateway.Digits(phone.Raw))
	if len(key) < shortestSearch {
		return ""
	}
	return key
}

// ask asks the CRM who has a number, and then what else there is about him.
func (f *Finder) ask(phone gateway.Number, a *answer) {
	ctx, cancel := context.WithTimeout(f.ctx, findTime)
	defer cancel()
	kind, has, err := f.holders(ctx, phone)
	if err != nil || len(has) == 0 {
		f.memory.put(a, gateway.Found{}, err, true)
		return
	}
	first := &has[0]
	found := gateway.Found{Contact: f.contact(kind, first)}
	if first.Responsible > 0 {
		found.Responsible = strconv.FormatInt(first.Responsible, 10)
	}
	for i := range has[1:] {
		found.Others = append(found.Others, *f.contact(kind, &has[1+i]))
	}
	if kind == kindCompanies {
		found.Company = found.Contact
	}
	f.memory.put(a, found, nil, false)
	f.addTo(ctx, &found, first)
	f.memory.put(a, found, nil, true)
}

// foundBody is an entity as a search shows it.
type foundBody struct {
	entityBody

	Name     string `json:"name"`
	Updated  int64  `json:"updated_at"`
	Deleted  bool   `json:"is_deleted"`
	Embedded struct {
		Leads     []link `json:"leads"`
		Customers []link `json:"customers"`
		Companies []link `json:"companies"`
	} `json:"_embedded"`
}

// holders returns the contacts that have a number, or if there are none the companies, the oldest first: so does the CRM
// choose for its own notification.
func (f *Finder) holders(ctx context.Context, phone gateway.Number) (kind string, has []foundBody, err error) {
	digits := gateway.Digits(searchKey(phone))
	query := url.Values{
		"query": {digits[max(0, len(digits)-matchDigits):]}, "with": {"leads,customers"}, "limit": {strconv.Itoa(findPage)}, "order[id]": {"asc"},
	}
	for _, kind := range []string{kindContacts, kindCompanies} {
		list, err := f.list(ctx, kind, query, true)
		if err != nil {
			return "", nil, err
		}
		list = slices.DeleteFunc(list, func(b foundBody) bool { return b.Deleted || !b.has(phone) })
		if len(list) > 0 {
			slices.SortFunc(list, func(a, b foundBody) int { return cmp.Compare(a.ID, b.ID) })
			return kind, list, nil
		}
	}
	return "", nil, nil
}

// addTo adds the company, the deal and the customer of whom a number belongs to. What cannot be had is left out.
func (f *Finder) addTo(ctx context.Context, found *gateway.Found, of *foundBody) {
	var more sync.WaitGroup
	part := func(what string, to **gateway.Contact, ask func() (*gateway.Contact, error)) {
		more.Go(func() {
			c, err := ask()
			if err != nil {
				f.cfg.Logger.DebugContext(ctx, "a part of what the CRM knows of a caller is missing", "account", f.cfg.Account, "part", what, "err", err)
				return
			}
			*to = c
		})
	}
	if found.Company == nil && len(of.Embedded.Companies) > 0 {
		part(kindCompanies, &found.Company, func() (*gateway.Contact, error) { return f.one(ctx, kindCompanies, of.Embedded.Companies[0].ID) })
	}
	if len(of.Embedded.Customers) > 0 {
		part(kindCustomers, &found.Customer, func() (*gateway.Contact, error) { return f.one(ctx, kindCustomers, of.Embedded.Customers[0].ID) })
	}
	if leads := ids(of.Embedded.Leads); len(leads) > 0 {
		part(kindLeads, &found.Lead, func() (*gateway.Contact, error) { return f.lead(ctx, leads) })
	}
	more.Wait()
}

// lead returns the active lead that was changed last; nil: all are closed.
func (f *Finder) lead(ctx context.Context, leads []int64) (*gateway.Contact, error) {
	slices.SortFunc(leads, func(a, b int64) int { return cmp.Compare(b, a) })
	leads = leads[:min(len(leads), findPage)]
	query := url.Values{"limit": {strconv.Itoa(findPage)}}
	for _, id := range leads {
		query.Add("filter[id][]", strconv.FormatInt(id, 10))
	}
	var list []foundBody
	var err error
	if len(leads) > 1 { // else it costs no more to ask for the one
		if list, err = f.list(ctx, kindLeads, query, false); err != nil {
			return nil, err
		}
		list = slices.DeleteFunc(list, func(b foundBody) bool { return !slices.Contains(leads, b.ID) })
	}
	if len(list) == 0 {
		for _, id := range leads[:min(len(leads), leadsSingly)] {
			var b foundBody
			if err := f.get(ctx, entity{kindLeads, id}.path(), nil, false, &b); err != nil && !isStatus(err, http.StatusNotFound) {
				return nil, err
			}
			list = append(list, b)
		}
	}
	list = slices.DeleteFunc(list, func(b foundBody) bool { return b.ID == 0 || b.Deleted || !b.open() })
	if len(list) == 0 {
		return nil, nil
	}
	last := slices.MaxFunc(list, func(a, b foundBody) int { return cmp.Or(cmp.Compare(a.Updated, b.Updated), cmp.Compare(a.ID, b.ID)) })
	return f.contact(kindLeads, &last), nil
}

// one returns an entity by its id; nil: it is gone.
func (f *Finder) one(ctx context.Context, kind string, id int64) (*gateway.Contact, error) {
	var b foundBody
	err := f.get(ctx, entity{kind, id}.path(), nil, false, &b)
	if isStatus(err, http.StatusNotFound) || err == nil && (b.ID == 0 || b.Deleted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f.contact(kind, &b), nil
}

// contact is an entity as clients see it.
func (f *Finder) contact(kind string, b *foundBody) *gateway.Contact {
	c := &gateway.Contact{ID: strconv.FormatInt(b.ID, 10), Type: wordOf(kind), Name: b.Name}
	if base := f.cfg.BaseURL(); base != "" {
		c.URL = fmt.Sprintf("%s/%s/detail/%d", base, kind, b.ID)
	}
	return c
}

// wordOf is how one of a kind is called.
func wordOf(kind string) string {
	switch kind {
	case kindContacts:
		return "contact"
	case kindCompanies:
		return "company"
	case kindLeads:
		return "lead"
	default:
		return "customer"
	}
}

func (f *Finder) list(ctx context.Context, kind string, query url.Values, urgent bool) ([]foundBody, error) {
	var page struct {
		Embedded map[string][]foundBody `json:"_embedded"`
	}
	err := f.get(ctx, "/api/v4/"+kind, query, urgent, &page)
	return page.Embedded[kind], err
}

func (f *Finder) get(ctx context.Context, path string, query url.Values, urgent bool, out any) error {
	err := f.cfg.API.Do(ctx, f.cfg.Account, Request{Method: http.MethodGet, Path: path, Query: query, Urgent: urgent}, out)
	if err != nil {
		return fmt.Errorf("who calls: %w", err)
	}
	return nil
}
