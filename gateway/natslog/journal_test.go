package natslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

var (
	journalCalls = flag.Int("journal-calls", 400, "calls that end in the outage of the journal's test; its load form: 10000")
	journalSeed  = flag.Uint64("journal-seed", 0, "of the kills; 0: another one each time")
)

const (
	journalAccounts = 20
	journalBatch    = 50

	childURL = "NATSLOG_TEST_URL"
	childCRM = "NATSLOG_TEST_CRM"
)

func init() { childPlays["journal"] = playJournal }

func journalAccount(call int) string { return fmt.Sprint("acme", call%journalAccounts) }

// saveRequest is what the pretend CRM is asked.
type saveRequest struct {
	Call    string `json:"call"`
	Version int    `json:"version"`
	Before  string `json:"before"`
	Unsure  bool   `json:"unsure"`
}

// remoteCRM is a CRM behind HTTP.
type remoteCRM struct {
	url    string
	client *http.Client
}

func (c remoteCRM) Save(ctx context.Context, due gateway.DueCall) (gateway.Saved, error) {
	body, err := json.Marshal(saveRequest{due.Call.Account + "/" + due.Call.ID, due.Call.Version, due.Before.ID, due.Unsure})
	if err != nil {
		return gateway.Saved{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return gateway.Saved{}, err
	}
	res, err := c.client.Do(r)
	if err != nil {
		return gateway.Saved{}, err
	}
	id, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return gateway.Saved{}, err
	}
	switch res.StatusCode {
	case http.StatusOK:
		return gateway.Saved{ID: string(id)}, nil
	case http.StatusTooManyRequests:
		return gateway.Saved{}, &gateway.LaterError{Delay: 50 * time.Millisecond, Err: errors.New(res.Status)}
	default:
		return gateway.Saved{}, errors.New(res.Status)
	}
}

// playJournal is a gateway whose calls it makes itself: for each number on its standard input it says when so many
// calls have ended.
func playJournal() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := childConfig()
	cfg.URL = os.Getenv(childURL)
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	db, err := Open(ctx, cfg)
	if err != nil {
		return fail(err)
	}
	queue, err := db.Queue(ctx, "crm")
	if err != nil {
		return fail(err)
	}
	var accounts []gateway.Account
	for i := range journalAccounts {
		accounts = append(accounts, gateway.Account{ID: journalAccount(i), Region: "RU", Users: []gateway.User{{ID: "1", Extensions: []string{"101"}}}})
	}
	engine := gateway.Config{
		Log: db.Log(), Store: db.Store(), Directory: gateway.NewAccounts(accounts...), Logger: cfg.Logger,
		Journal: gateway.JournalConfig{
			Queue: queue, After: 50 * time.Millisecond, Retry: 20 * time.Millisecond, MaxRetry: 500 * time.Millisecond,
			Late: 500 * time.Millisecond, // this CRM does at once what it does at all
			CRMs: func(string) gateway.CRM { return remoteCRM{os.Getenv(childCRM), http.DefaultClient} },
		},
	}
	if cfg.external() {
		engine.Peers = db.Peers()
		if engine.Shared, err = db.Volatile(ctx, "nodes", 0); err != nil {
			return fail(err)
		}
	}
	g := gateway.New(engine)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	<-g.Ready()
	asked := bufio.NewScanner(os.Stdin)
	for asked.Scan() {
		var from, to int
		if _, err := fmt.Sscan(asked.Text(), &from, &to); err != nil {
			return fail(err)
		}
		for ; from < to; from += journalBatch {
			if err := endCalls(ctx, g, from, min(from+journalBatch, to)); err != nil {
				return fail(err)
			}
			fmt.Println(min(from+journalBatch, to))
		}
		if to == 0 { // it is asked when nothing waits any more
			for waiting := -1; waiting != 0; {
				some, err := g.Journal(ctx, "")
				if err != nil {
					return fail(err)
				}
				waiting = len(some)
				<-time.After(50 * time.Millisecond)
			}
			fmt.Println("nothing waits")
		}
	}
	cancel()
	return fail(errors.Join(<-ended, db.Close()))
}

