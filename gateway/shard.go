package gateway

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// shard is the feed's state of some of the accounts. All but mu is guarded by mu.
type shard struct {
	mu        sync.RWMutex
	calls     map[callKey]*kept
	live      map[string]map[string]struct{} // ids of the calls that have not ended, by account
	users     map[userKey]*userFeed
	events    recent
	commands  map[commandKey]doneCommand
	claims    map[claimKey]doneClaim
	talks     map[numberTail]talk // the last with each number
	forgotten Position            // the last position of any user that was dropped
	unsaved   unsaved             // of all this, what the next snapshot is to add
	oldest    []endedAt           // the calls that ended, the first to end first
	views     encoder             // its room is used again and again, as is
	ice       ice
}

type (
	callKey    struct{ account, id string }
	userKey    struct{ account, user string }
	eventKey   struct{ account, pbx, id string }
	commandKey struct{ account, user, id string }
	claimKey   struct{ account, user, call, what string }
)

type endedAt struct {
	call *kept
	at   int64 // Unix
}

type doneCommand struct {
	reply *Reply
	at    time.Time
}

type doneClaim struct {
	client string
	at     time.Time
	held   bool // not carried out yet
}

// userFeed is one user's side of the feed.
type userFeed struct {
	last  Position // of the user's last message
	seen  time.Time
	ring  ring
	calls []*Call // live for this user
	subs  []*subscriber
}

// put makes c the state of a call that is live for the user, or over.
func (u *userFeed) put(c *Call, live bool) {
	i := slices.IndexFunc(u.calls, func(was *Call) bool { return was.ID == c.ID })
	switch {
	case live && i < 0:
		u.calls = append(u.calls, c)
	case live:
		u.calls[i] = c
	case i >= 0:
		u.calls = slices.Delete(u.calls, i, i+1)
	}
}

// views returns the user's live calls, the oldest first.
func (u *userFeed) views(user string, recording recordingLink) []View {
	views := make([]View, 0, len(u.calls))
	for _, c := range u.calls {
		if v, ok := recording.view(c, user); ok {
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
	s.calls, s.live, s.users = map[callKey]*kept{}, map[string]map[string]struct{}{}, map[userKey]*userFeed{}
	s.events, s.commands, s.claims = newRecent(), map[commandKey]doneCommand{}, map[claimKey]doneClaim{}
}

func (s *shard) user(account, user string, now time.Time) *userFeed {
	key := userKey{account, user}
	u := s.users[key]
	if u == nil {
		u = &userFeed{last: s.forgotten, seen: now}
		u.ring.floor = s.forgotten
		s.users[key] = u
	}
	return u
}

func (s *shard) applyCall(pos Position, r *Record, f *Feed) {
	k := s.calls[callKey{r.Account, r.Call.ID}]
	if k == nil || r.Call.Version >= k.version {
		k = s.put(k, r.Call, r.At)
		if k.over {
			s.unsaved.ended.add(pos.Seq, k)
		}
	}
	if pbx, _, ok := cutCallID(k.id); ok && r.EventID != "" {
		s.events.add(eventKey{k.account, pbx, r.EventID}, r.At)
		s.unsaved.events.add(pos.Seq, knownEvent{k, strings.Clone(r.EventID), r.At.Unix()})
	}
	for _, name := range r.Users {
		u := s.user(r.Account, name, r.At)
		if pos.Compare(u.last) > 0 { // not so for what a snapshot already counts
			u.last = pos
		}
		u.seen = r.At
		u.ring.add(pos, r.At, k, r.Call.Version)
		s.deliver(u, name, pos, r, f)
	}
}

// know takes a command or a claim.
func (s *shard) know(r *Record) {
	switch {
	case r.Command != nil:
		s.commands[commandKey{r.Account, r.Command.User, r.Command.ID}] = doneCommand{r.Command.Reply, r.At}
	case r.Claim != nil:
		s.claims[claimKey{r.Account, r.Claim.User, r.Claim.Call, r.Claim.What}] = doneClaim{r.Claim.Client, r.At, r.Claim.Held}
	}
}

// deliver hands a record to the user's listeners.
func (s *shard) deliver(u *userFeed, user string, pos Position, r *Record, f *Feed) {
	if len(u.subs) == 0 {
		return
	}
	view, ok := f.recording.view(r.Call, user)
	if !ok {
		return
	}
	s.views.data = s.views.data[:0]
	s.views.view(&view)
	msg := Message{Cursor: Cursor{f.epoch, pos}.String(), At: r.At, Event: r.Event.shown(), Call: bytes.Clone(s.views.data)}
	for _, sub := range u.subs {
		sub.deliver(msg)
	}
}

// put makes c the call's state, in place of was if it had one: among all calls, among the live ones and with
// its users.
func (s *shard) put(was *kept, c *Call, now time.Time) *kept {
	k := was
	if k == nil {
		k = &kept{account: c.Account, id: c.ID}
		s.calls[callKey{c.Account, c.ID}] = k
	}
	if was == nil || k.over != c.Over() {
		s.count(k, c.Over(), now)
	}
	k.set(c, &s.ice)
	s.talked(c)
	for i := range c.Legs {
		name := c.Legs[i].User
		if name == "" {
			continue
		}
		share := c.share(name)
		s.user(c.Account, name, now).put(c, share.Live() && !c.StartedAt.IsZero())
	}
	return k
}

// count notes that a call has begun, or has ended, or goes on after all.
func (s *shard) count(k *kept, over bool, now time.Time) {
	live := s.live[k.account]
	if !over {
		if live == nil {
			live = map[string]struct{}{}
			s.live[k.account] = live
		}
		live[k.id] = struct{}{}
		k.ended = 0
		return
	}
	k.ended = now.Unix()
	s.oldest = append(s.oldest, endedAt{k, k.ended})
	if delete(live, k.id); len(live) == 0 {
		delete(s.live, k.account)
	}
}

func (s *shard) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.oldest) > 0 && (len(s.oldest) > maxEnded || now.Sub(time.Unix(s.oldest[0].at, 0)) > rememberCalls) {
		if end := s.oldest[0]; end.call.ended == end.at { // else it went on, and may have ended later
			delete(s.calls, callKey{end.call.account, end.call.id})
		}
		s.oldest[0] = endedAt{}
		s.oldest = s.oldest[1:]
	}
	s.forgetTalks(now)
	s.events.age(now)
	s.unsaved.expire(now)
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
	live, ended []kept  // as they were
	taken       unsaved // for unsavedAgain
	users       []userPosition
	forgotten   Position
}

