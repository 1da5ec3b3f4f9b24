package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

func TestACallSaysAllThatTheCRMAsks(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{FormCalls, FormNotes} {
		inOffice(t, func(c *officeConfig) { c.rules = LogRules{As: form, Source: "Our PBX"} }, func(o *office) {
			c := inbound("1", ivan)
			c.Recording, c.Result = "https://gw.example.com/r/1.mp3", &gateway.CallResult{Text: "wants an offer", User: "88888"}
			saved := o.save(o.log, gateway.DueCall{Call: c})
			calls := o.amo.Calls()
			if len(calls) != 1 {
				t.Fatalf("%s: %d calls", form, len(calls))
			}
			got := calls[0]
			if got.Direction != "inbound" || got.Phone != ivan || got.Duration != 65 || got.Source != "Our PBX" || got.Uniq != "office:1" ||
				got.Link != c.Recording || got.Result != "wants an offer" || got.Status != statusTalked || got.Responsible != "Anna" ||
				got.User != anna || got.Author != anna || got.CreatedAt.Unix() != c.StartedAt.Unix() || got.Kind != kindContacts || got.Entity != 1 {
				t.Errorf("%s: %+v", form, got)
			}
			if saved.ID != fmt.Sprint(got.ID) {
				t.Errorf("%s: saved as %q, is %d", form, saved.ID, got.ID)
			}
		})
	}
}

// TestNotesStandWhereTheCRMWouldPutCalls holds the rules of both forms to each other.
func TestNotesStandWhereTheCRMWouldPutCalls(t *testing.T) {
	t.Parallel()
	leads := []sandbox.AmoLead{{ID: 10}, {ID: 11}, {ID: 12, Status: sandbox.AmoStatusWon}, {ID: 13, Status: sandbox.AmoStatusLost}}
	customers := []sandbox.AmoCustomer{{ID: 20}, {ID: 21}}
	for name, c := range map[string]struct {
		number string
		ivan   sandbox.AmoContact
		want   string
	}{
		"alone":                   {ivan, sandbox.AmoContact{}, "contacts 1"},
		"one lead":                {ivan, sandbox.AmoContact{Leads: []int64{10}}, "leads 10"},
		"one that is not closed":  {ivan, sandbox.AmoContact{Leads: []int64{12, 10, 13}}, "leads 10"},
		"closed ones":             {ivan, sandbox.AmoContact{Leads: []int64{12, 13}}, "contacts 1"},
		"two leads":               {ivan, sandbox.AmoContact{Leads: []int64{10, 11}}, "contacts 1"},
		"a customer":              {ivan, sandbox.AmoContact{Customers: []int64{20}}, "customers 20"},
		"a customer, closed lead": {ivan, sandbox.AmoContact{Customers: []int64{20}, Leads: []int64{12}}, "customers 20"},
		"two customers":           {ivan, sandbox.AmoContact{Customers: []int64{20, 21}}, "contacts 1"},
		"a lead and a customer":   {ivan, sandbox.AmoContact{Customers: []int64{20}, Leads: []int64{10}}, "contacts 1"},
		"a company's":             {"+74951234567", sandbox.AmoContact{}, "companies 2"},
		"written otherwise":       {"89991112233", sandbox.AmoContact{}, "contacts 1"},
	} {
		for _, form := range []Form{FormCalls, FormNotes} {
			for _, noFilter := range []bool{false, true} {
				inOffice(t, func(cfg *officeConfig) {
					c.ivan.ID, c.ivan.Name, c.ivan.Phones, c.ivan.Responsible = 1, "Ivan", cfg.amo.Contacts[0].Phones, boris
					cfg.amo.Contacts, cfg.amo.Leads, cfg.amo.Customers, cfg.amo.NoFilter = []sandbox.AmoContact{c.ivan}, leads, customers, noFilter
					cfg.rules.As = form
				}, func(o *office) {
					o.save(o.log, gateway.DueCall{Call: inbound("1", c.number)})
					if got := o.where(); got != "office:1 "+c.want {
						t.Errorf("%s as %s (filters off: %v): %s, want %s", name, form, noFilter, got, c.want)
					}
				})
			}
		}
	}
}

