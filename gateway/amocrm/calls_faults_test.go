package amocrm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

// once is one way for a call to be written, and the request that does it.
type once struct {
	rules   LogRules
	call    gateway.Call
	request string
}

func ways() map[string]once {
	rules := func(fate Fate) LogRules {
		return LogRules{Unknown: Unknown{fate, fate, fate}, MissedTask: &TaskRule{Text: "Call {phone} back", Within: time.Hour}}
	}
	notes := rules(FateUnsorted)
	notes.As = FormNotes
	return map[string]once{
		"call":             {rules(FateNone), inbound("1", ivan), "POST /api/v4/calls"},
		"note":             {notes, outbound("1", ivan), "POST /api/v4/contacts/notes"},
		"unsorted":         {rules(FateUnsorted), inbound("1", nobody), "POST /api/v4/leads/unsorted/sip"},
		"hidden":           {rules(FateUnsorted), inbound("1", ""), "POST /api/v4/leads/unsorted/sip"},
		"contact":          {rules(FateContact), inbound("1", nobody), "POST /api/v4/contacts"},
		"note of contact":  {rules(FateContact), inbound("1", nobody), "POST /api/v4/contacts/notes"},
		"lead":             {rules(FateLead), missed("1", nobody), "POST /api/v4/leads/complex"},
		"note of lead":     {rules(FateLead), missed("1", nobody), "POST /api/v4/leads/notes"},
		"hidden lead":      {rules(FateLead), inbound("1", ""), "POST /api/v4/leads/notes"},
		"task":             {rules(FateNone), missed("1", ivan), "POST /api/v4/tasks"},
		"task of unknown":  {rules(FateUnsorted), missed("1", nobody), "POST /api/v4/tasks"},
		"search":           {notes, inbound("1", ivan), "GET /api/v4/contacts"},
		"who looks for it": {rules(FateUnsorted), missed("1", nobody), "/api/"},
	}
}

func faults() map[string]sandbox.AmoFault {
	return map[string]sandbox.AmoFault{
		"lost answer":  {Failure: sandbox.AmoLose, Times: 1},
		"lost answers": {Failure: sandbox.AmoLose, Times: 3},
		"cut":          {Failure: sandbox.AmoCut, Times: 2},
		"429":          {Status: 429, Times: 3},
		"403":          {Status: 403, Times: 2},
		"402":          {Status: 402, Times: 1},
		"500":          {Status: 500, Times: 2},
		"503 of HTML":  {Status: 503, Body: "<html>", Times: 2},
		"done late":    {Failure: sandbox.AmoLate, Late: 30, Times: 1},
		"half taken":   {Failure: sandbox.AmoHalf, Times: 1},
		"a ban":        {Failure: sandbox.AmoBan, Times: 2},
	}
}

// TestEachCallIsThereOnceWhateverHappens lets each request that makes something go wrong in each way.
func TestEachCallIsThereOnceWhateverHappens(t *testing.T) {
	t.Parallel()
	for way := range ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			for name, fault := range faults() {
				var c once
				inOffice(t, func(cfg *officeConfig) {
					c = ways()[way] // in the bubble's time
					cfg.rules = c.rules
				}, func(o *office) {
					contacts := len(o.amo.Contacts())
					fault.Pattern = c.request
					defer o.amo.Fail(fault)()
					saved := o.save(o.log, gateway.DueCall{Call: c.call})
					o.wantOnce(name, c, contacts)
					o.save(o.log, gateway.DueCall{Call: c.call, Unsure: true}) // the journal died before it could note it
					o.wantOnce(name+", and again", c, contacts)
					if saved.ID == "" {
						t.Errorf("%s: nothing is said of where it is", name)
					}
				})
			}
		})
	}
}

func (o *office) wantOnce(name string, c once, contacts int) {
	o.t.Helper()
	made, leads, unknown := len(o.amo.Contacts())-contacts, len(o.amo.Leads()), c.call.From.Raw != ivan
	wantMade, wantLeads := 0, 0
	if fate := c.rules.Unknown.Missed; unknown && (fate == FateContact || fate == FateLead) {
		wantMade = 1
		if fate == FateLead {
			wantLeads = 1
		}
	}
	wantTasks := 0
	if c.call.AnsweredAt.IsZero() {
		wantTasks = 1
	}
	if n := o.count("office:1"); n != 1 || made != wantMade || leads != wantLeads || len(o.amo.Tasks()) != wantTasks {
		o.t.Errorf("%s: %d calls, %d contacts, %d leads, %d tasks, want 1, %d, %d, %d\n%s",
			name, n, made, leads, len(o.amo.Tasks()), wantMade, wantLeads, wantTasks, o.text)
	}
}

// TestACRMThatHangs answers nothing for minutes, and may have carried out all the same what it was asked.
func TestACRMThatHangs(t *testing.T) {
	t.Parallel()
	for _, number := range []string{ivan, nobody} {
		inOffice(t, nil, func(o *office) {
			release := o.amo.Hang("/api/")
			defer time.AfterFunc(5*time.Minute, release).Stop()
			began := time.Now()
			o.save(o.log, gateway.DueCall{Call: inbound("1", number)})
			if took := time.Since(began); o.count("office:1") != 1 || took < 5*time.Minute || took > 8*time.Minute {
				t.Errorf("there %d times, after %v", o.count("office:1"), took)
			}
		})
	}
}

