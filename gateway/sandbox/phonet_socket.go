package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"ringcast/gateway"
)

const (
	phonetBacklog = 1024 // messages that wait for a slow client
	phonetWrite   = 5 * time.Second
)

// phonetSocket is a subscription.
type phonetSocket struct {
	conn      *websocket.Conn
	extension string
	out       chan []byte
}

// phonetMessage is what is said of a call, in the vendor's order and types.
type phonetMessage struct {
	Event       string           `json:"event"`
	UUID        string           `json:"uuid"`
	ParentUUID  *string          `json:"parentUuid"`
	LgDirection int              `json:"lgDirection"`
	Leg         *phonetLeg       `json:"leg"`
	Leg2        *phonetLeg       `json:"leg2"`
	OtherLegs   []phonetOtherLeg `json:"otherLegs"`
	DialAt      int64            `json:"dialAt"`
	BridgeAt    *int64           `json:"bridgeAt"`
	ServerTime  string           `json:"serverTime"`
	TrunkNum    *string          `json:"trunkNum"`
	TrunkName   *string          `json:"trunkName"`
}

type phonetOtherLeg struct {
	ID          *string `json:"id"`
	Name        *string `json:"name"`
	Num         string  `json:"num"`
	CompanyName *string `json:"companyName"`
	URL         string  `json:"url"`
	Priority    int     `json:"priority"`
}

type phonetReply struct {
	Event   string `json:"event"`
	Message string `json:"message,omitempty"`
}

// message says how a call is. p.mu is held.
func (p *Phonet) message(c *phonetCall, event string) phonetMessage {
	m := phonetMessage{
		Event: event, UUID: c.uuid, LgDirection: c.direction, Leg: c.leg, Leg2: c.leg2, OtherLegs: p.otherLegs(c),
		DialAt: c.dialAt.UnixMilli(), ServerTime: strconv.FormatInt(p.now().UnixMilli(), 10),
	}
	if c.parent != nil {
		m.ParentUUID = &c.parent.uuid
	}
	if !c.bridgeAt.IsZero() {
		m.BridgeAt = new(c.bridgeAt.UnixMilli())
	}
	if c.direction == phonetIncoming || c.direction == phonetOutgoing {
		m.TrunkNum, m.TrunkName = &p.cfg.Trunk, &p.cfg.Trunk
	}
	return m
}

func (p *Phonet) otherLegs(c *phonetCall) []phonetOtherLeg {
	if c.direction != phonetIncoming && c.direction != phonetOutgoing {
		return []phonetOtherLeg{}
	}
	o := phonetOtherLeg{Num: c.number, URL: "https://" + p.cfg.Domain + "/features/crm/contacts/edit.jsp", Priority: 2}
	if c.name != "" {
		o.ID, o.Name = new("29"), &c.name
	}
	return []phonetOtherLeg{o}
}

// tell says what became of a call to those who may hear it. p.mu is held.
func (p *Phonet) tell(c *phonetCall, event string) {
	if p.cutAfter >= 0 && p.told >= p.cutAfter && !p.cut {
		p.hang()
	}
	data, err := json.Marshal(p.message(c, event))
	if err != nil {
		p.log.Error("sandbox phonet", "err", err)
		return
	}
	p.told++
	for s := range p.sockets {
		if !slices.Contains(c.watchers, s.extension) {
			continue
		}
		p.send(s, data)
		if p.cfg.Twice {
			p.send(s, data)
		}
	}
}

// send queues a frame. A client that does not read is cut off.
func (p *Phonet) send(s *phonetSocket, data []byte) {
	select {
	case s.out <- data:
	default:
		_ = s.conn.Close()
	}
}

// CutAfter breaks all connections before the message after so many, and keeps them so until Restore.
func (p *Phonet) CutAfter(messages int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = messages
}

// Cut breaks all connections and lets nobody in until Restore. The telephones go on.
func (p *Phonet) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hang()
}

func (p *Phonet) hang() {
	p.cut = true
	for s := range p.sockets {
		_ = s.conn.Close()
		delete(p.sockets, s)
	}
}

// Restore lets clients in again. It says whether they were kept out.
func (p *Phonet) Restore() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.cut
	p.cut, p.cutAfter = false, -1
	return was
}

// Told is how many messages there were so far, whoever heard them.
func (p *Phonet) Told() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told
}

// Listening is how many sockets are open.
func (p *Phonet) Listening() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sockets)
}

