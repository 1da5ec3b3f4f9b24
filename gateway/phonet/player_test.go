package phonet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

// tape is what a link's tap was given.
type tape struct {
	mu  sync.Mutex
	all []Recorded
}

func (t *tape) tap(from string, raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, Recorded{At: time.Now(), From: from, Raw: bytes.Clone(raw)})
}

// recorded is what there is so far.
func (t *tape) recorded() []Recorded {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

// player plays what was recorded.
func player(cfg Config, all []Recorded) *Player {
	return NewPlayer(cfg, func(context.Context) (Recorded, error) {
		if len(all) == 0 {
			return Recorded{}, io.EOF
		}
		r := all[0]
		all = all[1:]
		return r, nil
	})
}

// TestPlayerTellsWhatTheLinkTold: of every scenario, also when all sockets were cut in its midst, and without the HTTP
// API.
func TestPlayerTellsWhatTheLinkTold(t *testing.T) {
	t.Parallel()
	type variant struct {
		name   string
		noREST bool
		cut    int // messages; none: 0
	}
	for _, v := range []variant{{"whole", false, 0}, {"cut", false, 2}, {"events alone", true, 0}} {
		for _, s := range scenarios() {
			t.Run(v.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				var tape tape
				o := openOffice(t, func(p *sandbox.PhonetConfig, c *Config) { p.NoREST, c.Tap = v.noREST, tape.tap })
				o.untilListening(3)
				if !v.noREST {
					o.inSync(0)
				}
				if v.cut > 0 {
					o.pbx.CutAfter(v.cut)
				}
				o.play(s, func() {})
				o.pbx.Restore()
				want := s.want
				if v.noREST {
					want = s.byEvents()
				}
				o.ledger.untilCalls(t, want...)
				o.stop()
				again := newLedger()
				if err := player(o.cfg, tape.recorded()).Run(t.Context(), again); err != nil {
					t.Fatal(err)
				}
				if got, want := again.summary(), o.ledger.summary(); !sameCalls(got, want) {
					t.Errorf("played\n  %s\ntold then\n  %s\n%v", strings.Join(got, "\n  "), strings.Join(want, "\n  "), tape.recorded())
				}
			})
		}
	}
}

// TestTapDoesNotShowTheKey: nor cookies.
func TestTapDoesNotShowTheKey(t *testing.T) {
	t.Parallel()
	var tape tape
	o := openOffice(t, func(_ *sandbox.PhonetConfig, c *Config) { c.Tap = tape.tap })
	o.inSync(0)
	o.play(scenarios()[0], func() {})
	o.ledger.untilCalls(t, scenarios()[0].want...)
	o.stop()
	all := fmt.Sprintf("%s", tape.recorded())
	for _, from := range []string{fromSocket + "101", fromAsking, fromLearnt, pathActive, pathUsers, pathHistory + "company.api", pathHistory + "users.api"} {
		if !strings.Contains(all, from) {
			t.Errorf("nothing from %s", from)
		}
	}
	if mask(all, testKey) != all || strings.Contains(strings.ToLower(all), "cookie") || strings.Contains(all, "authorize") {
		t.Errorf("the key is in it:\n%s", all)
	}
}

// FuzzPlayer: a recording may hold anything.
func FuzzPlayer(f *testing.F) {
	f.Add(fromSocket+"101", []byte(`{"event":"call.dial","uuid":"a","lgDirection":4,"leg":{"type":1,"ext":"101"},"dialAt":1431686068968}`), int64(1000))
	f.Add(pathActive, []byte(`[{"lastEvent":"call.dial","uuid":"a","lgDirection":4,"leg":{"type":1,"ext":"101"}}]`), int64(-5))
	f.Add(pathHistory+"users.api?limit=50", []byte(`[{"uuid":"a","endAt":1431686068968,"lgDirection":4,"billSecs":3}]`), int64(1e6))
	f.Add(pathUsers, []byte(`[{"ext":"101"}]`), int64(0))
	f.Fuzz(func(t *testing.T, from string, raw []byte, later int64) {
		at := time.UnixMilli(1431686068968)
		_ = player(Config{Logger: slog.New(slog.DiscardHandler)}, []Recorded{
			{at, fromAsking, nil},
			{at, from, raw},
			{at.Add(time.Duration(later) * time.Millisecond % time.Hour), fromLearnt, nil},
			{at, from, raw},
		}).Run(t.Context(), newLedger()) // one that is damaged says so
	})
}
