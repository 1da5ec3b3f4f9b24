package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringcast/gateway"
)

// sight is one message as a user must see it, and where it comes in what its poster has sent.
type sight struct {
	call    string
	version int
	event   gateway.EventType
	state   gateway.State
	outcome gateway.Outcome

	poster, seq int
}

// load is what the posters have sent, and what of it everybody must have seen.
type load struct {
	t            *testing.T
	served       *served
	client       *http.Client
	acks         chan int
	begins       chan struct{} // of requests; told to who listens at the moment
	again, taken atomic.Int64  // requests sent again, and those of them that had been taken

	mu    sync.Mutex
	count int
	seen  map[string]map[string]sight // by user, then call and version
	live  map[string]map[string]sight // by user, then call: the last of those that have not ended for him
}

func newLoad(t *testing.T, s *served, client *http.Client) *load {
	return &load{
		t: t, served: s, client: client, acks: make(chan int, 1024), begins: make(chan struct{}),
		seen: map[string]map[string]sight{}, live: map[string]map[string]sight{},
	}
}

func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// untilAcked waits for so many more acknowledged events.
func (l *load) untilAcked(ctx context.Context, n int) {
	l.t.Helper()
	for n > 0 {
		select {
		case acked := <-l.acks:
			n -= acked
		case <-ctx.Done():
			l.t.Fatalf("%d events are still not acknowledged:\n%s", n, l.served.log.tail())
		}
	}
}

// untilUnderWay waits until requests are under way, and then for some time within which they are answered.
func (l *load) untilUnderWay(ctx context.Context, in time.Duration) {
	l.t.Helper()
	select {
	case <-l.begins:
	case <-ctx.Done():
		l.t.Fatalf("nobody sends anything:\n%s", l.served.log.tail())
	}
	select {
	case <-time.After(in):
	case <-ctx.Done():
	}
}

// step is an event of a call and what it changes for whom.
type step struct {
	kind, fields string
	changes      map[int]shown // by the user's number
}

type shown struct {
	state   gateway.State
	outcome gateway.Outcome
}

// script plays one of some courses that a call takes.
func script(random *rand.Rand) []step {
	a := random.IntN(killUsers)
	b := (a + 1 + random.IntN(killUsers-1)) % killUsers
	dial := func(users ...int) step {
		s := step{kind: "dial", changes: map[int]shown{}}
		var names []string
		for _, u := range users {
			names = append(names, `"`+extensionOf(u)+`"`)
			s.changes[u] = shown{state: gateway.Ringing}
		}
		s.fields = `"direction":"inbound","from":"+79991112233","extensions":[` + strings.Join(names, ",") + `]`
		return s
	}
	on := func(kind string, state gateway.State) step {
		return step{kind, `"extension":"` + extensionOf(a) + `"`, map[int]shown{a: {state: state}}}
	}
	hangup := func(cause string, outcome gateway.Outcome) step {
		return step{"hangup", `"cause":"` + cause + `"`, map[int]shown{a: {gateway.Ended, outcome}}}
	}
	switch random.IntN(4) {
	case 0:
		return []step{dial(a), hangup("no_answer", gateway.Missed)}
	case 1:
		bridge := on("bridge", gateway.Talking)
		bridge.changes[b] = shown{gateway.Ended, gateway.Elsewhere}
		return []step{dial(a, b), bridge, hangup("normal", gateway.Answered)}
	case 2:
		recording := step{"recording", `"recording":"https://pbx.example.com/r"`, map[int]shown{a: {gateway.Ended, gateway.Answered}}}
		return []step{
			dial(a), on("bridge", gateway.Talking), on("hold", gateway.Held), on("unhold", gateway.Talking),
			hangup("normal", gateway.Answered), recording,
		}
	default:
		return []step{dial(a), on("bridge", gateway.Talking), hangup("normal", gateway.Answered)}
	}
}

// poster is a PBX that has some calls at a time. Its events follow each other: the next is sent when the one
// before is acknowledged.
type poster struct {
	*load
	number int
	random *rand.Rand
	calls  []*posted
	begun  int // calls
	sent   int // events
}

// posted is a call in progress.
type posted struct {
	id   string
	done int // steps
	todo []step
	last time.Time
}

func (l *load) poster(number int, random *rand.Rand) *poster {
	return &poster{load: l, number: number, random: random}
}

// run sends events until quit, sometimes several in one request. All posters keep the same beat, so that a kill
// finds requests in every state.
func (p *poster) run(ctx context.Context, quit <-chan struct{}) {
	beat := time.NewTicker(killPosters * time.Second / killRate)
	defer beat.Stop()
	for {
		size := max(1, p.random.IntN(6)-2) // 1 to 3
		for range size {
			select {
			case <-beat.C:
			case <-quit:
				return
			case <-ctx.Done():
				return
			}
		}
		var events []string
		sights := map[string][]sight{}
		for range size {
			events = append(events, p.next(sights))
		}
		if !p.send(ctx, events) {
			return
		}
		p.expect(size, sights)
		p.acks <- size
	}
}

