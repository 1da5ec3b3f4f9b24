package gateway

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// office is some boards that share a store.
type office struct {
	t     *testing.T
	store *sharedStore
	mu    sync.Mutex
	alive map[string]bool
}

// site is a node of it.
type site struct {
	*presence
	name string
	told *telling
	stop func()
}

func newOffice(t *testing.T) *office {
	return &office{t: t, store: newSharedStore(), alive: map[string]bool{}}
}

// open starts a node, whose watcher of acme is told.
func (o *office) open(name string) *site {
	o.t.Helper()
	o.live(name, true)
	p := newPresence(directory(), func(string, string) bool { return false })
	p.exchange = newExchange(p, o.store, name, func() []string { return o.others(name) }, slog.New(slog.DiscardHandler), time.Now)
	s := &site{presence: p, name: name, told: &telling{}}
	p.watch("acme", s.told.take)
	s.stop = background(o.t, p.run)
	synctest.Wait()
	return s
}

// kill ends a node without a word.
func (o *office) kill(s *site) {
	s.stop()
	o.live(s.name, false)
}

func (o *office) live(name string, is bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alive[name] = is
}

func (o *office) others(name string) (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, is := range o.alive {
		if is && n != name {
			names = append(names, n)
		}
	}
	return names
}

func (s *site) put(user string, here Here) { s.set(userKey{"acme", user}, here) }

// telling is what a watcher was told, a line each.
type telling struct {
	mu    sync.Mutex
	lines []string
}

func (w *telling) take(users []UserPresence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, described(users))
}

func (w *telling) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.lines, want) {
		t.Errorf("told %q, want %q", w.lines, want)
	}
	w.lines = nil
}

func (w *telling) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = nil
}

// described is who is here: "u1=online,visible,busy u2=" and so on.
func described(users []UserPresence) string {
	parts := make([]string, len(users))
	for i, u := range users {
		var is []string
		for word, yes := range map[string]bool{"1online": u.Online, "2visible": u.Visible, "3busy": u.Busy, "4away": u.Away} {
			if yes {
				is = append(is, word)
			}
		}
		slices.Sort(is)
		for i := range is {
			is[i] = is[i][1:]
		}
		parts[i] = u.User + "=" + strings.Join(is, ",")
	}
	return strings.Join(parts, " ")
}

var (
	online  = Here{Online: true}
	visible = Here{Online: true, Visible: true}
	away    = Here{}
)

func TestPresenceAlone(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		told := &telling{}
		stop := b.WatchPresence("acme", told.take)
		b.SetPresence("acme", "u2", online)
		b.SetPresence("acme", "u2", online)
		b.SetPresence("acme", "nobody", online)
		b.SetPresence("other", "u1", online)
		b.SetPresence("acme", "u2", visible)
		told.expect(t, "u2=online", "u2=online,visible")
		b.SetPresence("acme", "u2", away)
		told.expect(t, "u2=")
		if got := b.Presence("acme"); described(got) != "u1= u2= u3=" || got[0].Name != "Anna" || got[2].Extensions == nil {
			t.Errorf("%+v", got)
		}
		if got := b.Presence("unknown"); got == nil || len(got) != 0 {
			t.Errorf("an account that is not there: %v", got)
		}
		stop()
		b.SetPresence("acme", "u1", online)
		told.expect(t)
		if b.presence.watching.Load() != 0 || len(b.presence.watched) != 0 {
			t.Error("something is left of a watcher that went")
		}
	})
}

func TestPresenceTellsWhoTalks(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		b.emit("dial 103", "c2: dial 101")
		told := &telling{}
		defer b.WatchPresence("acme", told.take)()
		b.SetPresence("acme", "u1", online)
		b.emit("c1: dial 101 102")
		told.expect(t, "u1=online")
		b.emit("c1: bridge 101")
		told.expect(t, "u1=online,busy")
		b.emit("c2: bridge 101")
		b.emit("c1: hangup")
		told.expect(t)
		b.emit("c2: hold 101")
		told.expect(t)
		if got := described(b.Presence("acme")); got != "u1=online,busy u2= u3=" {
			t.Error(got)
		}
		b.emit("c2: hangup")
		told.expect(t, "u1=online")
	})
}

