package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var seed = flag.Uint64("seed", 0, "of the kill test; 0: another one each time")

const (
	killUsers   = 10
	killTabs    = 20
	killPosters = 16
	killRate    = 500 // events a second
	killEvents  = 300 // about so many between two kills
)

// TestKilledUnderLoad kills a gateway again and again while PBXes post and tabs listen. After each restart the
// posters send again what was not acknowledged, and the tabs come back with their cursors. In the end every event
// is there once, and every tab has seen each of its user's exactly once, in order and without a gap.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{durabilityStrict, durabilityFast} { // one after the other: each wants the machine
		t.Run(durability, func(t *testing.T) {
			seed := *seed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("-seed %d", seed)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			killUnderLoad(ctx, t, durability, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func killUnderLoad(ctx context.Context, t *testing.T, durability string, random *rand.Rand) {
	s := newServed(t, durability)
	s.start()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killTabs + killPosters}}
	defer client.CloseIdleConnections()

	var watching sync.WaitGroup
	watchers := make([]*watcher, killTabs)
	for i := range watchers {
		watchers[i] = newWatcher(t, s, client, i)
		watching.Go(func() { watchers[i].run(ctx) })
	}
	for _, w := range watchers {
		w.untilThere(ctx)
	}

	load := newLoad(t, s, client)
	quit := make(chan struct{})
	var posting sync.WaitGroup
	for i := range killPosters {
		p := load.poster(i, rand.New(rand.NewPCG(random.Uint64(), 0)))
		posting.Go(func() { p.run(ctx, quit) })
	}
	var served time.Duration
	serve := func(events int) {
		begun := time.Now()
		load.untilAcked(ctx, events)
		served += time.Since(begun)
	}
	for _, end := range []func(){
		s.kill,
		func() { s.kill(); s.startAndKill(time.Duration(random.IntN(150)) * time.Millisecond) }, // before it is back
		s.terminate, // leaves a snapshot to the next
		s.kill,
	} {
		serve(killEvents/2 + random.IntN(killEvents))
		load.untilUnderWay(ctx, time.Duration(random.IntN(3000))*time.Microsecond)
		end()
		s.start()
	}
	serve(killEvents / 2)
	acked := load.total()
	close(quit)
	posting.Wait()
	t.Logf("%.0f events/s while it served; %d requests were sent again, %d of them had been taken",
		float64(acked)/served.Seconds(), load.again.Load(), load.taken.Load())

	load.sayGoodbye(ctx)
	watching.Wait()
	if ctx.Err() != nil {
		t.Fatalf("not done in time:\n%s", s.log.tail())
	}
	for _, w := range watchers {
		load.compare(w)
	}
	load.compareLive(ctx)
	s.terminate()
	s.log.check(t)
}

// served is a ringcast in a process of its own, which is started again and again at the same addresses and on
// the same data.
type served struct {
	t              *testing.T
	file, web, ops string
	env            []string
	log            *childLog

	mu  sync.Mutex
	up  chan struct{} // closed while it serves
	cmd *exec.Cmd
}

func newServed(t *testing.T, durability string) *served {
	t.Helper()
	s := &served{t: t, web: steadyAddress(t), ops: steadyAddress(t), log: &childLog{}, up: make(chan struct{})}
	var yaml strings.Builder
	fmt.Fprintf(&yaml, "listen: %s\nops_listen: %s\ndurability: %s\ndata_dir: data\naccounts:\n", s.web, s.ops, durability)
	fmt.Fprintf(&yaml, "  - id: acme\n    backend_key: %s\n    pbx: [{id: main, kind: webhook, key: %s}]\n    users:\n", acmeBackendKey, acmePBXKey)
	for i := range killUsers {
		fmt.Fprintf(&yaml, "      - {id: %q, extensions: [%q]}\n", userName(i), extensionOf(i))
	}
	s.file = configFile(t, yaml.String())
	return s
}

func userName(i int) string    { return fmt.Sprintf("user-%d", i) }
func extensionOf(i int) string { return fmt.Sprint(200 + i) }

var steadyGiven sync.Map // addresses, to nil: no two tests get the same one

// steadyAddress returns an address that is free, and that the kernel does not give to anybody who does not ask
// for it by its number: it is still free when somebody listens there later, or comes back.
func steadyAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprint("127.0.0.1:", 20000+rand.IntN(10000))
		if _, given := steadyGiven.LoadOrStore(addr, nil); given {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no address is free")
	return ""
}

// launch starts the process; serving is closed when it says that it serves.
func (s *served) launch() (serving chan struct{}) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.CommandContext(s.t.Context(), self)
	cmd.Env = append(append(os.Environ(), s.env...), childArgs+"=serve\n-config\n"+s.file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	serving = make(chan struct{})
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.log.read(bufio.NewScanner(stderr), serving)
	}()
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	return serving
}

