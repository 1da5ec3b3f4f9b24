package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// bareCommand makes the program the bare fan-out on the address behind it; it ends with its standard input, and so with
// its parent.
const bareCommand = "bare-fan-out"

// bare is the least that does what a tab sees: it decodes a POST, looks up who has the extension, writes to that
// socket, and answers. It keeps nothing, checks nobody and knows calls only as far as their hangup needs.
type bare struct {
	upgrader websocket.Upgrader

	mu    sync.Mutex
	tabs  map[seat]*bareTab
	calls map[string]seat // whose telephone rings or talks, by call
}

// seat is an extension of an account.
type seat struct{ account, extension string }

type bareTab struct {
	mu   sync.Mutex
	conn *websocket.Conn
	sent int
}

func newBare() *bare {
	return &bare{
		upgrader: websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }},
		tabs:     map[seat]*bareTab{}, calls: map[string]seat{},
	}
}

func (b *bare) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/ws", b.serveTab)
	mux.HandleFunc("POST /v1/accounts/{account}/events", b.serveEvents)
	return mux
}

// serveBare serves until ctx or parent ends.
func serveBare(ctx context.Context, addr string, parent io.Reader) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newBare().handler(), ReadHeaderTimeout: 5 * time.Second}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, parent)
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (b *bare) serveTab(w http.ResponseWriter, r *http.Request) {
	conn, err := b.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.Close() }()
	var hello struct {
		Token string `json:"token"`
	}
	var claims jwt.RegisteredClaims
	if conn.ReadJSON(&hello) != nil {
		return
	}
	if _, _, err := jwt.NewParser().ParseUnverified(hello.Token, &claims); err != nil {
		return
	}
	tab := &bareTab{conn: conn}
	tab.mu.Lock() // nothing overtakes the hello
	b.mu.Lock()
	b.tabs[seat{claims.Issuer, extensionOf(claims.Subject)}] = tab
	b.mu.Unlock()
	err = conn.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello","cursor":"0"}`))
	tab.mu.Unlock()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

func (b *bare) serveEvents(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var events []json.RawMessage
	if err == nil && len(body) > 0 && body[0] == '[' {
		err = json.Unmarshal(body, &events)
	} else {
		events = []json.RawMessage{body}
	}
	for _, data := range events {
		if err == nil {
			err = b.send(r.PathValue("account"), data)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"accepted":%d,"duplicates":0}`, len(events))
}

func (b *bare) send(account string, data []byte) error {
	var event struct {
		Event     string `json:"event"`
		Call      string `json:"call"`
		Extension string `json:"extension"`
	}
	if err := json.Unmarshal(data, &event); err != nil {
		return err
	}
	b.mu.Lock()
	to, known := b.calls[event.Call]
	switch {
	case !known:
		to = seat{account, event.Extension}
		b.calls[event.Call] = to
	case event.Event == "call.hangup":
		delete(b.calls, event.Call)
	}
	tab := b.tabs[to]
	b.mu.Unlock()
	if tab == nil {
		return nil
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	message := make([]byte, 0, len(data)+192)
	message = append(message, `{"type":"call","cursor":"`...)
	message = strconv.AppendInt(message, int64(tab.sent)+1, 10)
	message = append(message, `","prev":"`...)
	message = strconv.AppendInt(message, int64(tab.sent), 10)
	message = fmt.Appendf(message, `","event":%q,"call":{"id":"%s:%s","extension":%q,"posted":%s}}`,
		event.Event, pbxID, event.Call, to.extension, data)
	tab.sent++
	return tab.conn.WriteMessage(websocket.TextMessage, message)
}
