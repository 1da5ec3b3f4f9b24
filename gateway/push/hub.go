package push

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ringcast/gateway"
)

// pingSlots is over how many ticks the pings of one period are spread.
const pingSlots = 25

type userKey struct{ account, user string }

type clientKey struct {
	userKey
	client string
}

// hub is the index of all sessions: whose they are, which clients and users are here, whose turn it is to be
// pinged. It calls nobody while it is locked.
type hub struct {
	limits Limits

	mu    sync.Mutex
	users map[userKey]*member
	slots [pingSlots][]*session
	next  int // slot for the next session
	turn  int // slot to ping
	count int
	shut  bool
	empty chan struct{} // closed once shut and without a session

	passing map[userKey]struct{} // users of whom something ends by itself: a lease, or that they count as here
	moved   map[userKey]struct{} // users who may not be here as was told
	news    chan struct{}        // that there are some

	order [64]sync.Mutex // see inOrder
	seed  maphash.Seed
}

// member is what the hub knows of one user.
type member struct {
	sessions []*session
	leases   []lease
	commands int
	told     gateway.Here // how he is here, as the gateway knows it
	toldAt   time.Time
	online   time.Time // until when he counts as here, though a session has ended
	visible  time.Time // likewise, as looking at a page
}

// lease is until when a client without a lasting connection counts as present.
type lease struct {
	client string
	until  time.Time
	here   gateway.Here // as its last poll was; a client that only posts commands is not
}

func newHub(limits Limits) *hub {
	return &hub{
		limits: limits,
		users:  map[userKey]*member{},
		empty:  make(chan struct{}),

		passing: map[userKey]struct{}{},
		moved:   map[userKey]struct{}{},
		news:    make(chan struct{}, 1),

		seed: maphash.MakeSeed(),
	}
}

// add registers a session that is about to open, and returns those of its client on the same rung, which end when it
// has opened. It fails when the user has too many or the server is going down.
func (h *hub) add(s *session) (older []*session, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return nil, errDraining()
	}
	if h.count >= h.limits.Sessions {
		return nil, errFull()
	}
	u := h.user(s.key())
	// A client that comes anew while its old connection hangs half open is let in, for that one is about to go. Those
	// that have not gone yet are bounded, too.
	if n := len(u.sessions); n >= h.limits.PerUser && !u.connected(s.client) || n >= 2*h.limits.PerUser {
		return nil, errTooMany("this user has too many sessions")
	}
	older = u.on(s.rung, s.client)
	u.sessions = append(u.sessions, s)
	s.slot, s.pos = h.next, len(h.slots[h.next])
	h.slots[s.slot] = append(h.slots[s.slot], s)
	h.next = (h.next + 1) % pingSlots
	h.count++
	return older, nil
}

// remove forgets a session, if it was added, and says whether its client went with it.
func (h *hub) remove(s *session) (gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	slot := h.slots[s.slot]
	if s.pos >= len(slot) || slot[s.pos] != s {
		return false
	}
	last := len(slot) - 1
	slot[s.pos] = slot[last]
	slot[s.pos].pos = s.pos
	slot[last] = nil
	h.slots[s.slot] = slot[:last]

	u := h.users[s.key()]
	for i, other := range u.sessions {
		if other == s {
			u.sessions = append(u.sessions[:i], u.sessions[i+1:]...)
			break
		}
	}
	if l := u.lease(s.client); s.here && (s.stream || l == nil || !l.here.Online) {
		u.online = time.Now().Add(h.limits.PresenceLeave) // which hides a reconnect
		if s.visible {
			u.visible = u.online
		}
		h.passing[s.key()] = struct{}{}
	}
	h.settle(s.key(), u)
	h.count--
	if h.shut && h.count == 0 {
		close(h.empty)
	}
	return s.client != "" && !u.has(s.client)
}

// inOrder is held while a client comes, or is seen to have gone, and the gateway is told: it hears of both in the
// order in which they were.
func (h *hub) inOrder(key clientKey) (done func()) {
	order := &h.order[maphash.Comparable(h.seed, key)%uint64(len(h.order))]
	order.Lock()
	return order.Unlock
}

// has says whether a client is here.
func (h *hub) has(key clientKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[key.userKey]
	return u != nil && u.has(key.client)
}

// on returns the sessions of a client on a rung.
func (h *hub) on(rung string, key clientKey) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if u := h.users[key.userKey]; u != nil {
		return u.on(rung, key.client)
	}
	return nil
}

// of returns the sessions of a user, of an account (user ""), or all (account "").
func (h *hub) of(account, user string) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if user != "" {
		if u := h.users[userKey{account, user}]; u != nil {
			return slices.Clone(u.sessions)
		}
		return nil
	}
	var all []*session
	for key, u := range h.users {
		if account == "" || key.account == account {
			all = append(all, u.sessions...)
		}
	}
	return all
}

// rung is the one that a client is on, "" when it has none at the moment: it polls.
func (h *hub) rung(key clientKey) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if u := h.users[key.userKey]; u != nil && key.client != "" {
		for _, s := range u.sessions {
			if s.client == key.client {
				return s.rung
			}
		}
	}
	return ""
}

// lease keeps a client present for d, as it comes and goes. It fails when the user has too many of them.
func (h *hub) lease(key clientKey, d time.Duration) error {
	if key.client == "" {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.user(key.userKey)
	l := u.lease(key.client)
	if l == nil {
		if len(u.leases) >= leasesPerSession*h.limits.PerUser {
			return errTooMany("this user has too many clients")
		}
		u.leases = append(u.leases, lease{client: key.client})
		l = &u.leases[len(u.leases)-1]
		h.passing[key.userKey] = struct{}{}
	}
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
	}
	return nil
}

