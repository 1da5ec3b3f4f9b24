package push

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"

	"ringcast/gateway"
)

const (
	subprotocol = "ringcast.v1"

	pongGrace = 10 * time.Second // after a ping, for the answer of the client's machine

	// A message rarely needs more; what does is sent in two pieces. Buffers are pooled, so an idle connection
	// holds only the reading one, which needs 125 bytes for control frames.
	writeBuffer = 4096
	readBuffer  = 256
)

// conn is the WebSocket rung of one session. melody upgrades the socket and reads it. The server's writers write to
// it, one at a time: melody's own would lose what its queue has no room for, and the goroutine that it has for that
// never writes, so that its stack stays as small as it began.
type conn struct {
	session  session
	addr     string
	stranger bool // has not said who it is
	socket   *websocket.Conn

	// The client's frames, and the commands among them, in the current window. Frames are handled one at a time.
	frames, commands int
	window           time.Time
}

// wire is a socket's connection. What melody tells of a session comes to its conn by it.
type wire struct {
	net.Conn
	conn *conn
	due  time.Time // by when what is written must leave
}

// SetWriteDeadline leaves a deadline that will do as it is, and makes one last twice as long as asked for: to move it
// for every frame costs as much as to encode the frame. A client that does not read is noticed by its queue first.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		span := time.Until(t)
		if left := w.due.Sub(t); left >= 0 && left <= span {
			return nil
		}
		t = t.Add(max(span, 0))
	}
	w.due = t
	return w.Conn.SetWriteDeadline(t)
}

func connOf(pump *melody.Session) *conn {
	w, _ := pump.WebsocketConnection().NetConn().(*wire)
	return w.conn
}

// newMelody returns a melody that only reads. Its queue, its pings, its broadcasts, its hub and its Close are not used.
func newMelody(limits Limits) *melody.Melody {
	m := melody.New()
	m.Upgrader.ReadBufferSize = readBuffer
	m.Upgrader.WriteBufferSize = writeBuffer
	m.Upgrader.WriteBufferPool = &sync.Pool{}
	m.Upgrader.HandshakeTimeout = limits.WriteWait
	m.Upgrader.Subprotocols = []string{subprotocol}
	m.Config.PingPeriod = math.MaxInt64
	m.Config.PongWait = limits.PingEvery + pongGrace
	m.Config.MaxMessageSize = maxMessage
	m.Config.MessageBufferSize = 0

	m.HandleConnect(func(p *melody.Session) { connOf(p).connected(p) })
	m.HandleMessage(func(p *melody.Session, data []byte) { connOf(p).received(data) })
	m.HandleMessageBinary(func(p *melody.Session, _ []byte) { connOf(p).session.close(closeProtocol) })
	return m
}

// serveWS takes the connection away from net/http before melody sees it, and returns: the buffers, the
// request and the stack of net/http go, and an idle session costs less than half.
func (s *Server) serveWS(w http.ResponseWriter, r *http.Request) error {
	if err := checkHandshake(r); err != nil {
		return err
	}
	c := &conn{addr: s.addrOf(r), stranger: true}
	c.session = newSession(s, c, rungWS, true)
	if err := s.gate.enter(c.addr); err != nil {
		return err
	}
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.gate.known(c)
		s.gate.leave(c.addr)
		return gateway.Errorf(gateway.CodeInvalid, "a WebSocket needs HTTP/1.1: %w", err)
	}
	if buffered.Reader.Buffered() > 0 { // it talks before it was answered: nothing that we want to know
		_ = raw.Close()
		s.gate.known(c)
		s.gate.leave(c.addr)
		return nil
	}
	go c.serve(raw, &http.Request{Method: r.Method, Host: r.Host, URL: r.URL, RemoteAddr: r.RemoteAddr, Header: r.Header})
	return nil
}

// checkHandshake refuses what gorilla would refuse, and a protocol that is not ours, while there still is
// somebody to answer. A client that offers no protocol gets this one.
func checkHandshake(r *http.Request) error {
	if r.Method != http.MethodGet || !websocket.IsWebSocketUpgrade(r) {
		return gateway.Errorf(gateway.CodeInvalid, "here a WebSocket is spoken; if the client asked for one, a proxy has removed the Upgrade header")
	}
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-Websocket-Key"))
	if err != nil || len(key) != 16 || r.Header.Get("Sec-Websocket-Version") != "13" {
		return gateway.Errorf(gateway.CodeInvalid, "not a WebSocket handshake of version 13")
	}
	if offered := websocket.Subprotocols(r); len(offered) > 0 && !slices.Contains(offered, subprotocol) {
		return gateway.Errorf(gateway.CodeInvalid, "the subprotocol is %s", subprotocol)
	}
	return nil
}

// serve is the connection's life.
func (c *conn) serve(raw net.Conn, r *http.Request) {
	server := c.session.server
	defer server.gate.leave(c.addr)
	defer func() {
		_ = raw.Close()
		if c.stranger {
			server.gate.known(c)
		}
		c.session.end()
	}()
	defer c.session.guard()
	_ = raw.SetDeadline(time.Time{}) // net/http's; on a dead connection the next write tells
	if err := server.melody.HandleRequest(&hijacked{&wire{Conn: raw, conn: c}}, r); err != nil {
		server.log.Debug("websocket upgrade failed", "err", err)
	}
}

