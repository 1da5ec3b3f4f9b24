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
	shortestSearch = 6                // digits: with fewer a search finds half of the CRM
	leadsLooked    = 50               // of a caller, the newest
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
	has, err := f.holders(ctx, phone)
	if err != nil || len(has) == 0 {
		f.memory.put(a, gateway.Found{}, err, true)
		return
	}
	first := &has[0]
	kind := first.Kind
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

// holders returns the contacts that have a number, or if there are none the companies, the oldest first: so does the CRM
// choose for its own notification.
func (f *Finder) holders(ctx context.Context, phone gateway.Number) ([]entityBody, error) {
	has, err := having(ctx, f.getUrgently, kindContacts, phone)
	if err != nil || len(has) > 0 {
		return has, err
	}
	return having(ctx, f.getUrgently, kindCompanies, phone)
}

// addTo adds the company, the deal and the customer of whom a number belongs to. What cannot be had is left out.
func (f *Finder) addTo(ctx context.Context, found *gateway.Found, of *entityBody) {
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
	open, err := openLeads(ctx, f.get, leads[:min(len(leads), leadsLooked)], leadsSingly)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	last := slices.MaxFunc(open, func(a, b entityBody) int { return cmp.Or(cmp.Compare(a.Updated, b.Updated), cmp.Compare(a.ID, b.ID)) })
	return f.contact(kindLeads, &last), nil
}

// one returns an entity by its id; nil: it is gone.
func (f *Finder) one(ctx context.Context, kind string, id int64) (*gateway.Contact, error) {
	var b entityBody
	err := f.get(ctx, entity{kind, id}.path(), nil, &b)
	if isStatus(err, http.StatusNotFound) || err == nil && (b.ID == 0 || b.Deleted) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return f.contact(kind, &b), nil
}

// contact is an entity as clients see it.
func (f *Finder) contact(kind string, b *entityBody) *gateway.Contact {
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

// getUrgently is a getter of what somebody waits for.
func (f *Finder) getUrgently(ctx context.Context, path string, query url.Values, out any) error {
	return f.do(ctx, Request{Method: http.MethodGet, Path: path, Query: query, Urgent: true}, out)
}

// get is a getter.
func (f *Finder) get(ctx context.Context, path string, query url.Values, out any) error {
	return f.do(ctx, Request{Method: http.MethodGet, Path: path, Query: query}, out)
}

func (f *Finder) do(ctx context.Context, req Request, out any) error {
	if err := f.cfg.API.Do(ctx, f.cfg.Account, req, out); err != nil {
		return fmt.Errorf("who calls: %w", err)
	}
	return nil
}