func TestUnknownNumbersByPolicy(t *testing.T) {
	t.Parallel()
	all := func(fate Fate) LogRules { return LogRules{Unknown: Unknown{fate, fate, fate}} }
	for name, c := range map[string]struct {
		rules                           LogRules
		call                            func(id, number string) gateway.Call
		number                          string
		unsorted, contacts, leads, note int
	}{
		"answered":             {LogRules{}, inbound, nobody, 1, 0, 0, 0},
		"missed":               {LogRules{}, missed, nobody, 1, 0, 0, 0},
		"outbound":             {LogRules{}, outbound, nobody, 0, 0, 0, 0},
		"none":                 {all(FateNone), inbound, nobody, 0, 0, 0, 0},
		"outbound to unsorted": {all(FateUnsorted), outbound, nobody, 1, 0, 0, 0},
		"a contact":            {all(FateContact), inbound, nobody, 0, 1, 0, 1},
		"a lead":               {all(FateLead), outbound, nobody, 0, 1, 1, 1},
		"notes":                {LogRules{As: FormNotes}, inbound, nobody, 1, 0, 0, 0},
		"hidden":               {LogRules{}, inbound, "", 1, 0, 0, 0},
		"hidden and missed":    {LogRules{}, missed, "", 0, 0, 0, 0},
		"hidden, a contact":    {all(FateContact), inbound, "", 0, 0, 0, 0},
		"a service number":     {LogRules{}, inbound, "0611", 1, 0, 0, 0},
	} {
		inOffice(t, func(cfg *officeConfig) { cfg.rules = c.rules }, func(o *office) {
			contacts := len(o.amo.Contacts())
			o.save(o.log, gateway.DueCall{Call: c.call("1", c.number)})
			notes := 0
			for _, call := range o.amo.Calls() {
				if call.Via == sandbox.AmoViaNotes {
					notes++
				}
			}
			if u, made, l := len(o.amo.Unsorted()), len(o.amo.Contacts())-contacts, len(o.amo.Leads()); u != c.unsorted || made != c.contacts || l != c.leads || notes != c.note {
				t.Errorf("%s: unsorted %d, contacts %d, leads %d, notes %d", name, u, made, l, notes)
			}
			for _, u := range o.amo.Unsorted() {
				if u.From != u.To || c.number != "" && (u.From != c.number || len(u.Contact.Phones) != 1 || u.Contact.Phones[0] != c.number) || u.Call.Uniq != "office:1" ||
					u.Call.Duration > 65 || u.Call.Responsible != "Anna" || !u.Logged || u.SourceName != "Ringcast" || u.Service != serviceCode {
					t.Errorf("%s: %+v", name, u)
				}
			}
		})
	}
}

func TestCallsAmongColleaguesStayOutOfTheCRM(t *testing.T) {
	t.Parallel()
	for _, internal := range []bool{false, true} {
		inOffice(t, func(cfg *officeConfig) { cfg.rules.Internal = internal }, func(o *office) {
			o.save(o.log, gateway.DueCall{Call: aCall("1", gateway.Internal, "102", true)})
			if got := o.where(); got != "" {
				t.Errorf("logged: %s", got)
			}
			if n := len(o.amo.Requests()); n != 0 {
				t.Errorf("%d requests for it", n)
			}
		})
	}
}

// TestAContactMadeAMomentAgoIsFound: a search may not show for seconds what was just made.
func TestAContactMadeAMomentAgoIsFound(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		c := inbound("1", nobody)
		c.Seen = time.Now()
		made := time.AfterFunc(time.Second, func() {
			o.ask("POST", "/api/v4/contacts", `[{"name":"New","custom_fields_values":[{"field_code":"PHONE","values":[{"value":"`+nobody+`"}]}]}]`)
		})
		defer made.Stop()
		o.save(o.log, gateway.DueCall{Call: c})
		if calls := o.amo.Calls(); len(calls) != 1 || calls[0].Kind != kindContacts || len(o.amo.Unsorted()) != 0 {
			t.Errorf("%+v", calls)
		}
	})
}

