package amocrm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

const (
	anna  = 88888
	boris = 99999

	ivan    = "+79991112233" // a contact
	nobody  = "+79990000000"
	nobody2 = "+79990000001"
)

// office is an account of the sandbox and the journal of its calls, in a bubble's time.
type office struct {
	t     *testing.T
	amo   *sandbox.Amo
	token string
	log   *CallLog
	store *watchedStore
	text  *strings.Builder // what was logged
	dead  bool             // access is lost
	mute  string           // what is made at this path is answered with no word of it
}

// officeConfig is what a test may change.
type officeConfig struct {
	amo   sandbox.AmoConfig
	rules LogRules
}

// inOffice runs a test in a bubble.
func inOffice(t *testing.T, change func(*officeConfig), test func(*office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := officeConfig{amo: sandbox.AmoConfig{
			Account: boxNumber, Subdomain: "acme", BaseURL: "https://" + boxHost, Logger: slog.New(slog.DiscardHandler),
			ClientID: boxClient, ClientSecret: boxSecret, RedirectURI: boxHook, Private: true,
			Users:     []sandbox.AmoUser{{ID: anna, Name: "Anna", Admin: true}, {ID: boris, Name: "Boris"}},
			Contacts:  []sandbox.AmoContact{{ID: 1, Name: "Ivan", Phones: []string{"8 (999) 111-22-33"}, Responsible: boris}},
			Companies: []sandbox.AmoCompany{{ID: 2, Name: "Acme", Phones: []string{"+7 495 123-45-67"}, Responsible: boris}},
		}}
		if change != nil {
			change(&cfg)
		}
		o := &office{t: t, store: newWatchedStore(), text: &strings.Builder{}}
		var err error
		if o.amo, err = sandbox.NewAmo(cfg.amo); err == nil {
			o.token, err = o.amo.LongLivedToken(boxClient, 1000*time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
		o.log = o.node(cfg.rules)
		test(o)
		if strings.Contains(o.text.String(), o.token) {
			t.Error("the token is in the log")
		}
	})
}

// node is the log of calls as another node has it.
func (o *office) node(rules LogRules) *CallLog {
	logger := slog.New(slog.NewTextHandler(o.text, nil))
	return NewCallLog(CallLogConfig{
		API: NewClient(ClientConfig{Tokens: o, Transport: o, Logger: logger}), Account: "acme", Rules: rules, Store: o.store, Logger: logger,
	})
}

func (o *office) Access(context.Context, string) (Access, error) {
	if o.dead {
		return Access{}, ErrDisconnected
	}
	return Access{BaseURL: "https://" + boxHost, Token: o.token, ClientID: boxClient, Integration: "ours"}, nil
}

func (o *office) Rejected(context.Context, string, string) { o.dead = true }

// RoundTrip carries a request to the sandbox.
func (o *office) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.WroteHeaders()
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI, in.RemoteAddr = r.URL.Host, r.URL.RequestURI(), "192.0.2.1:1"
	res := httptest.NewRecorder()
	lost := func() (lost bool) {
		defer func() { lost = recover() != nil }()
		o.amo.ServeHTTP(res, in)
		return false
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if lost {
		return nil, errors.New("connection reset by peer")
	}
	if r.Method == http.MethodPost && r.URL.Path == o.mute && res.Code == http.StatusOK {
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
	}
	return res.Result(), nil
}

// passes lets the bubble's time go by.
func (o *office) passes(d time.Duration) {
	o.t.Helper()
	timer := time.NewTimer(d)
	<-timer.C
}

const late = 90 * time.Second // that the journal waits when nobody knows what became of a request

// save does as the journal does: it asks until the call is saved.
func (o *office) save(log *CallLog, due gateway.DueCall) gateway.Saved {
	o.t.Helper()
	for try := range 30 {
		saved, err := log.Save(o.t.Context(), due)
		var later *gateway.LaterError
		var park *gateway.ParkError
		var unsure *gateway.UnsureError
		if errors.As(err, &unsure) {
			o.passes(late)
		}
		switch {
		case err == nil:
			return saved
		case errors.As(err, &park):
			o.t.Fatalf("parked: %v", err)
		case errors.As(err, &later):
			o.passes(later.Delay)
		default:
			o.passes(min(time.Second<<try, time.Minute))
		}
		due.Unsure = true
	}
	o.t.Fatalf("%s is not saved after 30 tries\n%s", due.Call.ID, o.text)
	return gateway.Saved{}
}

// ask sends a request as an integration does.
func (o *office) ask(method, path, body string) {
	o.t.Helper()
	r := httptest.NewRequest(method, "https://"+boxHost+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+o.token)
	r.Header.Set("Content-Type", "application/json")
	res := httptest.NewRecorder()
	o.amo.ServeHTTP(res, r)
	if res.Code > 299 {
		o.t.Fatalf("%s %s: %d %s", method, path, res.Code, res.Body)
	}
}

// count says how many logged calls have a uniq.
func (o *office) count(uniq string) (n int) {
	for _, c := range o.amo.Calls() {
		if c.Uniq == uniq {
			n++
		}
	}
	return n
}

// where says where the calls are, by uniq.
func (o *office) where() string {
	var all []string
	for _, c := range o.amo.Calls() {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %d", c.Uniq, c.Kind, c.Entity)))
	}
	return strings.Join(all, ", ")
}

var annaAt, borisAt = gateway.Person{User: "88888", Name: "Anna", Extension: "101"}, gateway.Person{User: "99999", Name: "Boris", Extension: "102"}

// aCall is one that ended a minute ago: 20 s of ringing and, if it was answered, 65 s of talk with Anna.
func aCall(id string, direction gateway.Direction, number string, answered bool) gateway.Call {
	end := time.Now().Add(-time.Minute)
	c := gateway.Call{Account: "acme", ID: "office:" + id, Version: 7, Seen: end, Known: gateway.Known{
		Direction: direction, Line: "+74950000000", StartedAt: end.Add(-85 * time.Second), EndedAt: end,
	}}
	outside := gateway.Number{Raw: number, E164: number}
	if !strings.HasPrefix(number, "+") {
		outside.E164 = ""
	}
	leg := gateway.Leg{Person: annaAt, RangAt: c.StartedAt, EndedAt: end, Outcome: gateway.Missed}
	if answered {
		leg.AnsweredAt, leg.Talked, leg.Outcome = end.Add(-65*time.Second), 65*time.Second, gateway.Answered
		c.AnsweredAt, c.AnsweredBy = leg.AnsweredAt, &leg.Person
	}
	switch direction {
	case gateway.Outbound:
		leg.Caller, c.AnsweredBy = true, nil
		c.From, c.To = gateway.Number{Raw: "101"}, outside
	case gateway.Internal:
		leg.Caller = true
		c.From, c.To = gateway.Number{Raw: "101"}, outside
	default:
		c.From, c.To = outside, gateway.Number{Raw: "+74950000000"}
	}
	c.Legs = []gateway.Leg{leg}
	return c
}

func inbound(id, number string) gateway.Call { return aCall(id, gateway.Inbound, number, true) }
func missed(id, number string) gateway.Call  { return aCall(id, gateway.Inbound, number, false) }
func outbound(id, number string) gateway.Call {
	return aCall(id, gateway.Outbound, number, true)
}