// endCalls has calls end, however often that was begun before.
func endCalls(ctx context.Context, g *gateway.Gateway, from, to int) error {
	for account := range journalAccounts {
		var events []gateway.Event
		for i := from; i < to; i++ {
			if i%journalAccounts != account {
				continue
			}
			call := fmt.Sprint("c", i)
			events = append(events,
				gateway.Event{Call: call, Type: gateway.EventDial, ID: call + "d", Direction: gateway.Inbound, From: gateway.Number{Raw: "89991112233"}, Extensions: []string{"101"}},
				gateway.Event{Call: call, Type: gateway.EventHangup, ID: call + "h"})
		}
		if len(events) == 0 {
			continue
		}
		for {
			_, err := g.Emit(ctx, journalAccount(account), "office", events)
			if err == nil {
				break
			}
			if code := gateway.CodeOf(err); code != gateway.CodeUnavailable && code != gateway.CodeDraining {
				return err
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// pretendCRM keeps what it is sent, and does badly for as long as it is told to.
type pretendCRM struct {
	http     *httptest.Server
	requests chan struct{} // one for each, while somebody listens

	mu     sync.Mutex
	down   bool
	random *rand.Rand
	made   map[string]int
	busy   map[string]int
	faults []string
	done   chan struct{} // closed when want calls are there
	want   int
}

func newPretendCRM(t *testing.T, want int, random *rand.Rand) *pretendCRM {
	c := &pretendCRM{requests: make(chan struct{}), random: random, made: map[string]int{}, busy: map[string]int{}, done: make(chan struct{}), want: want}
	c.http = httptest.NewServer(c)
	t.Cleanup(c.http.Close)
	return c
}

// ServeHTTP is one request: refused, hung up on before or after it was carried out, or answered.
func (c *pretendCRM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req saveRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	how := c.begin(req)
	select {
	case c.requests <- struct{}{}:
	default:
	}
	defer c.end(req)
	switch how {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		w.WriteHeader(http.StatusTooManyRequests)
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		c.make(req)
		panic(http.ErrAbortHandler)
	default:
		c.make(req)
		_, _ = fmt.Fprint(w, "id of ", req.Call)
	}
}

func (c *pretendCRM) begin(req saveRequest) (how int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[req.Call]++; c.busy[req.Call] > 1 && !req.Unsure { // one of a node that was killed may be under way still
		c.faults = append(c.faults, req.Call+" is saved twice at once")
	}
	if c.down {
		return c.random.IntN(4)
	}
	return c.random.IntN(40)
}

func (c *pretendCRM) end(req saveRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[req.Call]--
}

func (c *pretendCRM) make(req saveRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if req.Before != "" || req.Unsure && c.made[req.Call] > 0 {
		return
	}
	if c.made[req.Call]++; c.made[req.Call] > 1 {
		c.faults = append(c.faults, req.Call+" was made again")
	}
	if len(c.made) == c.want {
		close(c.done)
	}
}

func (c *pretendCRM) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// await waits for so many requests.
func (c *pretendCRM) await(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-c.requests:
		case <-c.done:
			return
		case <-ctx.Done():
			t.Fatalf("%d calls are there", c.count())
		}
	}
}

func (c *pretendCRM) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.made)
}

// journalNode is a child that plays a gateway.
type journalNode struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startJournal(t *testing.T, dir, url, crm string) *journalNode {
	t.Helper()
	n := &journalNode{cmd: child(t, "journal", dir, Fast)}
	n.cmd.Env = append(n.cmd.Env, childURL+"="+url, childCRM+"="+crm)
	var err error
	if n.in, err = n.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.lines = bufio.NewScanner(out)
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	return n
}

func (n *journalNode) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// end has calls end, and returns up to which that was acknowledged; kill: in the middle of it the node is killed.
func (n *journalNode) end(t *testing.T, from, to int, kill bool) (acked int) {
	t.Helper()
	if _, err := fmt.Fprintln(n.in, from, to); err != nil {
		t.Fatal(err)
	}
	for acked = from; acked < to && n.lines.Scan(); {
		if _, err := fmt.Sscan(strings.TrimSpace(n.lines.Text()), &acked); err != nil {
			break // cut short by the kill
		}
		if kill && acked > from+(to-from)/2 {
			n.kill()
		}
	}
	if !kill && acked < to {
		t.Fatalf("%d of %d calls ended", acked, to)
	}
	return acked
}

// TestJournalThroughAnOutageAndKills has thousands of calls end while the CRM is down, or answers that and loses
// answers, with the gateways killed at random. In the end each is in the CRM, once.
func TestJournalThroughAnOutageAndKills(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 2} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			seed := *journalSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("-journal-seed %d", seed)
			throughOutage(t, nodes, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func throughOutage(t *testing.T, nodes int, random *rand.Rand) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	calls, dir, url := *journalCalls, t.TempDir(), ""
	if nodes > 1 {
		calls, url = calls/2, inProcess(t, "").url(dir)
		dir = ""
	}
	crm := newPretendCRM(t, calls, rand.New(rand.NewPCG(random.Uint64(), 0)))
	all := make([]*journalNode, nodes)
	for i := range all {
		all[i] = startJournal(t, dir, url, crm.http.URL)
	}
	again := func() *journalNode { // another run of a random node
		i := random.IntN(nodes)
		all[i].kill()
		all[i] = startJournal(t, dir, url, crm.http.URL)
		return all[i]
	}
	crm.setDown(true)
	ended := 0
	for part := 1; part <= 4; part++ {
		i := random.IntN(nodes)
		to := calls * part / 4
		ended = all[i].end(t, ended, to, true)
		all[i] = startJournal(t, dir, url, crm.http.URL)
		ended = all[i].end(t, ended, to, false)
		crm.await(ctx, t, random.IntN(100))
		again()
	}
	crm.setDown(false)
	for range 4 {
		crm.await(ctx, t, random.IntN(calls/5))
		again()
	}
	select {
	case <-crm.done:
	case <-ctx.Done():
		t.Fatalf("%d of %d calls are there", crm.count(), calls)
	}
	if _, err := fmt.Fprintln(all[0].in, "0 0"); err != nil || !all[0].lines.Scan() || all[0].lines.Text() != "nothing waits" {
		t.Fatalf("%q, %v", all[0].lines.Text(), err)
	}
	crm.mu.Lock()
	defer crm.mu.Unlock()
	for i, fault := range crm.faults {
		if i < 10 {
			t.Error(fault)
		}
	}
}