func TestTheResultNamesTheEntity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		form   Form
		number string
		entity gateway.Entity
		denied string // requests that the integration has no right to
		want   string
	}{
		"notes":                  {FormNotes, ivan, gateway.Entity{Type: "lead", ID: "10"}, "", "leads 10"},
		"notes, and gone":        {FormNotes, ivan, gateway.Entity{Type: "leads", ID: "77"}, "", "contacts 1"},
		"notes, and denied":      {FormNotes, ivan, gateway.Entity{Type: "lead", ID: "10"}, "POST /api/v4/leads/notes", "contacts 1"},
		"a number nobody has":    {FormCalls, nobody, gateway.Entity{Type: "contacts", ID: "1"}, "", "contacts 1"},
		"a hidden one":           {FormCalls, "", gateway.Entity{Type: "contact", ID: "1"}, "", "contacts 1"},
		"of no kind":             {FormNotes, ivan, gateway.Entity{Type: "catalog", ID: "1"}, "", "contacts 1"},
		"the CRM chooses itself": {FormCalls, ivan, gateway.Entity{Type: "lead", ID: "10"}, "", "contacts 1"},
	} {
		inOffice(t, func(cfg *officeConfig) {
			cfg.rules.As, cfg.amo.Leads = c.form, []sandbox.AmoLead{{ID: 10}}
		}, func(o *office) {
			if c.denied != "" {
				defer o.amo.Refuse(c.denied, http.StatusForbidden, "")()
			}
			call := inbound("1", c.number)
			call.Result = &gateway.CallResult{Text: "so", Entity: &c.entity, User: "88888"}
			o.save(o.log, gateway.DueCall{Call: call})
			if got := o.where(); got != "office:1 "+c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		})
	}
}

// TestWhoCallsTwiceIsMadeOnce: two calls of one unknown number, saved at the same time on two nodes.
func TestWhoCallsTwiceIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, fate := range []Fate{FateContact, FateLead, FateUnsorted} {
		rules := LogRules{Unknown: Unknown{fate, fate, fate}}
		inOffice(t, func(cfg *officeConfig) { cfg.rules = rules }, func(o *office) {
			contacts := len(o.amo.Contacts())
			nodes, wg := []*CallLog{o.log, o.node(rules)}, sync.WaitGroup{}
			for i := range 4 {
				wg.Go(func() { o.save(nodes[i%2], gateway.DueCall{Call: inbound(fmt.Sprint(i), nobody)}) })
			}
			if fate == FateUnsorted {
				o.passes(5 * time.Minute)
				items := o.amo.Unsorted()
				if len(items) != 1 {
					t.Fatalf("%d items", len(items))
				}
				o.ask("POST", "/api/v4/leads/unsorted/"+items[0].UID+"/accept", "")
			}
			wg.Wait()
			if made := len(o.amo.Contacts()) - contacts; made != 1 {
				t.Errorf("%s: %d contacts", fate, made)
			}
			for i := range 4 {
				if n := o.count(fmt.Sprint("office:", i)); n != 1 {
					t.Errorf("%s: call %d is there %d times: %s", fate, i, n, o.where())
				}
			}
		})
	}
}

// TestWhatFollowsARefusedCallerIsItsOwn: a person has thrown the first one away.
func TestWhatFollowsARefusedCallerIsItsOwn(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		o.save(o.log, gateway.DueCall{Call: inbound("1", nobody)})
		o.ask("DELETE", "/api/v4/leads/unsorted/"+o.amo.Unsorted()[0].UID+"/decline", "")
		o.save(o.log, gateway.DueCall{Call: inbound("1", nobody), Unsure: true})
		o.save(o.log, gateway.DueCall{Call: inbound("2", nobody)})
		if n := len(o.amo.Unsorted()); n != 2 {
			t.Errorf("%d items", n)
		}
	})
}

