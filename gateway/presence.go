package gateway

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Here says how a user is here, on one node or on all of them.
type Here struct {
	Online  bool // has a session
	Visible bool // looks at one of its pages
}

// UserPresence is what colleagues and PBXs may know of a user (GET /v1/accounts/{account}/presence, and the
// message of type presence).
type UserPresence struct {
	User       string   `json:"user"`
	Name       string   `json:"name"`
	Extensions []string `json:"extensions"`
	Online     bool     `json:"online"`
	Visible    bool     `json:"visible"`
	Busy       bool     `json:"busy"` // talks or holds: a ringing telephone alone does not count
	Away       bool     `json:"away"` // has told the PBX that nobody is at his telephone
}

// SetPresence says how a user is here on this node. It is called when that changes, after the delay that keeps
// a reconnect from being seen.
func (g *Gateway) SetPresence(account, user string, here Here) {
	g.presence.set(userKey{account, user}, here)
}

// Presence returns the users of an account's directory as they are on all nodes, in the directory's order.
func (g *Gateway) Presence(account string) []UserPresence { return g.presence.list(account) }

// WatchPresence calls fn with the users of an account whose presence has changed, from now on, one call after
// another. A user who has left the directory is one without extensions, and not online. fn must not block and must
// not call the gateway. It is not called any more after stop has returned.
func (g *Gateway) WatchPresence(account string, fn func([]UserPresence)) (stop func()) {
	return g.presence.watch(account, fn)
}

// DirectoryChanged says that the users of an account are not what they were: who watches its presence is told.
func (g *Gateway) DirectoryChanged(account string) { g.presence.recheck(account) }

// presence is the board of who is here. What the nodes tell each other of it is its exchange's; who is busy, the
// feed knows.
type presence struct {
	directory Directory
	busy      func(account, user string) bool
	exchange  *exchange // nil: this node is alone

	watching atomic.Int32 // accounts that are watched: mostly none, and then a record costs nothing

	mu      sync.RWMutex
	own     map[userKey]Here
	others  map[string]map[userKey]Here // by node
	away    map[place]struct{}          // where a PBX says that nobody is, on any node
	watched map[string]*watchedAccount
}

// watchedAccount is what the watchers of an account were told.
type watchedAccount struct {
	told map[string]UserPresence
	fns  []*func([]UserPresence)
}

func newPresence(directory Directory, busy func(account, user string) bool) *presence {
	return &presence{
		directory: directory, busy: busy,
		own: map[userKey]Here{}, others: map[string]map[userKey]Here{}, away: map[place]struct{}{}, watched: map[string]*watchedAccount{},
	}
}

func (p *presence) set(key userKey, here Here) {
	p.mu.Lock()
	if here.Online {
		p.own[key] = here
	} else {
		delete(p.own, key)
	}
	p.tell(key.account, key.user)
	p.mu.Unlock()
	if p.exchange != nil {
		p.exchange.write(key)
	}
}

// setOther notes how a user is on another node.
func (p *presence) setOther(node string, key userKey, here Here) {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := p.others[node]
	switch {
	case here.Online && users == nil:
		p.others[node] = map[userKey]Here{key: here}
	case here.Online:
		users[key] = here
	default:
		delete(users, key)
	}
	p.tell(key.account, key.user)
}

// drop forgets users of another node, those for whom gone is true, and returns them.
func (p *presence) drop(node string, gone func(userKey) bool) (dropped []userKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	accounts := map[string][]string{}
	for key := range p.others[node] {
		if gone(key) {
			delete(p.others[node], key)
			accounts[key.account] = append(accounts[key.account], key.user)
			dropped = append(dropped, key)
		}
	}
	if len(p.others[node]) == 0 {
		delete(p.others, node)
	}
	for account, users := range accounts {
		p.tell(account, users...)
	}
	return dropped
}

// run keeps the board until ctx ends.
func (p *presence) run(ctx context.Context) {
	if p.exchange == nil {
		<-ctx.Done()
		return
	}
	p.exchange.run(ctx)
}

