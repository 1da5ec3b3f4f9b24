package natslog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringcast/gateway"
)

func boot(id string) func() (string, error) {
	return func() (string, error) { return id, nil }
}

// TestEpoch runs one log twice and says whether it must be another incarnation the second time.
func TestEpoch(t *testing.T) {
	t.Parallel()
	clean := func(t *testing.T, db *DB) { closeDB(t, db) }
	killed := func(t *testing.T, db *DB) { crash(t, db) }
	for name, test := range map[string]struct {
		first, second Durability
		stop          func(*testing.T, *DB)
		rebootTo      string
		changes       bool
	}{
		"clean stop":                          {Fast, Fast, clean, "A", false},
		"clean stop and reboot":               {Fast, Fast, clean, "B", false},
		"kill":                                {Fast, Fast, killed, "A", false},
		"power cut under fast":                {Fast, Fast, killed, "B", true},
		"power cut under strict":              {Strict, Strict, killed, "B", false},
		"power cut under fast, now strict":    {Fast, Strict, killed, "B", true},
		"power cut under strict, now fast":    {Strict, Fast, killed, "B", false},
		"kill under fast, boot id not known":  {Fast, Fast, killed, "", true},
		"clean stop, boot id not known":       {Fast, Fast, clean, "", false},
		"mark of the last run lost":           {Fast, Fast, removing(runFile), "A", true},
		"mark of the last run not legible":    {Fast, Fast, overwriting(runFile, "{"), "A", true},
		"log lost":                            {Strict, Strict, removing("jetstream"), "A", true},
		"log and mark of the last run lost":   {Strict, Strict, removing("jetstream", runFile), "A", true},
		"strict log without its mark, killed": {Strict, Strict, removing(runFile), "B", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := open(t, Config{Dir: dir, Durability: test.first, bootID: boot("A")})
			if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "a"}, 0); err != nil {
				t.Fatal(err)
			}
			before := db.log.Info().Epoch
			test.stop(t, db)
			db = open(t, Config{Dir: dir, Durability: test.second, bootID: boot(test.rebootTo)})
			after := db.log.Info().Epoch
			if changed := after != before; changed != test.changes {
				t.Errorf("epoch changed: %v, want %v", changed, test.changes)
			}
			closeDB(t, db)
			db = open(t, Config{Dir: dir, Durability: test.second, bootID: boot("C")})
			defer closeDB(t, db)
			if again := db.log.Info().Epoch; again != after {
				t.Errorf("the epoch changed once more, after a clean stop")
			}
		})
	}
}