// TestAnAttemptThatDiedIsTakenOver: a node was killed while it made an item.
func TestAnAttemptThatDiedIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, made := range []bool{false, true} {
		inOffice(t, nil, func(o *office) {
			first, second := inbound("1", nobody), inbound("2", nobody)
			f := factsOf(&first, "")
			if _, err := o.log.claim(o.t.Context(), f); err != nil {
				t.Fatal(err)
			}
			if made {
				if _, err := o.log.addUnsorted(o.t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			_, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: second})
			var later *gateway.LaterError
			if !errors.As(err, &later) {
				t.Fatalf("the second does not wait: %v", err)
			}
			o.passes(makingTime)
			_, err = o.log.Save(o.t.Context(), gateway.DueCall{Call: second, Unsure: true})
			if n := len(o.amo.Unsorted()); n != 1 || errors.As(err, &later) != made {
				t.Errorf("%d items, %v", n, err)
			}
			_, err = o.log.Save(o.t.Context(), gateway.DueCall{Call: second, Unsure: true})
			if errors.As(err, &later) != made { // what was found is the first one's, and the second is not there yet
				t.Errorf("later: %v", err)
			}
		})
	}
}

// TestALookThatFailsIsDoneAgain: who takes over from an attempt that died has to know what came of it.
func TestALookThatFailsIsDoneAgain(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		first, second := inbound("1", nobody), inbound("2", nobody)
		f := factsOf(&first, "")
		if _, err := o.log.claim(o.t.Context(), f); err != nil {
			t.Fatal(err)
		}
		if _, err := o.log.addUnsorted(o.t.Context(), f); err != nil {
			t.Fatal(err)
		}
		o.passes(makingTime)
		lift := o.amo.Refuse("GET /api/v4/leads/unsorted", 500, "")
		if _, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: second}); err == nil {
			t.Fatal("no error though it cannot look")
		}
		lift()
		_, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: second})
		var later *gateway.LaterError
		if n := len(o.amo.Unsorted()); n != 1 || !errors.As(err, &later) || !later.Alone {
			t.Errorf("%d items, %v", n, err)
		}
	})
}

// TestWhatTheCRMTookWithoutAWordIsNotWrittenAgain by the call's next version.
func TestWhatTheCRMTookWithoutAWordIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	for path, number := range map[string]string{"/api/v4/leads/unsorted/sip": nobody, "/api/v4/contacts/notes": ivan} {
		inOffice(t, func(c *officeConfig) { c.rules.As = FormNotes }, func(o *office) {
			call := inbound("1", number)
			o.mute = path
			saved := o.save(o.log, gateway.DueCall{Call: call})
			call.Version++
			call.Recording = "https://gw.example.com/r/1.mp3"
			o.save(o.log, gateway.DueCall{Call: call, Before: saved})
			if n := o.count("office:1"); n != 1 {
				t.Errorf("%s: there %d times", path, n)
			}
		})
	}
}

// TestTheCallerIsInNoErrorOfAWaitingCall: it stands in the log, and in the store.
func TestTheCallerIsInNoErrorOfAWaitingCall(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		o.save(o.log, gateway.DueCall{Call: inbound("1", nobody)})
		_, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: inbound("2", nobody)})
		var later *gateway.LaterError
		if !errors.As(err, &later) || !later.Alone || !strings.Contains(err.Error(), "office:1") || strings.Contains(err.Error(), nobody) {
			t.Errorf("got %v", err)
		}
	})
}

// endless is an API whose lists do not end.
type endless struct{ asked int }

func (e *endless) Do(_ context.Context, _ string, _ Request, out any) error {
	e.asked++
	return json.Unmarshal([]byte(`{"_links":{"next":{}},"_embedded":{"notes":[{"id":1}]}}`), out)
}

