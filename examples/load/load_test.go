package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortForm is what CI is to run of a command.
type shortForm struct {
	command string
	bounds  int // that are judged
}

func TestFiguresOfLoad(t *testing.T) {
	t.Parallel()
	runShort(t,
		shortForm{"-short -rounds 3", 6}, // one stall of the disk is not the median
		shortForm{"-short -rungs ws,sse,poll,script -cuts 50 -rate 200 -durability strict -saturate=false", 2},
		shortForm{"idle -short", 2},
		shortForm{"storm -short", 3})
}

func TestShortFaults(t *testing.T) {
	t.Parallel()
	runShort(t, shortForm{"fault -short", 7}, shortForm{"soak -short", 5})
}

// runShort runs them one after another: real processes, built without the race detector.
func runShort(t *testing.T, forms ...shortForm) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	dir := t.TempDir()
	load, server := filepath.Join(dir, "load"), filepath.Join(dir, "ringcast")
	for binary, pkg := range map[string]string{load: ".", server: "ringcast/cmd/ringcast"} {
		if out, err := exec.CommandContext(ctx, "go", "build", "-race=false", "-o", binary, pkg).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	for _, c := range forms {
		t.Run(c.command, func(t *testing.T) {
			cmd := exec.CommandContext(ctx, load, append(strings.Fields(c.command), "-ringcast", server)...)
			cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // its children end with it
			cmd.WaitDelay = 30 * time.Second
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(out, []byte("\nPASS  ")); n != c.bounds {
				t.Errorf("%d bounds were judged, want %d", n, c.bounds)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{
		"more", "idle -rate 5", "-nodes 2", "fault -nodes 3", "storm -tls -nodes 2", "-sessions 10 -accounts 20", "-batch 501", "-rate 0", "-durability none", "-rounds 0", "-duration 2h", "-senders 0", "-rungs tin-can",
	} {
		if code := run(t.Context(), strings.Fields(wrong), io.Discard, io.Discard); code != 2 {
			t.Errorf("load %s ends with %d", wrong, code)
		}
	}
	_, o, err := parseCommand([]string{"-short", "-rate", "700"}, io.Discard)
	if err != nil || o.rate != 700 || o.sessions != 500 || !o.saturate {
		t.Errorf("-short -rate 700: %+v, %v", o, err)
	}
}

// loaded runs a small load against a peer that was tampered with after everybody had connected.
func loaded(t *testing.T, peer string, batch int, tamper func(*board)) result {
	t.Helper()
	b := newBoard()
	web := httptest.NewServer(b.handler(peers[peer](b)))
	defer web.Close()
	accounts := newAccounts(12, 3)
	addr := web.Listener.Addr().String()
	c, err := connect(t.Context(), accounts, crowdConfig{addrs: []string{addr}, rungs: []string{"ws"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.leave()
	b.mu.Lock()
	tamper(b)
	b.mu.Unlock()
	l := load{addrs: []string{addr}, batch: batch, every: 5 * time.Millisecond, duration: 300 * time.Millisecond}
	s, _, err := l.run(t.Context(), accounts, len(accounts))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.await(t.Context(), int64(s.acknowledged), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	r := result{planned: l.planned(), sent: s.events, acknowledged: s.acknowledged, firstError: s.refused}
	r.settle(accounts)
	return r
}

func TestAllArrives(t *testing.T) {
	t.Parallel()
	for _, peer := range []string{bareCommand, naiveCommand} {
		for _, batch := range []int{1, 7} {
			r := loaded(t, peer, batch, func(*board) {})
			if r.planned != 60*batch || r.sent != r.planned || r.acknowledged != r.planned || r.delivered != r.planned ||
				len(r.latency) != r.planned || r.faults != (faults{}) || r.cut != 0 || r.firstError != nil {
				t.Errorf("%s, batches of %d: %+v", peer, batch, r)
			}
		}
	}
}

// TestMisroutedAndLost: two users of different accounts get each other's messages.
func TestMisroutedAndLost(t *testing.T) {
	t.Parallel()
	r := loaded(t, bareCommand, 1, func(b *board) {
		one, other := seat{"load0000", "101"}, seat{"load0001", "101"}
		b.sockets[one], b.sockets[other] = b.sockets[other], b.sockets[one]
	})
	if r.faults.misrouted != 10 || r.faults.lost != 10 || r.delivered != 50 {
		t.Errorf("%+v", r)
	}
}

func TestSessionsThatAreCut(t *testing.T) {
	t.Parallel()
	r := loaded(t, bareCommand, 1, func(b *board) {
		s := b.sockets[seat{"load0002", "103"}]
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.write(nil) // not what a tab can read
	})
	if r.cut != 1 || r.firstError == nil {
		t.Errorf("%+v", r)
	}
}

// TestTabChecks feeds a tab, of which the first six events were posted, with what a broken server would send.
func TestTabChecks(t *testing.T) {
	t.Parallel()
	type m struct{ call, event, cursor, prev string }
	const mine, dial, bridge, hangup = "main:load0001.101.", "call.dial", "call.bridge", "call.hangup"
	whole := []m{
		{mine + "0", dial, "1", "0"},
		{mine + "0", bridge, "2", "1"},
		{mine + "0", hangup, "3", "2"},
		{mine + "1", dial, "4", "3"},
		{mine + "1", bridge, "5", "4"},
		{mine + "1", hangup, "6", "5"},
	}
	for name, c := range map[string]struct {
		arrives []m
		want    faults
	}{
		"whole":             {whole, faults{}},
		"lost":              {whole[:4], faults{lost: 2}},
		"lost in between":   {append(whole[:2:2], whole[3:]...), faults{lost: 1, gaps: 1}},
		"doubled":           {append(whole[:6:6], m{mine + "1", hangup, "7", "6"}), faults{doubled: 1}},
		"out of order":      {append(whole[:4:4], m{mine + "1", hangup, "5", "4"}, m{mine + "1", bridge, "6", "5"}), faults{disordered: 1}},
		"another account's": {append(whole[:6:6], m{"main:load0002.101.0", dial, "7", "6"}), faults{misrouted: 1}},
		"another user's":    {append(whole[:6:6], m{"main:load0001.1011.0", dial, "7", "6"}), faults{misrouted: 1}},
		"never posted":      {append(whole[:6:6], m{mine + "2", dial, "7", "6"}), faults{misrouted: 1}},
		"a gap in prev":     {append(whole[:5:5], m{mine + "1", hangup, "7", "6"}), faults{gaps: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := newTab("load0001", "101")
			tab.cursor = "0"
			for range whole {
				tab.acknowledged(tab.posting(time.Now()))
			}
			for _, m := range c.arrives {
				got := message{Event: m.event, Cursor: m.cursor, Prev: m.prev}
				got.Call.ID, got.Call.Extension = m.call, "101"
				tab.receive(got, time.Now())
			}
			if got := tab.settle().faults; got != c.want {
				t.Errorf("found %+v, want %+v", got, c.want)
			}
			late := message{Event: hangup, Cursor: "9", Prev: tab.cursor}
			late.Call.ID, late.Call.Extension = mine+"0", "101"
			if tab.receive(late, time.Now()); tab.faults != (faults{doubled: 1}) {
				t.Errorf("an event of the measurement before: %+v", tab.faults)
			}
		})
	}
}

// What a server had not answered when a measurement ended may come in the next: once.
func TestEventOfAMeasurementBefore(t *testing.T) {
	t.Parallel()
	tab := newTab("load0001", "101")
	tab.cursor = "0"
	tab.posting(time.Now())
	if got := tab.settle().faults; got != (faults{}) {
		t.Errorf("not answered: %+v", got)
	}
	late := message{Event: phases[0], Cursor: "1", Prev: "0"}
	late.Call.ID, late.Call.Extension = pbxID+":load0001.101.0", "101"
	tab.receive(late, time.Now())
	if tab.faults != (faults{}) {
		t.Errorf("late: %+v", tab.faults)
	}
	late.Cursor, late.Prev = "2", "1"
	if tab.receive(late, time.Now()); tab.faults != (faults{doubled: 1}) {
		t.Errorf("again: %+v", tab.faults)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	with := func(latency time.Duration, rate float64) results {
		return results{
			paced:     result{planned: 1, acknowledged: 1, delivered: 1, latency: []time.Duration{latency}},
			saturated: &result{planned: 1, acknowledged: 1, delivered: 1, rate: rate},
		}
	}
	for name, c := range map[string]struct {
		change func(bare, strict, fast *results)
		short  bool
		fails  string // what the one line that fails is about; "": none
	}{
		"all holds":                {func(_, _, _ *results) {}, false, ""},
		"slow":                     {func(_, strict, _ *results) { strict.paced.latency[0] = 11 * time.Millisecond }, false, "strict: p99"},
		"slow, but so is bare":     {func(bare, strict, _ *results) { bare.paced.latency[0], strict.paced.latency[0] = 5e6, 19e6 }, false, ""},
		"slow, but short":          {func(_, strict, _ *results) { strict.paced.latency[0] = 39 * time.Millisecond }, true, ""},
		"too slow":                 {func(_, strict, _ *results) { strict.paced.latency[0] = 41 * time.Millisecond }, true, "strict: p99"},
		"durability is dear":       {func(_, strict, _ *results) { strict.saturated.rate = 400 }, false, "strict takes 400"},
		"durability is very dear":  {func(_, strict, _ *results) { strict.saturated.rate = 100 }, true, "strict takes 100"},
		"lost":                     {func(_, strict, _ *results) { strict.paced.faults.lost = 1 }, true, "strict: each"},
		"doubled when full":        {func(_, _, fast *results) { fast.saturated.faults.doubled = 1 }, true, "fast: each"},
		"refused":                  {func(_, _, fast *results) { fast.paced.acknowledged = 0 }, true, "fast: each"},
		"cut":                      {func(_, strict, _ *results) { strict.saturated.cut = 1 }, true, "strict: each"},
		"the bare fan-out is lame": {func(bare, _, _ *results) { bare.paced.faults.lost = 1 }, false, "bare fan-out: each"},
		"does not end":             {func(_, strict, _ *results) { strict.ended = errors.New("killed") }, false, "strict: ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{rounds: 1, rungs: list{"ws"}, durability: "both", saturate: true, short: c.short}
			r := newReport(o, []string{kindBare, kindNaive, kindStrict, kindFast})
			bare, strict, fast := with(time.Millisecond, 5000), with(3*time.Millisecond, 900), with(2*time.Millisecond, 1000)
			c.change(&bare, &strict, &fast)
			r.add(kindBare, bare)
			r.add(kindNaive, bare)
			r.add(kindStrict, strict)
			r.add(kindFast, fast)
			var out bytes.Buffer
			r.printTable(io.Discard)
			ok := r.judge(&out)
			var failed []string
			for line := range strings.Lines(out.String()) {
				if about, is := strings.CutPrefix(line, "FAIL  "); is {
					failed = append(failed, about)
				}
			}
			if ok != (c.fails == "") || len(failed) > 1 || !ok && !strings.HasPrefix(failed[0], c.fails) {
				t.Errorf("holds: %v, want a failure about %q\n%s", ok, c.fails, &out)
			}
		})
	}
}

func TestMedianAndQuantile(t *testing.T) {
	t.Parallel()
	r := newReport(options{}, []string{kindBare})
	for _, rate := range []float64{9, 1, 5, 3} {
		r.add(kindBare, results{paced: result{rate: rate}})
	}
	if m := r.median(kindBare, func(f results) float64 { return f.paced.rate }); m != 4 {
		t.Errorf("median %v", m)
	}
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	if at(times, 0.5) != 51 || at(times, 0.99) != 100 || at(times, 1) != 100 || at(nil, 0.5) != 0 {
		t.Errorf("quantiles %v %v %v", at(times, 0.5), at(times, 0.99), at(times, 1))
	}
}

func TestDataInMemoryIsRefused(t *testing.T) {
	t.Parallel()
	const memory = "/dev/shm"
	if d, err := diskOf(memory); err != nil || !d.inMemory() {
		t.Skipf("%s is not in memory here: %v, %v", memory, d, err)
	}
	if err := checkDisk(memory); err == nil || !strings.Contains(err.Error(), "-dir") {
		t.Errorf("%v", err)
	}
}
