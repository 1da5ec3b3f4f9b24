package phonet

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"ringcast/gateway"
)

// fakePresence is a board of who is away.
type fakePresence struct {
	mu      sync.Mutex
	away    map[string]bool
	watched map[string]func([]gateway.UserPresence)
}

func (p *fakePresence) Presence(account string) (users []gateway.UserPresence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if account == "acme" {
		for user, away := range p.away {
			users = append(users, gateway.UserPresence{User: user, Away: away})
		}
	}
	return users
}

func (p *fakePresence) WatchPresence(account string, fn func([]gateway.UserPresence)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched[account] = fn
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watched, account)
	}
}

// set changes how a user is; it tells with its lock held, as the gateway does.
func (p *fakePresence) set(user string, is gateway.UserPresence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	is.User, p.away[user] = user, is.Away
	p.watched["acme"]([]gateway.UserPresence{is})
}

func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	board := &fakePresence{away: map[string]bool{"7": true}, watched: map[string]func([]gateway.UserPresence){}}
	r := newServerRig(t, func(cfg *ServerConfig) { cfg.Presence = board })
	a, b := r.connect("103"), r.connect("102")
	if m := a.want("call.hangup 32"); m.Leg.Ext != "103" || m.Leg.ID != 7 {
		t.Errorf("away before the client came: %+v", m)
	}
	b.nothingMore()
	board.set("7", gateway.UserPresence{Busy: true, Away: true}) // which is no news
	board.set("7", gateway.UserPresence{Busy: true})
	a.want("call.hangup 64")
	board.set("boris", gateway.UserPresence{Away: true})
	text := b.frame()
	before, _, _ := strings.Cut(text, `"dialAt"`)
	if want := `{"event":"call.hangup","uuid":"presence-boris","parentUuid":null,"lgDirection":32,"leg":{"id":` +
		strconv.FormatInt(int64(legID(boris)), 10) + `,"type":1,"displayName":"Boris","ext":"102"},"leg2":null,"otherLegs":[],`; before != want {
		t.Errorf("got  %s\nwant %s", before, want)
	}
	if !strings.Contains(text, `"bridgeAt":null`) || !strings.HasSuffix(text, `"trunkNum":null,"trunkName":null}`) {
		t.Error(text)
	}
	a.nothingMore()
	r.server.Close()
	if len(board.watched) != 0 {
		t.Error("it still watches")
	}
}