// TestAListThatDoesNotEndSaysNothingOfACall: to take it for one without the call would write that twice.
func TestAListThatDoesNotEndSaysNothingOfACall(t *testing.T) {
	t.Parallel()
	api, call := &endless{}, inbound("1", ivan)
	log := NewCallLog(CallLogConfig{API: api, Account: "acme", Logger: discard()})
	_, err := log.findNote(t.Context(), factsOf(&call, ""), kindContacts, 1)
	var park *gateway.ParkError
	if !errors.As(verdict(err), &park) || api.asked != maxPages {
		t.Errorf("%v after %d pages", err, api.asked)
	}
}

// canned is an API that answers each path so.
type canned map[string]string

func (c canned) Do(_ context.Context, _ string, req Request, out any) error {
	if text, ok := c[req.Path]; ok {
		return json.Unmarshal([]byte(text), out)
	}
	return nil // 204
}

// TestWhatWasDeletedHasNoCalls: a person who was thrown away, and a deal.
func TestWhatWasDeletedHasNoCalls(t *testing.T) {
	t.Parallel()
	const has = `"custom_fields_values":[{"field_code":"PHONE","values":[{"value":"` + ivan + `"}]}],"_embedded":{"leads":[{"id":10}]}`
	log := NewCallLog(CallLogConfig{Account: "acme", Logger: discard(), API: canned{
		"/api/v4/contacts": `{"_embedded":{"contacts":[{"id":1,"is_deleted":true,` + has + `},{"id":2,` + has + `}]}}`,
		"/api/v4/leads":    `{"_embedded":{"leads":[{"id":10,"is_deleted":true}]}}`,
	}})
	found, err := log.holders(t.Context(), gateway.Number{E164: ivan})
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if at, err := log.choose(t.Context(), found); err != nil || at != (entity{kindContacts, 2}) {
		t.Errorf("%+v, %v", at, err)
	}
}

// TestATaskIsLookedForAmongThoseSinceTheCall, however long the others are due.
func TestATaskIsLookedForAmongThoseSinceTheCall(t *testing.T) {
	t.Parallel()
	inOffice(t, func(cfg *officeConfig) {
		cfg.rules.MissedTask = &TaskRule{Text: "Call back", Within: time.Hour}
	}, func(o *office) {
		const others = 2 * pageSize
		for range others / pageSize {
			var tasks []string
			for i := range pageSize {
				tasks = append(tasks, fmt.Sprintf(`{"text":"other %d","complete_till":%d}`, i, time.Now().AddDate(1, 0, 0).Unix()))
			}
			o.ask("POST", "/api/v4/tasks", "["+strings.Join(tasks, ",")+"]")
		}
		o.passes(24 * time.Hour)
		lift := o.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/tasks", Failure: sandbox.AmoCut, Times: 1})
		defer lift()
		o.save(o.log, gateway.DueCall{Call: missed("1", nobody)})
		looks := 0
		for _, r := range o.amo.Requests() {
			if r.Method == http.MethodGet && r.Path == "/api/v4/tasks" {
				looks++
			}
		}
		if n := len(o.amo.Tasks()); n != others+1 || looks != 1 {
			t.Errorf("%d tasks after %d looks", n, looks)
		}
	})
}

func TestAnAccountWithoutUnsortedGetsLeads(t *testing.T) {
	t.Parallel()
	inOffice(t, func(cfg *officeConfig) { cfg.amo.NoUnsorted = true }, func(o *office) {
		o.save(o.log, gateway.DueCall{Call: inbound("1", nobody)})
		if calls := o.amo.Calls(); len(calls) != 1 || calls[0].Kind != kindLeads || len(o.amo.Leads()) != 1 {
			t.Errorf("%+v", calls)
		}
	})
}

