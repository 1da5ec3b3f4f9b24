package push

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// fakePresence is a gateway's board that a test can change.
type fakePresence struct {
	mu       sync.Mutex
	start    time.Time
	told     []string // SetPresence, a line each
	here     map[userKey]gateway.Here
	users    map[string][]gateway.UserPresence
	watchers map[string][]*func([]gateway.UserPresence)
	onList   func() // when the list is made, before it arrives
}

func newFakePresence() *fakePresence {
	return &fakePresence{
		start: time.Now(), here: map[userKey]gateway.Here{}, watchers: map[string][]*func([]gateway.UserPresence){},
		users: map[string][]gateway.UserPresence{"acme": {
			{User: "2", Name: "Boris", Extensions: []string{}}, {User: "1", Name: "Anna", Extensions: []string{"101"}},
		}},
	}
}

func (p *fakePresence) SetPresence(account, user string, here gateway.Here) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.here[userKey{account, user}] = here
	word := "away"
	if here.Online {
		word = "online"
	}
	if here.Visible {
		word = "visible"
	}
	p.told = append(p.told, fmt.Sprintf("%v %s/%s %s", time.Since(p.start).Round(time.Second), account, user, word))
}

func (p *fakePresence) Presence(account string) []gateway.UserPresence {
	p.mu.Lock()
	users := slices.Clone(p.users[account])
	p.mu.Unlock()
	if p.onList != nil {
		p.onList()
	}
	return users
}

func (p *fakePresence) WatchPresence(account string, fn func([]gateway.UserPresence)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := &fn
	p.watchers[account] = append(p.watchers[account], mine)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.watchers[account] = slices.DeleteFunc(p.watchers[account], func(f *func([]gateway.UserPresence)) bool { return f == mine })
	}
}

// becomes changes users of acme.
func (p *fakePresence) becomes(users ...gateway.UserPresence) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range users {
		i := slices.IndexFunc(p.users["acme"], func(old gateway.UserPresence) bool { return old.User == u.User })
		if i >= 0 {
			p.users["acme"][i] = u
		}
	}
	for _, fn := range p.watchers["acme"] {
		(*fn)(users)
	}
}

func (p *fakePresence) watched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watchers["acme"])
}

func (p *fakePresence) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.told, want) {
		t.Errorf("told %q, want %q", p.told, want)
	}
	p.told = nil
}

// inPresence runs a test in a bubble with a server over a fake board.
func inPresence(t *testing.T, test func(t *testing.T, r *rig, p *fakePresence)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakePresence()
		r := newParts(t, func(c *Config) { c.Presence = p })
		defer r.close()
		test(t, r, p)
	})
}

// come opens a session that reads everything.
func (r *rig) come(t *testing.T, who userKey, in opening) *reader {
	t.Helper()
	id, user, err := r.server.authorize(r.token(who))
	if err != nil {
		t.Fatal(err)
	}
	c := newReader(r.server)
	if err := c.session.open(id, user, in); err != nil {
		t.Fatal(err)
	}
	return c
}

// presences are the messages of presence that a reader got, and forgets: "full 1:online 2:" or "1:".
func (c *reader) presences() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, f := range c.frames {
		var m presenceMessage
		if err := json.Unmarshal([]byte(f), &m); err == nil && m.Type == "presence" {
			lines = append(lines, m.String())
		}
	}
	c.frames = nil
	return lines
}

type presenceMessage struct {
	Type    string                 `json:"type"`
	Full    bool                   `json:"full"`
	Version string                 `json:"version"`
	Users   []gateway.UserPresence `json:"users"`
}

