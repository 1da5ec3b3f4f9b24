package push

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
		select {
		case <-s.hub.news:
			for _, a := range s.hub.arrivals() {
				s.boards.source.SetPresence(a.account, a.user, a.here)
			}
		case now := <-ticker.C:
			s.boards.tick(now)
		case <-s.ctx.Done():
			return
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

	mu       sync.Mutex // may be held while source is asked, as no board's is
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
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.shut {
		return
	}
	b := all.accounts[s.account]
	if b == nil {
		b = &board{
			directory: all.directory, account: s.account, users: map[string]gateway.UserPresence{}, changed: map[string]struct{}{},
			streams: map[*session]struct{}{}, polls: map[*session]*waiting{},
		}
		all.accounts[s.account] = b
		b.stop = all.source.WatchPresence(s.account, b.take)
		b.begin(all.source.Presence(s.account))
	}
	b.join(s)
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
	defer all.mu.Unlock()
	for account, b := range all.accounts {
		if b.send(now, all.limits.PresencePoll) {
			b.stop()
			delete(all.accounts, account)
		}
	}
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

func (b *board) join(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.empty = time.Time{}
	if s.stream {
		b.streams[s] = struct{}{}
		s.bring(b.encode(), true) // under the lock: nothing newer comes before it
		return
	}
	w := &waiting{since: time.Now(), version: *s.presence}
	b.polls[s] = w
	if frame := b.encode(); b.version != w.version {
		// A first one is answered with it. Another has been, lately: it may come along with something else.
		w.told = w.version == ""
		s.bring(frame, w.told)
	}
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
	whole := b.whole
	unused = !b.empty.IsZero() && now.Sub(b.empty) > boardLinger
	b.mu.Unlock()

	for _, s := range streams {
		s.bring(news, true)
	}
	for _, s := range stale {
		s.bring(whole, true)
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

// bring queues a message of presence, whatever waits already: it is as long as the account is large, and there is one
// a second at most. Unless it wakes the rung it goes along with what comes next.
func (s *session) bring(frame []byte, wakes bool) {
	s.mu.Lock()
	wake := false
	if s.live && s.closed == 0 && !s.leaving {
		s.queue.add(item{raw: frame})
		wake = wakes && s.wakes()
	}
	s.mu.Unlock()
	if wake {
		s.transport.wake()
	}
}
