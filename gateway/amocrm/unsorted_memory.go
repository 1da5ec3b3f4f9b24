package amocrm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ringcast/gateway"
)

// What is made of an unknown caller, an unsorted item above all, is found by no search until a person has taken it. So
// that who calls twice is made once, on whatever node, the store remembers what was made of a number.
const (
	memoryTime  = 24 * time.Hour  // how long it counts
	makingTime  = 2 * time.Minute // how long another call's attempt is waited for
	makingLook  = time.Second     // how often it is looked whether that has come to an end
	makingPause = 5 * time.Second // how long it is looked before the call is put off
)

// memory is what is made of an unknown number, or of a hidden caller at one call.
type memory struct {
	Call  string    `json:"call"`           // whose attempt it is
	Since time.Time `json:"since"`          // when that began
	At    time.Time `json:"at"`             // when this was written
	Made  *entry    `json:"made,omitempty"` // nil: it is being made
}

// madeOf is the memory of what a call's own attempt made.
func madeOf(f *facts, made *entry) memory {
	return memory{Call: f.uniq, Since: f.started, Made: made}
}

func (l *CallLog) memoryKey(f *facts) string {
	hash := sha256.Sum256([]byte(cmp.Or(f.phone, f.uniq)))
	return "amocrm.unknown." + l.cfg.Account + "." + cmp.Or(gateway.Digits(f.phone), "x"+hex.EncodeToString(hash[:16]))
}

// recall returns what is remembered of the number, the zero memory if that is nothing or too old.
func (l *CallLog) recall(ctx context.Context, f *facts) (memory, uint64, error) {
	v, err := l.cfg.Store.Get(ctx, l.memoryKey(f))
	switch {
	case errors.Is(err, gateway.ErrNotFound):
		return memory{}, 0, nil
	case err != nil:
		return memory{}, 0, fmt.Errorf("memory of unknown callers: %w", err)
	}
	var m memory
	if err := json.Unmarshal(v.Data, &m); err != nil || time.Since(m.At) > memoryTime {
		m = memory{}
	}
	return m, v.Rev, nil
}

// claim makes it this call's task to make something of the number, unless something was made: then it returns that. While
// another call is at it, it fails with a *gateway.LaterError.
func (l *CallLog) claim(ctx context.Context, f *facts) (memory, error) {
	for began := time.Now(); ; {
		m, rev, err := l.recall(ctx, f)
		if err != nil || m.Made != nil {
			return m, err
		}
		if m.Call != "" && m.Call != f.uniq {
			if time.Since(m.At) < makingTime {
				if time.Since(began) < makingPause {
					if err := sleep(ctx, makingLook); err != nil {
						return m, err
					}
					continue
				}
				return m, &gateway.LaterError{
					Delay: makingPause, Alone: true, Err: fmt.Errorf("the caller's call %s is being written", m.Call),
				}
			}
			// Whoever was at it did not come to an end. What was made all the same is in the list.
			if m.Made, err = l.findUnsorted(ctx, m.Since, f.isCallers); err != nil {
				return m, err
			}
			if m.Made != nil {
				l.remember(ctx, f, m)
				return m, nil
			}
		}
		err = l.put(ctx, f, memory{Call: f.uniq, Since: f.started}, rev)
		switch {
		case errors.Is(err, gateway.ErrConflict):
			continue
		case err != nil:
			return m, fmt.Errorf("memory of unknown callers: %w", err)
		}
		return memory{}, nil
	}
}

// put writes the memory of the number in the place of the one with a revision. Where the store has ends, it ends.
func (l *CallLog) put(ctx context.Context, f *facts, m memory, rev uint64) error {
	m.At = time.Now()
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if store, expires := l.cfg.Store.(gateway.ExpiringStore); expires && rev != 0 {
		_, err = store.PutFor(ctx, l.memoryKey(f), data, rev, memoryTime)
	} else {
		_, err = l.cfg.Store.Put(ctx, l.memoryKey(f), data, rev)
	}
	return err
}

// remember notes what was made of the number. Without it, the next call of the same number is made once more.
func (l *CallLog) remember(ctx context.Context, f *facts, m memory) {
	for {
		_, rev, err := l.recall(ctx, f)
		if err == nil {
			err = l.put(ctx, f, m, rev)
		}
		if errors.Is(err, gateway.ErrConflict) {
			continue
		}
		if err != nil {
			l.cfg.Logger.WarnContext(ctx, "the memory of unknown callers cannot be written", "call", f.uniq, "err", err)
		}
		return
	}
}

// forget gives up a claim: nothing was made.
func (l *CallLog) forget(ctx context.Context, f *facts) {
	m, rev, err := l.recall(ctx, f)
	if err == nil && m.Call == f.uniq && m.Made == nil {
		err = l.cfg.Store.Delete(ctx, l.memoryKey(f), rev)
	}
	if err != nil && !errors.Is(err, gateway.ErrConflict) {
		l.cfg.Logger.WarnContext(ctx, "the memory of unknown callers cannot be written", "call", f.uniq, "err", err)
	}
}