// start returns when the process serves.
func (s *served) start() {
	s.t.Helper()
	select {
	case <-s.launch():
	case <-time.After(patience):
		s.t.Fatalf("it does not serve:\n%s", s.log.tail())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.up)
}

// startAndKill kills a process that is about to start.
func (s *served) startAndKill(after time.Duration) {
	s.t.Helper()
	serving := s.launch()
	select {
	case <-time.After(after):
	case <-serving:
	}
	s.end(syscall.SIGKILL)
}

func (s *served) kill() {
	s.t.Helper()
	s.goDown()
	s.end(syscall.SIGKILL)
}

// terminate asks the process to leave, which it must do well.
func (s *served) terminate() {
	s.t.Helper()
	s.goDown()
	if err := s.end(syscall.SIGTERM); err != nil {
		s.t.Errorf("after SIGTERM: %v\n%s", err, s.log.tail())
	}
}

func (s *served) goDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = make(chan struct{})
}

func (s *served) end(signal syscall.Signal) error {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("it is gone before it is killed: %v\n%s", err, s.log.tail())
	}
	state, err := s.cmd.Process.Wait()
	if err != nil {
		s.t.Fatal(err)
	}
	if !state.Success() {
		return errors.New(state.String())
	}
	return nil
}

// await returns when the process serves; false: ctx has ended first.
func (s *served) await(ctx context.Context) bool {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	select {
	case <-up:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// childLog is what the processes have logged.
type childLog struct {
	mu     sync.Mutex
	last   []string
	faults []string
}

func (l *childLog) read(lines *bufio.Scanner, serving chan struct{}) {
	bad := regexp.MustCompile(`level=(ERROR|WARN)|DATA RACE|^panic:|^fatal error:`)
	afterAKill := regexp.MustCompile(`Filestore \[.*\] (Stream state outdated|Recovering stream state from index|TTL state is outdated)`)
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "msg=serving") {
			close(serving)
		}
		l.mu.Lock()
		if l.last = append(l.last, line); len(l.last) > 60 {
			l.last = l.last[1:]
		}
		if bad.MatchString(line) && !afterAKill.MatchString(line) {
			l.faults = append(l.faults, line)
		}
		l.mu.Unlock()
	}
}

func (l *childLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

// check fails the test for what should not be in a log.
func (l *childLog) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) > 0 {
		t.Errorf("in the log:\n%s", strings.Join(l.faults, "\n"))
	}
}

// TestSIGTERM ends a process as an init system does.
func TestSIGTERM(t *testing.T) {
	t.Parallel()
	s := newServed(t, durabilityFast)
	s.start()
	p := &program{t: t, web: "http://" + s.web, ops: "http://" + s.ops}
	anna := p.open(backendToken(t, acmeBackendKey, map[string]any{"sub": userName(0)}), "", nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.terminate()
	}()
	if m := anna.next(); m.Type != "bye" || m.Code != "draining" || len(m.RetryIn) != 2 {
		t.Errorf("got %+v, want a bye", m)
	}
	if code := anna.closed(); code != 4002 {
		t.Errorf("closed with %d, want 4002", code)
	}
	<-ended
	s.log.check(t)
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.file), "data", sessionKeyFile)); err != nil {
		t.Error(err)
	}
}
