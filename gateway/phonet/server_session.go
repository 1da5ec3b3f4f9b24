package phonet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

// serverSession is one client's socket. Its reader is the goroutine that net/http began, its writer another one;
// deliver and close come from anywhere.
type serverSession struct {
	server *Server
	addr   string // that it is counted under
	since  time.Time

	// Set before it is known to anybody, and read-only then.
	account, user string
	subscriber    string // as the client calls the user
	ext           string // the inner number that it calls him by, if it does
	onConnect     OnConnect

	// The reader's own: frames in the current window.
	frames int
	window time.Time

	mu    sync.Mutex
	conn  *websocket.Conn // nil before the upgrade
	queue []serverItem
	news  chan struct{} // that the queue has something
	code  int           // it is closed with, -1: the client left
	why   string
	done  chan struct{} // closed with it
}

// serverItem is what waits for the writer: an answer, that the user went away or came back, or a change of a call.
type serverItem struct {
	answer  *reply
	away    *bool
	message gateway.Message
}

func newServerSession(s *Server, addr string) *serverSession {
	return &serverSession{server: s, addr: addr, since: time.Now(), news: make(chan struct{}, 1), done: make(chan struct{})}
}

// find looks its subscriber up.
func (s *serverSession) find() error {
	if s.subscriber == "" {
		return gateway.Errorf(gateway.CodeInvalid, "subscriber is missing: an inner number, an e-mail address or an id of a user")
	}
	user, ext, ok := findSubscriber(s.server.cfg.Directory, s.account, s.subscriber)
	if !ok {
		return errNoSubscriber()
	}
	s.user, s.ext = user.ID, ext
	return nil
}

// lookUp says whether the subscriber is still who he was, and may hear of his calls.
func (s *serverSession) lookUp() error {
	user, _, ok := findSubscriber(s.server.cfg.Directory, s.account, s.subscriber)
	switch {
	case !ok:
		return errNoSubscriber()
	case user.ID != s.user:
		return gateway.Errorf(gateway.CodeTaken, "the subscriber is somebody else now: connect again")
	case s.server.cfg.Revoked(s.account, s.user, s.since):
		return gateway.Errorf(gateway.CodeRevoked, "the user's sessions were revoked")
	default:
		return nil
	}
}

func errNoSubscriber() error {
	return gateway.Errorf(gateway.CodeRevoked, "nobody in the directory has this inner number, e-mail address or id")
}

func (s *serverSession) recheck() {
	switch err := s.lookUp(); gateway.CodeOf(err) {
	case "":
	case gateway.CodeTaken:
		s.close(websocket.CloseServiceRestart, gateway.Shown(err).Message)
	default:
		s.close(websocket.ClosePolicyViolation, gateway.Shown(err).Message)
	}
}

// run serves an upgraded socket until it is over.
func (s *serverSession) run(conn *websocket.Conn, live []gateway.View) {
	m := &s.server.cfg.Metrics
	m.Opened()
	var writer sync.WaitGroup
	defer func() {
		s.close(-1, "") // unless it was
		writer.Wait()
		_ = conn.Close()
		code := max(s.closed(), 0)
		m.Closed(code)
		s.server.log.Debug("phonet session ended", "account", s.account, "user", s.user, "code", code)
	}()
	defer s.guard()
	s.server.log.Debug("phonet session", "account", s.account, "user", s.user)
	s.attach(conn)
	writer.Go(func() {
		defer s.guard()
		s.write(conn, live)
	})
	s.read(conn)
}

// attach gives the session its socket, on which it can say goodbye; perhaps it has to at once.
func (s *serverSession) attach(conn *websocket.Conn) {
	conn.SetReadLimit(maxServerFrame)
	conn.SetPongHandler(func(string) error { return s.extend(conn) })
	pong := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		if s.floods() {
			return nil
		}
		return pong(data)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	if s.code > 0 {
		s.farewell()
	}
}

// extend lets the client be silent for a while again, unless it has been told goodbye.
func (s *serverSession) extend(conn *websocket.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != 0 {
		return nil
	}
	return conn.SetReadDeadline(time.Now().Add(s.server.limits.PingEvery + 2*s.server.limits.WriteWait))
}

// read answers the client's commands one after another, since an answer does not say what it answers.
func (s *serverSession) read(conn *websocket.Conn) {
	for s.extend(conn) == nil {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if s.closed() != 0 || s.floods() {
			continue // until the client has answered, or its time is over
		}
		s.received(frame)
	}
}

// received answers a frame.
func (s *serverSession) received(frame []byte) {
	defer s.guard()
	answer := s.command(frame)
	s.push(serverItem{answer: &answer})
}

// floods counts a frame, and ends a session that has too many.
func (s *serverSession) floods() bool {
	if now := time.Now(); now.Sub(s.window) > commandWindow {
		s.window, s.frames = now, 0
	}
	if s.frames++; s.frames > floodBurst {
		s.close(websocket.ClosePolicyViolation, "too many frames")
		return true
	}
	return false
}

// command carries out what the client asks for.
func (s *serverSession) command(frame []byte) reply {
	code, answer := s.tryCommand(frame)
	s.server.cfg.Metrics.Command(code)
	return answer
}

