package phonet

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

const (
	testDomain = "acme.phonet.example"
	testKey    = "S3cret+key/with&odd=signs%"
	caller     = "+380567777777"
)

// office is a link to a pretend Phonet, over real sockets.
type office struct {
	t      *testing.T
	pbx    *sandbox.Phonet
	server *httptest.Server
	cfg    Config
	link   *Link
	ledger *ledger
	log    *syncBuffer
	stop   func()
}

// start runs a new link, as after a restart.
func (o *office) start() {
	o.link = New(o.cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(o.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- o.link.Run(ctx, o.ledger) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			o.t.Error(err)
		}
	})
}

// openOffice has three employees, a group of them, and a link that runs until the test ends.
func openOffice(t *testing.T, edit func(*sandbox.PhonetConfig, *Config)) *office {
	t.Helper()
	o := &office{t: t, ledger: newLedger(), log: &syncBuffer{}}
	pbx := sandbox.PhonetConfig{
		Domain: testDomain, APIKey: testKey,
		Employees: []sandbox.PhonetEmployee{
			{ID: 120, Name: "Anna", Ext: "101", Email: "anna+crm@acme.example"}, {ID: 121, Name: "Boris", Ext: "102"}, {ID: 122, Name: "Vera", Ext: "103"},
		},
		Groups: []sandbox.PhonetGroup{{ID: 9, Name: "Support", Ext: "911", Members: []string{"101", "102", "103"}}},
	}
	cfg := Config{
		ID: "office", Domain: testDomain, APIKey: testKey, Subscribers: subscribers("101", "102", "103"),
		Logger: slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Pace: time.Millisecond, haste: 200,
	}
	if edit != nil {
		edit(&pbx, &cfg)
	}
	var err error
	if o.pbx, err = sandbox.NewPhonet(pbx); err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(o.pbx.Handler())
	cfg.BaseURL = cmp.Or(cfg.BaseURL, o.server.URL)
	o.cfg = cfg
	o.start()
	t.Cleanup(func() {
		o.stop()
		o.server.Close()
		if strings.Contains(o.log.String(), testKey) {
			t.Error("the key is in the log")
		}
	})
	return o
}

func subscribers(names ...string) func() []Subscriber {
	return func() (all []Subscriber) {
		for _, name := range names {
			all = append(all, Subscriber{Name: name})
		}
		return all
	}
}

// upAndInSync waits until the link has told of the calls that live once more than so often.
func (o *office) inSync(lives int) {
	o.t.Helper()
	o.ledger.until(o.t, "a sync", func() bool { return len(o.ledger.lives) > lives })
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// untilState waits for a state of the link.
func (o *office) untilState(state string) gateway.LinkState {
	o.t.Helper()
	timeout := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := o.link.State(); s.State == state {
			return s
		}
		select {
		case <-tick.C:
		case <-timeout:
			o.t.Fatalf("the link is %+v, want %s\n%s", o.link.State(), state, o.log)
		}
	}
}

// ledger is a sink that folds what it is told as the gateway does.
type ledger struct {
	mu     sync.Mutex
	calls  map[string]gateway.Call
	order  []string
	events []gateway.Event
	known  map[string]bool
	lives  [][]string
	away   []string
	refuse error
	news   chan struct{}
}

var _ gateway.AwaySink = (*ledger)(nil)

func newLedger() *ledger {
	return &ledger{calls: map[string]gateway.Call{}, known: map[string]bool{}, news: make(chan struct{})}
}

func (l *ledger) changed() {
	close(l.news)
	l.news = make(chan struct{})
}

func (l *ledger) Emit(_ context.Context, events []gateway.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed()
	for _, e := range events {
		if e.Line == "invalid" {
			return gateway.Errorf(gateway.CodeInvalid, "line")
		}
	}
	if l.refuse != nil {
		return l.refuse
	}
	for _, e := range events {
		l.apply(e)
	}
	return nil
}

func (l *ledger) apply(e gateway.Event) {
	if l.known[e.ID] && e.ID != "" {
		return
	}
	l.known[e.ID] = true
	l.events = append(l.events, e)
	for _, ext := range append(slices.Clone(e.Extensions), e.From.Raw, e.Target) {
		if len(ext) == 3 {
			e.People = append(e.People, gateway.Person{User: "u" + ext, Name: ext, Extension: ext})
		}
	}
	c, ok := l.calls[e.Call]
	if !ok {
		l.order = append(l.order, e.Call)
	}
	l.calls[e.Call], _ = gateway.Tracker{}.Apply(c, e)
}

func (l *ledger) Live(_ context.Context, calls []string, at time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed()
	l.lives = append(l.lives, calls)
	for id, c := range l.calls {
		if !slices.Contains(calls, id) && !c.Over() && c.StartedAt.Before(at) {
			l.apply(gateway.Event{Call: id, Type: gateway.EventHangup, At: at, Cause: gateway.CauseNormal})
		}
	}
	return nil
}