func TestPresenceOfAChangingDirectory(t *testing.T) {
	t.Parallel()
	o := NewOverlay(newSharedStore(), slog.New(slog.DiscardHandler), func(string) {}, acme())
	p := newPresence(o, func(string, string) bool { return false })
	var told []string
	defer p.watch("acme", func(users []UserPresence) { told = append(told, described(users)) })()
	p.set(userKey{"acme", "u1"}, visible)
	for _, change := range []func() error{
		func() error { return o.Put(t.Context(), "acme", User{ID: "u4", Name: "Dan", Extensions: nil}) },
		func() error { return o.Remove(t.Context(), "acme", "u1") },
		func() error { return o.Put(t.Context(), "acme", User{ID: "u2", Name: "Bob", Extensions: nil}) },
		func() error { return nil },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		p.recheck("acme")
	}
	if want := []string{"u1=online,visible", "u4=", "u1=", "u2="}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestPresenceOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, b := o.open("a"), o.open("b")
		a.put("u1", online)
		a.told.expect(t, "u1=online")
		b.told.expect(t, "u1=online")
		b.put("u1", visible)
		a.told.expect(t, "u1=online,visible")
		c := o.open("c") // comes later and sees what is there
		if got := described(c.list("acme")); got != "u1=online,visible u2= u3=" {
			t.Error(got)
		}
		c.told.forget()
		b.put("u1", away)
		a.told.expect(t, "u1=online")
		a.put("u1", away)
		a.told.expect(t, "u1=")
		c.told.expect(t, "u1=online", "u1=")
		pass(exchangeTick)
		synctest.Wait()
		if keys := o.store.keys(keyPresence); len(keys) != 0 {
			t.Errorf("left in the store: %v", keys)
		}
		a.stop()
		b.stop()
		c.stop()
	})
}

func TestPresenceOfAFleet(t *testing.T) {
	inFleet(t, 2, 3, func(t *testing.T, f *fleet) {
		a, b, c := f.nodes[0], f.nodes[1], f.nodes[2]
		told := &telling{}
		defer c.WatchPresence("acme", told.take)()
		a.SetPresence("acme", "u1", visible)
		a.SetPresence("acme", "u2", online)
		synctest.Wait()
		for _, n := range f.nodes {
			if got := described(n.Presence("acme")); got != "u1=online,visible u2=online u3=" {
				t.Errorf("%s has %s", n.name, got)
			}
		}
		told.forget()
		a.kill()
		pass(20 * time.Second)
		b.SetPresence("acme", "u1", visible)
		pass(30 * time.Second)
		told.expect(t, "u2=")
		b.stop()
		pass(20 * time.Second)
		c.SetPresence("acme", "u1", visible)
		pass(30 * time.Second)
		told.expect(t)
		if keys := f.shared.keys(keyPresence); len(keys) != 1 {
			t.Errorf("left in the store: %v", keys)
		}
	})
}

// A user who goes from one node to another is never seen to be away.
func TestNoFlickerWhenANodeDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, b, c := o.open("a"), o.open("b"), o.open("c")
		defer b.stop()
		defer c.stop()
		a.put("u1", visible)
		a.put("u2", online)
		synctest.Wait()
		b.told.forget()
		o.kill(a)
		pass(25 * time.Second) // a client comes back sooner than that, also one that was told to take its time
		b.told.expect(t)
		b.put("u1", visible) // has come back just in time
		pass(10 * time.Second)
		b.told.expect(t, "u2=")
		if got := described(c.list("acme")); got != "u1=online,visible u2= u3=" {
			t.Error(got)
		}
		if keys := o.store.keys(keyPresence + ".a"); len(keys) != 0 {
			t.Errorf("left in the store: %v", keys)
		}
	})
}

