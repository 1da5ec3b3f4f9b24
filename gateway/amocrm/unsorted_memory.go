package amocrm

import (
	"cmp"
	"context"
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
	tidyEvery   = time.Hour
)

// memory is what is made of an unknown number.
type memory struct {
	Call  string    `json:"call"`           // whose attempt it is
	Since time.Time `json:"since"`          // when that began
	At    time.Time `json:"at"`             // when this was written
	Made  *entry    `json:"made,omitempty"` // nil: it is being made
}

func (l *CallLog) memoryRoot() string { return "amocrm.unknown." + l.cfg.Account }

func (l *CallLog) memoryKey(f *facts) string {
	return l.memoryRoot() + "." + cmp.Or(gateway.Digits(f.phone), "x"+hex.EncodeToString([]byte(f.phone)))
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
	l.tidy(ctx)
	for began := time.Now(); ; {
		m, rev, err := l.recall(ctx, f)
		if err != nil || m.Made != nil {
			return m, err
		}
		other := m.Call != "" && m.Call != f.uniq
		if other && time.Since(m.At) < makingTime {
			if time.Since(began) < makingPause {
				if err := sleep(ctx, makingLook); err != nil {
					return m, err
				}
				continue
			}
			return m, &gateway.LaterError{Delay: makingPause, Err: fmt.Errorf("another call with the same unknown number, %s, is being written", m.Call)}
		}
		data, err := json.Marshal(memory{Call: f.uniq, Since: f.started, At: time.Now()})
		if err != nil {
			return m, err
		}
		_, err = l.cfg.Store.Put(ctx, l.memoryKey(f), data, rev)
		switch {
		case errors.Is(err, gateway.ErrConflict):
			continue
		case err != nil:
			return m, fmt.Errorf("memory of unknown callers: %w", err)
		case !other:
			return memory{}, nil
		}
		// Whoever was at it did not come to an end. What was made all the same is in the list.
		made, err := l.findUnsorted(ctx, m.Since, f.isCallers)
		if made != nil {
			l.remember(ctx, f, made)
			return memory{Call: m.Call, Since: m.Since, At: m.At, Made: made}, nil
		}
		return memory{}, err
	}
}

// remember notes what was made of the number. Without it, the next call of the same number is made once more.
func (l *CallLog) remember(ctx context.Context, f *facts, made *entry) {
	data, err := json.Marshal(memory{Call: f.uniq, Since: f.started, At: time.Now(), Made: made})
	if err == nil {
		_, err = l.cfg.Store.Put(ctx, l.memoryKey(f), data, gateway.AnyRevision)
	}
	if err != nil {
		l.cfg.Logger.WarnContext(ctx, "the memory of unknown callers cannot be written", "call", f.uniq, "err", err)
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

// tidy throws away now and then what is too old.
func (l *CallLog) tidy(ctx context.Context) {
	last, now := l.tidied.Load(), time.Now().UnixNano()
	if now-last < int64(tidyEvery) || !l.tidied.CompareAndSwap(last, now) {
		return
	}
	var old []gateway.Value
	err := l.cfg.Store.List(ctx, l.memoryRoot(), func(v gateway.Value) error {
		var m memory
		if err := json.Unmarshal(v.Data, &m); err != nil || time.Since(m.At) > memoryTime {
			old = append(old, gateway.Value{Key: v.Key, Rev: v.Rev})
		}
		return nil
	})
	for _, v := range old {
		err = errors.Join(err, l.cfg.Store.Delete(ctx, v.Key, v.Rev))
	}
	if err != nil && !errors.Is(err, gateway.ErrConflict) {
		l.cfg.Logger.WarnContext(ctx, "old unknown callers cannot be thrown away", "err", err)
	}
}