// here is how a user is on this node.
func (p *presence) here(key userKey) Here {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.own[key]
}

// onThisNode returns who is here.
func (p *presence) onThisNode() []userKey {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Keys(p.own))
}

// nodes returns the other nodes that somebody is on.
func (p *presence) nodes() []string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Collect(maps.Keys(p.others))
}

// online says whether a user has a session on any node.
func (p *presence) online(key userKey) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.everywhere(key).Online
}

// everywhere is how a user is on all nodes together. p.mu is held.
func (p *presence) everywhere(key userKey) Here {
	here := p.own[key]
	for _, users := range p.others {
		other := users[key]
		here.Online, here.Visible = here.Online || other.Online, here.Visible || other.Visible
	}
	return here
}

func (p *presence) list(account string) []UserPresence {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.users(account)
}

func (p *presence) users(account string) []UserPresence {
	acc, _ := p.directory.Account(account)
	users := make([]UserPresence, len(acc.Users))
	for i, u := range acc.Users {
		users[i] = p.user(account, u)
	}
	return users
}

func (p *presence) user(account string, u User) UserPresence {
	here := p.everywhere(userKey{account, u.ID})
	is := UserPresence{
		User: u.ID, Name: u.Name, Extensions: u.Extensions,
		Online: here.Online, Visible: here.Visible, Busy: p.busy(account, u.ID), Away: p.anyAway(account, u.Extensions),
	}
	if is.Extensions == nil {
		is.Extensions = []string{}
	}
	return is
}

func (p *presence) watch(account string, fn func([]UserPresence)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watched[account]
	if w == nil {
		w = &watchedAccount{told: map[string]UserPresence{}}
		for _, u := range p.users(account) {
			w.told[u.User] = u
		}
		p.watched[account] = w
		p.watching.Add(1)
	}
	mine := &fn
	w.fns = append(w.fns, mine)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		w.fns = slices.DeleteFunc(w.fns, func(f *func([]UserPresence)) bool { return f == mine })
		if len(w.fns) == 0 && p.watched[account] == w {
			delete(p.watched, account)
			p.watching.Add(-1)
		}
	})
}

// record looks at a record that the feed has applied: who began or ceased to talk?
func (p *presence) record(r *Record) {
	if r.Call == nil || p.watching.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(r.Account, r.Users...)
}

func (p *presence) recheck(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watched[account]
	if w == nil {
		return
	}
	acc, _ := p.directory.Account(account)
	var users []string
	for _, u := range acc.Users {
		users = append(users, u.ID)
	}
	for id := range w.told {
		if _, ok := p.directory.User(account, id); !ok {
			users = append(users, id)
		}
	}
	p.tell(account, users...)
}

// tell tells the watchers of an account which of these users are not what they were. p.mu is held, so that they are
// told in order.
func (p *presence) tell(account string, users ...string) {
	w := p.watched[account]
	if w == nil {
		return
	}
	var changed []UserPresence
	for _, id := range users {
		u, member := p.directory.User(account, id)
		was, known := w.told[id]
		switch {
		case member:
			is := p.user(account, u)
			if !known || !was.equal(is) {
				w.told[id] = is
				changed = append(changed, is)
			}
		case known:
			delete(w.told, id)
			changed = append(changed, UserPresence{User: id, Name: was.Name, Extensions: []string{}})
		}
	}
	if len(changed) == 0 {
		return
	}
	for _, fn := range w.fns {
		(*fn)(changed)
	}
}

func (u UserPresence) equal(v UserPresence) bool {
	return u.Name == v.Name && u.Online == v.Online && u.Visible == v.Visible && u.Busy == v.Busy && u.Away == v.Away &&
		slices.Equal(u.Extensions, v.Extensions)
}

// busy says whether a user talks, or holds a call.
func (f *Feed) busy(account, user string) bool {
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.users[userKey{account, user}]
	if u == nil {
		return false
	}
	for _, c := range u.calls {
		for i := range c.Legs {
			if leg := &c.Legs[i]; leg.User == user && !leg.TalkingSince.IsZero() {
				return true
			}
		}
	}
	return false
}
