package push

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringcast/gateway"
)

// He is found to be gone by something else than the tick that looks for it.
func TestHubForgetsAUserBetweenTicks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(Limits{}.orDefault())
		s := newSession(&Server{}, nil, rungWS, true)
		s.account, s.user, s.client = "acme", "1", "a"
		if _, err := h.add(&s); err != nil {
			t.Fatal(err)
		}
		h.arrive(&s)
		h.arrivals()
		h.remove(&s)
		time.Sleep(h.limits.PresenceLeave)
		if err := h.beginCommand(s.key()); err != nil {
			t.Fatal(err)
		}
		h.endCommand(s.key())
		if told := h.arrivals(); len(told) != 1 || told[0].here.Online {
			t.Errorf("told %v", told)
		}
		h.tick(time.Now())
		if len(h.users)+len(h.passing)+len(h.moved) != 0 {
			t.Errorf("left: %v, %v, %v", h.users, h.passing, h.moved)
		}
	})
}

// A lease hides that a session ended only if it is how its client is here: of a poll, by which it lasts.
func TestHubHidesAReconnectBesideALease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ stream, polled, hidden bool }{
		"stream after a poll":       {true, true, true},
		"stream with commands":      {true, false, true},
		"poll":                      {false, true, false},
		"poll with another's lease": {false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub(Limits{}.orDefault())
				s := newSession(&Server{}, nil, rungWS, c.stream)
				s.account, s.user, s.client = "acme", "1", "a"
				if _, err := h.add(&s); err != nil {
					t.Fatal(err)
				}
				h.arrive(&s)
				if err := h.lease(clientKey{s.key(), s.client}, time.Second); err != nil {
					t.Fatal(err)
				}
				h.users[s.key()].leases[0].here.Online = c.polled
				h.remove(&s)
				time.Sleep(2 * time.Second)
				h.tick(time.Now())
				if told := h.arrivals(); (len(told) == 1 && told[0].here.Online) != c.hidden {
					t.Errorf("told %v", told)
				}
			})
		})
	}
}

// Whatever sessions do, the gateway ends up knowing who is here, and nothing is left of them.
func TestHubKnowsWhoIsHere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [4]int {
			return [4]int{rapid.IntRange(0, 7).Draw(rt, "kind"), rapid.IntRange(0, 1).Draw(rt, "user"), rapid.IntRange(0, 2).Draw(rt, "client"), rapid.IntRange(0, 3).Draw(rt, "how")}
		}), 1, 60).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			playHub(t, steps)
		})
	})
}

// playHub lets clients of two users come and go, and compares the hub with a simpler book.
func playHub(t *testing.T, steps [][4]int) {
	server := &Server{}
	limits := Limits{}.orDefault()
	limits.PresenceEvery = 0 // how often he is told of is another test
	h := newHub(limits)
	var open []*session
	told, online := map[userKey]gateway.Here{}, map[userKey]time.Time{} // until when
	leases := map[clientKey]time.Time{}
	polled := map[clientKey]bool{}
	settle := func(tick bool) {
		if tick {
			h.tick(time.Now())
		}
		for _, a := range h.arrivals() {
			told[a.userKey] = a.here
		}
	}
	end := func(s *session) {
		h.remove(s)
		open = slices.DeleteFunc(open, func(o *session) bool { return o == s })
		if s.stream || !polled[clientKey{s.key(), s.client}] {
			online[s.key()] = time.Now().Add(limits.PresenceLeave)
		}
	}
	for _, step := range steps {
		key := userKey{"acme", fmt.Sprint(step[1])}
		client := clientKey{key, []string{"", "a", "b"}[step[2]]}
		switch step[0] {
		case 0, 1:
			s := newSession(server, nil, rungWS, step[3] < 2)
			s.account, s.user, s.client, s.visible = key.account, key.user, client.client, step[3]%2 == 0
			if !s.stream && client.client != "" {
				if err := h.lease(client, time.Minute); err != nil {
					t.Fatal(err)
				}
				leases[client], polled[client] = time.Now().Add(time.Minute), true
			}
			if _, err := h.add(&s); err == nil {
				h.arrive(&s)
				open = append(open, &s)
			}
		case 2, 3:
			if len(open) > 0 {
				end(open[step[3]%len(open)])
			}
		case 4:
			time.Sleep(time.Duration(step[3]*step[3]*6+1) * time.Second)
		case 5:
			h.looks(client, step[3] == 0)
		case 6:
			if h.beginCommand(key) == nil {
				h.endCommand(key)
			}
		case 7: // it posts a command
			if err := h.lease(client, time.Minute); err != nil {
				t.Fatal(err)
			}
			if client.client != "" {
				leases[client] = time.Now().Add(time.Minute)
			}
		}
		if settle(step[0] != 6); step[0] == 6 {
			continue
		}
		maps.DeleteFunc(leases, func(c clientKey, until time.Time) bool {
			over := time.Now().After(until)
			if over {
				delete(polled, c)
			}
			return over
		})
		for _, user := range []string{"0", "1"} {
			key := userKey{"acme", user}
			want := time.Now().Before(online[key]) || slices.ContainsFunc(open, func(s *session) bool { return s.key() == key })
			for c := range leases {
				want = want || c.userKey == key && polled[c]
			}
			if told[key].Online != want {
				t.Fatalf("user %s is here: %v, told %v; steps %v", user, want, told[key].Online, steps)
			}
		}
	}
	for len(open) > 0 {
		end(open[0])
	}
	time.Sleep(2 * time.Minute)
	settle(true)
	if len(h.users)+len(h.passing)+len(h.moved)+h.count != 0 || told[userKey{"acme", "0"}].Online || told[userKey{"acme", "1"}].Online {
		t.Fatalf("left: %v, %v, %v, %d sessions; told %v; steps %v", h.users, h.passing, h.moved, h.count, told, steps)
	}
}