// state returns what a snapshot keeps, and begins anew with what is unsaved.
func (s *shard) state() shardState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := shardState{taken: s.unsaved, forgotten: s.forgotten}
	for _, e := range s.unsaved.ended {
		state.ended = append(state.ended, *e.item)
	}
	s.unsaved = unsaved{}
	for account, ids := range s.live {
		for id := range ids {
			state.live = append(state.live, *s.calls[callKey{account, id}])
		}
	}
	for key, u := range s.users {
		if u.last.Compare(s.forgotten) > 0 { // what has none is as good as forgotten
			state.users = append(state.users, userPosition{key.account, key.user, u.last})
		}
	}
	return state
}

// unsavedAgain puts back what a failed snapshot took.
func (s *shard) unsavedAgain(taken unsaved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved = taken.before(s.unsaved)
}

// saved says that what came up to an entry is in a snapshot that another node wrote.
func (s *shard) saved(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsaved.saved(seq)
}

// restoreCall takes a call from a snapshot.
func (s *shard) restoreCall(c *Call, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.calls[callKey{c.Account, c.ID}]; was == nil || c.Version > was.version {
		s.put(was, c, now)
	}
}

// restoreRecord takes a command or a claim from a snapshot: the last word on it, in whatever order they come.
func (s *shard) restoreRecord(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := true
	switch {
	case r.Command != nil:
		was, ok := s.commands[commandKey{r.Account, r.Command.User, r.Command.ID}]
		last = !ok || lastWord(r.Command.Reply != nil, was.reply != nil, r.At, was.at)
	case r.Claim != nil:
		was, ok := s.claims[claimKey{r.Account, r.Claim.User, r.Claim.Call, r.Claim.What}]
		last = !ok || lastWord(!r.Claim.Held, !was.held, r.At, was.at)
	}
	if last {
		s.know(r)
	}
}

// lastWord says whether what was recorded at a time follows what was at another. Done is done.
func lastWord(done, wasDone bool, at, was time.Time) bool {
	if done != wasDone {
		return done
	}
	return at.After(was)
}

// restoreEvent takes an event's id from a snapshot.
func (s *shard) restoreEvent(e savedEvent, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.add(eventKey{e.Account, e.PBX, e.ID}, now)
}

// restoreUser takes a user's position from a snapshot. The ring's floor follows with the log's first entry.
func (s *shard) restoreUser(p userPosition, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(p.Account, p.User, now)
	u.last, u.ring.floor = p.Last, p.Last
}
