package gateway

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

func overlaying(t *testing.T, store Store, accounts ...Account) (o *Overlay, changed chan string, stop func()) {
	t.Helper()
	changed = make(chan string, 64)
	o = NewOverlay(store, slog.New(slog.DiscardHandler), func(account string) { changed <- account }, accounts...)
	if err := o.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o, changed, background(t, func(ctx context.Context) { _ = o.Run(ctx) })
}

func acme() Account {
	a, _ := directory().Account("acme")
	return a
}

// roll is an account's users on one line.
func roll(d Directory, account string) string {
	a, _ := d.Account(account)
	var parts []string
	for _, u := range a.Users {
		parts = append(parts, u.ID+":"+u.Name+":"+strings.Join(u.Extensions, "+"))
	}
	return strings.Join(parts, " ")
}

func wantRoll(t *testing.T, d Directory, want string) {
	t.Helper()
	if got := roll(d, "acme"); got != want {
		t.Errorf("users %s\nwant  %s", got, want)
	}
}

func drained(c chan string) (n int) {
	for {
		select {
		case <-c:
			n++
		default:
			return n
		}
	}
}

func TestOverlayOnAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, changedA, stopA := overlaying(t, store, acme())
		b, changedB, stopB := overlaying(t, store, acme())
		defer stopA()
		defer stopB()
		put := func(id, name string, extensions ...string) {
			t.Helper()
			if err := a.Put(t.Context(), "acme", User{ID: id, Name: name, Extensions: extensions}); err != nil {
				t.Fatal(err)
			}
		}
		put("u9", "Zoe", "109")
		put("u8", "Yan")
		put("u2", "Bob", "102", "202")
		if err := a.Remove(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
		put("u7", "Xenia", "101") // was u1's
		const want = "u2:Bob:102+202 u3:Clara: u7:Xenia:101 u8:Yan: u9:Zoe:109"
		wantRoll(t, a, want)
		synctest.Wait()
		wantRoll(t, b, want)
		if _, ok := b.User("acme", "u1"); ok {
			t.Error("u1 is still there")
		}
		if u, _ := b.ByExtension("acme", "101"); u.ID != "u7" {
			t.Errorf("101 is %q's", u.ID)
		}
		if n, m := drained(changedA), drained(changedB); n != 5 || m != 5 {
			t.Errorf("told of %d and %d changes, there were 5", n, m)
		}
		again, _, stop := overlaying(t, store, acme())
		defer stop()
		wantRoll(t, again, want)
	})
}

func TestOverlayRefuses(t *testing.T) {
	t.Parallel()
	o, changed, stop := overlaying(t, newSharedStore(), acme())
	defer stop()
	err := o.Put(t.Context(), "acme", User{ID: "u9", Name: "Zoe", Extensions: []string{"109", "102"}})
	if e := Shown(err); e.Code != CodeTaken || len(e.Fields) != 1 || e.Fields[0].Index != 1 || e.Fields[0].Field != "extensions" {
		t.Errorf("another's extension: %v", err)
	}
	if err := o.Put(t.Context(), "nobody", User{ID: "u9", Name: "Zoe", Extensions: nil}); CodeOf(err) != CodeNotFound {
		t.Errorf("unknown account: %v", err)
	}
	if err := o.Remove(t.Context(), "acme", "u9"); CodeOf(err) != CodeNotFound {
		t.Errorf("unknown user: %v", err)
	}
	boris := User{ID: "u2", Name: "Boris", Extensions: []string{"102", "103"}, Email: "boris@example.com", CallerID: "+74951234502"}
	for range 2 {
		if err := o.Put(t.Context(), "acme", boris); err != nil {
			t.Errorf("his own extension and address: %v", err)
		}
	}
	if u, _ := o.User("acme", "u2"); u.Email != boris.Email || u.CallerID != boris.CallerID {
		t.Errorf("he is %+v", u)
	}
	err = o.Put(t.Context(), "acme", User{ID: "u1", Name: "Anna", Email: "Boris@Example.com"})
	if e := Shown(err); e.Code != CodeTaken || len(e.Fields) != 1 || e.Fields[0].Field != "email" {
		t.Errorf("another's address: %v", err)
	}
	if n := drained(changed); n != 2 {
		t.Errorf("told of %d changes", n)
	}
}

func TestOverlayOverAnotherConfiguration(t *testing.T) {
	t.Parallel()
	o, changed, stop := overlaying(t, newSharedStore(), acme(), Account{ID: "same"}, Account{ID: "gone"})
	defer stop()
	if err := o.Remove(t.Context(), "acme", "u1"); err != nil {
		t.Fatal(err)
	}
	drained(changed)
	next := acme()
	next.Users = append(next.Users, User{ID: "u4", Name: "Dan", Extensions: []string{"104"}})
	o.SetAccounts(next, Account{ID: "same"}, Account{ID: "new"})
	wantRoll(t, o, "u2:Boris:102 u3:Clara: u4:Dan:104")
	if _, ok := o.Account("gone"); ok {
		t.Error("an account that went is there")
	}
	if n := drained(changed); n != 3 {
		t.Errorf("told of %d accounts, want acme, gone and new", n)
	}
}

// The store tells of each change, also of those of one's own that were written over meanwhile.
func TestOverlayDoesNotGoBack(t *testing.T) {
	t.Parallel()
	o := NewOverlay(newSharedStore(), slog.New(slog.DiscardHandler), func(string) {}, acme())
	o.set("acme", map[string]overlaid{"u1": {Name: "second", rev: 2}})
	o.set("acme", map[string]overlaid{"u1": {Name: "first", rev: 1}})
	if u, _ := o.User("acme", "u1"); u.Name != "second" {
		t.Errorf("%q", u.Name)
	}
}