func TestLaterVersionsChangeTheNote(t *testing.T) {
	t.Parallel()
	for _, form := range []Form{FormCalls, FormNotes} {
		inOffice(t, func(cfg *officeConfig) { cfg.rules.As = form }, func(o *office) {
			c := inbound("1", ivan)
			saved := o.save(o.log, gateway.DueCall{Call: c})
			c.Version++
			c.Recording, c.Result = "https://gw.example.com/r/1.mp3", &gateway.CallResult{Text: "done", User: "88888"}
			lift := o.amo.Fail(sandbox.AmoFault{Pattern: "PATCH /api/", Failure: sandbox.AmoLose, Times: 1})
			defer lift()
			saved = o.save(o.log, gateway.DueCall{Call: c, Before: saved})
			calls := o.amo.Calls()
			if len(calls) != 1 || calls[0].Link != c.Recording || calls[0].Result != "done" {
				t.Fatalf("%s: %+v", form, calls)
			}
			before := len(o.amo.Requests())
			c.Version++
			if again := o.save(o.log, gateway.DueCall{Call: c, Before: saved}); len(o.amo.Requests()) != before || again.ID != saved.ID {
				t.Errorf("%s: a version that says nothing new was sent", form)
			}
		})
	}
}

func TestWhatLiesInUnsortedStaysAsItIs(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		c := inbound("1", nobody)
		saved := o.save(o.log, gateway.DueCall{Call: c})
		c.Recording = "https://gw.example.com/r/1.mp3"
		again := o.save(o.log, gateway.DueCall{Call: c, Before: saved})
		if len(o.amo.Unsorted()) != 1 || again.ID != saved.ID || !strings.Contains(o.text.String(), "stays out of the CRM") {
			t.Errorf("%q, %q\n%s", saved.ID, again.ID, o.text)
		}
	})
}

func TestAMissedCallBecomesATask(t *testing.T) {
	t.Parallel()
	within := TaskRule{Text: "Call {phone} back, {line}", Within: time.Hour}
	for name, c := range map[string]struct {
		to, number string
		answered   bool
		want       int64 // responsible; 0: no task
		entity     int64
	}{
		"the one responsible": {"", ivan, false, boris, 1},
		"a user":              {"88888", ivan, false, anna, 1},
		"of an unknown":       {"", nobody, false, anna, 0},
		"answered":            {"", ivan, true, 0, 0},
		"hidden":              {"", "", false, 0, 0},
	} {
		inOffice(t, func(cfg *officeConfig) {
			rule := within
			rule.To, cfg.rules.MissedTask = c.to, &rule
		}, func(o *office) {
			call := aCall("1", gateway.Inbound, c.number, c.answered)
			saved := o.save(o.log, gateway.DueCall{Call: call})
			o.save(o.log, gateway.DueCall{Call: call, Unsure: true})
			call.Version++
			o.save(o.log, gateway.DueCall{Call: call, Before: saved})
			tasks := o.amo.Tasks()
			switch {
			case c.want == 0 && len(tasks) == 0:
			case c.want == 0 || len(tasks) != 1:
				t.Errorf("%s: %+v", name, tasks)
			case tasks[0].Responsible != c.want || tasks[0].Entity != c.entity || tasks[0].Text != "Call "+c.number+" back, +74950000000" ||
				tasks[0].Till.Unix() != call.EndedAt.Add(time.Hour).Unix():
				t.Errorf("%s: %+v", name, tasks[0])
			}
		})
	}
}

// TestATaskThatIsRefusedParksNothing: the call is logged, only its rule is bad.
func TestATaskThatIsRefusedParksNothing(t *testing.T) {
	t.Parallel()
	inOffice(t, func(cfg *officeConfig) {
		cfg.rules.MissedTask = &TaskRule{To: "12345", Text: "Call back", Within: time.Hour}
	}, func(o *office) {
		o.save(o.log, gateway.DueCall{Call: missed("1", ivan)})
		if o.count("office:1") != 1 || !strings.Contains(o.text.String(), "crm.log.missed_task") {
			t.Errorf("%s\n%s", o.where(), o.text)
		}
	})
}

