package push

import (
	"runtime/debug"
	"sync"
	"time"

	"ringcast/gateway"
)

// The rungs, as metrics and the log name them.
const (
	rungWS     = "ws"
	rungSSE    = "sse"
	rungPoll   = "poll"
	rungScript = "script"
)

// transport is what a session needs of a rung. Neither method may block, and neither is called with the
// session locked.
type transport interface {
	// wake says that frames wait: the rung takes them with session.take or batch until there is none. It is not woken again before it found none.
	wake()

	// close ends the client's connection with a code. It is called once, also while frames still wait.
	close(code closeCode)
}

// session is one client's subscription. It begins with open, ends with end, and in between belongs to the
// goroutines of its rung, the gateway's deliver, and the timers.
type session struct {
	server    *Server
	transport transport
	rung      string
	stream    bool // stays until closed: says hello also on a resume, is pinged, ends with its token

	// Set by open and read-only then, the expiry aside.
	account, user, client string
	visible               bool    // a page of it is looked at; the hub's, once it is added
	presence              *string // see opening

	mu          sync.Mutex
	issued      time.Time // the token
	queue       outbox
	early       []gateway.Message // delivered before the hello was queued
	live        bool              // the hello is queued
	idle        bool              // the rung waits to be woken
	leaving     bool              // a bye is queued: close when it is out
	closed      closeCode         // why, once it is
	prev        string            // the cursor of the message before the next one
	unsubscribe func()
	deadline    *time.Timer // for the hello, then for the token

	slot, pos int  // where the hub keeps it
	here      bool // it has opened, and its user is here; the hub's
}

func newSession(server *Server, t transport, rung string, stream bool) session {
	return session{server: server, transport: t, rung: rung, stream: stream, idle: true}
}

// open subscribes the user of a verified token and queues the hello, what was missed, and what was
// delivered meanwhile, in that order. After an error the session is still to be ended.
func (s *session) open(who identity, user gateway.User, in opening) error {
	s.account, s.user, s.client, s.issued = who.account, who.user, in.client, who.issued
	s.visible, s.presence = in.visible, in.presence
	older, err := s.come()
	if err != nil {
		return err
	}
	// Who was thrown out after the token was checked, and before Recheck could see the session.
	if _, err := s.server.lookUp(who); err != nil {
		return err
	}
	hello, unsubscribe, err := s.server.gateway.Subscribe(who.account, who.user, in.cursor, s.deliver)
	if err != nil {
		return err
	}
	greeting, err := encodeHello(hello, user, s.server.limits.PingEvery)
	if err != nil {
		unsubscribe()
		return err
	}

	s.mu.Lock()
	s.unsubscribe = unsubscribe
	s.prev = hello.Cursor
	if s.stream || !hello.Resumed {
		s.queue.add(item{raw: greeting, message: gateway.Message{Cursor: hello.Cursor}})
	}
	for _, m := range hello.Missed {
		s.queue.add(item{message: m})
	}
	fits := true
	for _, m := range s.early {
		fits = fits && s.addLive(item{message: m, live: true})
	}
	s.early = nil
	s.live = s.closed == 0
	wake := s.wakes()
	s.mu.Unlock()

	how := hello.Reason
	if hello.Resumed {
		how = "resumed"
	}
	s.server.metrics.Opened(s.rung, how)
	if wake {
		s.transport.wake()
	}
	if !fits {
		s.close(closeSlow)
	}
	if s.stream {
		s.expireAt(who.expires)
	}
	s.server.attend(s)
	for _, old := range older { // not before: make before break
		old.close(closeSuperseded)
	}
	return nil
}

// come registers the session, says that its client is here, and returns those that it takes the place of.
func (s *session) come() (older []*session, err error) {
	defer s.server.hub.inOrder(clientKey{s.key(), s.client})()
	if older, err = s.server.hub.add(s); err == nil && s.client != "" {
		s.server.gateway.ClientHere(s.account, s.user, s.client)
	}
	return older, err
}

// deliver takes a message from the gateway.
func (s *session) deliver(m gateway.Message) {
	defer s.guard()
	s.push(item{message: m, live: true})
}

// push queues a live message. A client that cannot keep up is cut off; its resume brings what it missed.
func (s *session) push(it item) {
	s.mu.Lock()
	fits, wake := true, false
	switch {
	case s.closed != 0 || s.leaving:
	case !s.live:
		// Only deliver comes this early: nobody else has seen the session yet.
		if fits = len(s.early) < burstFactor*s.server.limits.QueueMessages; fits {
			s.early = append(s.early, it.message)
		}
	default:
		fits = s.addLive(it)
		wake = s.wakes()
	}
	s.mu.Unlock()
	if wake {
		s.transport.wake()
	}
	if !fits {
		s.close(closeSlow)
	}
}

func (s *session) addLive(it item) bool {
	if !s.queue.fits(it, &s.server.limits) {
		return false
	}
	s.queue.add(it)
	return true
}

// wakes says whether the rung is to be woken, and notes that it is.
func (s *session) wakes() bool {
	wake := s.idle && len(s.queue.items) > 0
	if wake {
		s.idle = false
	}
	return wake
}

// frame is a message as the client gets it.
type frame struct {
	data   []byte
	cursor string // that it brings the client to, "" for none
	call   bool
	ping   bool
	taken  time.Time // when the gateway took the event that it tells of as it happens; zero for all else
}

