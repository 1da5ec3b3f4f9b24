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
)

// The words that make this program one of the servers it measures others beside: its second argument is then the
// address to serve. Such a server ends with its standard input, and so with its parent.
const (
	bareCommand  = "bare-fan-out"
	naiveCommand = "naive-server"
)

// peers are those servers by their word. Each calls the board for a POST, and lets tabs in by its door.
var peers = map[string]func(*board) http.HandlerFunc{ // fixed
	bareCommand:  bareDoor,
	naiveCommand: naiveDoor,
}

// board is what a server that keeps nothing knows: whose socket is whose, and who has which call.
type board struct {
	mu      sync.Mutex
	sockets map[seat]*socket
	calls   map[string]seat // whose telephone rings or talks, by call
}

// seat is an extension of an account.
type seat struct{ account, extension string }

// socket is how to reach a tab.
type socket struct {
	mu    sync.Mutex
	sent  int
	write func([]byte) error
}

func newBoard() *board { return &board{sockets: map[seat]*socket{}, calls: map[string]seat{}} }

func (b *board) handler(door http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v1/ws", door)
	mux.HandleFunc("POST /v1/accounts/{account}/events", b.serveEvents)
	return mux
}

// servePeer serves until ctx or parent ends.
func servePeer(ctx context.Context, peer, addr string, parent io.Reader) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	b := newBoard()
	server := &http.Server{Handler: b.handler(peers[peer](b)), ReadHeaderTimeout: 5 * time.Second}
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

// sit greets the tab of a seat and sends it what is posted from now on.
func (b *board) sit(who seat, s *socket) error {
	s.mu.Lock() // nothing overtakes the hello
	defer s.mu.Unlock()
	b.mu.Lock()
	b.sockets[who] = s
	b.mu.Unlock()
	return s.write([]byte(`{"type":"hello","cursor":"0"}`))
}

// leave forgets a tab, unless another has taken its seat.
func (b *board) leave(who seat, s *socket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sockets[who] == s {
		delete(b.sockets, who)
	}
}

func (b *board) serveEvents(w http.ResponseWriter, r *http.Request) {
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

// send writes an event to whose call it is. Who is not there misses it.
func (b *board) send(account string, data []byte) error {
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
	s := b.sockets[to]
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	message := make([]byte, 0, len(data)+192)
	message = append(message, `{"type":"call","cursor":"`...)
	message = strconv.AppendInt(message, int64(s.sent)+1, 10)
	message = append(message, `","prev":"`...)
	message = strconv.AppendInt(message, int64(s.sent), 10)
	message = fmt.Appendf(message, `","event":%q,"call":{"id":"%s:%s","extension":%q,"posted":%s}}`,
		event.Event, pbxID, event.Call, to.extension, data)
	s.sent++
	_ = s.write(message) // it left: the next visit misses this, as nothing is kept
	return nil
}
