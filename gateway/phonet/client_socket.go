package phonet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

const (
	maxFrame   = 1 << 20 // bytes
	writeTime  = 5 * time.Second
	judgeTime  = 5 * time.Second  // after the opening: an end, or an error, within it is a refusal
	livedTime  = 10 * time.Second // a socket that was open for so long begins anew with a short delay
	atOnce     = 8                // sockets that are being opened
	maxSilence = 3                // pings that a live socket may leave unanswered
)

// socket is a subscriber's subscription. It comes back by itself until its context ends.
type socket struct {
	link *Link
	name string
	slot chan struct{} // who is in it has a command under way

	// The link's mutex guards these.
	extension string // the subscriber's, "" when it is not known
	cancel    context.CancelFunc
	conn      *websocket.Conn // nil: not open
	command   *underway
	tried     bool // it was open, or failed to open, once
	refused   bool
	reason    string // why it is not open
}

// underway is a command that has no answer yet.
type underway struct {
	answer chan reply // has room for it
	giveUp *time.Timer
}

// heard is a message as a socket heard it.
type heard struct {
	message message
	at      time.Time
}

func newSocket(l *Link, s Subscriber, cancel context.CancelFunc) *socket {
	return &socket{link: l, name: s.Name, extension: s.Extension, cancel: cancel, slot: make(chan struct{}, 1)}
}

// open says whether it is. The link's mutex is held.
func (s *socket) open() bool { return s.conn != nil }

// run keeps the socket until ctx ends.
func (s *socket) run(ctx context.Context, turns *pace) {
	var wait backoff
	for {
		opened, err := s.session(ctx, turns)
		if ctx.Err() != nil {
			return
		}
		if !opened.IsZero() && s.link.cfg.now().Sub(opened) >= s.link.cfg.pace(livedTime) {
			wait.reset()
		}
		err = s.link.rest.masked(err)
		refused := errors.Is(err, errRefused)
		delay := wait.next()
		if refused {
			delay = maxBackoff/2 + rand.N(maxBackoff/2)
		}
		s.down(err, refused)
		s.link.cfg.Logger.Warn("phonet subscriber not connected", "subscriber", s.name, "err", err, "again_in", delay)
		select {
		case <-time.After(s.link.cfg.pace(delay)):
		case <-ctx.Done():
			return
		}
	}
}

// session is one connection, from its opening to its end. It says when it was open, zero if never, and why it ended.
func (s *socket) session(ctx context.Context, turns *pace) (opened time.Time, err error) {
	conn, err := s.dial(ctx, turns)
	if err != nil {
		return time.Time{}, err
	}
	opened = s.link.cfg.now()
	spoke := false // the PBX has said anything
	ended := make(chan struct{})
	var helper sync.WaitGroup
	helper.Go(func() { s.ping(ctx, conn, ended) })
	defer helper.Wait()
	defer close(ended)
	s.up(conn)
	defer s.lost()
	conn.SetReadLimit(maxFrame)
	silence := func() error { return conn.SetReadDeadline(time.Now().Add(maxSilence * s.link.cfg.Ping)) }
	conn.SetPongHandler(func(string) error { return silence() })
	answerPing := conn.PingHandler()
	conn.SetPingHandler(func(data string) error { return errors.Join(silence(), answerPing(data)) })
	for {
		if err := silence(); err != nil {
			return opened, err
		}
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return opened, explainEnd(err, !spoke && s.link.cfg.now().Sub(opened) < judgeTime)
		}
		s.link.cfg.Tap(fromSocket+s.name, frame)
		m, err := decode(frame)
		if err != nil {
			s.link.cfg.Logger.Warn("a frame of phonet's was not understood", "subscriber", s.name, "err", err)
			continue
		}
		if m.isReply() {
			if s.answered(reply{Event: m.Event, Message: string(m.Message)}) {
				spoke = true
				continue
			}
			text := mask(string(m.Message), s.link.cfg.APIKey)
			if m.Event == eventError && !spoke && s.link.cfg.now().Sub(opened) < judgeTime {
				return opened, fmt.Errorf("%w: %.200q", errRefused, text)
			}
			s.link.cfg.Logger.Warn("phonet tells of an error", "subscriber", s.name, "message", text)
			continue
		}
		spoke = true
		select {
		case s.link.heard <- heard{m, s.link.cfg.now()}:
		case <-ctx.Done():
			return opened, ctx.Err()
		}
	}
}

// dial opens a connection when its turn has come.
func (s *socket) dial(ctx context.Context, turns *pace) (*websocket.Conn, error) {
	done, err := turns.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return s.link.cfg.open(ctx, s.name)
}

// open opens a subscriber's socket.
func (cfg *Config) open(ctx context.Context, subscriber string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: cfg.DialTimeout}
	conn, res, err := dialer.DialContext(ctx, cfg.socketURL(subscriber), nil) //nolint:bodyclose // the library has read what there is of it
	if err == nil {
		return conn, nil
	}
	if res == nil {
		return nil, err
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1024)) // what there is of it says why
	answer := refused(res.StatusCode, body)
	switch {
	case isRefusal(answer):
		return nil, fmt.Errorf("%w: it does not take the domain, the key or this subscriber (%w)", errRefused, answer)
	case res.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("there is no Phonet at this address (%w)", answer)
	default:
		return nil, answer
	}
}

