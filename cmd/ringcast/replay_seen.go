package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"ringcast/gateway"
)

// audience is everybody in the account: what they see of the calls, and what the PBX said of them.
type audience struct {
	last chan struct{} // closed when everything was seen

	mu    sync.Mutex
	out   io.Writer // nil: nobody reads along
	calls []*seenCall
	known map[string]*seenCall
}

// seenCall is what became of a call.
type seenCall struct {
	ID    string                  `json:"id"`              // the PBX's
	Users map[string]gateway.View `json:"users,omitempty"` // by id, as each saw it last
	Call  gateway.Known           `json:"call"`            // as a whole

	state gateway.Call
}

func newAudience(out io.Writer) *audience {
	if out == nil {
		out = io.Discard
	}
	return &audience{last: make(chan struct{}), out: out, known: map[string]*seenCall{}}
}

func (a *audience) call(id string) *seenCall {
	c := a.known[id]
	if c == nil {
		c = &seenCall{ID: id, Users: map[string]gateway.View{}}
		a.known[id] = c
		a.calls = append(a.calls, c)
	}
	return c
}

// hear notes what the PBX says.
func (a *audience) hear(e gateway.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.call(e.Call)
	c.state, _ = gateway.Tracker{}.Apply(c.state, e)
	c.Call = c.state.Known
	said := []string{e.At.Format("15:04:05.000"), e.Call, string(e.Type)}
	for _, part := range []string{string(e.Direction), strings.Join(e.Extensions, ","), string(e.Cause), e.Target, e.Into, e.Recording} {
		if part != "" {
			said = append(said, part)
		}
	}
	if e.Type == gateway.EventDial {
		said = append(said, fmt.Sprintf("from %q to %q line %q", e.From.Raw, e.To.Raw, e.Line))
	}
	fmt.Fprintln(a.out, strings.Join(said, "  "))
}

// see notes what a user sees.
func (a *audience) see(u gateway.User, m gateway.Message) {
	var v gateway.View
	if err := json.Unmarshal(m.Call, &v); err != nil {
		panic(err) // the gateway wrote it
	}
	_, id, _ := strings.Cut(v.ID, ":")
	a.mu.Lock()
	defer a.mu.Unlock()
	if id == lastInTheRow {
		if v.State == gateway.Ended {
			close(a.last)
		}
		return
	}
	a.call(id).Users[u.ID] = v
	fmt.Fprintf(a.out, "              %s sees %s  %s\n", u.Name, id, shownState(v))
}

func shownState(v gateway.View) string {
	s := string(v.State)
	if v.Outcome != nil {
		s += ": " + string(*v.Outcome)
	}
	return s
}

// all returns the calls, in the order in which the PBX spoke of them first.
func (a *audience) all() []*seenCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// report writes a table of what became of the calls.
func (a *audience) report(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\ncall\tdirection\tfrom\tto\tbegan\tlasted\tanswered by\tuser\tcard\ttalked\n")
	for _, c := range a.all() {
		k := c.Call
		answered, lasted := "-", "-"
		if k.AnsweredBy != nil {
			answered = k.AnsweredBy.Extension
		}
		if k.Over() {
			lasted = k.EndedAt.Sub(k.StartedAt).Round(time.Second).String()
		}
		head := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", c.ID, k.Direction, k.From.Raw, k.To.Raw, k.StartedAt.Format("15:04:05"), lasted, answered)
		if len(c.Users) == 0 {
			fmt.Fprintf(t, "%s\t-\t-\t-\n", head)
		}
		for _, user := range slices.Sorted(maps.Keys(c.Users)) {
			v := c.Users[user]
			fmt.Fprintf(t, "%s\t%s\t%s\t%ds\n", head, user, shownState(v), v.Talk)
			head = "\t\t\t\t\t\t"
		}
	}
	return t.Flush()
}
