package push

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"ringcast/gateway"
)

// boardLinger is how long a board is kept that nobody looks at: those who poll come and go.
const boardLinger = time.Minute

// tellPresence tells the gateway who comes and goes here, in order, and sessions who does elsewhere.
func (s *Server) tellPresence() {
	ticker := time.NewTicker(s.limits.PresenceEvery)
	defer ticker.Stop()
	defer s.boards.close()
	for {
		var now time.Time
		select {
		case <-s.hub.news:
		case now = <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		for _, a := range s.hub.arrivals() {
			s.boards.source.SetPresence(a.account, a.user, a.here)
		}
		if !now.IsZero() {
			s.boards.tick(now)
		}
	}
}

// noPresence is for a server that has nobody to ask.
type noPresence struct{}

func (noPresence) SetPresence(string, string, gateway.Here)                         {}
func (noPresence) Presence(string) []gateway.UserPresence                           { return nil }
func (noPresence) WatchPresence(string, func([]gateway.UserPresence)) (stop func()) { return func() {} }

// boards are the accounts whose presence some session wants.
type boards struct {
	source    Presence
	directory gateway.Directory
	limits    Limits

	mu       sync.Mutex // may be held while source is asked, as no board's is, and not while a board encodes
	accounts map[string]*board
	shut     bool
}

// board is the presence of an account's users, and the sessions that want it. Streams get it whole and then what
// changes; a poll is answered with the whole, if its client does not have it yet.
type board struct {
	directory gateway.Directory
	account   string
	stop      func()

	mu      sync.Mutex
	ready   bool // users is whole
	users   map[string]gateway.UserPresence
	early   []gateway.UserPresence // changed before users was whole, in order
	changed map[string]struct{}    // users of whom the streams do not know yet
	shrunk  bool                   // somebody has left the directory: only the whole can say so
	streams map[*session]struct{}
	polls   map[*session]*waiting
	empty   time.Time // since when nobody looks at it; zero: somebody does
	closed  bool      // it is forgotten: there may be another by now
	whole   []byte    // the message, nil when it is to be made anew
	version string    // of whole: the same on all nodes
}

// waiting is a poll.
type waiting struct {
	since   time.Time
	version string // that its client has
	told    bool
}

func newBoards(source Presence, directory gateway.Directory, limits Limits) *boards {
	if source == nil {
		source = noPresence{}
	}
	return &boards{source: source, directory: directory, limits: limits, accounts: map[string]*board{}}
}

// join begins to bring presence to a session.
func (all *boards) join(s *session) {
	for b := all.board(s.account); b != nil && !b.join(s); b = all.board(s.account) {
	}
}

// board returns an account's, nil when the server goes down.
func (all *boards) board(account string) *board {
	all.mu.Lock()
	defer all.mu.Unlock()
	b := all.accounts[account]
	if b == nil && !all.shut {
		b = &board{
			directory: all.directory, account: account, users: map[string]gateway.UserPresence{}, changed: map[string]struct{}{},
			streams: map[*session]struct{}{}, polls: map[*session]*waiting{},
		}
		all.accounts[account] = b
		b.stop = all.source.WatchPresence(account, b.take)
		b.begin(all.source.Presence(account))
	}
	return b
}

func (all *boards) leave(s *session) {
	all.mu.Lock()
	b := all.accounts[s.account]
	all.mu.Unlock()
	if b != nil {
		b.leave(s)
	}
}

// tick sends what has changed, and forgets boards that nobody looks at.
func (all *boards) tick(now time.Time) {
	all.mu.Lock()
	accounts := maps.Clone(all.accounts)
	all.mu.Unlock()
	for account, b := range accounts {
		if b.send(now, all.limits.PresencePoll) && all.forget(account, b) {
			b.stop()
		}
	}
}

// forget closes a board, unless somebody has joined it meanwhile.
func (all *boards) forget(account string, b *board) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed = !b.empty.IsZero(); b.closed {
		delete(all.accounts, account)
	}
	return b.closed
}

func (all *boards) close() {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.shut = true
	for _, b := range all.accounts {
		b.stop()
	}
	clear(all.accounts)
}

// begin takes the users as they are; what changed meanwhile may be newer.
func (b *board) begin(users []gateway.UserPresence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range users {
		b.users[u.User] = u
	}
	b.ready = true
	b.change(b.early)
	b.early = nil
}

// take is told by the gateway of users that have changed.
func (b *board) take(users []gateway.UserPresence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ready {
		b.early = append(b.early, users...)
		return
	}
	b.change(users)
}