func removing(names ...string) func(*testing.T, *DB) {
	return func(t *testing.T, db *DB) {
		closeDB(t, db)
		for _, name := range names {
			if err := os.RemoveAll(filepath.Join(db.cfg.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func overwriting(name, content string) func(*testing.T, *DB) {
	return func(t *testing.T, db *DB) {
		closeDB(t, db)
		if err := os.WriteFile(filepath.Join(db.cfg.Dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoryOfAClusterIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeDB(t, open(t, Config{Dir: dir}))
	if mode, err := os.ReadFile(filepath.Join(dir, modeFile)); err != nil || string(mode) != "standalone\n" {
		t.Errorf("mode file %q, %v", mode, err)
	}
	if err := os.WriteFile(filepath.Join(dir, modeFile), []byte("clustered\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "clustered") {
		t.Errorf("Open = %v", err)
	}
}

func TestPartitionsAreFixed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeDB(t, open(t, Config{Dir: dir, Partitions: 2}))
	var said bytes.Buffer
	db := open(t, Config{Dir: dir, Partitions: 5, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	defer closeDB(t, db)
	if n := db.log.Info().Partitions; n != 2 {
		t.Errorf("%d partitions, want 2", n)
	}
	if !strings.Contains(said.String(), "partitions=2 configured=5") {
		t.Errorf("the log says %q", said.String())
	}
}

func TestFullLogRefusesUntilPurged(t *testing.T) {
	t.Parallel()
	cfg := Config{Dir: t.TempDir(), MaxBytes: 64 << 10}
	db := open(t, cfg)
	data := noise(4 << 10)
	last, acked := uint64(0), 0
	for {
		seq, err := db.log.Append(t.Context(), gateway.Entry{ID: "x", Data: data}, last)
		if errors.Is(err, gateway.ErrLogFull) {
			break
		}
		if err != nil || acked > 20 {
			t.Fatalf("after %d entries: %v", acked, err)
		}
		last, acked = seq, acked+1
	}
	if got := readAll(t, db.log, last); len(got) != acked {
		t.Errorf("%d entries, %d were acknowledged", len(got), acked)
	}
	if err := db.Healthy(t.Context()); err != nil {
		t.Errorf("a full log answers, and is healthy: %v", err)
	}
	if _, err := db.store.Put(t.Context(), "snapshot", data, gateway.AnyRevision); err != nil {
		t.Errorf("the store refuses with the log: %v", err)
	}
	if err := db.log.Purge(t.Context(), 0, last); err != nil {
		t.Fatal(err)
	}
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "y", Data: data}, last); err != nil {
		t.Errorf("Append after Purge: %v", err)
	}
	closeDB(t, db)

	// A smaller limit throws nothing away, and a larger one lets appends through again.
	cfg.MaxBytes = 4 << 10
	db = open(t, cfg)
	if last, err := db.log.Last(t.Context(), 0); err != nil || len(readAll(t, db.log, last)) != 2 {
		t.Errorf("entries are gone: last is %d, %v", last, err)
	} else if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "z"}, last); !errors.Is(err, gateway.ErrLogFull) {
		t.Errorf("Append beyond the smaller limit: %v, want ErrLogFull", err)
	}
	closeDB(t, db)
	cfg.MaxBytes = 0
	db = open(t, cfg)
	defer closeDB(t, db)
	if last, err := db.log.Last(t.Context(), 0); err != nil {
		t.Error(err)
	} else if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "z"}, last); err != nil {
		t.Errorf("Append below the larger limit: %v", err)
	}
}

// TestServerThatCannotStart checks that a fatal error of the server ends neither the process nor the lock.
func TestServerThatCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	blocker := filepath.Join(dir, "jetstream")
	if err := os.WriteFile(blocker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	_, err := Open(t.Context(), Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open = %v", err)
	}
	if !strings.Contains(said.String(), "component=nats") {
		t.Errorf("the server's own words are missing: %q", said.String())
	}
	if err := os.Remove(blocker); err != nil {
		t.Fatal(err)
	}
	closeDB(t, open(t, Config{Dir: dir}))
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no directory":     {},
		"durability":       {Dir: t.TempDir(), Durability: "brave"},
		"negative":         {Dir: t.TempDir(), Partitions: -1},
		"too many":         {Dir: t.TempDir(), Partitions: 10_000},
		"negative size":    {Dir: t.TempDir(), MaxBytes: -1},
		"not a directory":  {Dir: "/dev/null"},
		"not to be listed": {Dir: "/dev/null/data"},
	} {
		if db, err := Open(t.Context(), cfg); err == nil {
			closeDB(t, db)
			t.Errorf("%s: Open accepted %+v", name, cfg)
		}
	}
}

func TestCloseEndsEverythingAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	if err := db.Healthy(t.Context()); err != nil {
		t.Errorf("Healthy = %v", err)
	}
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "a"}, 0); err != nil {
		t.Fatal(err)
	}
	tailing, watching := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 2)
	go func() {
		ended <- db.log.Tail(t.Context(), 0, func(gateway.Entry) error { close(tailing); return nil })
	}()
	go func() {
		ended <- db.store.Watch(t.Context(), "", func(gateway.Value) error { return nil }, func() { close(watching) })
	}()
	<-tailing
	<-watching
	closeDB(t, db)
	for range 2 {
		if err := <-ended; err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("what was running ended with %v, want an error of its own", err)
		}
	}
	closeDB(t, db)
	if err := db.Healthy(t.Context()); err == nil {
		t.Error("a closed log is healthy")
	}
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "b"}, 1); err == nil {
		t.Error("a closed log took an entry")
	}
}