// connected begins the wait for the hello.
func (c *conn) connected(pump *melody.Session) {
	defer c.session.guard()
	pump.Request = nil // it would live as long as the connection
	c.socket = pump.WebsocketConnection()
	if err := c.session.server.gate.await(c); err != nil {
		c.session.close(closeFor(err))
		return
	}
	c.session.closeAfter(c.session.server.limits.HelloWait, closeProtocol)
}

// received handles one frame, on a goroutine that is gone afterwards: the reader's stack stays small for
// the life of the connection. A command runs on without the reader.
func (c *conn) received(data []byte) {
	handled := make(chan struct{})
	c.session.server.gate.running.Go(func() {
		defer c.session.guard()
		command := func() *inbound {
			defer close(handled)
			return c.handle(data)
		}()
		if command != nil {
			c.command(command)
		}
	})
	<-handled
}

// handle does what is quick and must be in order, and returns a command that remains to be carried out.
func (c *conn) handle(data []byte) *inbound {
	s := &c.session
	if s.over() {
		return nil
	}
	limit := maxFrame
	if c.stranger {
		limit = maxHello
	}
	in := &inbound{}
	c.count(time.Now())
	if len(data) > limit || c.frames > floodPerWindow || json.Unmarshal(data, in) != nil {
		s.close(closeProtocol)
		return nil
	}
	var err error
	switch {
	case in.Type == "hello" && c.stranger:
		err = c.hello(in)
	case in.Type == "hello":
		err = s.renew(in.Token)
	case c.stranger || in.Type != "":
		err = gateway.Errorf(gateway.CodeInvalid, "a frame of type %q does not belong here", in.Type)
	case in.Action == "renew":
		if err = s.renew(in.Token); err == nil {
			s.reply(gateway.Reply{ID: in.ID, OK: true})
		}
	case s.server.notice(s.who(), s.client, s.rung, in):
	case c.commands >= commandsPerWindow:
		s.server.metrics.Command(gateway.CodeTooMany)
		s.reply(refusal(in.ID, gateway.Errorf(gateway.CodeTooMany, "more than %d commands in %v: slower, please", commandsPerWindow, frameWindow)))
	default:
		c.commands++
		return in
	}
	if err != nil {
		s.server.metrics.Refused(s.rung, gateway.CodeOf(err))
		s.server.log.Debug("session refused", "rung", s.rung, "account", s.account, "user", s.user, "err", err)
		s.close(closeFor(err))
	}
	return nil
}

func (c *conn) hello(in *inbound) error {
	s := &c.session
	who, user, err := s.server.authorize(in.Token)
	if err != nil {
		return err
	}
	client := in.Client
	if client == "" {
		client = rand.Text() // so that its claims end with the session
	}
	if err := checkClient(client); err != nil {
		return err
	}
	c.stranger = false
	s.server.gate.known(c)
	opening := opening{client: client, cursor: in.Cursor, visible: in.Visible}
	if in.Presence {
		opening.presence = new(string)
	}
	return s.open(who, user, opening)
}

func (c *conn) command(in *inbound) {
	s := &c.session
	reply, err := s.server.command(s.who(), s.client, in)
	if err != nil {
		reply = refusal(in.ID, err)
	}
	s.reply(reply)
}

// count counts a frame in its window.
func (c *conn) count(now time.Time) {
	if now.Sub(c.window) > frameWindow {
		c.window, c.frames, c.commands = now, 0, 0
	}
	c.frames++
}

func (c *conn) wake() { c.session.server.writers.add(c) }

// write sends the frames that wait. If that fails the connection is over, and its reader ends the session; but after a
// close frame it stays a little, see close.
func (c *conn) write() {
	defer c.session.guard()
	for f, ok := c.session.take(); ok; f, ok = c.session.take() {
		if err := c.send(f); err != nil {
			if !errors.Is(err, websocket.ErrCloseSent) {
				_ = c.socket.Close()
			}
			return
		}
		c.session.sent(f)
	}
}

func (c *conn) send(f frame) error {
	deadline := time.Now().Add(c.session.server.limits.WriteWait)
	if f.ping { // the page sees this one only if it runs; its machine answers the other, whatever it does
		if err := c.socket.WriteControl(websocket.PingMessage, nil, deadline); err != nil {
			return err
		}
	}
	_ = c.socket.SetWriteDeadline(deadline) // never fails
	return c.socket.WriteMessage(websocket.TextMessage, f.data)
}

// close says why on the socket itself, before whatever else waits for a slow client to read. It
// waits, elsewhere, for the frame that is being written, and a little for the client's answer, so that the
// code is not lost with the connection.
func (c *conn) close(code closeCode) {
	if c.socket == nil { // a panic before the upgrade: serve closes
		return
	}
	go func() {
		deadline := time.Now().Add(c.session.server.limits.WriteWait)
		if err := c.socket.WriteControl(websocket.CloseMessage, code.frame(), deadline); err != nil {
			_ = c.socket.Close()
			return
		}
		time.AfterFunc(closeGrace, func() { _ = c.socket.Close() })
	}()
}

// hijacked is a response whose connection was taken over before. Its buffers are too small for gorilla to
// keep.
type hijacked struct{ conn net.Conn }

func (h *hijacked) Header() http.Header         { return nil }
func (h *hijacked) Write(p []byte) (int, error) { return len(p), nil } // the handshake was checked: gorilla has nothing to say
func (h *hijacked) WriteHeader(int)             {}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, 16), bufio.NewWriterSize(h.conn, 16)), nil
}
