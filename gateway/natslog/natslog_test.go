package natslog

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
)

func TestMain(m *testing.M) {
	if play := childPlays[os.Getenv(childPlay)]; play != nil {
		os.Exit(play())
	}
	programs, err := os.MkdirTemp("", "natslog-test-")
	if err == nil {
		err = os.Setenv(programDir, programs)
	}
	if err == nil {
		err = flag.Set("test.parallel", "8") // most of these tests wait, for servers and elections
	}
	if err != nil {
		os.Exit(fail(err))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(programs) // it is the system's to clear away, too
		os.Exit(code)
	}))
}

func open(t testing.TB, cfg Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func closeDB(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// hosts are all that a log may live on. Each gives a configuration for the data that belong to a directory.
var hosts = map[string]func(*testing.T) func(dir string) Config{
	"Strict": func(*testing.T) func(string) Config {
		return func(dir string) Config { return Config{Dir: dir, Durability: Strict} }
	},
	"FastThreeWays": func(*testing.T) func(string) Config {
		return func(dir string) Config { return Config{Dir: dir, Durability: Fast, Partitions: 3} }
	},
	"Server": func(t *testing.T) func(string) Config {
		s := inProcess(t, "")
		return func(dir string) Config { return Config{URL: s.url(dir), Dir: dir} }
	},
	"Cluster": func(t *testing.T) func(string) Config {
		s := processes(t, 3)
		return func(dir string) Config { return Config{URL: s.url(dir)} }
	},
}

// TestConformance runs every suite on every host.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, start := range hosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := start(t)
			for name, suite := range map[string]func(*testing.T, func(*testing.T, string) *DB){
				"Log":       testLog,
				"WorkQueue": testWorkQueue,
				"Store":     testStore,
				"Volatile":  testVolatile,
				"Peers":     testPeers,
				"TTL":       func(t *testing.T, open func(*testing.T, string) *DB) { testVolatileVanishes(t, kept(t, open)) },
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					suite(t, func(t *testing.T, dir string) *DB { return open(t, config(dir)) })
				})
			}
			if config(t.TempDir()).external() {
				t.Run("FirstOpenAtOnce", func(t *testing.T) {
					t.Parallel()
					testFirstOpenAtOnce(t, config, map[string]int{"Server": 1, "Cluster": 3}[name])
				})
			}
		})
	}
}

// kept opens a DB that is closed when the test ends.
func kept(t *testing.T, open func(*testing.T, string) *DB) *DB {
	db := open(t, t.TempDir())
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func testLog(t *testing.T, open func(*testing.T, string) *DB) {
	gatewaytest.Log(t, func(t *testing.T, dir string) (gateway.Log, func()) {
		db := open(t, dir)
		return db.Log(), func() { closeDB(t, db) }
	})
}

func testWorkQueue(t *testing.T, open func(*testing.T, string) *DB) {
	gatewaytest.WorkQueue(t, func(t *testing.T, dir string) (gateway.WorkQueue, func()) {
		db := open(t, dir)
		q, err := db.Queue(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		return q, func() { closeDB(t, db) }
	})
}

func testStore(t *testing.T, open func(*testing.T, string) *DB) {
	gatewaytest.Store(t, func(t *testing.T, dir string) (gateway.Store, func()) {
		db := open(t, dir)
		return db.Store(), func() { closeDB(t, db) }
	})
}

// testVolatile keeps an embedded server open over what the suite takes for a restart: it would lose everything.
func testVolatile(t *testing.T, open func(*testing.T, string) *DB) {
	var mu sync.Mutex
	dbs := map[string]*DB{}
	gatewaytest.Store(t, func(t *testing.T, dir string) (gateway.Store, func()) {
		mu.Lock()
		defer mu.Unlock()
		db := dbs[dir]
		if db == nil {
			db = open(t, dir)
			t.Cleanup(func() { closeDB(t, db) })
			dbs[dir] = db
		}
		s, err := db.Volatile(t.Context(), "shared", 0)
		if err != nil {
			t.Fatal(err)
		}
		return s, func() {}
	})
}

// testFirstOpenAtOnce has several nodes make the streams.
func testFirstOpenAtOnce(t *testing.T, config func(string) Config, replicas int) {
	for range 2 {
		cfg := config(t.TempDir())
		dbs := make([]*DB, 4)
		var opening sync.WaitGroup
		for i := range dbs {
			opening.Go(func() {
				var err error
				if dbs[i], err = Open(t.Context(), cfg); err != nil {
					t.Error(err)
					return
				}
				if _, err := dbs[i].Queue(t.Context(), "crm"); err != nil {
					t.Error(err)
				}
				if _, err := dbs[i].Volatile(t.Context(), "shared", time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		opening.Wait()
		if t.Failed() {
			return
		}
		want := dbs[0].log.Info()
		if want.Partitions != clusterPartitions {
			t.Errorf("%d partitions", want.Partitions)
		}
		var last uint64
		for i, db := range dbs {
			if got := db.log.Info(); got != want {
				t.Errorf("one node opened %v, another %v", want, got)
			}
			seq, err := db.log.Append(t.Context(), gateway.Entry{ID: fmt.Sprint(i)}, last)
			if err != nil {
				t.Error(err)
			}
			last = seq
		}
		for name := range dbs[0].js.StreamNames(t.Context()).Name() {
			stream, err := dbs[0].js.Stream(t.Context(), name)
			if err != nil || stream.CachedInfo().Config.Replicas != replicas {
				t.Errorf("%s has %d replicas, want %d: %v", name, stream.CachedInfo().Config.Replicas, replicas, err)
			}
		}

		// A stream that was made when there were fewer nodes gets its replicas later.
		small := dbs[0].log.stream.CachedInfo().Config
		small.Replicas = 1
		if _, err := dbs[0].js.UpdateStream(t.Context(), small); err != nil {
			t.Fatal(err)
		}
		for _, db := range dbs {
			closeDB(t, db)
		}
		db := open(t, cfg)
		info, err := db.log.stream.Info(t.Context())
		if err != nil || info.Config.Replicas != replicas {
			t.Errorf("%d replicas, want %d: %v", info.Config.Replicas, replicas, err)
		}
		closeDB(t, db)
	}
}
