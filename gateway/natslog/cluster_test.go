package natslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ringcast/gateway"
)

// leader returns the server that leads the log's stream.
func leader(t *testing.T, s *servers, db *DB) *natsServer {
	t.Helper()
	info, err := db.log.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.node(info.Cluster.Leader)
}

// await asks for what is true before long.
func await(ctx context.Context, t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never %s", what)
		}
	}
}

// mustAppend appends as the owner of a partition does, for as long as it takes.
func (w *writer) mustAppend(ctx context.Context, id string) error {
	for {
		limited, cancel := context.WithTimeout(ctx, answerTimeout)
		seq, err := w.log.Append(limited, gateway.Entry{ID: id, Data: []byte(id)}, w.last)
		cancel()
		if err == nil {
			w.last = seq
			return nil
		}
		for {
			before := w.last
			found, err := w.catchUp(ctx, id)
			if found && err == nil {
				return nil
			}
			if err == nil {
				break
			}
			if w.last = before; ctx.Err() != nil {
				return err
			}
			select {
			case <-time.After(streamRetry):
			case <-ctx.Done():
			}
		}
	}
}

// TestKilledLeaderLosesNothing kills the server that leads the log's stream while entries are appended and
// read, and starts it again.
func TestKilledLeaderLosesNothing(t *testing.T) {
	t.Parallel()
	s := processes(t, 3)
	db := open(t, Config{URL: s.url("one")})
	defer closeDB(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	var mu sync.Mutex
	var acked []string
	grown := make(chan struct{}, 1)
	quit := make(chan struct{})
	w := &writer{log: db.log}
	appended := make(chan error, 1)
	go func() {
		defer close(appended)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			id := fmt.Sprint(i)
			if err := w.mustAppend(ctx, id); err != nil {
				appended <- err
				return
			}
			mu.Lock()
			acked = append(acked, id)
			mu.Unlock()
			select {
			case grown <- struct{}{}:
			default:
			}
		}
	}()
	var tailed []string
	tailing := make(chan error, 1)
	go func() {
		tailing <- db.log.Tail(ctx, 0, func(e gateway.Entry) error {
			if e.ID == "the end" {
				return errors.New(e.ID)
			}
			tailed = append(tailed, e.ID)
			return nil
		})
	}()
	until := func(more int) {
		t.Helper()
		mu.Lock()
		want := len(acked) + more
		mu.Unlock()
		for {
			mu.Lock()
			n := len(acked)
			mu.Unlock()
			if n >= want {
				return
			}
			select {
			case <-grown:
			case <-ctx.Done():
				t.Fatalf("%d entries of %d", n, want)
			}
		}
	}
	until(300)
	victim := leader(t, s, db)
	victim.kill()
	until(300)
	victim.launch() // and while it comes back
	until(300)
	close(quit)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	if err := w.mustAppend(ctx, "the end"); err != nil {
		t.Fatal(err)
	}
	if err := <-tailing; err == nil || err.Error() != "the end" {
		t.Errorf("Tail = %v", err)
	}
	var read []string
	for _, e := range readAll(t, db.log, w.last) {
		read = append(read, e.ID)
	}
	for name, got := range map[string][]string{"read back": read[:len(read)-1], "tailed": tailed} {
		if strings.Join(got, " ") != strings.Join(acked, " ") {
			t.Errorf("%s: %d entries, %d were acknowledged, or in another order", name, len(got), len(acked))
		}
	}
}

