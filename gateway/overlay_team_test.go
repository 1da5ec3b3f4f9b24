package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// gives is a change that gives users their only extension: "u1 101" "u2".
func gives(lines ...string) func(Account) ([]User, error) {
	return func(Account) (users []User, _ error) {
		for _, line := range lines {
			f := strings.Fields(line)
			users = append(users, User{ID: f[0], Name: strings.ToUpper(f[0]), Extensions: f[1:]})
		}
		return users, nil
	}
}

func (o *Overlay) must(t *testing.T, lines ...string) {
	t.Helper()
	if err := o.Update(t.Context(), "acme", gives(lines...)); err != nil {
		t.Fatal(err)
	}
}

func TestUsersAreChangedTogetherOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, changedA, stopA := overlaying(t, store, acme())
		b, changedB, stopB := overlaying(t, store, acme())
		defer stopA()
		defer stopB()
		a.must(t, "u1 102", "u2 101", "u9 109") // two who change places, and a new one
		const want = "u1:U1:102 u2:U2:101 u3:Clara: u9:U9:109"
		wantRoll(t, a, want)
		synctest.Wait()
		wantRoll(t, b, want)
		if u, _ := b.ByExtension("acme", "101"); u.ID != "u2" {
			t.Errorf("101 is %q's", u.ID)
		}
		if n, m := drained(changedA), drained(changedB); n != 1 || m != 1 {
			t.Errorf("told of %d and %d changes, there was 1", n, m)
		}
		a.must(t)
		if n := drained(changedA); n != 0 {
			t.Errorf("told of %d changes where there was none", n)
		}
		again, _, stop := overlaying(t, store, acme())
		defer stop()
		wantRoll(t, again, want)
	})
}

func TestLaterOfTwoWritesOfAUserCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, _, stopA := overlaying(t, store, acme())
		b, _, stopB := overlaying(t, store, acme())
		defer stopA()
		defer stopB()
		a.must(t, "u1 201", "u2 202")
		if err := b.Put(t.Context(), "acme", User{ID: "u1", Name: "alone", Extensions: []string{"301"}}); err != nil {
			t.Fatal(err)
		}
		a.must(t, "u3 203") // the team's value is written again, and u1 is not what he was in it
		if team, err := store.Get(t.Context(), accountKey(keyDirectory, "acme")); err != nil || strings.Contains(string(team.Data), "u1") {
			t.Errorf("who was written over is kept: %s, %v", team.Data, err)
		}
		if err := b.Remove(t.Context(), "acme", "u3"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const want = "u1:alone:301 u2:U2:202"
		wantRoll(t, a, want)
		wantRoll(t, b, want)
		again, _, stop := overlaying(t, store, acme())
		defer stop()
		wantRoll(t, again, want)
		again.must(t, "u1 401", "u3 403")
		wantRoll(t, again, "u1:U1:401 u2:U2:202 u3:U3:403")
		synctest.Wait()
		wantRoll(t, b, "u1:U1:401 u2:U2:202 u3:U3:403")
	})
}

// Who was put in one by one has an address of his own, and it is his after a change of many as well.
func TestChangeOfManyIsAboutNamesAndExtensions(t *testing.T) {
	t.Parallel()
	base := acme()
	base.Users[0].Email = "u1@example.com"
	store := newSharedStore()
	o, _, stop := overlaying(t, store, base)
	defer stop()
	if err := o.Put(t.Context(), "acme", User{ID: "u2", Name: "Boris", Email: "own@example.com"}); err != nil {
		t.Fatal(err)
	}
	change := func(a Account) ([]User, error) {
		users := slices.Clone(a.Users)
		for i := range users {
			users[i].Extensions = []string{"20" + users[i].ID[1:]}
		}
		return users, nil
	}
	for range 2 { // the second time over the team's own value
		if err := o.Update(t.Context(), "acme", change); err != nil {
			t.Fatal(err)
		}
	}
	next := acme()
	next.Users[0].Email, next.Users[1].Email = "new@example.com", "config@example.com"
	o.SetAccounts(next)
	again, _, stopAgain := overlaying(t, store, next)
	defer stopAgain()
	for _, d := range []*Overlay{o, again} {
		wantRoll(t, d, "u1:Anna:201 u2:Boris:202 u3:Clara:203")
		for id, want := range map[string]string{"u1": "new@example.com", "u2": "own@example.com"} {
			if u, _ := d.User("acme", id); u.Email != want {
				t.Errorf("%s has %q, want %q", id, u.Email, want)
			}
		}
	}
	if configured, added := o.Overlaid("acme"); strings.Join(configured, " ") != "u1 u2 u3" || len(added) > 0 {
		t.Errorf("laid over are %v, added %v", configured, added)
	}
}

