package sandbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// fakeGateway speaks as much of Ringcast's wire as the widget needs: sessions by disposable token, one WebSocket
// rung, claims. To extend it, add the message to serve; it knows nothing of telephones.
type fakeGateway struct {
	t      *testing.T
	srv    *httptest.Server
	secret string
	failed map[string]string // action → the code it is refused with

	mu       sync.Mutex
	socks    map[*fakeSocket]bool
	opened   int
	cursor   int
	last     map[string]string // user → cursor of his last message
	calls    map[string]map[string]object
	claims   map[string]*fakeSocket
	commands []object
	claimed  []string
}

type object = map[string]any

type fakeSocket struct {
	conn *websocket.Conn
	user string
}

func newFakeGateway(t *testing.T, secret string) *fakeGateway {
	t.Helper()
	g := &fakeGateway{
		t: t, secret: secret, failed: map[string]string{}, socks: map[*fakeSocket]bool{},
		last: map[string]string{}, calls: map[string]map[string]object{}, claims: map[string]*fakeSocket{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/sessions/amocrm", g.serveSession)
	mux.HandleFunc("GET /v1/ws", g.serveSocket)
	g.srv = httptest.NewServer(mux)
	t.Cleanup(func() {
		g.cut()
		g.srv.Close()
	})
	return g
}

func (g *fakeGateway) serveSession(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Allow-Headers", "X-Auth-Token, Content-Type")
	h.Set("Access-Control-Allow-Methods", "POST")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.Header.Get("X-Auth-Token"), claims,
		func(*jwt.Token) (any, error) { return []byte(g.secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(r.Header.Get("Origin")))
	h.Set("Content-Type", "application/json")
	if err != nil {
		h.Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(object{"status": 401, "code": "bad_token", "detail": err.Error()})
		return
	}
	user := strconv.FormatFloat(claims["user_id"].(float64), 'f', 0, 64)
	_ = json.NewEncoder(w).Encode(object{
		"token": "session-of-" + user, "expires_at": time.Now().Add(time.Hour).UTC(), "user": object{"id": user},
	})
}

func (g *fakeGateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: []string{"ringcast.v1"}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	var hello struct{ Type, Token, Cursor string }
	if err := conn.ReadJSON(&hello); err != nil {
		return
	}
	s := &fakeSocket{conn: conn}
	if _, err := fmt.Sscanf(hello.Token, "session-of-%s", &s.user); err != nil || hello.Type != "hello" {
		g.t.Errorf("the first frame is %+v", hello)
		return
	}
	g.hello(s, hello.Cursor)
	defer func() {
		g.mu.Lock()
		delete(g.socks, s)
		g.mu.Unlock()
	}()
	for {
		var frame object
		if conn.ReadJSON(&frame) != nil {
			return
		}
		g.command(s, frame)
	}
}

func (g *fakeGateway) hello(s *fakeSocket, cursor string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	g.socks[s] = true
	if g.last[s.user] == "" {
		g.last[s.user] = "start"
	}
	resumed := cursor != "" && cursor == g.last[s.user]
	calls := slices.Collect(maps.Values(g.calls[s.user]))
	if resumed || calls == nil {
		calls = []object{}
	}
	_ = s.conn.WriteJSON(object{
		"type": "hello", "cursor": g.last[s.user], "resumed": resumed, "reason": "new", "calls": calls, "ping": 25,
		"user": object{"id": s.user, "name": "user " + s.user, "extensions": []string{"101"}},
	})
}

func (g *fakeGateway) command(s *fakeSocket, frame object) {
	g.mu.Lock()
	defer g.mu.Unlock()
	code := g.failed[fmt.Sprint(frame["action"])]
	switch frame["action"] {
	case "shown", "visible": // are not answered
		return
	case "renew": // with the same token: the client sees whether the line works both ways
	case "claim":
		key := fmt.Sprint(frame["call"], " ", frame["what"])
		switch owner := g.claims[key]; owner {
		case nil:
			g.claims[key] = s
			g.claimed = append(g.claimed, key)
		case s:
		default:
			code = "taken"
		}
	default:
		g.commands = append(g.commands, frame)
	}
	reply := object{"type": "reply", "id": frame["id"], "ok": code == ""}
	if code != "" {
		reply["error"] = object{"code": code, "message": code}
	}
	_ = s.conn.WriteJSON(reply)
}

// tell sends a change of a call to all tabs of a user.
func (g *fakeGateway) tell(user, event string, call object) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cursor++
	prev, cursor := g.last[user], strconv.Itoa(g.cursor)
	if prev == "" {
		prev = "start"
	}
	g.last[user] = cursor
	call["version"] = g.cursor
	if g.calls[user] == nil {
		g.calls[user] = map[string]object{}
	}
	if call["state"] == "ended" {
		delete(g.calls[user], call["id"].(string))
	} else {
		g.calls[user][call["id"].(string)] = call
	}
	for s := range g.socks {
		if s.user == user {
			_ = s.conn.WriteJSON(object{"type": "call", "cursor": cursor, "prev": prev, "event": event, "call": call})
		}
	}
}

// cut closes all connections, as a network does.
func (g *fakeGateway) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.socks {
		_ = s.conn.Close()
	}
}

// seen returns what the user has asked for, the claims that were granted, and how many sockets were opened.
func (g *fakeGateway) seen() (commands []object, claims []string, opened int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.commands), slices.Clone(g.claimed), g.opened
}

func (g *fakeGateway) refuse(action, code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed[action] = code
}

// call is an incoming call of the seeded contact; over changes it.
func call(over object) object {
	c := object{
		"id": "office:1", "version": 1, "direction": "inbound", "phone": "+79005550111", "phone_raw": "89005550111",
		"line": "+74951234567", "extension": "101", "state": "ringing", "outcome": nil, "answered_by": nil, "peer": nil,
		"started_at": "2026-01-01T10:00:00.000Z", "answered_at": nil, "ended_at": nil, "talk_seconds": 0, "contact": nil, "recording": nil,
	}
	maps.Copy(c, over)
	return c
}