// TestWithoutQuorum kills two servers of three: nothing hangs, nothing is taken for done, and it heals.
func TestWithoutQuorum(t *testing.T) {
	t.Parallel()
	s := processes(t, 3)
	db := open(t, Config{URL: s.url("one")})
	defer closeDB(t, db)
	first, err := db.log.Append(t.Context(), gateway.Entry{ID: "a"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Healthy(t.Context()); err != nil {
		t.Fatalf("Healthy = %v", err)
	}
	s.nodes[0].kill()
	s.nodes[1].kill()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = db.log.Append(ctx, gateway.Entry{ID: "b"}, first)
	if err == nil || errors.Is(err, gateway.ErrConflict) || errors.Is(err, gateway.ErrLogFull) {
		t.Errorf("Append without a quorum: %v, want an open outcome", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	await(ctx, t, "unhealthy without a quorum", func() bool { return db.Healthy(ctx) != nil })
	s.nodes[0].launch()
	s.nodes[1].launch()
	w := &writer{log: db.log, last: first}
	if err := w.mustAppend(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	await(ctx, t, "healthy again", func() bool { return db.Healthy(ctx) == nil })
	if got := readAll(t, db.log, w.last); len(got) != 2 || got[0].ID != "a" || got[1].ID != "b" {
		t.Errorf("entries %v", got)
	}
}

func TestSmallMaxPayloadIsRefused(t *testing.T) {
	t.Parallel()
	s := inProcess(t, "max_payload: 1048576\n")
	_, err := Open(t.Context(), Config{URL: s.url("one")})
	if err == nil || !strings.Contains(err.Error(), "max_payload: 8388608") {
		t.Errorf("Open = %v", err)
	}
}

// TestStandaloneNeverJoinsACluster tries both ways.
func TestStandaloneNeverJoinsACluster(t *testing.T) {
	t.Parallel()
	s := inProcess(t, "")
	dir := t.TempDir()
	closeDB(t, open(t, Config{Dir: dir}))
	_, err := Open(t.Context(), Config{Dir: dir, URL: s.url("one")})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "give another directory") {
		t.Errorf("Open with a URL = %v", err)
	}
	closeDB(t, open(t, Config{Dir: dir})) // it has stayed as it was

	dir = filepath.Join(t.TempDir(), "new")
	for range 2 {
		closeDB(t, open(t, Config{Dir: dir, URL: s.url("one")}))
	}
	_, err = Open(t.Context(), Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "nats.url") {
		t.Errorf("Open without the URL = %v", err)
	}
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	s := inProcess(t, "")
	url := strings.Replace(s.url("one"), "secret", "wrong-password", 1)
	begun := time.Now()
	_, err := Open(t.Context(), Config{URL: url})
	if !errors.Is(err, nats.ErrAuthorization) || strings.Contains(err.Error(), "wrong-password") || time.Since(begun) > openTime/2 {
		t.Errorf("Open = %v after %v", err, time.Since(begun))
	}
	_, err = Open(t.Context(), Config{URL: s.url("one"), CredsFile: filepath.Join(t.TempDir(), "none.creds")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("credentials that are not there: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	addr := steadyAddresses(t, 1)[0]
	dir := filepath.Join(t.TempDir(), "new")
	if _, err := Open(ctx, Config{URL: "nats://" + addr, Dir: dir}); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("Open = %v", err)
	}
	closeDB(t, open(t, Config{Dir: dir})) // a mistyped URL does not mark it for good
}

// TestLogMadeAnew takes the log away under a node. Its sequences mean nothing in the next one.
func TestLogMadeAnew(t *testing.T) {
	t.Parallel()
	cfg := Config{URL: inProcess(t, "").url("one")}
	db := open(t, cfg)
	defer closeDB(t, db)
	last, err := db.log.Append(t.Context(), gateway.Entry{ID: "a"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = db.log.Tail(ctx, 0, func(e gateway.Entry) error {
		if e.Seq != last {
			return fmt.Errorf("entry %v of another log", e)
		}
		if err := db.js.DeleteStream(t.Context(), db.log.name()); err != nil {
			return err
		}
		closeDB(t, open(t, cfg))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("Tail = %v", err)
	}
	if err := db.Healthy(t.Context()); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("Healthy = %v", err)
	}
}

// TestBrokenConnectionEndsRequests has a server go silent under requests that would wait for a minute.
func TestBrokenConnectionEndsRequests(t *testing.T) {
	t.Parallel()
	s := processes(t, 1)
	db := open(t, Config{URL: s.url("one")})
	defer closeDB(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked := make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- db.Peers().Serve(ctx, func(ctx context.Context, _ []byte) []byte {
			close(asked)
			<-ctx.Done()
			return nil
		}, func([]byte) {})
	}()
	answered := make(chan error, 1)
	go func() {
		for {
			_, err := db.Peers().Request(ctx, db.Peers().Node(), nil)
			if !errors.Is(err, gateway.ErrNoPeer) {
				answered <- err
				return
			}
		}
	}()
	<-asked
	s.nodes[0].kill()
	if err := <-answered; !errors.Is(err, errBroken) || ctx.Err() != nil {
		t.Errorf("the request ended with %v", err)
	}
	if err := db.Healthy(ctx); err == nil || !strings.Contains(err.Error(), "the NATS cluster does not answer: ") || strings.Contains(err.Error(), "buffer") {
		t.Errorf("without a connection, Healthy = %v", err)
	}
	if _, err := db.log.Append(ctx, gateway.Entry{ID: "a"}, 0); err == nil || errors.Is(err, gateway.ErrConflict) || ctx.Err() != nil {
		t.Errorf("Append without a connection: %v", err)
	}
	s.nodes[0].launch()
	w := &writer{log: db.log}
	if err := w.mustAppend(ctx, "a"); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestTLS connects by the authority's certificate, and not without it.
func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, key := selfSigned(t)
	s := inProcess(t, fmt.Sprintf("tls {cert_file: %q, key_file: %q}\n", certificate, key))
	url := strings.Replace(s.url("one"), "nats://", "tls://", 1)
	closeDB(t, open(t, Config{URL: url, CAFile: certificate}))
	ctx, cancel := context.WithTimeout(t.Context(), openTime/2)
	defer cancel()
	if db, err := Open(ctx, Config{URL: url}); err == nil {
		closeDB(t, db)
		t.Error("a server whose certificate nobody knows was trusted")
	} else if !strings.Contains(err.Error(), "certificate") || ctx.Err() != nil {
		t.Errorf("a server whose certificate nobody knows: %v", err)
	}
	if _, err := Open(ctx, Config{URL: url, CAFile: filepath.Join(t.TempDir(), "none.pem")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a CA file that is not there: %v", err)
	}
}
