package amocrm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

func phone(raw string) gateway.Number { return gateway.ParseNumber(raw, "RU") }

// inFinder runs a test in a bubble with a finder of an account that has something of everything.
func inFinder(t *testing.T, change func(*sandbox.AmoConfig), test func(o *office, f *Finder)) {
	t.Parallel()
	inOffice(t, func(c *officeConfig) {
		c.amo.Companies = append(c.amo.Companies, sandbox.AmoCompany{ID: 3, Name: "Petrov & Sons", Responsible: anna})
		c.amo.Leads = []sandbox.AmoLead{
			{ID: 11, Name: "Old lamps", Status: sandbox.AmoStatusWon, Responsible: anna},
			{ID: 12, Name: "Chairs", Responsible: anna}, {ID: 13, Name: "Tables", Responsible: boris},
		}
		c.amo.Customers = []sandbox.AmoCustomer{{ID: 21, Name: "The Petrovs", Responsible: anna}}
		c.amo.Contacts = append(c.amo.Contacts,
			sandbox.AmoContact{ID: 5, Name: "Pyotr", Phones: []string{"+7 900 555-01-11", "100"}, CompanyID: 3, Leads: []int64{11, 12, 13}, Customers: []int64{21}, Responsible: anna},
			sandbox.AmoContact{ID: 6, Name: "His wife", Phones: []string{"89005550111"}, Responsible: boris},
			sandbox.AmoContact{ID: 7, Name: "Not his 9005550222", Phones: []string{"+7 901 000-00-00"}, Responsible: boris},
		)
		if change != nil {
			change(&c.amo)
		}
	}, func(o *office) {
		f := o.finder()
		defer f.Close()
		test(o, f)
	})
}

func (o *office) finder() *Finder {
	logger := slog.New(slog.NewTextHandler(o.text, nil))
	return NewFinder(FinderConfig{
		API: NewClient(ClientConfig{Tokens: o, Transport: o, Logger: logger}), Account: "acme", Logger: logger,
		BaseURL: func() string { return "https://" + boxHost },
	})
}

// described is what was found in one line.
func described(f gateway.Found) string {
	var parts []string
	for _, p := range []struct {
		what string
		c    *gateway.Contact
	}{{"", f.Contact}, {"company ", f.Company}, {"lead ", f.Lead}, {"customer ", f.Customer}} {
		if p.c != nil {
			parts = append(parts, p.what+p.c.Name)
		}
	}
	for _, c := range f.Others {
		parts = append(parts, "also "+c.Name)
	}
	if f.Responsible != "" {
		parts = append(parts, "of "+f.Responsible)
	}
	return strings.Join(parts, ", ")
}

func (o *office) finds(f *Finder, raw, want string) {
	o.t.Helper()
	found, err := f.Find(o.t.Context(), phone(raw))
	if got := described(found); err != nil || got != want {
		o.t.Errorf("%s: %q, %v; want %q", raw, got, err, want)
	}
}

// paths returns what was asked since.
func (o *office) paths(since int) (paths []string) {
	for _, r := range o.amo.Requests()[since:] {
		paths = append(paths, r.Path)
	}
	return paths
}

func TestFind(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		o.finds(f, "8 (900) 555-01-11", "Pyotr, company Petrov & Sons, lead Tables, customer The Petrovs, also His wife, of 88888")
		o.finds(f, ivan, "Ivan, of 99999")
		o.finds(f, "+7 495 123-45-67", "Acme, company Acme, of 99999")
		o.finds(f, "+7 900 555-02-22", "") // it stands in somebody's name
		o.finds(f, nobody, "")
		o.finds(f, "100", "") // too short to be searched for
		o.finds(f, "", "")
		found, _ := f.Find(o.t.Context(), phone(ivan))
		want := gateway.Contact{ID: "1", Type: "contact", Name: "Ivan", URL: "https://" + boxHost + "/contacts/detail/1"}
		if *found.Contact != want {
			o.t.Errorf("%+v", *found.Contact)
		}
		if got := o.paths(0); len(got) != 4+1+2+2+2 {
			o.t.Errorf("asked %q", got)
		}
		for _, r := range o.amo.Requests() {
			if r.Status > 299 {
				o.t.Errorf("%s %s?%s: %d", r.Method, r.Path, r.Query, r.Status)
			}
		}
	})
}