func (l *ledger) Away(extension string, away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.changed()
	l.away = append(l.away, fmt.Sprint(extension, " ", away))
}

// until waits until a condition holds, which is asked with the ledger locked.
func (l *ledger) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		done, news := ok(), l.news
		l.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-timeout:
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("waited in vain for %s; lives %v, calls:\n  %s\nevents:\n  %s", what, l.lives,
				strings.Join(l.summary(), "\n  "), strings.Join(told(l.events), "\n  "))
		}
	}
}

// untilCalls waits until the calls are as described, each by a line of summary.
func (l *ledger) untilCalls(t *testing.T, want ...string) {
	t.Helper()
	l.until(t, "\n  "+strings.Join(want, "\n  "), func() bool { return sameCalls(l.summary(), want) })
}

// summary describes the calls in the order of their ids' first mention, without ids and times, but for those of which
// nothing was told than that they are others. The mutex is held.
func (l *ledger) summary() (lines []string) {
	for _, id := range l.order {
		if c := l.calls[id]; c.Into == "" || !c.StartedAt.IsZero() {
			lines = append(lines, describeCall(c))
		}
	}
	return lines
}

// standing is summary, but for calls that were merged into others.
func (l *ledger) standing() []string {
	return slices.DeleteFunc(l.summary(), func(line string) bool { return strings.HasSuffix(line, "; merged") })
}

func describeCall(c gateway.Call) string {
	line := fmt.Sprintf("%s %s > %s", c.Direction, c.From.Raw, c.To.Raw)
	if c.Name != "" {
		line += " " + c.Name
	}
	legs := slices.SortedFunc(slices.Values(c.Legs), func(a, b gateway.Leg) int { return strings.Compare(a.Extension, b.Extension) })
	for _, leg := range legs {
		how := string(leg.Outcome)
		if leg.Live() {
			how = "rings"
			if !leg.TalkingSince.IsZero() {
				how = "talks"
			}
		}
		line += ", " + leg.Extension + " " + how
	}
	switch {
	case c.Into != "":
		line += "; merged"
	case c.Over():
		line += "; over"
	}
	if c.Recording != "" {
		line += ", recorded"
	}
	return line
}

// told is events in short.
func told(events []gateway.Event) (lines []string) {
	for _, e := range events {
		line := strings.TrimPrefix(string(e.Type), "call.")
		for _, part := range []string{e.Call, strings.Join(e.Extensions, ","), e.Target, e.Into, string(e.Cause)} {
			if part != "" {
				line += " " + part
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// syncBuffer is a log that is written and read at once.
type syncBuffer struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// untilListening waits until so many sockets are open, and both ends know it.
func (o *office) untilListening(sockets int) {
	o.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for o.pbx.Listening() != sockets || o.open() != sockets {
		select {
		case <-tick.C:
		case <-timeout:
			o.t.Fatalf("%d sockets, %d at the PBX, want %d\n%s", o.open(), o.pbx.Listening(), sockets, o.log)
		}
	}
}

// drain waits until the link has told all that was said so far: what comes after it on each socket is told, too.
func (o *office) drain() {
	o.t.Helper()
	for _, ext := range []string{"101", "102", "103"} {
		o.pbx.Away(ext, true)
	}
	o.ledger.until(o.t, "all to be away", func() bool { return len(o.ledger.away) == 3 })
	o.ledger.until(o.t, "the calls of before", func() bool {
		o.link.mu.Lock()
		defer o.link.mu.Unlock()
		return len(o.ledger.order) == len(o.link.book.calls)
	})
}

// open is how many sockets the link has open.
func (o *office) open() (n int) {
	o.link.mu.Lock()
	defer o.link.mu.Unlock()
	for _, s := range o.link.sockets {
		if s.open() {
			n++
		}
	}
	return n
}

// messages is how many messages a scenario makes.
func messages(t *testing.T, s scenario) int {
	t.Helper()
	o := &office{t: t}
	var err error
	if o.pbx, err = sandbox.NewPhonet(sandbox.PhonetConfig{
		Domain: testDomain, APIKey: testKey, Employees: []sandbox.PhonetEmployee{{Ext: "101"}, {Ext: "102"}, {Ext: "103"}},
		Groups: []sandbox.PhonetGroup{{Ext: "911", Members: []string{"101", "102", "103"}}},
	}); err != nil {
		t.Fatal(err)
	}
	o.play(s, func() {})
	return o.pbx.Told()
}

// sameCalls compares in any order: what was missed may be learned in another.
func sameCalls(got, want []string) bool {
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	return slices.Equal(got, want)
}