// Two who save at once: the one comes first, and the other sees what that has left.
func TestChangesOfTwoNodesDoNotMix(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, _, stopA := overlaying(t, store, acme())
		b, _, stopB := overlaying(t, store, acme())
		defer stopA()
		defer stopB()
		var seen []string
		err := a.Update(t.Context(), "acme", func(now Account) ([]User, error) {
			seen = append(seen, roll(NewAccounts(now), "acme"))
			if len(seen) == 1 {
				b.must(t, "u1 201", "u2 202", "u8 208") // after a has looked, and before it writes
			}
			return gives("u1 301", "u2 302", "u9 309")(now)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) != 2 || seen[0] != roll(NewAccounts(acme()), "acme") || seen[1] != "u1:U1:201 u2:U2:202 u3:Clara: u8:U8:208" {
			t.Errorf("it saw %q", seen)
		}
		synctest.Wait()
		for _, o := range []*Overlay{a, b} {
			wantRoll(t, o, "u1:U1:301 u2:U2:302 u3:Clara: u8:U8:208 u9:U9:309")
		}
	})
}

// Somebody who is no part of a change is written by another node meanwhile.
func TestChangeDoesNotUndoWhatItIsNotAbout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, _, stopA := overlaying(t, store, acme())
		b, _, stopB := overlaying(t, store, acme())
		defer stopA()
		defer stopB()
		a.must(t, "u1 201", "u2 202")
		err := a.Update(t.Context(), "acme", func(now Account) ([]User, error) {
			if err := b.Put(t.Context(), "acme", User{ID: "u2", Name: "alone", Extensions: []string{"402"}}); err != nil {
				return nil, err
			}
			return gives("u1 301")(now)
		})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		again, _, stop := overlaying(t, store, acme())
		defer stop()
		for _, o := range []*Overlay{a, b, again} {
			wantRoll(t, o, "u1:U1:301 u2:alone:402 u3:Clara:")
		}
	})
}

func TestChangeThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	store := newSharedStore()
	o, changed, stop := overlaying(t, store, acme())
	defer stop()
	no := errors.New("no")
	if err := o.Update(t.Context(), "acme", func(Account) ([]User, error) { return []User{{ID: "u1"}}, no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if err := o.Update(t.Context(), "nobody", gives("u1")); CodeOf(err) != CodeNotFound {
		t.Errorf("unknown account: %v", err)
	}
	large := User{ID: "u1", Name: strings.Repeat("x", maxTeam)}
	if err := o.Update(t.Context(), "acme", func(Account) ([]User, error) { return []User{large, {ID: "u2"}}, nil }); CodeOf(err) != CodeTooLarge {
		t.Errorf("too large: %v", err)
	}
	store.breaks(errStore)
	if err := o.Update(t.Context(), "acme", gives("u1 109", "u2 108")); !errors.Is(err, errStore) {
		t.Errorf("the store is away: %v", err)
	}
	store.breaks(nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.Update(ended, "acme", gives("u1 109")); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	wantRoll(t, o, roll(NewAccounts(acme()), "acme"))
	if n := drained(changed); n != 0 {
		t.Errorf("told of %d changes", n)
	}
}

func TestTeamThatCannotBeRead(t *testing.T) {
	t.Parallel()
	store := &memStore{}
	if _, err := store.Put(t.Context(), accountKey(keyDirectory, "acme"), []byte("what?"), AnyRevision); err != nil {
		t.Fatal(err)
	}
	o := NewOverlay(store, slog.New(slog.DiscardHandler), func(string) {}, acme())
	if err := o.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.must(t, "u1 109") // and is written over
	wantRoll(t, o, "u1:U1:109 u2:Boris:102 u3:Clara:")
}