func TestFindWhereTheAccountHasNoFilter(t *testing.T) {
	inFinder(t, func(c *sandbox.AmoConfig) { c.NoFilter = true }, func(o *office, f *Finder) {
		o.finds(f, "89005550111", "Pyotr, company Petrov & Sons, lead Tables, customer The Petrovs, also His wife, of 88888")
	})
}

func TestFindRemembersForAShortWhile(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		if _, ok := f.Recall(phone(ivan)); ok {
			o.t.Error("recalled before anybody asked")
		}
		o.finds(f, ivan, "Ivan, of 99999")
		o.finds(f, nobody, "")
		o.ask("PATCH", "/api/v4/contacts", `[{"id":1,"name":"Ivan the Great","responsible_user_id":88888}]`)
		o.ask("POST", "/api/v4/contacts", `[{"name":"Somebody","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"`+nobody+`"}]}]}]`)
		asked := len(o.amo.Requests())
		o.finds(f, "8 999 111 22 33", "Ivan, of 99999")
		o.finds(f, nobody, "")
		if found, ok := f.Recall(phone(ivan)); !ok || described(found) != "Ivan, of 99999" {
			o.t.Errorf("recalled %q", described(found))
		}
		if got := o.paths(asked); len(got) > 0 {
			o.t.Errorf("asked %q again", got)
		}
		time.Sleep(rememberNobody)
		o.finds(f, ivan, "Ivan, of 99999")
		o.finds(f, nobody, "Somebody, of 88888")
		time.Sleep(rememberFound)
		if _, ok := f.Recall(phone(ivan)); ok {
			o.t.Error("recalled what is old")
		}
		o.finds(f, ivan, "Ivan the Great, of 88888")
		o.ask("PATCH", "/api/v4/contacts", `[{"id":6,"name":"Pyotr's wife"}]`)
		o.amo.Merge(1, 6)
		time.Sleep(rememberFound)
		o.finds(f, ivan, "Pyotr's wife, of 99999")
	})
}

func TestOneQuestionANumberAtATime(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		release := o.amo.Hang("GET /api/v4/contacts")
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { o.finds(f, ivan, "Ivan, of 99999") })
		}
		synctest.Wait()
		if got := o.paths(0); len(got) != 1 {
			o.t.Errorf("asked %q", got)
		}
		release()
		all.Wait()
		if got := o.paths(0); len(got) != 1 {
			o.t.Errorf("asked %q", got)
		}
	})
}

func TestFindEndsWithItsContextAndTheAnswerIsKept(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		release := o.amo.Hang("GET /api/v4/contacts")
		began := time.Now()
		ctx, cancel := context.WithTimeout(o.t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := f.Find(ctx, phone(ivan)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 300*time.Millisecond {
			o.t.Errorf("after %v: %v", time.Since(began), err)
		}
		release()
		synctest.Wait()
		if found, ok := f.Recall(phone(ivan)); !ok || described(found) != "Ivan, of 99999" {
			o.t.Errorf("recalled %q", described(found))
		}
	})
}

func TestWhoCallsIsKnownThoughHisDealIsNot(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		release := o.amo.Hang("GET /api/v4/leads")
		ctx, cancel := context.WithTimeout(o.t.Context(), 300*time.Millisecond)
		defer cancel()
		found, err := f.Find(ctx, phone("89005550111"))
		if err != nil || described(found) != "Pyotr, also His wife, of 88888" {
			o.t.Errorf("%q, %v", described(found), err)
		}
		release()
		synctest.Wait()
		o.finds(f, "89005550111", "Pyotr, company Petrov & Sons, lead Tables, customer The Petrovs, also His wife, of 88888")
		defer o.amo.Refuse("GET /api/v4/companies/{id}", 500, "")()
		time.Sleep(2 * rememberFound)
		o.finds(f, "89005550111", "Pyotr, lead Tables, customer The Petrovs, also His wife, of 88888")
	})
}

func TestFailureIsNoAnswerAndIsNotKept(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		lift := o.amo.Refuse("GET /api/v4/contacts", 500, "")
		for range 3 { // as for the legs of one call
			if _, err := f.Find(o.t.Context(), phone(ivan)); err == nil {
				o.t.Error("no error though the CRM has one")
			}
		}
		if got := o.paths(0); len(got) != 1 {
			o.t.Errorf("asked %q", got)
		}
		lift()
		time.Sleep(rememberFailure)
		o.finds(f, ivan, "Ivan, of 99999")
		o.dead = true
		if _, err := f.Find(o.t.Context(), phone(nobody)); !errors.Is(err, ErrDisconnected) {
			o.t.Errorf("without access: %v", err)
		}
	})
}

