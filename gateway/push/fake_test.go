package push

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

// fakeGateway keeps every user's messages for ever. Cursors are e1-1, e1-2, …; anything else is a reset.
type fakeGateway struct {
	onSubscribe func(userKey)                       // between the registration and the return
	onCommand   func(gateway.Command) gateway.Reply // instead of the usual answer
	onShown     func(account, user, call, rung string)
	refuse      error // what Subscribe answers, if set
	gone        chan clientKey

	mu     sync.Mutex
	users  map[userKey]*fakeUser
	cursor string // that the last client came with
}

type fakeUser struct {
	log  []gateway.Message
	subs map[int]func(gateway.Message)
	next int
}

func newFakeGateway() *fakeGateway {
	return &fakeGateway{users: map[userKey]*fakeUser{}, gone: make(chan clientKey, 64)}
}

func (g *fakeGateway) user(key userKey) *fakeUser {
	u := g.users[key]
	if u == nil {
		u = &fakeUser{subs: map[int]func(gateway.Message){}}
		g.users[key] = u
	}
	return u
}

func (g *fakeGateway) Subscribe(account, user, cursor string, deliver func(gateway.Message)) (gateway.Hello, func(), error) {
	if g.refuse != nil {
		return gateway.Hello{}, nil, g.refuse
	}
	key := userKey{account, user}
	hello, cancel := g.subscribe(key, cursor, deliver)
	if g.onSubscribe != nil {
		g.onSubscribe(key)
	}
	return hello, cancel, nil
}

func (g *fakeGateway) subscribe(key userKey, cursor string, deliver func(gateway.Message)) (gateway.Hello, func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cursor = cursor
	u := g.user(key)
	id := u.next
	u.next++
	u.subs[id] = deliver
	cancel := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(u.subs, id)
	}
	at, ok := strings.CutPrefix(cursor, "e1-")
	n, err := strconv.Atoi(at)
	switch {
	case cursor == "":
		return gateway.Hello{Cursor: fakeCursor(len(u.log)), Reason: "new"}, cancel
	case !ok || err != nil || n < 0 || n > len(u.log):
		return gateway.Hello{Cursor: fakeCursor(len(u.log)), Reason: "epoch"}, cancel
	}
	return gateway.Hello{Cursor: cursor, Resumed: true, Missed: append([]gateway.Message(nil), u.log[n:]...)}, cancel
}

func fakeCursor(n int) string { return "e1-" + strconv.Itoa(n) }

// publish appends a message for a user and delivers it; pad makes it that much longer.
func (g *fakeGateway) publish(key userKey, pad int) gateway.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.user(key).log) + 1
	return g.deliver(key, json.RawMessage(fmt.Sprintf(`{"id":"main:%s-%d","pad":%q}`, key.user, n, strings.Repeat("x", pad))))
}

// append publishes a call of any text.
func (g *fakeGateway) append(key userKey, call json.RawMessage) gateway.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deliver(key, call)
}

func (g *fakeGateway) deliver(key userKey, call json.RawMessage) gateway.Message {
	u := g.user(key)
	m := gateway.Message{
		Cursor: fakeCursor(len(u.log) + 1),
		At:     time.Now(),
		Event:  gateway.EventDial,
		Call:   call,
	}
	u.log = append(u.log, m)
	for _, deliver := range u.subs {
		deliver(m)
	}
	return m
}

func (g *fakeGateway) Command(_ context.Context, cmd gateway.Command) gateway.Reply {
	if g.onCommand != nil {
		return g.onCommand(cmd)
	}
	return gateway.Reply{ID: cmd.ID, OK: true, Call: cmd.Account + "/" + cmd.User + "/" + cmd.Action + "/" + cmd.To}
}

func (g *fakeGateway) ClientHere(string, string, string) {}

func (g *fakeGateway) Shown(account, user, call, rung string) {
	if g.onShown != nil {
		g.onShown(account, user, call, rung)
	}
}

func (g *fakeGateway) ClientGone(account, user, client string) {
	select {
	case g.gone <- clientKey{userKey{account, user}, client}:
	default: // a test that counts them leaves room
	}
}

func (g *fakeGateway) subscribers() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, u := range g.users {
		n += len(u.subs)
	}
	return n
}

// head is the cursor of a user's last message.
func (g *fakeGateway) head(key userKey) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fakeCursor(len(g.user(key).log))
}

func (g *fakeGateway) lastCursor() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cursor
}

// switchable is a directory whose users can be taken out.
type switchable struct {
	*gateway.Accounts
	mu      sync.Mutex
	revoked map[userKey]bool
}

func (d *switchable) User(account, user string) (gateway.User, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.revoked[userKey{account, user}] {
		return gateway.User{}, false
	}
	return d.Accounts.User(account, user)
}

func (d *switchable) revoke(account, user string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revoked[userKey{account, user}] = true
}
