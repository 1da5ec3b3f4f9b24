package natslog

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
)

func TestMain(m *testing.M) {
	if play := childPlays[os.Getenv(childPlay)]; play != nil {
		os.Exit(play())
	}
	goleak.VerifyTestMain(m)
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

func TestLog(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"Strict":        {Durability: Strict},
		"FastThreeWays": {Durability: Fast, Partitions: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gatewaytest.Log(t, func(t *testing.T, dir string) (gateway.Log, func()) {
				cfg := cfg
				cfg.Dir = dir
				db := open(t, cfg)
				return db.Log(), func() { closeDB(t, db) }
			})
		})
	}
}

func TestWorkQueue(t *testing.T) {
	t.Parallel()
	gatewaytest.WorkQueue(t, func(t *testing.T, dir string) (gateway.WorkQueue, func()) {
		db := open(t, Config{Dir: dir, Durability: Fast})
		q, err := db.Queue(t.Context(), "crm")
		if err != nil {
			t.Fatal(err)
		}
		return q, func() { closeDB(t, db) }
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	gatewaytest.Store(t, func(t *testing.T, dir string) (gateway.Store, func()) {
		db := open(t, Config{Dir: dir, Durability: Fast})
		return db.Store(), func() { closeDB(t, db) }
	})
}
