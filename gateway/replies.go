package gateway

import (
	"context"
	"sync"
	"time"
)

// replies carries out each command once: repeats of one that is being carried out wait for it, and later
// ones get the same reply. What a restart must not forget is in the log besides.
type replies struct {
	mu   sync.Mutex
	runs map[commandKey]*run
}

type run struct {
	done  chan struct{} // closed when reply is set
	reply Reply
	at    time.Time // of the reply; zero until then
}

// do runs fn unless it ran for this key within the last 10 minutes.
func (r *replies) do(ctx context.Context, key commandKey, now func() time.Time, fn func() Reply) (reply Reply, err error) {
	mine, first := r.begin(key)
	if !first {
		select {
		case <-mine.done:
			return mine.reply, nil
		case <-ctx.Done():
			return Reply{}, context.Cause(ctx)
		}
	}
	reply.Error = &ReplyError{CodeInternal, "it broke off"} // for those who wait, should fn panic
	defer func() {
		r.mu.Lock()
		mine.reply, mine.at = reply, now()
		r.mu.Unlock()
		close(mine.done)
	}()
	reply = fn()
	return reply, nil
}

func (r *replies) begin(key commandKey) (mine *run, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.runs[key]; ok {
		return old, false
	}
	if r.runs == nil {
		r.runs = map[commandKey]*run{}
	}
	mine = &run{done: make(chan struct{})}
	r.runs[key] = mine
	return mine, true
}

func (r *replies) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.runs {
		if !old.at.IsZero() && now.Sub(old.at) > rememberIDs {
			delete(r.runs, key)
		}
	}
}
