package sandbox_test

import (
	"cmp"
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
// rung, commands, claims and presence. To extend it, add the message to command; it knows nothing of telephones: a test
// tells what becomes of a call.
type fakeGateway struct {
	t      *testing.T
	srv    *httptest.Server
	secret string
	failed map[string]string // action → the code it is refused with

	mu       sync.Mutex
	account  string // told in sessions; by it the tabs of a user share one connection. Empty: each has its own
	down     bool   // nobody gets in
	socks    map[*fakeSocket]bool
	opened   int
	cursor   int
	last     map[string]string // user → cursor of his last message
	calls    map[string]map[string]object
	claims   map[string]*fakeClaim
	commands []object
	claimed  []string
	replies  map[string]object // action → what its reply has besides
	held     map[string]chan struct{}
	team     []object // presence
}

type object = map[string]any

type fakeSocket struct {
	conn     *websocket.Conn
	user     string
	client   string
	presence bool
}

// fakeClaim is who has a claim, by the name of his client: all tabs behind one connection are one client.
type fakeClaim struct {
	client string
	done   bool
}

// claimRest is how long a claim stays taken after its client is gone.
const claimRest = 5 * time.Second

func newFakeGateway(t *testing.T, secret string) *fakeGateway {
	t.Helper()
	g := &fakeGateway{
		t: t, secret: secret, failed: map[string]string{}, socks: map[*fakeSocket]bool{},
		last: map[string]string{}, calls: map[string]map[string]object{}, claims: map[string]*fakeClaim{},
		replies: map[string]object{"call": {"call": "office:dialled"}, "park": {"slot": "701"}}, held: map[string]chan struct{}{},
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
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	header.Set("Access-Control-Allow-Headers", "X-Auth-Token, Content-Type")
	header.Set("Access-Control-Allow-Methods", "POST")
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	g.mu.Lock()
	down, account := g.down, g.account
	g.mu.Unlock()
	if down {
		writeProblem(w, http.StatusServiceUnavailable, object{"code": "unavailable", "detail": "the gateway is down"})
		return
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.Header.Get("X-Auth-Token"), claims,
		func(*jwt.Token) (any, error) { return []byte(g.secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(r.Header.Get("Origin")))
	if err != nil {
		writeProblem(w, http.StatusUnauthorized, object{"code": "bad_token", "detail": err.Error()})
		return
	}
	user := strconv.FormatFloat(claims["user_id"].(float64), 'f', 0, 64)
	session := object{"token": "session-of-" + user, "expires_at": time.Now().Add(time.Hour).UTC(), "user": object{"id": user}}
	if account != "" {
		session["account"] = account
	}
	header.Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(session)
}

func writeProblem(w http.ResponseWriter, status int, problem object) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	problem["status"] = status
	_ = json.NewEncoder(w).Encode(problem)
}

func (g *fakeGateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	down := g.down
	g.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, Subprotocols: []string{"ringcast.v1"}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	var hello struct {
		Type, Token, Cursor, Client string
		Presence                    bool
	}
	if err := conn.ReadJSON(&hello); err != nil {
		return
	}
	s := &fakeSocket{conn: conn, client: hello.Client, presence: hello.Presence}
	if _, err := fmt.Sscanf(hello.Token, "session-of-%s", &s.user); err != nil || hello.Type != "hello" {
		g.t.Errorf("the first frame is %+v", hello)
		return
	}
	s.client = cmp.Or(s.client, r.RemoteAddr)
	g.hello(s, hello.Cursor)
	defer g.gone(s)
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
	g.bring(s)
}

// gone lets the claims of a client that does not come back be taken by others, a little later.
func (g *fakeGateway) gone(s *fakeSocket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.socks, s)
	time.AfterFunc(claimRest, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for other := range g.socks {
			if other.client == s.client {
				return
			}
		}
		maps.DeleteFunc(g.claims, func(_ string, c *fakeClaim) bool { return c.client == s.client && !c.done })
	})
}

func (g *fakeGateway) command(s *fakeSocket, frame object) {
	action := fmt.Sprint(frame["action"])
	g.mu.Lock()
	held := g.held[action]
	g.mu.Unlock()
	if held != nil {
		<-held
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	code := g.failed[action]
	switch action {
	case "shown", "visible": // are not answered
		return
	case "renew": // with the same token: the client sees whether the line works both ways
	case "claim":
		key := fmt.Sprint(frame["call"], " ", frame["what"])
		switch owner := g.claims[key]; {
		case owner == nil:
			g.claims[key] = &fakeClaim{client: s.client}
			g.claimed = append(g.claimed, key)
		case owner.client != s.client:
			code = "taken"
		default:
			owner.done = owner.done || frame["done"] == true
		}
	default:
		g.commands = append(g.commands, frame)
	}
	reply := object{"type": "reply", "id": frame["id"], "ok": code == ""}
	if code != "" {
		reply["error"] = object{"code": code, "message": code}
	} else {
		maps.Copy(reply, g.replies[action])
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

// present tells everybody who asked for it how the colleagues are, and goes on telling who comes.
func (g *fakeGateway) present(team ...object) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.team = team
	for s := range g.socks {
		g.bring(s)
	}
}

// bring sends the whole presence to a socket that wants it. The caller holds the lock.
func (g *fakeGateway) bring(s *fakeSocket) {
	if s.presence && g.team != nil {
		_ = s.conn.WriteJSON(object{"type": "presence", "full": true, "version": strconv.Itoa(g.cursor), "users": g.team})
	}
}

// colleague is a user's presence: online and free; over changes it.
func colleague(user, name, extension string, over object) object {
	c := object{"user": user, "name": name, "extensions": []string{extension}, "online": true, "visible": true, "busy": false, "away": false}
	maps.Copy(c, over)
	return c
}

// cut closes all connections, as a network does.
func (g *fakeGateway) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.socks {
		_ = s.conn.Close()
	}
}

// shut closes all connections and lets nobody in; with false it lets them in again.
func (g *fakeGateway) shut(down bool) {
	g.mu.Lock()
	g.down = down
	g.mu.Unlock()
	if down {
		g.cut()
	}
}

// share makes the tabs of a user share one connection from now on, as those of a real gateway do.
func (g *fakeGateway) share() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account = "acme"
}

// shared tells whether a new tab of a user is to join a connection that is there.
func (g *fakeGateway) shared(user string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.socks {
		if s.user == user && g.account != "" {
			return true
		}
	}
	return false
}

// seen returns what the user has asked for, the claims that were granted, and how many sockets were opened.
func (g *fakeGateway) seen() (commands []object, claims []string, opened int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.commands), slices.Clone(g.claimed), g.opened
}

// asked returns the commands of one action, such as "transfer".
func (g *fakeGateway) asked(action string) []object {
	commands, _, _ := g.seen()
	return slices.DeleteFunc(commands, func(c object) bool { return c["action"] != action })
}

// refuse makes an action fail with a code; "" ends that.
func (g *fakeGateway) refuse(action, code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed[action] = code
}

// hold leaves commands of an action without an answer until release is called. While it holds one, its socket is not
// read.
func (g *fakeGateway) hold(action string) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	free := make(chan struct{})
	g.held[action] = free
	release = sync.OnceFunc(func() {
		g.mu.Lock()
		delete(g.held, action)
		g.mu.Unlock()
		close(free)
	})
	g.t.Cleanup(release)
	return release
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