// TestManyCallsThroughABadHour: forty calls at once, of known and unknown numbers, while everything goes wrong at random,
// and nobody's patience is tried.
func TestManyCallsThroughABadHour(t *testing.T) {
	t.Parallel()
	rules := LogRules{MissedTask: &TaskRule{Text: "Call {phone} back", Within: time.Hour}}
	inOffice(t, func(cfg *officeConfig) { cfg.rules = rules }, func(o *office) {
		for i, f := range faults() {
			f.Times, f.Share, f.Seed = 0, 0.04, uint64(len(i))
			if f.Failure == sandbox.AmoBan {
				f.Share = 0.002
			}
			lift := o.amo.Fail(f)
			defer time.AfterFunc(time.Hour, lift).Stop()
		}
		const calls = 40
		nodes, wg, tasks := []*CallLog{o.log, o.log, o.log, o.log}, sync.WaitGroup{}, 0
		waiting := make(chan gateway.Call, calls)
		for i := range calls {
			number := ivan
			if i%2 == 0 {
				number = fmt.Sprintf("+7999000%04d", i)
			}
			c := aCall(fmt.Sprint(i), gateway.Inbound, number, i%3 != 0)
			if i%3 == 0 {
				tasks++
			}
			c.EndedAt = c.EndedAt.Add(-time.Duration(i) * time.Second) // no two tasks are the same
			waiting <- c
		}
		close(waiting)
		for _, node := range nodes {
			wg.Go(func() {
				for c := range waiting {
					o.passes(rand.N(time.Second))
					o.save(node, gateway.DueCall{Call: c})
				}
			})
		}
		wg.Wait()
		for i := range calls {
			if n := o.count(fmt.Sprint("office:", i)); n != 1 {
				t.Errorf("call %d is there %d times", i, n)
			}
		}
		if n := len(o.amo.Tasks()); n != tasks {
			t.Errorf("%d tasks, want %d", n, tasks)
		}
		within := map[time.Time]int{}
		for _, r := range o.amo.Requests() {
			within[r.Time.Truncate(time.Second)]++
		}
		for second, n := range within {
			if n > 7 {
				t.Errorf("%d requests within the second %v", n, second)
			}
		}
	})
}

// TestABacklogKeepsWithinTheLimits, and what somebody waits for is not behind it.
func TestABacklogKeepsWithinTheLimits(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		const calls = 60
		waiting, wg := make(chan int, calls), sync.WaitGroup{}
		for i := range calls {
			waiting <- i
		}
		close(waiting)
		began := time.Now()
		for range 8 {
			wg.Go(func() {
				for i := range waiting {
					o.save(o.log, gateway.DueCall{Call: inbound(fmt.Sprint(i), ivan)})
				}
			})
		}
		o.passes(4500 * time.Millisecond)
		asked := time.Now()
		err := o.log.cfg.API.Do(o.t.Context(), "acme", Request{
			Method: "POST", Path: "/api/v2/events", Urgent: true, Body: map[string]any{"add": []map[string]any{{"type": "phone_call", "phone_number": ivan, "users": []int{anna}}}},
		}, nil)
		if waited := time.Since(asked); err != nil || waited != 0 {
			t.Errorf("a notification waited %v: %v", waited, err)
		}
		wg.Wait()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("%d calls took %v", calls, took)
		}
		for _, r := range o.amo.Requests() {
			if r.Status != 200 {
				t.Errorf("%s %s was answered %d", r.Method, r.Path, r.Status)
			}
		}
	})
}

// TestWhatTheCRMMayStillDoIsSaid: of writes, and only where it has not said itself how they ended.
func TestWhatTheCRMMayStillDoIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		request string
		fault   sandbox.AmoFault
		unsure  bool
	}{
		{"POST /api/v4/calls", sandbox.AmoFault{Failure: sandbox.AmoHang}, true},
		{"POST /api/v4/calls", sandbox.AmoFault{Failure: sandbox.AmoCut}, true},
		{"POST /api/v4/calls", sandbox.AmoFault{Status: 502}, true},
		{"POST /api/v4/calls", sandbox.AmoFault{Status: 503}, true},
		{"POST /api/v4/calls", sandbox.AmoFault{Status: 504}, true},
		{"POST /api/v4/calls", sandbox.AmoFault{Status: 500}, false},
		{"POST /api/v4/calls", sandbox.AmoFault{Status: 429}, false},
		{"POST /api/v4/calls", sandbox.AmoFault{Failure: sandbox.AmoBan}, false},
		{"GET /api/v4/contacts", sandbox.AmoFault{Failure: sandbox.AmoHang}, false},
		{"POST /api/v4/tasks", sandbox.AmoFault{Status: 504}, true},
	} {
		inOffice(t, func(cfg *officeConfig) {
			cfg.rules.MissedTask = &TaskRule{Text: "Call {phone} back", Within: time.Hour}
		}, func(o *office) {
			c.fault.Pattern = c.request
			defer o.amo.Fail(c.fault)()
			_, err := o.log.Save(o.t.Context(), gateway.DueCall{Call: missed("1", ivan), Unsure: true})
			if err == nil || errors.As(err, new(*gateway.UnsureError)) != c.unsure {
				t.Errorf("%s, %+v: %v", c.request, c.fault, err)
			}
		})
	}
}

// TestALostAnswerIsNotedWhenNobodyLooks shows that the tests above can fail.
func TestALostAnswerIsNotedWhenNobodyLooks(t *testing.T) {
	t.Parallel()
	inOffice(t, nil, func(o *office) {
		c := inbound("1", ivan)
		defer o.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/calls", Failure: sandbox.AmoLose, Times: 1})()
		for range 2 {
			_, _ = o.log.Save(o.t.Context(), gateway.DueCall{Call: c})
		}
		if n := o.count("office:1"); n != 2 {
			t.Errorf("there %d times", n)
		}
	})
}
