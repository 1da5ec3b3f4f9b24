package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
)

// watcher is a tab that lives through restarts: it comes back with its cursor, on one rung or on the other in
// turn, until it has seen its user's goodbye.
type watcher struct {
	t      *testing.T
	served *served
	client *http.Client

	name, user, token string
	rungs             []func(*watcher, context.Context) error

	cursor string
	there  chan struct{} // closed after the first hello
	seen   []sight
	done   bool
}

func newWatcher(t *testing.T, s *served, client *http.Client, i int) *watcher {
	kinds := []struct {
		name  string
		rungs []func(*watcher, context.Context) error
	}{
		{"ws", []func(*watcher, context.Context) error{(*watcher).ws}},
		{"poll", []func(*watcher, context.Context) error{(*watcher).poll}},
		{"both", []func(*watcher, context.Context) error{(*watcher).ws, (*watcher).poll}},
	}
	kind := kinds[i%len(kinds)]
	user := userName(i % killUsers)
	return &watcher{
		t: t, served: s, client: client, there: make(chan struct{}), rungs: kind.rungs, user: user,
		name: fmt.Sprintf("tab %d (%s, %s)", i, user, kind.name), token: backendToken(t, acmeBackendKey, map[string]any{"sub": user}),
	}
}

func (w *watcher) untilThere(ctx context.Context) {
	w.t.Helper()
	select {
	case <-w.there:
	case <-ctx.Done():
		w.t.Fatalf("%s does not connect:\n%s", w.name, w.served.log.tail())
	}
}

func (w *watcher) run(ctx context.Context) {
	for n := 0; !w.done && w.served.await(ctx); n++ {
		err := w.rungs[n%len(w.rungs)](w, ctx)
		var end *websocket.CloseError
		if errors.As(err, &end) && end.Code >= 4500 {
			w.t.Errorf("%s was sent away: %v", w.name, end)
			return
		}
	}
}

// ws listens on a WebSocket until that ends.
func (w *watcher) ws(ctx context.Context) error {
	dialer := websocket.Dialer{Subprotocols: []string{"ringcast.v1"}, HandshakeTimeout: patience}
	conn, _, err := dialer.DialContext(ctx, "ws://"+w.served.web+"/v1/ws", nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.WriteJSON(map[string]string{"type": "hello", "token": w.token, "cursor": w.cursor, "client": w.name}); err != nil {
		return err
	}
	for first := true; !w.done; first = false {
		var m message
		if err := conn.ReadJSON(&m); err != nil {
			return err
		}
		if first && m.Type != "hello" {
			w.t.Errorf("%s: the first message is %+v", w.name, m)
		}
		w.take(m)
	}
	return nil
}

// poll polls until that fails.
func (w *watcher) poll(ctx context.Context) error {
	for !w.done {
		got, err := w.pollOnce(ctx)
		if err != nil {
			return err
		}
		for _, m := range got.Messages {
			w.take(m)
		}
		if got.Cursor != w.cursor {
			w.t.Errorf("%s: the poll's cursor is %q, its last message's %q", w.name, got.Cursor, w.cursor)
		}
	}
	return nil
}

func (w *watcher) pollOnce(ctx context.Context) (got polled, err error) {
	body := pollBody(w.token, w.cursor, 25)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.served.web+"/v1/poll", bytes.NewReader([]byte(body)))
	if err != nil {
		return got, err
	}
	res, err := w.client.Do(r)
	if err != nil {
		return got, err
	}
	data, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return got, err
	}
	if res.StatusCode != http.StatusOK {
		if res.StatusCode != http.StatusServiceUnavailable {
			w.t.Errorf("%s: a poll was answered with %d %s", w.name, res.StatusCode, data)
		}
		return got, errors.New(string(data))
	}
	return got, json.Unmarshal(data, &got)
}

// take handles a message as a page does. A reset, a gap or a repeat is a failure: nothing explains one here.
func (w *watcher) take(m message) {
	switch m.Type {
	case "hello":
		if w.cursor != "" && (!m.Resumed || m.Cursor != w.cursor) {
			w.t.Errorf("%s came back with %q and got %+v", w.name, w.cursor, m)
		}
		if w.cursor == "" {
			defer close(w.there)
		}
		w.cursor = m.Cursor
	case "call":
		v := m.view(w.t)
		s := sight{call: v.ID, version: v.Version, event: m.Event, state: v.State}
		if v.Outcome != nil {
			s.outcome = *v.Outcome
		}
		if m.Prev != w.cursor {
			w.t.Errorf("%s: %s says that it follows %q, not %q", w.name, s.key(), m.Prev, w.cursor)
		}
		w.cursor = m.Cursor
		w.seen = append(w.seen, s)
		w.done = v.ID == "main:"+goodbyeCall(w.user)
	case "ping", "bye":
	default:
		w.t.Errorf("%s got %+v", w.name, m)
	}
}
