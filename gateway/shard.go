package gateway

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// shard is the feed's state of some of the accounts. All but mu is guarded by mu.
type shard struct {
	mu        sync.RWMutex
	calls     map[callKey]*Call
	live      map[string]map[string]struct{} // ids of the calls that have not ended, by account
	users     map[userKey]*userFeed
	events    map[eventKey]time.Time
	commands  map[commandKey]doneCommand
	claims    map[claimKey]doneClaim
	forgotten Position  // the last position of any user that was dropped
	ended     []*Call   // since the last snapshot
	oldest    []endedAt // the calls that ended, the first to end first
	unsettled []endedAt // those of them whose events are kept
}

type (
	callKey    struct{ account, id string }
	userKey    struct{ account, user string }
	eventKey   struct{ account, pbx, id string }
	commandKey struct{ account, user, id string }
	claimKey   struct{ account, user, call, what string }
)

type endedAt struct {
	key callKey
	at  time.Time
}

type doneCommand struct {
	reply *Reply
	at    time.Time
}

type doneClaim struct {
	client string
	at     time.Time
}

// userFeed is one user's side of the feed.
type userFeed struct {
	last  Position // of the user's last message
	seen  time.Time
	ring  ring
	calls map[string]*Call // live for this user
	subs  map[*subscriber]struct{}
}

// views returns the user's live calls, the oldest first.
func (u *userFeed) views(user string) []View {
	views := make([]View, 0, len(u.calls))
	for _, c := range u.calls {
		if v, ok := c.For(user); ok {
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b View) int {
		return cmp.Or(time.Time(a.StartedAt).Compare(time.Time(b.StartedAt)), cmp.Compare(a.ID, b.ID))
	})
	return views
}

type subscriber struct{ deliver func(Message) }

func (s *shard) init() {
	s.calls, s.live, s.users = map[callKey]*Call{}, map[string]map[string]struct{}{}, map[userKey]*userFeed{}
	s.events, s.commands, s.claims = map[eventKey]time.Time{}, map[commandKey]doneCommand{}, map[claimKey]doneClaim{}
}

func (s *shard) user(account, user string, now time.Time) *userFeed {
	key := userKey{account, user}
	u := s.users[key]
	if u == nil {
		u = &userFeed{last: s.forgotten, seen: now, calls: map[string]*Call{}, subs: map[*subscriber]struct{}{}}
		u.ring.floor = s.forgotten
		s.users[key] = u
	}
	return u
}

func (s *shard) applyCall(pos Position, r *Record, f *Feed) {
	key := callKey{r.Account, r.Call.ID}
	if pbx, _, ok := cutCallID(r.Call.ID); ok && r.EventID != "" {
		s.events[eventKey{r.Account, pbx, r.EventID}] = r.At
	}
	if was := s.calls[key]; was == nil || r.Call.Version >= was.Version {
		s.put(key, r.Call, r.At)
		if r.Call.Over() {
			s.ended = append(s.ended, r.Call)
		}
	}
	for _, name := range r.Users {
		view, ok := r.Call.For(name)
		if !ok {
			continue
		}
		data, err := json.Marshal(view)
		if err != nil { // a View holds strings and times only
			f.logger.Error("encode call", "call", r.Call.ID, "err", err)
			continue
		}
		u := s.user(r.Account, name, r.At)
		msg := Message{Cursor: Cursor{f.epoch, pos}.String(), Event: r.Event.shown(), Call: data}
		if pos.Compare(u.last) > 0 { // not so for what a snapshot already counts
			u.last = pos
		}
		u.seen = r.At
		u.ring.add(pos, r.At, msg)
		for sub := range u.subs {
			sub.deliver(msg)
		}
	}
}

// put makes c the call's state: among all calls, among the live ones and with its users.
func (s *shard) put(key callKey, c *Call, now time.Time) {
	if was := s.calls[key]; c.Over() && (was == nil || !was.Over()) {
		s.oldest = append(s.oldest, endedAt{key, now})
		s.unsettled = append(s.unsettled, endedAt{key, now})
	}
	s.calls[key] = c
	switch live := s.live[key.account]; {
	case !c.Over() && live == nil:
		s.live[key.account] = map[string]struct{}{key.id: {}}
	case !c.Over():
		live[key.id] = struct{}{}
	case live != nil:
		if delete(live, key.id); len(live) == 0 {
			delete(s.live, key.account)
		}
	}
	for _, name := range c.Users() {
		u := s.user(key.account, name, now)
		if view, ok := c.For(name); ok && view.State != Ended {
			u.calls[c.ID] = c
		} else {
			delete(u.calls, c.ID)
		}
	}
}

func (s *shard) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.unsettled) > 0 && now.Sub(s.unsettled[0].at) > settleAfter {
		if c := s.calls[s.unsettled[0].key]; c != nil {
			s.calls[s.unsettled[0].key] = c.settled()
		}
		s.unsettled = s.unsettled[1:]
	}
	for len(s.oldest) > 0 && (len(s.oldest) > maxEnded || now.Sub(s.oldest[0].at) > rememberCalls) {
		delete(s.calls, s.oldest[0].key)
		s.oldest = s.oldest[1:]
	}
	for key, at := range s.events {
		if now.Sub(at) > rememberIDs {
			delete(s.events, key)
		}
	}
	for key, done := range s.commands {
		if now.Sub(done.at) > rememberIDs {
			delete(s.commands, key)
		}
	}
	for key, done := range s.claims {
		if now.Sub(done.at) > rememberCalls {
			delete(s.claims, key)
		}
	}
	for key, u := range s.users {
		u.ring.expire(now)
		if len(u.subs) == 0 && len(u.calls) == 0 && now.Sub(u.seen) > rememberUsers {
			if u.last.Compare(s.forgotten) > 0 {
				s.forgotten = u.last
			}
			delete(s.users, key)
		}
	}
}

// shardState is what a snapshot keeps of a shard.
type shardState struct {
	live, ended []*Call
	users       []userPosition
	forgotten   Position
}

// state returns what a snapshot keeps, and begins a new list of ended calls.
func (s *shard) state() shardState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := shardState{ended: s.ended, forgotten: s.forgotten}
	s.ended = nil
	for account, ids := range s.live {
		for id := range ids {
			state.live = append(state.live, s.calls[callKey{account, id}])
		}
	}
	for key, u := range s.users {
		if u.last.Compare(s.forgotten) > 0 { // what has none is as good as forgotten
			state.users = append(state.users, userPosition{key.account, key.user, u.last})
		}
	}
	return state
}

// endedAgain puts back what a failed snapshot took.
func (s *shard) endedAgain(ended []*Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(ended, s.ended...)
}

// restoreCall takes a call from a snapshot.
func (s *shard) restoreCall(c *Call, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := callKey{c.Account, c.ID}
	if was := s.calls[key]; was == nil || c.Version > was.Version {
		s.put(key, c, now)
	}
}

// restoreUser takes a user's position from a snapshot. The ring's floor follows with the log's first entry.
func (s *shard) restoreUser(p userPosition, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(p.Account, p.User, now)
	u.last, u.ring.floor = p.Last, p.Last
}
