package gatewaytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"ringcast/gateway"
)

// OpenStore opens the store that is kept at dir, made anew if there is none, and returns it with what
// closes it. It may be called for the same dir again once that has returned. It fails the test itself.
type OpenStore func(t *testing.T, dir string) (s gateway.Store, closeStore func())

// Store checks an implementation of gateway.Store.
func Store(t *testing.T, open OpenStore) {
	for name, test := range map[string]func(*testing.T, *storeBench){
		"CompareAndSetCounts":     testCompareAndSetCounts,
		"DeleteConditions":        testDeleteConditions,
		"GetMissing":              testGetMissing,
		"KeyForms":                testKeyForms,
		"ListByPrefix":            testListByPrefix,
		"ListEndsWithItsFunction": testListEndsWithItsFunction,
		"PutConditions":           testPutConditions,
		"PutSizes":                testPutSizes,
		"ReopenKeepsEverything":   testStoreReopen,
		"WatchEnds":               testWatchEnds,
		"WatchHasAllThenChanges":  testWatchHasAllThenChanges,
		"WatchOfNothing":          testWatchOfNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &storeBench{t: t, open: open, dir: t.TempDir()}
			b.reopen()
			t.Cleanup(func() { b.closeStore() })
			test(t, b)
		})
	}
}

// storeBench is one test's store.
type storeBench struct {
	t          *testing.T
	open       OpenStore
	dir        string
	store      gateway.Store
	closeStore func()
}

func (b *storeBench) reopen() {
	b.t.Helper()
	if b.closeStore != nil {
		b.closeStore()
	}
	b.closeStore = func() {}
	b.store, b.closeStore = b.open(b.t, b.dir)
}

func (b *storeBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *storeBench) put(key, data string, rev uint64) uint64 {
	b.t.Helper()
	next, err := b.store.Put(b.ctx(), key, []byte(data), rev)
	if err != nil {
		b.t.Fatalf("Put(%q, %q, %d): %v", key, data, rev, err)
	}
	if next == 0 || next == gateway.AnyRevision {
		b.t.Fatalf("Put(%q) = revision %d", key, next)
	}
	return next
}

func (b *storeBench) delete(key string, rev uint64) {
	b.t.Helper()
	if err := b.store.Delete(b.ctx(), key, rev); err != nil {
		b.t.Fatalf("Delete(%q, %d): %v", key, rev, err)
	}
}

func (b *storeBench) want(key, data string, rev uint64) {
	b.t.Helper()
	v, err := b.store.Get(b.ctx(), key)
	if err != nil || v.Key != key || string(v.Data) != data || v.Rev != rev {
		b.t.Fatalf("Get(%q) = %q, %q, revision %d, %v; want %q, revision %d", key, v.Key, v.Data, v.Rev, err, data, rev)
	}
}

func (b *storeBench) wantMissing(key string) {
	b.t.Helper()
	if v, err := b.store.Get(b.ctx(), key); !errors.Is(err, gateway.ErrNotFound) {
		b.t.Fatalf("Get(%q) = %q, %v; want ErrNotFound", key, v.Data, err)
	}
}

func (b *storeBench) wantConflict(key string, rev uint64) {
	b.t.Helper()
	if _, err := b.store.Put(b.ctx(), key, []byte("wrong"), rev); !errors.Is(err, gateway.ErrConflict) {
		b.t.Fatalf("Put(%q, %d): %v, want ErrConflict", key, rev, err)
	}
	if err := b.store.Delete(b.ctx(), key, rev); !errors.Is(err, gateway.ErrConflict) {
		b.t.Fatalf("Delete(%q, %d): %v, want ErrConflict", key, rev, err)
	}
}