func (m presenceMessage) String() string {
	var words []string
	if m.Full {
		words = append(words, "full")
	}
	for _, u := range m.Users {
		is := ""
		if u.Online {
			is = "online"
		}
		if u.Busy {
			is += "+busy"
		}
		words = append(words, u.User+":"+is)
	}
	return strings.Join(words, " ")
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReconnectIsNotSeen(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		a := r.come(t, anna, opening{client: "a"})
		p.expect(t, "0s acme/1 online")
		a.session.end()
		time.Sleep(14 * time.Second)
		a = r.come(t, anna, opening{client: "a"})
		b := r.come(t, anna, opening{client: "b"})
		a.session.end()
		time.Sleep(time.Minute)
		p.expect(t)
		b.session.end()
		time.Sleep(time.Minute)
		p.expect(t, "1m29s acme/1 away")
		if n := len(r.server.hub.users); n != 0 {
			t.Errorf("%d users are remembered", n)
		}
	})
}

// goneFirst is a transport that is only pinged when the gateway knows already who went.
type goneFirst struct {
	reader
	t    *testing.T
	gone chan clientKey
}

func (c *goneFirst) wake() {
	if c.reader.wake(); time.Since(c.at) == 11*time.Second && len(c.gone) == 0 {
		c.t.Error("pinged before the gateway knew who went")
	}
}

func TestWhoWentIsToldBeforeThePings(t *testing.T) {
	inTime(t, func(c *Config) { c.Limits.PerUser = 2 * pingSlots }, func(t *testing.T, r *rig) {
		id, user, err := r.server.authorize(r.token(anna))
		if err != nil {
			t.Fatal(err)
		}
		for range pingSlots { // one for each tick
			c := &goneFirst{t: t, gone: r.gw.gone}
			c.session, c.at = newSession(r.server, c, rungWS, true), time.Now()
			if err := c.session.open(id, user, opening{}); err != nil {
				t.Fatal(err)
			}
			defer c.session.end()
		}
		r.ask("/v1/poll", boris, map[string]any{"client": "b", "wait": 0}) // is there for 10 s
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if len(r.gw.gone) != 0 {
			t.Fatal("gone too early")
		}
		time.Sleep(time.Second)
		if got := <-r.gw.gone; got != (clientKey{boris, "b"}) {
			t.Errorf("gone %+v", got)
		}
	})
}

// What a client posts besides gives it a lease, which is not how its stream is here.
func TestReconnectAfterAPostIsNotSeen(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		a := r.come(t, anna, opening{client: "a", visible: true})
		p.expect(t, "0s acme/1 visible")
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, r.request("/v1/actions", map[string]any{"token": r.token(anna), "client": "a", "action": "shown", "call": "main:1"}))
		if w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		a.session.end()
		time.Sleep(14 * time.Second)
		p.expect(t)
		a = r.come(t, anna, opening{client: "a", visible: true})
		time.Sleep(time.Minute)
		p.expect(t)
		a.session.end()
		time.Sleep(time.Minute)
		p.expect(t, "1m29s acme/1 away")
	})
}

func TestVisibleIsWhoLooksAtAnyPage(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		a := r.come(t, anna, opening{client: "a", visible: true})
		defer a.session.end()
		b := r.come(t, anna, opening{client: "b"})
		p.expect(t, "0s acme/1 visible")
		who := identity{account: "acme", user: "1"}
		look := func(client string, visible bool) {
			if !r.server.notice(who, client, rungWS, &inbound{Action: "visible", Visible: visible}) {
				t.Error("not a notice")
			}
		}
		look("b", true)
		look("a", false)
		p.expect(t)
		for range 100 { // as fast as it can
			look("b", true)
			look("b", false)
			synctest.Wait()
		}
		p.expect(t)
		time.Sleep(time.Second)
		p.expect(t, "1s acme/1 online")
		look("b", true)
		look("nobody", true)
		time.Sleep(time.Second)
		p.expect(t, "2s acme/1 visible")
		b.session.end() // goes from page to page
		time.Sleep(10 * time.Second)
		p.expect(t)
		time.Sleep(10 * time.Second)
		p.expect(t, "17s acme/1 online")
	})
}

func TestPollingUserIsHereByHisLease(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		poll := func(visible bool) { r.pollHere(map[string]any{"client": "a", "wait": 5, "visible": visible}) }
		poll(true)
		p.expect(t, "0s acme/1 visible")
		for range 3 {
			time.Sleep(2 * time.Second)
			poll(true)
		}
		p.expect(t)
		poll(false)
		p.expect(t, "26s acme/1 online")
		time.Sleep(time.Minute)
		p.expect(t, "42s acme/1 away") // 5 s and 10 s after his last poll has begun, at the next tick
		if n := len(r.server.hub.users); n != 0 {
			t.Errorf("%d users are remembered", n)
		}
	})
}

