package push

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

func TestTicketAnswer(t *testing.T) {
	t.Parallel()
	minted := 0
	r := newRig(t, func(c *Config) { c.Metrics.Ticket = func() { minted++ } })
	before := time.Now()
	status, header, body := r.post("/v1/tickets", map[string]any{"token": r.token(anna), "client": "a"})
	var out struct {
		Ticket    string    `json:"ticket"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal(body, &out); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	if made := out.ExpiresAt.Add(-ticketLife); made.Before(before.Add(-time.Second)) || made.After(time.Now()) { // in whole seconds
		t.Errorf("made between %v and %v it lives until %v", before, time.Now(), out.ExpiresAt)
	}
	if header.Get("Cache-Control") != "no-store, no-transform" || strings.Contains(out.Ticket, r.token(anna)) || minted != 1 {
		t.Errorf("%v, %d minted", header, minted)
	}
	got, err := r.server.tickets.verify(out.Ticket)
	if err != nil || got.Client != "a" || got.Origin != goodOrigin || got.identity().account != "acme" || got.identity().user != "1" || got.N != 1 {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestTicketRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.dir.revoke("acme", "2")
	for name, c := range map[string]struct {
		body   any
		status int
		code   gateway.Code
	}{
		"no JSON":      {"{", 400, gateway.CodeInvalid},
		"long client":  {map[string]any{"token": r.token(anna), "client": strings.Repeat("x", 65)}, 400, gateway.CodeInvalid},
		"large body":   {strings.Repeat(" ", maxBody) + "{}", 413, gateway.CodeTooLarge},
		"no token":     {`{}`, 401, gateway.CodeBadToken},
		"revoked user": {map[string]any{"token": r.token(boris)}, 403, gateway.CodeRevoked},
		"a ticket":     {map[string]any{"token": r.mintTicket(anna, "")}, 401, gateway.CodeBadToken},
	} {
		status, _, body := r.post("/v1/tickets", c.body)
		if status != c.status || problemCode(t, body) != c.code {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestTooManyTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		id, err := r.tokens.verify(r.token(anna))
		if err != nil {
			t.Fatal(err)
		}
		first := func() error {
			_, _, err := r.server.tickets.first(id, "", "")
			return err
		}
		for range ticketsPerMinute {
			if err := first(); err != nil {
				t.Fatal(err)
			}
		}
		if err := first(); gateway.CodeOf(err) != gateway.CodeTooMany {
			t.Errorf("one more: %v", err)
		}
		r.mintTicket(boris, "") // another's are his own
		time.Sleep(time.Second)
		if err := first(); err != nil {
			t.Errorf("a second later: %v", err)
		}
		time.Sleep(2 * time.Minute)
		r.server.tickets.pace.mu.Lock()
		defer r.server.tickets.pace.mu.Unlock()
		if n := len(r.server.tickets.pace.users); n != 0 {
			t.Errorf("%d users are remembered", n)
		}
	})
}

func TestTicketChain(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	ctx, tickets := t.Context(), r.server.tickets
	parse := func(text string) *ticket {
		t.Helper()
		got, err := tickets.verify(text)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	use := func(of *ticket, want gateway.Code) {
		t.Helper()
		if err := tickets.use(ctx, of, false); gateway.CodeOf(err) != want {
			t.Errorf("using %d: %v, want %q", of.N, err, want)
		}
	}
	next := func(of *ticket) string {
		t.Helper()
		text, err := tickets.next(ctx, of)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	one := parse(r.mintTicket(anna, "a"))
	use(one, "")
	text := next(one)
	use(one, "")
	if again := next(one); again != text {
		t.Error("another successor at the second time")
	}
	two := parse(text)
	if two.N != 2 || two.Client != "a" || two.identity() != one.identity() || two.ID != one.ID {
		t.Errorf("%+v", two)
	}
	use(two, "")
	use(one, gateway.CodeTicketUsed)
	if late := next(one); late != text { // an answer that was under way
		t.Error("another successor for the late answer")
	}
	three := parse(next(two))
	use(three, "")
	use(parse(next(three)), "")
	use(two, gateway.CodeTicketUsed)
	if _, err := tickets.next(ctx, two); gateway.CodeOf(err) != gateway.CodeTicketUsed {
		t.Errorf("a successor after two more: %v", err)
	}
	if err := tickets.use(ctx, three, true); gateway.CodeOf(err) != gateway.CodeTicketUsed {
		t.Errorf("as a stream's, after its use: %v", err)
	}

	last := parse(r.mintTicket(anna, "a"))
	if err := tickets.use(ctx, last, true); err != nil {
		t.Fatal(err)
	}
	use(last, gateway.CodeTicketUsed)
	if _, err := tickets.next(ctx, last); gateway.CodeOf(err) != gateway.CodeTicketUsed {
		t.Errorf("successor of a stream's: %v", err)
	}
}

func TestSuccessorIsTheSameLaterOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		ticket := r.mintTicket(anna, "")
		time.Sleep(5 * time.Second)
		first := r.callScript(scriptQuery(ticket, "", "wait", "20")).Ticket
		handed := time.Now()
		time.Sleep(5 * time.Second)
		if again := r.callScript(scriptQuery(ticket, "")).Ticket; again != first {
			t.Error("another successor")
		}
		time.Sleep(time.Until(handed.Add(ticketLife)))
		if a := r.callScript(scriptQuery(first, "")); a.Error != nil { // its life began when it was handed out
			t.Errorf("%+v", a.Error)
		}
	})
}

func TestTicketIsUsedOnceByManyAtATime(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	one, err := r.server.tickets.verify(r.mintTicket(anna, ""))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	codes := map[gateway.Code]int{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			err := r.server.tickets.use(t.Context(), one, true)
			mu.Lock()
			defer mu.Unlock()
			codes[gateway.CodeOf(err)]++
		})
	}
	all.Wait()
	if codes[""] != 1 || codes[gateway.CodeTicketUsed] != 7 {
		t.Errorf("%v", codes)
	}
}

// brokenChains is a store that does not answer.
type brokenChains struct{}

func (brokenChains) Get(context.Context, string) (gateway.Value, error) {
	return gateway.Value{}, errors.New("no answer")
}

func (brokenChains) Put(context.Context, string, []byte, uint64) (uint64, error) {
	return 0, errors.New("no answer")
}

func TestTicketsWithoutTheirStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Chains = brokenChains{} })
	resp, body := r.do(r.get("/v1/sse", url.Values{"ticket": {r.ticket(r.token(anna), "")}}))
	if resp.StatusCode != http.StatusServiceUnavailable || problemCode(t, body) != gateway.CodeUnavailable {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestStolenTicketAfter30Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		fresh, stale := r.mintTicket(anna, ""), r.mintTicket(anna, "")
		time.Sleep(ticketLife)
		if _, err := r.server.tickets.verify(fresh); err != nil {
			t.Errorf("in time: %v", err)
		}
		time.Sleep(time.Millisecond)
		if _, err := r.server.tickets.verify(stale); gateway.CodeOf(err) != gateway.CodeTicketUsed {
			t.Errorf("too late: %v", err)
		}
		time.Sleep(time.Minute)
		if _, err := r.server.tickets.verify(stale); gateway.CodeOf(err) != gateway.CodeTicketUsed {
			t.Errorf("much too late: %v", err)
		}
	})
}

func TestChainsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		one, err := r.server.tickets.verify(r.mintTicket(anna, ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.server.tickets.use(t.Context(), one, false); err != nil {
			t.Fatal(err)
		}
		chains := r.server.tickets.chains.(*memChains)
		time.Sleep(ChainLife + 2*time.Second)
		synctest.Wait()
		chains.mu.Lock()
		defer chains.mu.Unlock()
		if len(chains.values) != 0 {
			t.Errorf("%d chains are kept", len(chains.values))
		}
	})
}

func TestSuccessorOfAChainThatIsForgotten(t *testing.T) {
	t.Parallel()
	r := newParts(t, nil)
	t.Cleanup(r.close)
	one, err := r.server.tickets.verify(r.mintTicket(anna, ""))
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.server.tickets.sign(one, 2, time.Now().Add(ticketLife).Unix())
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.server.tickets.verify(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.server.tickets.use(t.Context(), two, false); gateway.CodeOf(err) != gateway.CodeTicketUsed {
		t.Errorf("%v", err)
	}
}

func TestTicketOfATokenThatExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newParts(t, nil)
		defer r.close()
		token, _, err := r.tokens.Mint(anna.account, anna.user, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		id, err := r.tokens.verify(token)
		if err != nil {
			t.Fatal(err)
		}
		text, _, err := r.server.tickets.first(id, "", "")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Second)
		if _, err := r.server.tickets.verify(text); gateway.CodeOf(err) != gateway.CodeTokenExpired {
			t.Errorf("%v", err)
		}
	})
}

func TestTicketsOnAnotherNode(t *testing.T) {
	t.Parallel()
	chains := &memChains{values: map[string]memChain{}}
	shared := func(c *Config) { c.Chains = chains }
	a, b := newRig(t, shared), newRig(t, shared)
	first := a.ticket(a.token(anna), "")
	one, other := a.script(scriptQuery(first, "")), b.script(scriptQuery(first, ""))
	if one.Ticket != other.Ticket {
		t.Error("each node has a successor of its own")
	}
	b.script(scriptQuery(one.Ticket, one.Cursor))
	if got := a.script(scriptQuery(first, "")); got.Error == nil || got.Error.Code != "ticket_used" {
		t.Errorf("the first, when its successor was used elsewhere: %+v", got)
	}
	stream := url.Values{"ticket": {b.ticket(b.token(anna), "")}}
	c, _ := a.openEvents(stream)
	c.next()
	if resp, body := b.do(b.get("/v1/sse", stream)); problemCode(t, body) != gateway.CodeTicketUsed {
		t.Errorf("a stream's on both: %d %s", resp.StatusCode, body)
	}
}

// TestTicketOfAnEarlierRunIsWorthNothing: whether it was used has been forgotten.
func TestTicketOfAnEarlierRunIsWorthNothing(t *testing.T) {
	t.Parallel()
	before, after := newParts(t, nil), newParts(t, nil)
	defer before.close()
	defer after.close()
	old := before.mintTicket(anna, "")
	if _, err := after.server.tickets.verify(old); gateway.CodeOf(err) != gateway.CodeTicketUsed {
		t.Errorf("a ticket of the run before: %v", err)
	}
	if _, err := before.server.tickets.verify(old); err != nil {
		t.Errorf("in its own run: %v", err)
	}
}