// next makes an event and adds to what it makes each user see.
func (p *poster) next(sights map[string][]sight) string {
	if len(p.calls) < 3 {
		p.begun++
		p.calls = append(p.calls, &posted{id: fmt.Sprintf("%d-%d", p.number, p.begun), todo: script(p.random)})
	}
	i := p.random.IntN(len(p.calls))
	c := p.calls[i]
	s := c.todo[c.done]
	c.done++
	if c.done == len(c.todo) {
		p.calls = append(p.calls[:i], p.calls[i+1:]...)
	}
	p.sent++
	for user, show := range s.changes {
		sights[userName(user)] = append(sights[userName(user)], sight{
			call: "main:" + c.id, version: c.done, event: toldAs(s.kind),
			state: show.state, outcome: show.outcome, poster: p.number, seq: p.sent,
		})
	}
	at := time.Now()
	if !at.After(c.last) {
		at = c.last.Add(time.Microsecond)
	}
	c.last = at
	return event(s.kind, c.id, fmt.Sprintf(`"id":"%d/%d","at":%q,%s`, p.number, p.sent, at.UTC().Format(time.RFC3339Nano), s.fields))
}

// send posts events until they are acknowledged; false: ctx has ended first.
func (l *load) send(ctx context.Context, events []string) bool {
	body := "[" + strings.Join(events, ",") + "]"
	for try := 0; l.served.await(ctx); try++ {
		got, err := l.postOnce(ctx, body)
		if err != nil {
			continue // whether it was taken is open
		}
		if all := len(events); got.Accepted+got.Duplicates != all || (got.Duplicates > 0 && (try == 0 || got.Accepted > 0)) {
			l.t.Errorf("at try %d of %d events %+v: an array is taken whole or not at all, and once", try, all, got)
		}
		if try > 0 {
			l.again.Add(1)
			if got.Duplicates > 0 {
				l.taken.Add(1)
			}
		}
		return true
	}
	return false
}

func (l *load) postOnce(ctx context.Context, body string) (took, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.served.web+"/v1/accounts/acme/events", strings.NewReader(body))
	if err != nil {
		return took{}, err
	}
	r.Header.Set("Authorization", "Bearer "+acmePBXKey)
	select {
	case l.begins <- struct{}{}:
	default:
	}
	res, err := l.client.Do(r)
	if err != nil {
		return took{}, err
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return took{}, err
	}
	if res.StatusCode == http.StatusServiceUnavailable { // it drains
		return took{}, errors.New(string(data))
	}
	var got took
	if err := json.Unmarshal(data, &got); err != nil || res.StatusCode != http.StatusAccepted {
		l.t.Errorf("events were answered with %d %s", res.StatusCode, data)
	}
	return got, nil
}

// expect notes what acknowledged events make users see.
func (l *load) expect(events int, sights map[string][]sight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count += events
	for user, list := range sights {
		if l.seen[user] == nil {
			l.seen[user], l.live[user] = map[string]sight{}, map[string]sight{}
		}
		for _, s := range list {
			l.seen[user][s.key()] = s
			if s.state == gateway.Ended {
				delete(l.live[user], s.call)
			} else {
				l.live[user][s.call] = s
			}
		}
	}
}

func (s sight) key() string { return fmt.Sprint(s.call, " version ", s.version) }

// goodbyeCall ends what a user sees.
func goodbyeCall(user string) string { return "goodbye-" + user }

// sayGoodbye posts a last event for each user.
func (l *load) sayGoodbye(ctx context.Context) {
	for i := range killUsers {
		user := userName(i)
		l.send(ctx, []string{event("dial", goodbyeCall(user), `"id":"bye-`+user+`","direction":"inbound","from":"","extension":"`+extensionOf(i)+`"`)})
		l.expect(1, map[string][]sight{user: {{
			call: "main:" + goodbyeCall(user), version: 1, event: gateway.EventDial, state: gateway.Ringing, poster: -1, seq: 1,
		}}})
	}
}

// compare checks that a tab has seen each event of its user once, as it was, and those of each poster in order.
func (l *load) compare(w *watcher) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	want, got, last := l.seen[w.user], map[string]bool{}, map[int]sight{}
	for _, s := range w.seen {
		key := s.key()
		expected, ok := want[key]
		if !ok {
			l.t.Errorf("%s saw %s, which nobody sent to it", w.name, key)
			continue
		}
		if got[key] {
			l.t.Errorf("%s saw %s twice", w.name, key)
		}
		got[key] = true
		s.poster, s.seq = expected.poster, expected.seq
		if s != expected {
			l.t.Errorf("%s saw %+v, want %+v", w.name, s, expected)
		}
		if before := last[s.poster]; before.seq >= s.seq && before.call != "" {
			l.t.Errorf("%s saw %s after %s", w.name, key, before.key())
		}
		last[s.poster] = s
	}
	if len(got) != len(want) {
		l.t.Errorf("%s saw %d of %d events", w.name, len(got), len(want))
	}
}

// compareLive checks what a fresh visit of each user begins with.
func (l *load) compareLive(ctx context.Context) {
	l.t.Helper()
	for i := range killUsers {
		user := userName(i)
		w := newWatcher(l.t, l.served, l.client, i)
		answer, err := w.pollOnce(ctx)
		if err != nil || len(answer.Messages) != 1 || answer.Messages[0].Type != "hello" {
			l.t.Fatalf("%s: %+v, %v", user, answer, err)
		}
		calls := answer.Messages[0].Calls
		if len(calls) != len(l.live[user]) {
			l.t.Errorf("%s begins with %d live calls, want %d", user, len(calls), len(l.live[user]))
		}
		for _, v := range calls {
			if want := l.live[user][v.ID]; v.State != want.state || v.Version != want.version {
				l.t.Errorf("%s: %s is %s at version %d, want %s at %d", user, v.ID, v.State, v.Version, want.state, want.version)
			}
		}
	}
}

// toldAs is what a tab is told of an event: it hears of a recording as of anything else that became known.
func toldAs(kind string) gateway.EventType {
	if kind == "recording" {
		return gateway.EventUpdate
	}
	return gateway.EventType("call." + kind)
}