func (p *Phonet) serveSocket(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	cut := p.cut
	p.mu.Unlock()
	if cut {
		http.Error(w, "", http.StatusServiceUnavailable)
		return
	}
	extension, err := p.subscriber(r.URL.RawQuery)
	if err != nil && p.cfg.Refusal == PhonetRefusesByStatus {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	s, upErr := p.join(w, r, extension, err == nil)
	if upErr != nil {
		return // it has answered
	}
	defer func() { _ = s.conn.Close() }()
	if err != nil {
		p.refuse(s.conn, err)
		return
	}
	defer p.leave(s)
	done := make(chan struct{})
	defer close(done)
	go s.write(done)
	for {
		_, frame, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		p.command(s, frame)
	}
}

// subscriber reads a socket's query: exactly the three parameters, once each, and an employee by extension or e-mail.
func (p *Phonet) subscriber(raw string) (extension string, err error) {
	query, err := url.ParseQuery(raw)
	switch {
	case err != nil:
		return "", err
	case len(query) != 3 || len(query["domain"]) != 1 || len(query["apiKey"]) != 1 || len(query["subscriber"]) != 1:
		return "", errors.New("domain, apiKey and subscriber are wanted, and nothing else")
	case query.Get("domain") != p.cfg.Domain:
		return "", errors.New("another domain")
	case query.Get("apiKey") != p.cfg.APIKey:
		return "", errors.New("wrong apiKey " + query.Get("apiKey")) // a careless server might
	}
	for _, e := range p.cfg.Employees {
		if name := query.Get("subscriber"); name == e.Ext || e.Email != "" && strings.EqualFold(name, e.Email) {
			return e.Ext, nil
		}
	}
	return "", errors.New("no such subscriber")
}

func (p *Phonet) refuse(conn *websocket.Conn, why error) {
	deadline := time.Now().Add(phonetWrite)
	if p.cfg.Refusal == PhonetRefusesByClose {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.ClosePolicyViolation, why.Error()), deadline)
		return
	}
	_ = conn.SetWriteDeadline(deadline)
	_ = conn.WriteJSON(phonetReply{Event: "error", Message: why.Error()})
	_, _, _ = conn.ReadMessage() // until the client goes
}

// join opens a socket. A client that knows it to be open hears everything from then on.
func (p *Phonet) join(w http.ResponseWriter, r *http.Request, extension string, welcome bool) (*phonetSocket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	s := &phonetSocket{conn: conn, extension: extension, out: make(chan []byte, phonetBacklog)}
	if p.cut {
		_ = conn.Close()
	} else if welcome {
		p.sockets[s] = struct{}{}
	}
	return s, nil
}

func (p *Phonet) leave(s *phonetSocket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sockets, s)
}

// write sends what is queued, until the socket's end.
func (s *phonetSocket) write(done <-chan struct{}) {
	for {
		select {
		case data := <-s.out:
			_ = s.conn.SetWriteDeadline(time.Now().Add(phonetWrite))
			if s.conn.WriteMessage(websocket.TextMessage, data) != nil {
				_ = s.conn.Close()
				return
			}
		case <-done:
			return
		}
	}
}

// command does what a client asks for: {"action":"call","to":"380…"}, digits only.
func (p *Phonet) command(s *phonetSocket, frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.clicked(s.extension, frame)
	answer := phonetReply{Event: "success"}
	if err != nil {
		answer = phonetReply{Event: "error", Message: gateway.Shown(err).Message}
	}
	data, _ := json.Marshal(answer) //nolint:errchkjson // two strings
	if c != nil && p.cfg.DialFirst {
		p.begin(c)
	}
	p.send(s, data)
	if c != nil && !p.cfg.DialFirst {
		p.begin(c)
	}
}

func (p *Phonet) clicked(extension string, frame []byte) (*phonetCall, error) {
	var cmd struct {
		Action string `json:"action"`
		To     string `json:"to"`
	}
	switch err := phonetStrict(frame, &cmd); {
	case err != nil:
		return nil, err
	case cmd.Action != "call":
		return nil, gateway.Errorf(gateway.CodeInvalid, "unknown action %q", cmd.Action)
	case gateway.Digits(cmd.To) != cmd.To:
		return nil, gateway.Errorf(gateway.CodeBadNumber, "number %q is not digits", cmd.To)
	}
	return p.dial(extension, cmd.To)
}

// phonetStrict decodes one JSON object: no unknown field, no null, nothing behind it.
func phonetStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return gateway.Errorf(gateway.CodeInvalid, "malformed: %w", err)
	}
	for name, value := range fields {
		if string(value) == "null" {
			return gateway.Errorf(gateway.CodeInvalid, "%s is null", name)
		}
	}
	if err := dec.Decode(into); err != nil {
		return gateway.Errorf(gateway.CodeInvalid, "malformed: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return gateway.Errorf(gateway.CodeInvalid, "something follows")
	}
	return nil
}