// Commands alone do not make somebody a user who is here, nor does a session that was refused.
func TestWhoIsNotHere(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		w := httptest.NewRecorder()
		r.server.Handler().ServeHTTP(w, r.request("/v1/actions", map[string]any{"token": r.token(anna), "client": "a", "id": "1", "action": "call", "to": "102"}))
		if w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		r.gw.refuse = gateway.Errorf(gateway.CodeUnavailable, "not now")
		id, user, err := r.server.authorize(r.token(anna))
		if err != nil {
			t.Fatal(err)
		}
		c := newReader(r.server)
		if c.session.open(id, user, opening{client: "b"}) == nil {
			t.Error("it opened")
		}
		c.session.end()
		time.Sleep(time.Minute)
		p.expect(t)
	})
}

func TestPresenceOnStreams(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		wants := opening{presence: new(string)}
		a, plain := r.come(t, anna, wants), r.come(t, boris, opening{client: "b"})
		defer plain.session.end()
		wantLines(t, a.presences(), "full 1: 2:")
		boris := gateway.UserPresence{User: "2", Name: "Boris", Online: true}
		p.becomes(boris)
		boris.Busy = true
		p.becomes(boris)
		wantLines(t, a.presences())
		b := r.come(t, anna, wants)
		wantLines(t, b.presences(), "full 1: 2:online+busy")
		time.Sleep(time.Second)
		wantLines(t, a.presences(), "2:online+busy")
		wantLines(t, b.presences(), "2:online+busy") // once more: it is a state, not a step
		time.Sleep(time.Minute)
		wantLines(t, a.presences())
		a.session.end()
		p.becomes(gateway.UserPresence{User: "2"})
		time.Sleep(time.Second)
		wantLines(t, a.presences())
		wantLines(t, b.presences(), "2:")
		wantLines(t, plain.presences())
		b.session.end()
		if p.watched() != 1 {
			t.Errorf("%d watchers", p.watched())
		}
		time.Sleep(2 * boardLinger)
		if p.watched() != 0 {
			t.Error("a board that nobody looks at is kept")
		}
	})
}

// However long a reader takes, one message of presence waits for it, and tells all.
func TestPresenceForAReaderThatIsSlow(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		slow := r.come(t, anna, opening{presence: new(string)})
		defer slow.session.end()
		wantLines(t, slow.presences(), "full 1: 2:")
		slow.stalled = true
		for i := range 1001 {
			p.becomes(gateway.UserPresence{User: "1", Busy: i == 0}, gateway.UserPresence{User: "2", Online: i%2 == 0})
			time.Sleep(time.Second)
		}
		r.gw.publish(anna, 0)
		synctest.Wait()
		slow.session.mu.Lock()
		waiting := len(slow.session.queue.items)
		slow.session.mu.Unlock()
		if waiting > 3 { // a ping, presence, the call
			t.Errorf("%d messages wait", waiting)
		}
		slow.stalled = false
		slow.wake()
		wantLines(t, slow.presences(), "full 1: 2:online")
		p.becomes(gateway.UserPresence{User: "2"})
		time.Sleep(time.Second)
		wantLines(t, slow.presences(), "2:")
	})
}

// slowWaker is a transport that takes its time to wake.
type slowWaker struct {
	reader
	waking, wakes chan struct{}
}

func (w *slowWaker) wake() {
	w.waking <- struct{}{}
	<-w.wakes
}