func (b *storeBench) wantList(prefix string, want map[string]string) {
	b.t.Helper()
	got := make(map[string]string)
	err := b.store.List(b.ctx(), prefix, func(v gateway.Value) error {
		if _, twice := got[v.Key]; twice || v.Rev == 0 {
			b.t.Errorf("List(%q): key %q twice: %v, revision %d", prefix, v.Key, twice, v.Rev)
		}
		got[v.Key] = string(v.Data)
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		b.t.Fatalf("List(%q) = %v, %v; want %v", prefix, got, err, want)
	}
}

func testCompareAndSetCounts(t *testing.T, b *storeBench) {
	const counters, steps = 4, 10
	b.put("n", "0", 0)
	var wg sync.WaitGroup
	for range counters {
		wg.Go(func() {
			for done := 0; done < steps; {
				v, err := b.store.Get(b.ctx(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(v.Data))
				switch _, err = b.store.Put(b.ctx(), "n", []byte(strconv.Itoa(n+1)), v.Rev); {
				case err == nil:
					done++
				case !errors.Is(err, gateway.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if v, err := b.store.Get(b.ctx(), "n"); err != nil || string(v.Data) != fmt.Sprint(counters*steps) {
		t.Errorf("counted to %s, %v; want %d", v.Data, err, counters*steps)
	}
}

func testDeleteConditions(t *testing.T, b *storeBench) {
	b.delete("a", gateway.AnyRevision)
	b.delete("a", 0)
	if err := b.store.Delete(b.ctx(), "a", 7); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("Delete(a missing key, 7): %v, want ErrConflict", err)
	}
	first := b.put("a", "1", 0)
	second := b.put("a", "2", first)
	b.wantConflict("a", 0)
	b.wantConflict("a", first)
	b.want("a", "2", second)
	b.delete("a", second)
	b.wantMissing("a")
	b.delete("a", gateway.AnyRevision)
	b.wantMissing("a")
	if _, err := b.store.Put(b.ctx(), "a", nil, second); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("Put(a deleted key, its last revision): %v, want ErrConflict", err)
	}
	third := b.put("a", "3", 0)
	if third <= second {
		t.Errorf("revision %d came after %d", third, second)
	}
	b.want("a", "3", third)
	b.delete("a", gateway.AnyRevision)
	b.wantMissing("a")
	b.put("a", "4", gateway.AnyRevision)
}

func testGetMissing(_ *testing.T, b *storeBench) {
	b.put("a.b", "1", 0)
	b.wantMissing("a")
	b.wantMissing("a.b.c")
	b.wantMissing("b")
}

func testKeyForms(t *testing.T, b *storeBench) {
	for _, key := range []string{"a", "-/_=", "a.b.c", "A=/9_-.z", strings.Repeat("k", 512), strings.Repeat("k.", 255) + "kk"} {
		rev := b.put(key, key, 0)
		b.want(key, key, rev)
		b.wantList(key, map[string]string{key: key})
	}
	for _, key := range []string{"", ".", ".a", "a.", "a..b", "a b", "a:b", "a*", "a.*", ">", "a.>", "ü", "a\n", "$a", strings.Repeat("k", 513)} {
		if _, err := b.store.Put(b.ctx(), key, nil, gateway.AnyRevision); err == nil {
			t.Errorf("Put(%q) was accepted", key)
		}
		if _, err := b.store.Get(b.ctx(), key); err == nil {
			t.Errorf("Get(%q) was answered", key)
		}
		if err := b.store.Delete(b.ctx(), key, gateway.AnyRevision); err == nil {
			t.Errorf("Delete(%q) was accepted", key)
		}
	}
}

func testListByPrefix(_ *testing.T, b *storeBench) {
	b.wantList("calls", map[string]string{})
	for _, key := range []string{"calls", "calls.a", "calls.a.b", "calls.c", "callsign", "calls-2.a", "other"} {
		b.put(key, "data of "+key, 0)
	}
	b.delete("calls.c", gateway.AnyRevision)
	b.put("calls.a", "new", gateway.AnyRevision)
	b.wantList("calls", map[string]string{"calls": "data of calls", "calls.a": "new", "calls.a.b": "data of calls.a.b"})
	b.wantList("calls.a", map[string]string{"calls.a": "new", "calls.a.b": "data of calls.a.b"})
	b.wantList("callsign", map[string]string{"callsign": "data of callsign"})
	b.wantList("call", map[string]string{})
	b.wantList("calls.c", map[string]string{})
}

func testListEndsWithItsFunction(t *testing.T, b *storeBench) {
	for i := range 300 {
		b.put(fmt.Sprintf("k.%d", i), "", 0)
	}
	seen := 0
	err := b.store.List(b.ctx(), "k", func(gateway.Value) error {
		if seen++; seen == 2 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) || seen != 2 {
		t.Errorf("List = %v after %d keys, want fn's error after 2", err, seen)
	}
	ctx, cancel := context.WithCancel(b.ctx())
	cancel()
	if err := b.store.List(ctx, "k", func(gateway.Value) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("List with an ended context: %v", err)
	}
}

func testPutConditions(_ *testing.T, b *storeBench) {
	first := b.put("a", "1", 0)
	b.want("a", "1", first)
	b.wantConflict("a", 0)
	b.wantConflict("a", first+100)
	second := b.put("a", "2", first)
	if second <= first {
		b.t.Fatalf("revision %d came after %d", second, first)
	}
	b.wantConflict("a", first)
	b.put("b", "other", 0)
	b.want("a", "2", second)
	third := b.put("a", "3", gateway.AnyRevision)
	b.want("a", "3", third)
	b.put("c", "new", gateway.AnyRevision)
	if _, err := b.store.Put(b.ctx(), "d", nil, 5); !errors.Is(err, gateway.ErrConflict) {
		b.t.Fatalf("Put(a missing key, 5): %v, want ErrConflict", err)
	}
	b.wantMissing("d")
}

func testPutSizes(t *testing.T, b *storeBench) {
	big := strings.Repeat("\x00\xff\r\n", 1<<17)
	b.want("big", big, b.put("big", big, 0))
	b.want("empty", "", b.put("empty", "", 0))
	v, err := b.store.Get(b.ctx(), "empty")
	if err != nil || v.Data == nil {
		t.Errorf("an empty value is %v, %v; nil means deleted", v.Data, err)
	}
	b.wantList("empty", map[string]string{"empty": ""})
}

func testStoreReopen(_ *testing.T, b *storeBench) {
	first := b.put("a", "1", 0)
	b.put("gone", "1", 0)
	b.delete("gone", gateway.AnyRevision)
	b.reopen()
	b.want("a", "1", first)
	b.wantMissing("gone")
	second := b.put("a", "2", first)
	if second <= first {
		b.t.Fatalf("revision %d came after %d", second, first)
	}
	b.put("gone", "back", 0)
}

func testWatchEnds(t *testing.T, b *storeBench) {
	for i := range 600 {
		b.put(fmt.Sprintf("k.%d", i), "", 0)
	}
	err := b.store.Watch(b.ctx(), "k", func(gateway.Value) error { return errEnough }, func() {})
	if !errors.Is(err, errEnough) {
		t.Errorf("Watch = %v, want fn's error", err)
	}
	ctx, cancel := context.WithCancel(b.ctx())
	err = b.store.Watch(ctx, "k", func(gateway.Value) error { return nil }, cancel)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v, want Canceled", err)
	}
}

func testWatchHasAllThenChanges(t *testing.T, b *storeBench) {
	first := b.put("k.a", "1", 0)
	b.put("k.gone", "1", 0)
	b.delete("k.gone", gateway.AnyRevision)
	b.put("k", "root", 0)
	b.put("kk", "no", 0)

	ctx, cancel := context.WithCancel(b.ctx())
	changes := make(chan gateway.Value)
	synced := make(chan []gateway.Value, 1)
	ended := make(chan error, 1)
	go func() {
		var initial []gateway.Value
		isSynced := false
		ended <- b.store.Watch(ctx, "k", func(v gateway.Value) error {
			if !isSynced {
				initial = append(initial, v)
				return nil
			}
			select {
			case changes <- v:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, func() {
			if isSynced {
				t.Error("synced was called twice")
			}
			isSynced = true
			synced <- initial
		})
	}()
	defer func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch = %v, want Canceled", err)
		}
	}()

	select {
	case initial := <-synced:
		slices.SortFunc(initial, func(x, y gateway.Value) int { return strings.Compare(x.Key, y.Key) })
		if len(initial) != 2 || initial[0].Key != "k" || initial[1].Key != "k.a" || initial[1].Rev != first {
			t.Fatalf("initial values %v", initial)
		}
	case <-ctx.Done():
		t.Fatal("never synced")
	}
	wantChange := func(key, data string, deleted bool) uint64 {
		t.Helper()
		select {
		case v := <-changes:
			if v.Key != key || string(v.Data) != data || (v.Data == nil) != deleted {
				t.Fatalf("change of %q to %q (nil: %v), want %q to %q", v.Key, v.Data, v.Data == nil, key, data)
			}
			return v.Rev
		case <-ctx.Done():
			t.Fatalf("no change of %q came", key)
			return 0
		}
	}
	second := b.put("k.a", "2", first)
	b.put("kk", "still no", gateway.AnyRevision)
	if rev := wantChange("k.a", "2", false); rev != second {
		t.Errorf("change of revision %d, want %d", rev, second)
	}
	b.put("k.b", "", 0)
	wantChange("k.b", "", false)
	b.delete("k.a", second)
	if rev := wantChange("k.a", "", true); rev <= second {
		t.Errorf("deletion has revision %d, after %d", rev, second)
	}
	b.put("k.a", "3", 0)
	wantChange("k.a", "3", false)
}

func testWatchOfNothing(t *testing.T, b *storeBench) {
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	calls := 0
	err := b.store.Watch(ctx, "none", func(gateway.Value) error {
		t.Error("fn was called")
		return nil
	}, func() { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("Watch = %v, synced called %d times", err, calls)
	}
}