func TestWhatDeadNodesLeftIsDeletedByTheNextToStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a := o.open("a")
		for i := range sweepAtOnce + 10 {
			a.put(fmt.Sprint("u", i), online)
		}
		synctest.Wait()
		o.kill(a)
		b := o.open("b")
		defer b.stop()
		if got := described(b.list("acme")); got != "u1=online u2=online u3=online" {
			t.Error(got)
		}
		pass(nodeLeave + 5*exchangeTick)
		synctest.Wait()
		if keys := o.store.keys(keyPresence); len(keys) != 0 || described(b.list("acme")) != "u1= u2= u3=" {
			t.Errorf("left in the store: %d keys; on the board: %s", len(keys), described(b.list("acme")))
		}
	})
}

// A node that was taken for dead, a machine that stood still, is seen again as it is.
func TestNodeThatWasOnlyOutOfSight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, b := o.open("a"), o.open("b")
		defer a.stop()
		defer b.stop()
		a.put("u1", online)
		synctest.Wait()
		o.live("a", false)
		pass(nodeLeave + 5*exchangeTick)
		synctest.Wait()
		o.live("a", true)
		pass(2 * exchangeTick)
		synctest.Wait()
		if got := described(b.list("acme")); got != "u1=online u2= u3=" {
			t.Error(got)
		}
	})
}

// The store was away: what the nodes could not tell each other they tell when it is back, also those who lost sight
// of each other.
func TestPresenceOutlivesAStoreThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		a, b := o.open("a"), o.open("b")
		defer a.stop()
		defer b.stop()
		a.put("u1", online)
		a.put("u2", online)
		synctest.Wait()
		o.store.breaks(errStore)
		a.put("u1", away)
		a.put("u3", visible)
		o.live("a", false) // as b sees it
		pass(nodeLeave + 5*exchangeTick)
		synctest.Wait()
		o.store.breaks(nil)
		o.live("a", true)
		pass(5 * exchangeTick)
		synctest.Wait()
		if got := described(b.list("acme")); got != "u1= u2=online u3=online,visible" {
			t.Error(got)
		}
	})
}

// Whatever users do on whatever nodes, and whatever dies, in the end every board shows who is here.
func TestBoardsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) [4]int {
			return [4]int{rapid.IntRange(0, 9).Draw(rt, "kind"), rapid.IntRange(0, 2).Draw(rt, "node"), rapid.IntRange(1, 3).Draw(rt, "user"), rapid.IntRange(0, 2).Draw(rt, "here")}
		}), 1, 30).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			o := newOffice(t)
			sites := []*site{o.open("n0"), o.open("n1"), o.open("n2")}
			is := []map[string]Here{{}, {}, {}}
			for i, step := range steps {
				node := step[1]
				switch step[0] {
				case 0:
					o.kill(sites[node])
					sites[node], is[node] = o.open(fmt.Sprintf("n%d-%d", node, i)), map[string]Here{}
				case 1:
					o.store.breaks(errStore)
					pass(time.Duration(step[2]) * time.Second)
					o.store.breaks(nil)
				case 2:
					pass(time.Duration(step[2]*20) * time.Second)
				default:
					user, here := fmt.Sprint("u", step[2]), []Here{away, online, visible}[step[3]]
					sites[node].put(user, here)
					is[node][user] = here
				}
			}
			pass(nodeLeave + 10*exchangeTick)
			synctest.Wait()
			var want []UserPresence
			for _, user := range []string{"u1", "u2", "u3"} {
				u := UserPresence{User: user}
				for _, on := range is {
					u.Online, u.Visible = u.Online || on[user].Online, u.Visible || on[user].Visible
				}
				want = append(want, u)
			}
			for _, s := range sites {
				if got := described(s.list("acme")); got != described(want) {
					t.Errorf("%s has %s, want %s; steps %v", s.name, got, described(want), steps)
				}
				s.stop()
			}
		})
	})
}
