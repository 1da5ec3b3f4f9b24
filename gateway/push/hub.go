package push

import (
	"math/rand/v2"
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

// hub is the index of all sessions: whose they are, which clients are present, whose turn it is to be
// pinged. It calls nobody while it is locked.
type hub struct {
	limits Limits

	mu     sync.Mutex
	users  map[userKey]*presence
	leases map[clientKey]time.Time // until when a client without a lasting connection counts as present
	slots  [pingSlots][]*session
	next   int // slot for the next session
	turn   int // slot to ping
	count  int
	shut   bool
	empty  chan struct{} // closed once shut and without a session
}

// presence is what the hub knows of one user.
type presence struct {
	sessions []*session
	commands int
}

func newHub(limits Limits) *hub {
	return &hub{
		limits: limits,
		users:  map[userKey]*presence{},
		leases: map[clientKey]time.Time{},
		empty:  make(chan struct{}),
	}
}

// add registers a session that is about to open. It fails when the user has too many or the server is
// going down.
func (h *hub) add(s *session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return errDraining()
	}
	u := h.user(s.key())
	// A client that comes anew while its old connection hangs half open does not count twice.
	if len(u.sessions) >= h.limits.PerUser && !h.connected(clientKey{s.key(), s.client}) {
		return &gateway.Error{Code: gateway.CodeTooMany, Message: "this user has too many sessions", RetryAfter: retryAfter}
	}
	u.sessions = append(u.sessions, s)
	s.slot, s.pos = h.next, len(h.slots[h.next])
	h.slots[s.slot] = append(h.slots[s.slot], s)
	h.next = (h.next + 1) % pingSlots
	h.count++
	return nil
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
	h.tidy(s.key(), u)
	h.count--
	if h.shut && h.count == 0 {
		close(h.empty)
	}
	key := clientKey{s.key(), s.client}
	_, leased := h.leases[key]
	return s.client != "" && !leased && !h.connected(key)
}

// older returns the sessions that a client's new one on the same rung takes the place of.
func (h *hub) older(rung string, key clientKey) []*session {
	h.mu.Lock()
	defer h.mu.Unlock()
	var old []*session
	if u := h.users[key.userKey]; u != nil && key.client != "" {
		for _, s := range u.sessions {
			if s.rung == rung && s.client == key.client {
				old = append(old, s)
			}
		}
	}
	return old
}

// lease keeps a client present for d, as it comes and goes.
func (h *hub) lease(key clientKey, d time.Duration) {
	if key.client == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.leases[key]) {
		h.leases[key] = until
	}
}

// beginCommand counts a command of a user; endCommand is to follow unless it fails.
func (h *hub) beginCommand(key userKey) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.user(key)
	if u.commands >= h.limits.Commands {
		return &gateway.Error{Code: gateway.CodeTooMany, Message: "too many commands at a time", RetryAfter: retryAfter}
	}
	u.commands++
	return nil
}

func (h *hub) endCommand(key userKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.users[key]
	u.commands--
	h.tidy(key, u)
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
	for key, until := range h.leases {
		if now.After(until) {
			delete(h.leases, key)
			if !h.connected(key) {
				gone = append(gone, key)
			}
		}
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

func (h *hub) user(key userKey) *presence {
	u := h.users[key]
	if u == nil {
		u = &presence{}
		h.users[key] = u
	}
	return u
}

func (h *hub) tidy(key userKey, u *presence) {
	if len(u.sessions) == 0 && u.commands == 0 {
		delete(h.users, key)
	}
}

func (h *hub) connected(key clientKey) bool {
	u := h.users[key.userKey]
	if u == nil {
		return false
	}
	for _, s := range u.sessions {
		if s.client == key.client {
			return true
		}
	}
	return false
}

func (s *session) key() userKey { return userKey{s.account, s.user} }

func errDraining() error {
	return &gateway.Error{Code: gateway.CodeDraining, Message: "this node is going down; another will answer", RetryAfter: retryAfter}
}
