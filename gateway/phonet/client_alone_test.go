package phonet

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

// TestWithoutRESTNobodyAsksForEachCall: an HTTP API that is not to be had is tried again when that is due, whatever
// happens meanwhile.
func TestWithoutRESTNobodyAsksForEachCall(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	o := openOffice(t, func(p *sandbox.PhonetConfig, c *Config) {
		p.NoREST = true
		c.Tap = func(from string, _ []byte) {
			if from == fromAsking {
				asked.Add(1)
			}
		}
	})
	o.untilListening(3)
	o.untilNoREST()
	var want []string
	for range 40 {
		o.play(scenario{steps: scenarios()[0].steps}, func() {})
		want = append(want, scenarios()[0].byEvents()...)
		o.ledger.untilCalls(t, want...)
	}
	o.pbx.Cut()
	o.pbx.Restore()
	o.untilListening(3)
	o.stop()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := len(o.link.survey.lookups); n > 0 {
		t.Errorf("%d calls wait for a history that there is not", n)
	}
}

// TestBackOffGrowsWhereNothingOpens: a socket that was never open has not lived, however long its attempt took: at a
// host that swallows it, or while it waited for its turn among many.
func TestBackOffGrowsWhereNothingOpens(t *testing.T) {
	t.Parallel()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, base := range map[string]string{"silent": "http://" + silent.Addr().String(), "gone": gone.URL} {
		log := &syncBuffer{}
		var passed atomic.Int64
		link := New(Config{
			Domain: testDomain, APIKey: testKey, BaseURL: base, Subscribers: subscribers("101"), Pace: time.Millisecond,
			DialTimeout: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(log, nil)), haste: 1000,
			now: func() time.Time { return time.Now().Add(time.Duration(passed.Add(int64(livedTime)))) }, // any attempt takes that long
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		ended := make(chan error, 1)
		go func() { ended <- link.Run(ctx, newLedger()) }()
		long := regexp.MustCompile(`again_in=([0-9]{1,2}\.[0-9]+s|1m)`)
		tick := time.NewTicker(5 * time.Millisecond)
		for !long.MatchString(log.String()) && ctx.Err() == nil {
			<-tick.C
		}
		tick.Stop()
		if ctx.Err() != nil {
			t.Errorf("%s: never a second between two attempts\n%s", name, log)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestEmployeesAreListedNowAndThen, not whenever the calls are: the PBX may count what it is asked.
func TestEmployeesAreListedNowAndThen(t *testing.T) {
	t.Parallel()
	var asked, users atomic.Int32
	o := openOffice(t, func(_ *sandbox.PhonetConfig, c *Config) {
		c.Tap = func(from string, _ []byte) {
			switch from {
			case fromAsking:
				asked.Add(1)
			case pathUsers:
				users.Add(1)
			}
		}
	})
	o.inSync(0)
	for n := range 3 {
		o.pbx.Cut()
		o.pbx.Restore()
		o.inSync(n + 1)
	}
	o.stop()
	if asked.Load() < 4 || users.Load() != 1 {
		t.Errorf("the calls %d times, the employees %d times", asked.Load(), users.Load())
	}
}
