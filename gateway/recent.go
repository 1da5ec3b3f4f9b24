package gateway

import (
	"hash/maphash"
	"time"
)

// recent remembers ids for rememberIDs at least and twice that at most. It keeps a hash of each: 128 bits under
// a key of this process are as good as the id and a fifth of its size.
type recent struct {
	seeds      [2]maphash.Seed
	young, old map[[2]uint64]struct{}
	begun      time.Time // when young was
}

func newRecent() recent {
	return recent{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
}

func (r *recent) hash(key eventKey) [2]uint64 {
	return [2]uint64{maphash.Comparable(r.seeds[0], key), maphash.Comparable(r.seeds[1], key)}
}

func (r *recent) add(key eventKey, at time.Time) {
	r.age(at)
	if r.young == nil {
		r.young = map[[2]uint64]struct{}{}
	}
	r.young[r.hash(key)] = struct{}{}
}

func (r *recent) has(key eventKey) bool {
	h := r.hash(key)
	if _, ok := r.young[h]; ok {
		return true
	}
	_, ok := r.old[h]
	return ok
}

// age forgets what is too old.
func (r *recent) age(now time.Time) {
	switch age := now.Sub(r.begun); {
	case age < rememberIDs:
	case age < 2*rememberIDs:
		r.young, r.old, r.begun = nil, r.young, now
	default:
		r.young, r.old, r.begun = nil, nil, now
	}
}