// take gives the next frame to the rung. When there is none the rung is woken by the next.
func (s *session) take() (f frame, ok bool) {
	s.mu.Lock()
	it, ok := s.queue.take()
	s.idle = !ok
	left := !ok && s.leaving
	f = frame{data: it.raw, cursor: it.message.Cursor, ping: it.ping}
	if ok && it.raw == nil {
		f.data, f.call = encodeCall(it.message, s.prev), true
		s.prev = it.message.Cursor
		// To who polls, what happened between two polls comes as it happens.
		if it.live || !s.stream && time.Since(it.message.At) < s.server.limits.PollWait {
			f.taken = it.message.At
		}
	}
	s.mu.Unlock()
	if left {
		s.close(closeDraining)
	}
	return f, ok
}

// batch takes what one answer or one write may carry. What is left is for the next.
func (s *session) batch() []frame {
	var frames []frame
	for size := 0; len(frames) < batchMessages && size < batchBytes; {
		f, ok := s.take()
		if !ok {
			break
		}
		frames = append(frames, f)
		size += len(f.data)
	}
	return frames
}

// sent counts frames that were handed to the network.
func (s *session) sent(frames ...frame) {
	calls := 0
	for _, f := range frames {
		if f.call {
			calls++
		}
		if !f.taken.IsZero() {
			s.server.metrics.Delivered(s.rung, f.taken)
		}
	}
	s.server.metrics.Sent(s.rung, len(frames), calls)
}

// ping shows the client that the line lives, unless it is about to.
func (s *session) ping(frame []byte) {
	s.mu.Lock()
	wake := false
	if s.live && s.closed == 0 && !s.leaving && !s.queue.ping {
		s.queue.add(item{raw: frame, live: true, ping: true})
		wake = s.wakes()
	}
	s.mu.Unlock()
	if wake {
		s.transport.wake()
	}
}

// reply sends the answer to a command.
func (s *session) reply(r gateway.Reply) {
	frame, err := encodeReply(r)
	if err != nil {
		s.server.log.Error("encoding a reply", "account", s.account, "user", s.user, "err", err)
		return
	}
	s.say(frame)
}

// say queues a message that is no call. It is how anything reaches a client on whatever rung: a stream writes
// it, a waiting poll answers with it.
func (s *session) say(frame []byte) { s.push(item{raw: frame, live: true}) }

// renew puts a new token of the same user in place of the old one.
func (s *session) renew(token string) error {
	who, _, err := s.server.authorize(token)
	if err != nil {
		return err
	}
	if who.account != s.account || who.user != s.user {
		return gateway.Errorf(gateway.CodeBadToken, "the new token is another user's")
	}
	s.extend(who)
	return nil
}

// extend lets the session live as long as a new token of its user.
func (s *session) extend(who identity) {
	s.mu.Lock()
	s.issued = who.issued
	s.mu.Unlock()
	s.expireAt(who.expires)
}

// who is whose session it is.
func (s *session) who() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return identity{account: s.account, user: s.user, issued: s.issued}
}

// recheck ends the session of a user who may not have one any more.
func (s *session) recheck() {
	if _, err := s.server.lookUp(s.who()); err != nil {
		s.close(closeFor(err))
	}
}

// expireAt ends the session some time after its token has expired.
func (s *session) expireAt(t time.Time) {
	s.closeAfter(time.Until(t)+s.server.limits.TokenLate, closeExpired)
}

// closeAfter replaces the session's deadline.
func (s *session) closeAfter(d time.Duration, code closeCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline != nil {
		s.deadline.Stop()
	}
	s.deadline = nil
	if s.closed == 0 {
		s.deadline = time.AfterFunc(d, func() { s.close(code) })
	}
}

// farewell sends a bye, the last that the client hears, and closes when it is out.
func (s *session) farewell(bye []byte) {
	s.mu.Lock()
	live, wake := s.live, false
	if live && s.closed == 0 && !s.leaving {
		s.leaving = true
		s.queue.add(item{raw: bye})
		wake = s.wakes()
	}
	s.mu.Unlock()
	if !live { // nothing may come before the hello
		s.close(closeDraining)
		return
	}
	s.closeAfter(byeTime, closeDraining)
	if wake {
		s.transport.wake()
	}
}

// close ends the session; the first code counts.
func (s *session) close(code closeCode) {
	s.mu.Lock()
	first := s.closed == 0
	if first {
		s.closed = code
		if code != closeSlow { // what a slow client was queued is its own, and it resumes after it
			s.queue = outbox{}
		}
		s.early = nil
		if s.deadline != nil {
			s.deadline.Stop()
			s.deadline = nil
		}
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.transport.close(code)
}

// end gives back what the session holds. The rung calls it once, when its connection is over and no open
// is running.
func (s *session) end() {
	const left = closeCode(-1) // the client went by itself
	s.mu.Lock()
	code, opened := s.closed, s.unsubscribe != nil
	if code == 0 {
		s.closed = left
	}
	s.queue, s.early = outbox{}, nil
	unsubscribe := s.unsubscribe
	if s.deadline != nil {
		s.deadline.Stop()
	}
	s.mu.Unlock()
	if unsubscribe != nil {
		unsubscribe() // waits for a running deliver, so not under the lock
	}
	gone := s.server.hub.remove(s)
	if code == closeSlow && s.stream { // said here: nothing is written where the gateway waits
		s.server.log.Info("session was too slow", "rung", s.rung, "account", s.account, "user", s.user)
	}
	if opened {
		s.server.metrics.Closed(s.rung, int(code))
		s.server.leaves(s)
	}
	if gone {
		s.server.clientGone(clientKey{s.key(), s.client})
	}
}

func (s *session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed != 0
}

// saidBye says whether a bye is among the frames.
func (s *session) saidBye() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

// guard keeps a panic within its session, which ends. Deferred where others call into the session.
func (s *session) guard() {
	if v := recover(); v != nil {
		s.server.log.Error("panic in a session", "rung", s.rung, "account", s.account, "user", s.user,
			"panic", v, "stack", string(debug.Stack()))
		s.close(closeDraining)
	}
}