// explainEnd says why a connection ended. One that is closed with a reason as soon as it is open is a refusal.
func explainEnd(err error, early bool) error {
	var closed *websocket.CloseError
	switch {
	case !errors.As(err, &closed):
		return err
	case early && (closed.Code == websocket.ClosePolicyViolation || closed.Code >= 4000):
		return fmt.Errorf("%w: it closes the socket with %d %.100q", errRefused, closed.Code, closed.Text)
	default:
		return fmt.Errorf("the PBX closed the socket (%d %.100q)", closed.Code, closed.Text)
	}
}

// ping asks for signs of life until the connection ends, which it brings about when ctx does.
func (s *socket) ping(ctx context.Context, conn *websocket.Conn, ended <-chan struct{}) {
	defer func() { _ = conn.Close() }()
	tick := time.NewTicker(s.link.cfg.Ping)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-ctx.Done():
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			_ = conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(writeTime)) // it is a courtesy
			return
		case <-tick.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTime)) != nil {
				return
			}
		}
	}
}

func (s *socket) up(conn *websocket.Conn) {
	s.link.mu.Lock()
	s.conn, s.tried, s.refused, s.reason = conn, true, false, ""
	s.link.mu.Unlock()
	select {
	case s.link.changed <- struct{}{}:
	default:
	}
}

// lost notes that the connection ended: a command under way will get no answer.
func (s *socket) lost() {
	s.link.mu.Lock()
	s.conn = nil
	s.link.survey.lose(s.link.cfg.now())
	s.link.mu.Unlock()
	s.answered(reply{})
}

func (s *socket) down(err error, refused bool) {
	s.link.mu.Lock()
	s.tried, s.refused, s.reason = true, refused, err.Error()
	s.link.mu.Unlock()
}

// call has the subscriber's telephone call a number. One command is under way at a time: an answer does not say
// what it answers.
func (s *socket) call(ctx context.Context, number string) error {
	select {
	case s.slot <- struct{}{}:
	case <-ctx.Done():
		return gateway.Errorf(gateway.CodeTimeout, "the PBX has not answered an earlier request yet")
	}
	s.link.mu.Lock()
	conn := s.conn
	if conn == nil {
		s.link.mu.Unlock()
		<-s.slot
		return gateway.Errorf(gateway.CodePBXOffline, "there is no connection to the PBX for %s just now", s.name)
	}
	u := &underway{answer: make(chan reply, 1), giveUp: time.AfterFunc(s.link.cfg.reply, func() { _ = conn.Close() })}
	s.command = u
	s.link.mu.Unlock()

	frame, err := json.Marshal(command{Action: "call", To: text(number)})
	if err == nil {
		err = errors.Join(conn.SetWriteDeadline(time.Now().Add(writeTime)), conn.WriteMessage(websocket.TextMessage, frame))
	}
	if err != nil {
		_ = conn.Close() // which ends the command
	}
	select {
	case r := <-u.answer:
		switch r.Event {
		case eventSuccess:
			return nil
		case eventError:
			return refusal(mask(r.Message, s.link.cfg.APIKey), "")
		}
		return gateway.Errorf(gateway.CodeTimeout, "the connection to the PBX broke; whether the call was made is not known")
	case <-ctx.Done():
		return gateway.Errorf(gateway.CodeTimeout, "the PBX did not answer in time")
	}
}

// answered ends the command under way. It says whether there was one.
func (s *socket) answered(r reply) bool {
	s.link.mu.Lock()
	u := s.command
	s.command = nil
	s.link.mu.Unlock()
	if u == nil {
		return false
	}
	u.giveUp.Stop()
	u.answer <- r
	<-s.slot
	return true
}

const (
	minBackoff = 500 * time.Millisecond
	maxBackoff = time.Minute
)

// backoff is how long to wait before the next attempt: anything up to a bound that doubles.
type backoff struct{ bound time.Duration }

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, minBackoff), maxBackoff)
	return rand.N(b.bound) + time.Millisecond
}

func (b *backoff) reset() { b.bound = 0 }

// pace has things done one after another, so far apart, and a few at a time.
type pace struct {
	every time.Duration
	room  chan struct{}

	mu   sync.Mutex
	next time.Time
}

func newPace(every time.Duration) *pace {
	return &pace{every: every, room: make(chan struct{}, atOnce)}
}

// take waits for a turn and for room; done makes room.
func (p *pace) take(ctx context.Context) (done func(), err error) {
	p.mu.Lock()
	now := time.Now()
	at := later(p.next, now)
	p.next = at.Add(p.every)
	p.mu.Unlock()
	select {
	case <-time.After(at.Sub(now)):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case p.room <- struct{}{}:
		return func() { <-p.room }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
