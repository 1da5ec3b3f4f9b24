package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

// rungs are the ways to be connected. Each gives the tab what comes until the connection is over, and returns why it is.
var rungs = map[string]func(context.Context, *visitor) error{ // fixed
	"ws":     visitWS,
	"sse":    visitSSE,
	"poll":   visitPoll,
	"script": visitScript,
}

// helloFrame is what a WebSocket begins with, and what renews its token.
type helloFrame struct {
	Type   string `json:"type"`
	Token  string `json:"token"`
	Cursor string `json:"cursor,omitempty"`
	Client string `json:"client,omitempty"`
}

func visitWS(ctx context.Context, v *visitor) error {
	token, err := v.token()
	if err != nil {
		return err
	}
	dialer := v.crowd.dialer
	dialer.NetDialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return v.dial(ctx) }
	scheme := "ws"
	if v.crowd.secure {
		scheme = "wss"
	}
	conn, response, err := dialer.DialContext(ctx, scheme+"://"+v.crowd.addrs[0]+"/v1/ws", v.crowd.header) //nolint:bodyclose // there is nothing to close, says the library
	if err != nil {
		if response != nil && response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusTooManyRequests {
			err = &refusal{Status: response.StatusCode, Text: err.Error()}
		}
		return err
	}
	defer func() { _ = conn.Close() }()
	err = errors.Join(conn.SetReadDeadline(time.Now().Add(answerTime)),
		conn.WriteJSON(helloFrame{Type: "hello", Token: token, Cursor: v.tab.at(), Client: v.client}))
	if err == nil {
		err = v.takeFrame(conn)
	}
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	defer v.keepRenewing(func(token string) { _ = conn.WriteJSON(helloFrame{Type: "hello", Token: token}) })()
	for {
		if err := v.takeFrame(conn); err != nil {
			return err
		}
	}
}

// takeFrame reads a frame. The buffers are everybody's: most sessions are idle.
func (v *visitor) takeFrame(conn *websocket.Conn) error {
	_, frame, err := conn.NextReader()
	if err != nil {
		return err
	}
	buffer, ok := v.crowd.buffers.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	defer v.crowd.buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(frame); err != nil {
		return err
	}
	return v.take(buffer.Bytes())
}

// ticket is what a rung has that can only carry a URL.
type ticket struct {
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires_at"`
}

// newTicket asks for one.
func (v *visitor) newTicket(l *line) (ticket, error) {
	token, err := v.token()
	if err != nil {
		return ticket{}, err
	}
	var t ticket
	err = l.post("/v1/tickets", v.crowd.header, map[string]string{"token": token, "client": v.client}, &t, answerTime)
	return t, err
}

func visitSSE(ctx context.Context, v *visitor) error {
	l, err := v.line(ctx)
	if err != nil {
		return err
	}
	t, err := v.newTicket(l)
	if err != nil {
		return err
	}
	query := url.Values{"ticket": {t.Ticket}, "client": {v.client}}
	if cursor := v.tab.at(); cursor != "" {
		query.Set("cursor", cursor)
	}
	response, err := l.open(http.MethodGet, "/v1/sse?"+query.Encode(), v.crowd.header, nil, answerTime)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := l.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	defer v.keepRenewing(func(token string) { v.renewSSE(ctx, l.host, token) })()
	return v.takeEvents(response.Body)
}

// renewSSE extends the session where it is. A node that does not have it is no reason to end it: it ends by itself.
func (v *visitor) renewSSE(ctx context.Context, addr, token string) {
	conn, err := dialAny(ctx, v.home, []string{addr}, 0)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	var reply struct{}
	_ = v.crowd.lineOn(conn).post("/v1/actions", v.crowd.header, map[string]string{
		"token": token, "client": v.client, "id": fmt.Sprint(v.client, "-", time.Now().UnixNano()), "action": "renew",
	}, &reply, answerTime)
}

// takeEvents reads an event stream. What has an id must have it in its message, too: it is where a browser goes on.
func (v *visitor) takeEvents(stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, 1<<20)
	var data, id []byte
	for lines.Scan() {
		text := lines.Bytes()
		switch field, value, _ := bytes.Cut(text, []byte(": ")); {
		case len(text) == 0 && data != nil:
			if err := v.take(data); err != nil {
				return err
			}
			if cursor := v.tab.at(); id != nil && cursor != string(id) {
				return fmt.Errorf("an event's id is %q, and its cursor %q", id, cursor)
			}
			data, id = nil, nil
		case string(field) == "data":
			data = append(data, value...)
		case string(field) == "id":
			id = bytes.Clone(value)
		}
	}
	return errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}