// beginCommand counts a command of a user; endCommand is to follow unless it fails.
func (h *hub) beginCommand(key userKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.user(key)
	if u.commands >= h.limits.Commands {
		return errTooMany("too many commands at a time")
	}
	u.commands++
	return nil
}

func (h *hub) endCommand(key userKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[key]
	u.commands--
	h.settle(key, u)
}

// tick returns the lasting sessions whose turn it is to be pinged, and the clients whose lease ran out.
func (h *hub) tick(now time.Time) (turn []*session, gone []clientKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.slots[h.turn] {
		if s.stream {
			turn = append(turn, s)
		}
	}
	h.turn = (h.turn + 1) % pingSlots
	for key := range h.passing {
		u := h.users[key]
		u.leases = slices.DeleteFunc(u.leases, func(l lease) bool {
			over := now.After(l.until)
			if over && !u.connected(l.client) {
				gone = append(gone, clientKey{key, l.client})
			}
			return over
		})
		if len(u.leases) == 0 && !now.Before(u.online) {
			delete(h.passing, key)
		}
		h.settle(key, u)
	}
	return turn, gone
}

// close lets no session in any more and returns those that are there, shuffled, so that a drain hits all
// users alike.
func (h *hub) close() []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.shut {
		h.shut = true
		if h.count == 0 {
			close(h.empty)
		}
	}
	all := make([]*session, 0, h.count)
	for _, slot := range h.slots[:] {
		all = append(all, slot...)
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func (h *hub) draining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shut
}

func (h *hub) user(key userKey) *member {
	u := h.users[key]
	if u == nil {
		u = &member{}
		h.users[key] = u
	}
	return u
}

// settle is called when something of a user has changed: he may have come or gone, or there is nothing left to know.
func (h *hub) settle(key userKey, u *member) {
	switch here := u.here(time.Now()); {
	case here != u.told:
		h.moved[key] = struct{}{}
		select {
		case h.news <- struct{}{}:
		default:
		}
	case here == (gateway.Here{}) && len(u.sessions)+len(u.leases)+u.commands == 0:
		delete(h.users, key)
		delete(h.moved, key)
		delete(h.passing, key)
	}
}

// has says whether a client is here, if only by its lease.
func (u *member) has(client string) bool { return u.connected(client) || u.lease(client) != nil }

// connected says whether a client has a session; who has no name is no client.
func (u *member) connected(client string) bool {
	return slices.ContainsFunc(u.sessions, func(s *session) bool { return s.client == client && client != "" })
}

// on returns the sessions of a client on a rung.
func (u *member) on(rung, client string) (all []*session) {
	for _, s := range u.sessions {
		if s.rung == rung && s.client == client && client != "" {
			all = append(all, s)
		}
	}
	return all
}

// lease returns a client's lease, nil if it has none.
func (u *member) lease(client string) *lease {
	for i := range u.leases {
		if u.leases[i].client == client && client != "" {
			return &u.leases[i]
		}
	}
	return nil
}

// here is how the user is here.
func (u *member) here(now time.Time) gateway.Here {
	here := gateway.Here{Online: now.Before(u.online), Visible: now.Before(u.visible)}
	add := func(is bool, more gateway.Here) {
		here.Online, here.Visible = here.Online || is && more.Online, here.Visible || is && more.Visible
	}
	for _, s := range u.sessions {
		add(s.here, gateway.Here{Online: true, Visible: s.visible})
	}
	for _, l := range u.leases {
		add(true, l.here)
	}
	return here
}

func (s *session) key() userKey { return userKey{s.account, s.user} }

func errDraining() error {
	return &gateway.Error{Code: gateway.CodeDraining, Message: "this node is going down; another will answer", RetryAfter: retryAfter}
}

func errFull() error {
	return &gateway.Error{Code: gateway.CodeUnavailable, Message: "this node has all the sessions that it can hold; another may answer", RetryAfter: retryAfter}
}

// Who is here. A user is as soon as a session of his has opened, and until some time after the last has ended; a
// client that polls has its lease instead of the time between two polls.

// arrive counts a session that has opened.
func (h *hub) arrive(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.user(s.key())
	s.here = true
	if l := u.lease(s.client); l != nil && !s.stream {
		l.here = gateway.Here{Online: true, Visible: s.visible}
	}
	h.settle(s.key(), u)
}

// looks notes that a client's page is looked at, or not any more.
func (h *hub) looks(key clientKey, visible bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[key.userKey]
	if u == nil || key.client == "" {
		return
	}
	for _, s := range u.sessions {
		if s.client == key.client {
			s.visible = visible
		}
	}
	if l := u.lease(key.client); l != nil && l.here.Online {
		l.here.Visible = visible
	}
	h.settle(key.userKey, u)
}

// arrival is how a user is here from now on.
type arrival struct {
	userKey
	here gateway.Here
}

// arrivals returns who is here otherwise than was told, and takes them as told. Those told a moment ago have to wait.
func (h *hub) arrivals() []arrival {
	h.mu.Lock()
	defer h.mu.Unlock()
	var changed []arrival
	now := time.Now()
	for key := range h.moved {
		u := h.users[key]
		if now.Sub(u.toldAt) < h.limits.PresenceEvery {
			continue
		}
		delete(h.moved, key)
		if here := u.here(now); here != u.told {
			u.told, u.toldAt = here, now
			changed = append(changed, arrival{key, here})
		}
		h.settle(key, u)
	}
	return changed
}