func TestQuestionsAndMemoryAreBounded(t *testing.T) {
	inFinder(t, nil, func(o *office, f *Finder) {
		release := o.amo.Hang("GET /api/v4/contacts")
		ctx, cancel := context.WithCancel(o.t.Context())
		var all sync.WaitGroup
		refused := make(chan error, 2*maxAsking)
		for i := range 2 * maxAsking {
			all.Go(func() {
				if _, err := f.Find(ctx, phone(fmt.Sprintf("+7999%07d", i))); errors.Is(err, errTooManyCallers) {
					refused <- err
				}
			})
		}
		synctest.Wait()
		if len(refused) != maxAsking {
			o.t.Errorf("%d questions were refused, want %d", len(refused), maxAsking)
		}
		cancel()
		all.Wait()
		release()
	})
	t.Run("memory", func(t *testing.T) {
		var m answers
		for i := range 2 * maxAnswers {
			a, err := m.get(fmt.Sprint(i), func(*answer) {})
			if err != nil {
				t.Fatal(err)
			}
			m.put(a, gateway.Found{}, nil, true)
			if len(m.known) > maxAnswers {
				t.Fatalf("%d answers are kept", len(m.known))
			}
		}
		m.close()
	})
}

func TestNotify(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		n := &Notifier{API: NewClient(ClientConfig{Tokens: o, Transport: o, Logger: slog.New(slog.DiscardHandler)}), Account: "acme"}
		told := func(users ...string) (to []int64) {
			o.t.Helper()
			before := len(o.amo.Events())
			if err := n.Notify(o.t.Context(), phone(ivan), users); err != nil && !isStatus(err, 400) {
				o.t.Fatal(err)
			}
			for _, e := range o.amo.Events()[before:] {
				if e.Everybody || e.Phone != ivan {
					o.t.Errorf("notified %+v", e)
				}
				to = append(to, e.Users...)
			}
			return to
		}
		if got := told("88888", "99999"); !slices.Equal(got, []int64{anna, boris}) || len(o.amo.Requests()) != 1 {
			o.t.Errorf("notified %v in %d requests", got, len(o.amo.Requests()))
		}
		if got := told("anna", "-1", "0"); got != nil { // never the whole account, though nobody is left
			o.t.Errorf("notified %v", got)
		}
		if got := told(); got != nil {
			o.t.Errorf("notified %v", got)
		}
		if got := told("77777", "99999"); !slices.Equal(got, []int64{boris}) { // the CRM does not know the first any more
			o.t.Errorf("notified %v", got)
		}
		if n := o.amo.Notifications(); len(n) != 3 || n[0].Element == nil || n[0].Element.ID != 1 {
			o.t.Errorf("the notifications are %+v", n)
		}
	})
}

// TestManyAreNotifiedInSeveralRequests: a queue of a call centre rings all who have no tab.
func TestManyAreNotifiedInSeveralRequests(t *testing.T) {
	t.Parallel()
	var users []string
	inOffice(t, func(c *officeConfig) {
		for id := int64(1); id <= 2*maxNotified+1; id++ {
			c.amo.Users = append(c.amo.Users, sandbox.AmoUser{ID: id, Name: fmt.Sprint("Agent ", id)})
			users = append(users, fmt.Sprint(id))
		}
	}, func(o *office) {
		n := &Notifier{API: NewClient(ClientConfig{Tokens: o, Transport: o, Logger: slog.New(slog.DiscardHandler)}), Account: "acme"}
		if err := n.Notify(o.t.Context(), phone(ivan), users); err != nil {
			o.t.Fatal(err)
		}
		var sizes []int
		var told []string
		for _, e := range o.amo.Events() {
			sizes = append(sizes, len(e.Users))
			for _, id := range e.Users {
				told = append(told, fmt.Sprint(id))
			}
		}
		if !slices.Equal(told, users) || !slices.Equal(sizes, []int{maxNotified, maxNotified, 1}) {
			o.t.Errorf("notified %q in requests of %v", told, sizes)
		}
	})
}
