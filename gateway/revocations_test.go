package gateway

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// revoking is a node's revocations, and whom it was told of.
func revoking(t *testing.T, store Store) (r *Revocations, told chan string, stop func()) {
	t.Helper()
	told = make(chan string, 16)
	r = NewRevocations(store, slog.New(slog.DiscardHandler), time.Now, func(account, user string) { told <- account + "/" + user })
	if err := r.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = background(t, func(ctx context.Context) {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return r, told, stop
}

func TestRevocationReachesAllNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, toldA, stopA := revoking(t, store)
		b, toldB, stopB := revoking(t, store)
		defer stopB()
		issued := time.Now()
		pass(time.Second)
		if a.Revoked("acme", "u1", issued) || a.Revoked("acme", "u1", time.Time{}) {
			t.Fatal("revoked before it was")
		}
		if err := a.Revoke(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
		if !a.Revoked("acme", "u1", issued) {
			t.Error("not revoked where it was asked for")
		}
		synctest.Wait() // no time passes
		for name, r := range map[string]*Revocations{"a": a, "b": b} {
			if !r.Revoked("acme", "u1", issued) || !r.Revoked("acme", "u1", time.Time{}) {
				t.Errorf("%s: not revoked", name)
			}
			if r.Revoked("acme", "u2", issued) || r.Revoked("other", "u1", issued) {
				t.Errorf("%s: somebody else is revoked", name)
			}
			if r.Revoked("acme", "u1", time.Now().Add(time.Second)) {
				t.Errorf("%s: a later token is revoked", name)
			}
		}
		if len(toldA) != 1 || len(toldB) != 1 || <-toldA != "acme/u1" || <-toldB != "acme/u1" {
			t.Error("each node is to be told once")
		}
		stopA()
		c, toldC, stopC := revoking(t, store) // the same node after a restart
		defer stopC()
		synctest.Wait()
		if !c.Revoked("acme", "u1", issued) || len(toldC) != 0 {
			t.Errorf("a restart forgives, or tells of what is old: %d", len(toldC))
		}
	})
}

// A token says in whole seconds when it was issued: in doubt it is revoked.
func TestTokenOfTheSecondOfTheRevocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _, stop := revoking(t, newSharedStore())
		defer stop()
		pass(700 * time.Millisecond)
		iat := time.Now().Truncate(time.Second)
		if err := r.Revoke(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
		if !r.Revoked("acme", "u1", iat) || !r.Revoked("acme", "u1", iat.Add(900*time.Millisecond)) {
			t.Error("a token of that second lives")
		}
		if r.Revoked("acme", "u1", iat.Add(time.Second)) {
			t.Error("a token of the next second is dead")
		}
		if !r.Revoked("acme", "u1", iat.Add(time.Hour)) {
			t.Error("a token from the future could not be revoked")
		}
	})
}

func TestRevocationsAreForgottenAfterTheLongestTokenLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, _, stopA := revoking(t, store)
		b, _, stopB := revoking(t, store)
		defer stopA()
		defer stopB()
		issued := time.Now()
		for _, user := range []string{"u1", "u2"} {
			if err := a.Revoke(t.Context(), "acme", user); err != nil {
				t.Fatal(err)
			}
		}
		pass(24 * time.Hour)
		synctest.Wait()
		if !b.Revoked("acme", "u1", issued) {
			t.Fatal("forgotten while a token may live")
		}
		if err := b.Revoke(t.Context(), "acme", "u2"); err != nil {
			t.Fatal(err)
		}
		pass(rememberRevoked - 24*time.Hour + forgetRevoked)
		synctest.Wait()
		if len(a.users) != 1 || len(b.users) != 1 || len(store.keys(keyRevoked)) != 1 || !a.Revoked("acme", "u2", issued) {
			t.Errorf("a has %v, b %v, the store %v: want u2 only", a.users, b.users, store.keys(keyRevoked))
		}
	})
}

func TestRevocationsOutliveAStoreThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newSharedStore()
		a, _, stopA := revoking(t, store)
		b, told, stopB := revoking(t, store)
		defer stopA()
		defer stopB()
		store.breaks(errStore)
		if err := a.Revoke(t.Context(), "acme", "u1"); err == nil || a.Revoked("acme", "u1", time.Time{}) {
			t.Fatal("a revocation that is nowhere")
		}
		synctest.Wait()
		store.breaks(nil)
		if err := a.Revoke(t.Context(), "acme", "u1"); err != nil {
			t.Fatal(err)
		}
		pass(rewatch)
		synctest.Wait()
		if !b.Revoked("acme", "u1", time.Time{}) || len(told) != 1 {
			t.Error("the other node has missed it")
		}
	})
}

// Any id is legal; in the store it is a key's part.
func TestRevocationOfAnOddUser(t *testing.T) {
	t.Parallel()
	store := newSharedStore()
	r := NewRevocations(store, slog.New(slog.DiscardHandler), time.Now, func(string, string) {})
	for _, user := range []string{"*", ">", "a.b", " ", "юля", "a/../b", "\x00"} {
		if err := r.Revoke(t.Context(), "acme", user); err != nil {
			t.Fatal(err)
		}
		key := userKey{"acme", user}
		if back, ok := userBelow(keyRevoked, key.in(keyRevoked)); !ok || back != key {
			t.Errorf("%q became %+v", user, back)
		}
	}
	again := NewRevocations(store, slog.New(slog.DiscardHandler), time.Now, func(string, string) {})
	if err := again.Load(t.Context()); err != nil || len(again.users) != 7 {
		t.Errorf("%v, %v", again.users, err)
	}
}