func (s *serverSession) tryCommand(frame []byte) (gateway.Code, reply) {
	refuse := func(code gateway.Code, message string) (gateway.Code, reply) { return code, reply{eventError, message} }
	cmd, err := decodeCommand(frame)
	switch {
	case err != nil:
		return refuse(gateway.CodeInvalid, `not a command in JSON: {"action":"call","to":"380991234567"}`)
	case cmd.Action != "call":
		return refuse(gateway.CodeInvalid, `unknown action: "call" is the one there is`)
	case cmd.To == "":
		return refuse(gateway.CodeBadNumber, `"to" is missing: the number to call`)
	}
	done, err := s.server.gate.command(s.account, s.user)
	if err != nil {
		return refuse(gateway.CodeTooMany, gateway.Shown(err).Message)
	}
	defer done()
	ctx, cancel := context.WithTimeout(s.server.ctx, commandTime)
	defer cancel()
	r := s.server.cfg.Gateway.Command(ctx, gateway.Command{
		Account: s.account, User: s.user, ID: rand.Text(), Action: "call", To: string(cmd.To), From: s.ext,
	})
	switch {
	case r.Error != nil && r.Error.Message == "":
		return refuse(r.Error.Code, string(r.Error.Code))
	case r.Error != nil:
		return refuse(r.Error.Code, r.Error.Message)
	case !r.OK:
		return refuse(gateway.CodeInternal, "the call was not placed")
	}
	return "", reply{Event: eventSuccess}
}

// deliver takes a message from the gateway, which it does not keep waiting.
func (s *serverSession) deliver(m gateway.Message) { s.push(serverItem{message: m}) }

// push queues an item for the writer. A client that cannot keep up is cut off.
func (s *serverSession) push(it serverItem) {
	s.mu.Lock()
	if s.code != 0 {
		s.mu.Unlock()
		return
	}
	full := len(s.queue) >= s.server.limits.Queue
	if !full {
		s.queue = append(s.queue, it)
	}
	s.mu.Unlock()
	if full {
		s.close(websocket.CloseTryAgainLater, "too slow")
		return
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *serverSession) take() (it serverItem, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.code != 0 {
		s.queue = nil
		return serverItem{}, false
	}
	it, s.queue[0] = s.queue[0], serverItem{}
	s.queue = s.queue[1:]
	return it, true
}

// write tells the client of the calls that live, and then of what happens, as it happens.
func (s *serverSession) write(conn *websocket.Conn, live []gateway.View) {
	teller := newTeller(s.server, s.account, s.user)
	if s.onConnect != TellNothing && s.server.away.is(serverUser{s.account, s.user}) {
		if !s.tell(conn, time.Time{}, []callMessage{teller.presence(s.ext, true)}) {
			return
		}
	}
	for _, view := range live {
		if !s.tell(conn, time.Time{}, teller.connected(view, s.onConnect)) {
			return
		}
	}
	ping := time.NewTicker(s.server.limits.PingEvery)
	defer ping.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-ping.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(s.server.limits.WriteWait)) != nil {
				_ = conn.Close()
				return
			}
		case <-s.news:
			for it, ok := s.take(); ok; it, ok = s.take() {
				if !s.pass(conn, teller, it) {
					return
				}
			}
		}
	}
}

// pass hands an item on to the client, and says whether there still is one.
func (s *serverSession) pass(conn *websocket.Conn, teller *teller, it serverItem) bool {
	switch {
	case it.answer != nil:
		return s.send(conn, it.answer)
	case it.away != nil:
		return s.tell(conn, time.Time{}, []callMessage{teller.presence(s.ext, *it.away)})
	}
	var view gateway.View
	if err := json.Unmarshal(it.message.Call, &view); err != nil {
		s.server.log.Error("a call that is not readable", "account", s.account, "user", s.user, "err", err)
		return true
	}
	if left := s.server.patience - time.Since(it.message.At); left > 0 && teller.mayBeShared(view) {
		select {
		case <-time.After(left): // what it is a part of is said when it begins, and cannot be said later
		case <-s.done:
			return false
		}
	}
	return s.tell(conn, it.message.At, teller.changed(view))
}

func (s *serverSession) tell(conn *websocket.Conn, taken time.Time, messages []callMessage) bool {
	for i := range messages {
		if !s.send(conn, &messages[i]) {
			return false
		}
		s.server.cfg.Metrics.Sent(taken)
	}
	return true
}

func (s *serverSession) send(conn *websocket.Conn, message any) bool {
	frame, err := json.Marshal(message)
	if err != nil {
		s.server.log.Error("encoding for a phonet client", "account", s.account, "user", s.user, "err", err)
		return true
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.server.limits.WriteWait)) // never fails
	if conn.WriteMessage(websocket.TextMessage, frame) != nil {
		_ = conn.Close() // which the reader notices
		return false
	}
	return true
}

// close ends the session with a code of RFC 6455; the first counts. It does not wait.
func (s *serverSession) close(code int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code != 0 {
		return
	}
	s.code, s.why = code, why
	close(s.done)
	if s.conn != nil && code > 0 {
		s.farewell()
	}
}

// farewell says why on the socket, elsewhere, when the frame that is being written has left; the client then has a
// moment to answer. s.mu is held, and the session is running.
func (s *serverSession) farewell() {
	conn, frame, limits := s.conn, websocket.FormatCloseMessage(s.code, s.why), s.server.limits
	s.server.running.Go(func() {
		if conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(limits.WriteWait)) != nil {
			_ = conn.Close()
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(closeGrace)) // fails when it is closed already
	})
}

func (s *serverSession) closed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code
}

// guard keeps a panic within its session, which ends.
func (s *serverSession) guard() {
	if v := recover(); v != nil {
		s.server.log.Error("panic in a phonet session", "account", s.account, "user", s.user, "panic", v, "stack", string(debug.Stack()))
		s.close(websocket.CloseInternalServerErr, "")
	}
}
