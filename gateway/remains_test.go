package gateway

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// plant puts a key into the store as if it had long been there: only who begins to watch sees it.
func (s *sharedStore) plant(t *testing.T, key, value string) {
	t.Helper()
	if _, err := s.memStore.Put(t.Context(), key, []byte(value), AnyRevision); err != nil {
		t.Fatal(err)
	}
}

func TestHeartbeatThatADeadNodeLeftGetsNoPartition(t *testing.T) {
	inFleet(t, 4, 1, func(t *testing.T, f *fleet) {
		const dead = "a-dead-node"
		f.shared.plant(t, keyNode+dead, `{"ready":true,"head":1}`)
		f.net.mu.Lock()
		f.net.prefix = "a" // before all others: it is the one that gives when all have as many
		f.net.mu.Unlock()
		begun := time.Now()
		f.start()
		for time.Since(begun) < 2*deadAfter {
			for p := range 4 {
				if v, err := f.shared.Get(t.Context(), keyLease+strconv.Itoa(p)); err != nil || strings.Contains(string(v.Data), dead) {
					t.Fatalf("after %v partition %d has the lease %s, %v", time.Since(begun), p, v.Data, err)
				}
			}
			if took := f.nodes[0].send(fmt.Sprintf("k%d: dial 101", time.Since(begun))); took > time.Second {
				t.Errorf("an event waited %v", took)
			}
			pass(20 * time.Millisecond)
		}
		for _, n := range f.nodes {
			if n.own() != 2 {
				t.Errorf("%s owns %d of 4", n.name, n.own())
			}
		}
	})
}

func TestNodeThatLeavesHandsNothingToWhatADeadNodeLeft(t *testing.T) {
	inFleet(t, 2, 1, func(t *testing.T, f *fleet) {
		const dead = "a-dead-node"
		f.nodes[0].stop()
		f.shared.plant(t, keyNode+dead, `{"ready":true,"head":1}`)
		n := f.start()
		for n.own() != 2 {
			pass(lookEvery)
		}
		if !slices.Contains(n.cluster.view().alive, dead) {
			t.Fatal("it is known already that it is dead")
		}
		n.stop()
		if v, err := f.shared.Get(t.Context(), keyLease+"0"); err != nil || strings.Contains(string(v.Data), dead) {
			t.Errorf("the lease %s, %v", v.Data, err)
		}
	})
}

func TestDeadNodesHeartbeatIsTakenAway(t *testing.T) {
	inFleet(t, 4, 3, func(t *testing.T, f *fleet) {
		f.nodes[0].kill()
		pass(takeOver)
		if keys := f.shared.keys(strings.TrimSuffix(keyNode, ".")); len(keys) != 2 {
			t.Errorf("there are %q", keys)
		}
	})
}
