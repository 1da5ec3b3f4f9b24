package asterisk

import (
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set   func(f *fake, cfg *Config)
		want  []string // of the error; none: all is well
		notes []string
	}{
		"all is well":  {set: func(*fake, *Config) {}},
		"plain login":  {set: func(f *fake, _ *Config) { f.deny("Challenge", "Must specify AuthType") }, notes: []string{"sent as it is"}},
		"wrong secret": {set: func(_ *fake, cfg *Config) { cfg.Secret = "wrong" }, want: []string{"login refused", `"gateway"`, "manager.conf"}},
		"no listing":   {set: func(f *fake, _ *Config) { f.deny("CoreSettings", "Permission denied") }, want: []string{"write = reporting", "reconnect"}},
		"no originate": {set: func(f *fake, _ *Config) { f.deny("Originate", "Permission denied") }, want: []string{"write = originate"},
			notes: []string{"cannot be tried whether he has read = call"}},
		"no call events": {set: func(f *fake, _ *Config) { f.mute = "OriginateResponse" }, want: []string{"read = call"}},
		"no call": {set: func(f *fake, _ *Config) {
			for _, action := range []string{"Hangup", "BlindTransfer", "Atxfer", "Redirect", "Park"} {
				f.deny(action, "Permission denied")
			}
		}, want: []string{"write = call, needed to hang up, transfer, consult, pass calls on and park"}},
		"two at once": {set: func(f *fake, _ *Config) {
			f.deny("Hangup", "Permission denied")
			f.deny("Originate", "Permission denied")
		}, want: []string{"write = call", "write = originate"}, notes: []string{"read = call"}},
		"no system": {set: func(f *fake, _ *Config) {
			f.deny("PJSIPNotify", "Permission denied")
			f.deny("MuteAudio", "Permission denied")
		}, notes: []string{"write = system, needed to answer and hold for a user and mute"}},
		"modules that are not there": {set: func(f *fake, _ *Config) {
			f.deny("Park", "Invalid/unknown command: Park. Use Action: ListCommands to show available commands.")
			f.deny("MuteAudio", "Invalid/unknown command: MuteAudio.")
		}, notes: []string{"res_parking.so, needed to park", "res_mutestream.so"}},
		"no word of a start": {set: func(f *fake, _ *Config) { f.mute = "FullyBooted" }, notes: []string{"read = system"}},
		"no port":            {set: func(_ *fake, cfg *Config) { cfg.Address = "pbx" }, want: []string{"host:5038"}},
		"no service":         {set: func(_ *fake, cfg *Config) { cfg.Address = freePort(t) }, want: []string{"nothing listens", "manager.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			cfg := f.config()
			c.set(f, &cfg)
			notes, err := Check(t.Context(), cfg)
			if (err != nil) != (c.want != nil) || (notes != nil) != (c.notes != nil) {
				t.Fatalf("got %v, notes %q, want %v, %q", err, notes, c.want, c.notes)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			for _, want := range c.notes {
				if !strings.Contains(strings.Join(notes, "\n"), want) {
					t.Errorf("got notes %q, want %q in them", notes, want)
				}
			}
		})
	}
}

// freePort returns an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // over
	return l.Addr().String()
}

// TestLinkSaysWhatItMayNotDo at start, in its state and once in the log, and does the rest.
func TestLinkSaysWhatItMayNotDo(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.deny("Originate", "Permission denied")
	f.deny("Challenge", "Must specify AuthType")
	f.mute = "FullyBooted"
	log := &logged{news: make(chan struct{})}
	cfg := f.config()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	l, s := f.run(cfg, r)
	log.until(t, "write = originate, needed to dial for a user")
	log.until(t, "read = system, needed to learn at once that Asterisk stops or has started")
	for n := range 2 {
		r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == n+1 })
		state := l.State()
		if state.State != "connected" || state.Version != "Asterisk 22.10.1" ||
			!strings.Contains(state.Reason, "sent as it is") || !strings.Contains(state.Reason, "write = originate, needed to dial") ||
			!strings.Contains(state.Reason, "read = call") || !strings.Contains(state.Reason, "read = system") {
			t.Errorf("got %+v", state)
		}
		if n == 0 {
			s.conn.Close() // and once more
			f.session()
		}
	}
	if n := strings.Count(log.text(), "write = originate, needed"); n != 1 {
		t.Errorf("said %d times in the log", n)
	}
}

// TestAsteriskThatStarts says so later than it takes a login: then nothing is missing.
func TestAsteriskThatStarts(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.mute = "FullyBooted"
	log := &logged{news: make(chan struct{})}
	cfg := f.config()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	l, s := f.run(cfg, r)
	r.until(t, "a sync", func(r *recorder) bool { return len(r.lives) == 1 })
	log.until(t, "read = system")
	s.send("Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n")
	log.until(t, "asterisk link is limited no more")
	if state := l.State(); state.Reason != "" {
		t.Errorf("got %+v", state)
	}
}

// logged is what was written to a log.
type logged struct {
	mu   sync.Mutex
	all  strings.Builder
	news chan struct{} // closed, and made anew, at every line
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.news)
	l.news = make(chan struct{})
	return l.all.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func (l *logged) until(t *testing.T, words string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		found, news := strings.Contains(l.all.String(), words), l.news
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("%q is not in the log:\n%s", words, l.text())
		}
	}
}