func TestAUserWhomTheCRMDoesNotKnowIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, number := range []string{ivan, nobody} {
		for tasks, call := range []func(id, number string) gateway.Call{inbound, missed} {
			inOffice(t, func(cfg *officeConfig) {
				cfg.rules.MissedTask = &TaskRule{Text: "Call back", Within: time.Hour}
			}, func(o *office) {
				c, gone := call("1", number), gateway.Person{User: "55555", Name: "Grigory", Extension: "105"}
				c.Legs[0].Person = gone
				if c.AnsweredBy != nil {
					c.AnsweredBy = &gone
				}
				defer o.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/tasks", Failure: sandbox.AmoCut, Times: 1})() // it comes again for this alone
				o.save(o.log, gateway.DueCall{Call: c})
				if calls := o.amo.Calls(); len(calls) != 1 || calls[0].Responsible != "Grigory" || calls[0].Author != 0 {
					t.Errorf("%s: %+v", number, calls)
				}
				if n := len(o.amo.Tasks()); n != tasks {
					t.Errorf("%s: %d tasks\n%s", number, n, o.text)
				}
			})
		}
	}
}

func TestLostAccessWaits(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		o.amo.Revoke(boxClient)
		_, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: inbound("1", ivan)})
		var later *gateway.LaterError
		if !errors.As(err, &later) || later.Delay < time.Minute || !errors.Is(err, ErrDisconnected) {
			t.Errorf("got %v", err)
		}
		if n := len(o.amo.Requests()); n > 2 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	fields := func(path string) []FieldError { return []FieldError{{Path: path, Detail: "is wrong"}} }
	for name, c := range map[string]struct {
		err   error
		delay time.Duration // -1: parked, 0: as the journal has it
		says  string
	}{
		"a pipeline":   {&Error{Status: 400, Fields: fields("pipeline_id")}, -1, "crm.log.pipeline"},
		"a source":     {&Error{Status: 400, Fields: fields("0.source_name")}, -1, "source_name: is wrong"},
		"not paid":     {&Error{Status: 402}, unpaidDelay, ""},
		"no right":     {&Error{Status: 403, Title: "Forbidden"}, forbiddenDelay, ""},
		"banned":       {&Error{Status: 403, ban: true, RetryAfter: time.Minute}, time.Minute, ""},
		"no path":      {&Error{Status: 404}, -1, "release"},
		"too many":     {&Error{Status: 429, RetryAfter: 7 * time.Second}, 7 * time.Second, ""},
		"broken":       {&Error{Status: 500, Sent: true}, 0, ""},
		"no answer":    {&Error{Err: errors.New("reset")}, 0, ""},
		"disconnected": {fmt.Errorf("x: %w", ErrDisconnected), disconnectedDelay, ""},
		"the store":    {errors.New("no quorum"), 0, ""},
		"later":        {&gateway.LaterError{Delay: time.Second, Err: errors.New("x")}, 0, ""},
		"unauthorised": {&Error{Status: http.StatusUnauthorized}, disconnectedDelay, ""},
	} {
		got := verdict(c.err)
		var later *gateway.LaterError
		var park *gateway.ParkError
		switch {
		case errors.As(got, &park):
			if c.delay != -1 || !strings.Contains(got.Error(), c.says) {
				t.Errorf("%s: %v", name, got)
			}
		case errors.As(got, &later) && name != "later":
			if later.Delay != c.delay || later.Denied != (c.delay == unpaidDelay || c.delay == forbiddenDelay) {
				t.Errorf("%s: %v", name, got)
			}
		case c.delay != 0:
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOldUnknownsAreThrownAway(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		o.save(o.log, gateway.DueCall{Call: inbound("1", nobody)})
		o.passes(memoryTime + time.Hour)
		o.save(o.log, gateway.DueCall{Call: inbound("2", nobody2)})
		synctest.Wait()
		if n := o.store.keys("amocrm.unknown.acme"); n != 1 {
			t.Errorf("%d numbers are remembered", n)
		}
	})
}