func (b *board) change(users []gateway.UserPresence) {
	for _, u := range users {
		b.whole = nil
		if _, ok := b.directory.User(b.account, u.User); !ok {
			delete(b.users, u.User)
			delete(b.changed, u.User)
			b.shrunk = true
			continue
		}
		b.users[u.User] = u
		b.changed[u.User] = struct{}{}
	}
}

// join fails when the board is closed.
func (b *board) join(s *session) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.empty = time.Time{}
	if s.stream {
		b.streams[s] = struct{}{}
		s.bring(b.encode(), true, true) // under the lock: nothing newer comes before it
		return true
	}
	w := &waiting{since: time.Now(), version: *s.presence}
	b.polls[s] = w
	if frame := b.encode(); b.version != w.version {
		// A first one is answered with it. Another has been, lately: it may come along with something else.
		w.told = w.version == ""
		s.bring(frame, true, w.told)
	}
	return true
}

func (b *board) leave(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
	delete(b.polls, s)
	if len(b.streams)+len(b.polls) == 0 {
		b.empty = time.Now()
	}
}

// send tells the streams what has changed, and answers polls that have waited long enough. It says whether the board
// is of no more use.
func (b *board) send(now time.Time, patience time.Duration) (unused bool) {
	b.mu.Lock()
	news := b.news()
	var streams, stale []*session
	for s := range b.streams {
		if news == nil {
			break
		}
		streams = append(streams, s)
	}
	for s, w := range b.polls {
		if !w.told && now.Sub(w.since) >= patience && b.encode() != nil && b.version != w.version {
			w.told = true
			stale = append(stale, s)
		}
	}
	unused = !b.empty.IsZero() && now.Sub(b.empty) > boardLinger
	b.mu.Unlock()

	for _, s := range streams {
		if !s.bring(news, false, true) { // it has not taken the last yet, and what changed in both is the whole to it
			stale = append(stale, s)
		}
	}
	if len(stale) == 0 {
		return unused
	}
	b.mu.Lock()
	whole := b.encode()
	b.mu.Unlock()
	for _, s := range stale {
		s.bring(whole, true, true)
	}
	return unused
}

// news is the message of what has changed since the last, nil for nothing.
func (b *board) news() (frame []byte) {
	switch {
	case b.shrunk:
		frame = b.encode()
	case len(b.changed) > 0:
		users := make([]gateway.UserPresence, 0, len(b.changed))
		for id := range b.changed {
			users = append(users, b.users[id])
		}
		frame = encodePresence(users, "")
	}
	clear(b.changed)
	b.shrunk = false
	return frame
}

// encode returns the whole as a message, and sets version.
func (b *board) encode() []byte {
	if b.whole != nil {
		return b.whole
	}
	users := make([]gateway.UserPresence, 0, len(b.users))
	sum := sha256.New()
	for _, u := range b.users {
		users = append(users, u)
	}
	sortUsers(users)
	_ = json.NewEncoder(sum).Encode(users) // strings only, into a hash
	b.version = hex.EncodeToString(sum.Sum(nil)[:8])
	b.whole = encodePresence(users, b.version)
	return b.whole
}

func sortUsers(users []gateway.UserPresence) {
	slices.SortFunc(users, func(a, b gateway.UserPresence) int { return cmp.Compare(a.User, b.User) })
}

// encodePresence makes a message of users; of all of them, if it has a version.
func encodePresence(users []gateway.UserPresence, version string) []byte {
	sortUsers(users)
	frame, err := json.Marshal(struct {
		Type    string                 `json:"type"`
		Full    bool                   `json:"full,omitempty"`
		Version string                 `json:"version,omitempty"`
		Users   []gateway.UserPresence `json:"users"`
	}{"presence", version != "", version, users})
	if err != nil { // strings only
		return nil
	}
	return frame
}

// bring queues a message of presence, however long the queue is: one waits at most, and it is as long as the account
// is large. It fails when one waits and this, not being whole, cannot take its place. Unless it wakes the rung it goes
// along with what comes next.
func (s *session) bring(frame []byte, whole, wakes bool) bool {
	s.mu.Lock()
	brought, wake := true, false
	if s.live && s.closed == 0 && !s.leaving {
		brought = s.queue.bring(frame, whole)
		wake = wakes && s.wakes()
	}
	s.mu.Unlock()
	if wake {
		s.transport.wake()
	}
	return brought
}