// An account's presence is encoded, and brought, while that of others goes on.
func TestPresenceOfOneAccountWaitsForNoOther(t *testing.T) {
	t.Parallel()
	r := newParts(t, func(c *Config) { c.Presence = newFakePresence() })
	t.Cleanup(r.close)
	join := func(account string, w transport, s *session) {
		*s = newSession(r.server, w, rungWS, true)
		s.account, s.live = account, true
		r.server.boards.join(s)
	}
	w := &slowWaker{waking: make(chan struct{}), wakes: make(chan struct{})}
	acme, globex := make(chan struct{}), make(chan struct{})
	go func() { join("acme", w, &w.session); close(acme) }()
	recv(t, w.waking)
	go func() { other := &reader{}; join("globex", other, &other.session); close(globex) }()
	recv(t, globex)
	close(w.wakes)
	recv(t, acme)
}

func TestPresenceOfAUserWhoWasTakenOut(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		a := r.come(t, anna, opening{client: "a", presence: new(string)})
		defer a.session.end()
		wantLines(t, a.presences(), "full 1: 2:")
		r.dir.revoke("acme", "2")
		p.becomes(gateway.UserPresence{User: "2", Extensions: []string{}})
		time.Sleep(time.Second)
		wantLines(t, a.presences(), "full 1:")
	})
}

// What changes while a board is begun is newer than what it begins with.
func TestPresenceThatChangesAtTheBeginning(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		p.onList = func() { p.becomes(gateway.UserPresence{User: "2", Online: true}) }
		a := r.come(t, anna, opening{client: "a", presence: new(string)})
		defer a.session.end()
		wantLines(t, a.presences(), "full 1: 2:online")
	})
}

// pollHere polls without a network, and returns the answer's presence messages and how long it took.
func (r *rig) pollHere(body map[string]any) (messages []presenceMessage, took time.Duration) {
	r.t.Helper()
	begun := time.Now()
	body["token"], body["cursor"] = r.token(anna), fakeCursor(0)
	w := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(w, r.request("/v1/poll", body))
	var answer struct{ Messages []presenceMessage }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		r.t.Fatalf("poll: %d %s", w.Code, w.Body)
	}
	for _, m := range answer.Messages {
		if m.Type == "presence" {
			messages = append(messages, m)
		}
	}
	return messages, time.Since(begun).Truncate(time.Second)
}

func TestPresenceOnPolls(t *testing.T) {
	inPresence(t, func(t *testing.T, r *rig, p *fakePresence) {
		poll := func(version string) ([]presenceMessage, time.Duration) {
			return r.pollHere(map[string]any{"client": "a", "wait": 25, "presence": version})
		}
		first, took := poll("")
		if len(first) != 1 || first[0].String() != "full 1: 2:" || first[0].Version == "" || took != 0 {
			t.Fatalf("%v after %v", first, took)
		}
		if same, took := poll(first[0].Version); len(same) != 0 || took != 25*time.Second {
			t.Errorf("%v after %v", same, took)
		}
		time.AfterFunc(time.Second, func() { p.becomes(gateway.UserPresence{User: "2", Online: true}) })
		next, took := poll(first[0].Version)
		if len(next) != 1 || next[0].String() != "full 1: 2:online" || next[0].Version == first[0].Version || took != 5*time.Second {
			t.Errorf("%v after %v", next, took)
		}
		// It comes when it is due, and once.
		if old, took := poll(first[0].Version); len(old) != 1 || old[0].Version != next[0].Version || took < 5*time.Second || took > 6*time.Second {
			t.Errorf("%v after %v", old, took)
		}
		// What the client does not have comes along with whatever comes before it is due.
		time.AfterFunc(time.Second, func() { r.gw.publish(anna, 0) })
		if old, took := poll(first[0].Version); len(old) != 1 || old[0].Version != next[0].Version || took != time.Second {
			t.Errorf("%v after %v", old, took)
		}
		p.becomes(gateway.UserPresence{User: "2", Name: "Boris", Extensions: []string{}})
		time.Sleep(time.Second)
		if back, _ := poll(""); len(back) != 1 || back[0].Version != first[0].Version {
			t.Errorf("%v: the same content has another version", back)
		}
		if none, _ := r.pollHere(map[string]any{"client": "a", "wait": 0}); len(none) != 0 {
			t.Errorf("%v, not asked for", none)
		}
	})
}
