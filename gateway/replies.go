package gateway

import (
	"context"
	"sync"
	"time"
)

// replies carries out each command once: repeats of one that is being carried out wait for it, and later
// ones get the same reply. What a restart must not forget is in the log besides.
type replies struct {
	mu    sync.Mutex
	runs  map[commandKey]*run
	count map[userKey]int // of the runs
}

type run struct {
	done  chan struct{} // closed when reply is set
	reply Reply
	err   error
	at    time.Time // of the reply; zero until then
}

// maxReplies is how many commands of a user are remembered: more than anybody's hands give in 10 minutes.
const maxReplies = 2000

// do runs fn unless it ran for this key within the last 10 minutes. When fn fails, nothing was done, and it is as
// if it had not run: those who wait for it get its error, too.
func (r *replies) do(ctx context.Context, key commandKey, now func() time.Time, fn func() (Reply, error)) (reply Reply, err error) {
	mine, first, err := r.begin(key)
	if err != nil {
		return Reply{}, err
	}
	if !first {
		select {
		case <-mine.done:
			return mine.reply, mine.err
		case <-ctx.Done():
			return Reply{}, Errorf(CodeTimeout, "still being carried out: %w", context.Cause(ctx))
		}
	}
	reply.Error = &ReplyError{CodeInternal, "it broke off"} // for those who wait, should fn panic
	defer func() {
		r.mu.Lock()
		mine.reply, mine.err, mine.at = reply, err, now()
		if err != nil {
			r.drop(key)
		}
		r.mu.Unlock()
		close(mine.done)
	}()
	return fn()
}

func (r *replies) begin(key commandKey) (mine *run, first bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.runs[key]; ok {
		return old, false, nil
	}
	user := userKey{key.account, key.user}
	if r.runs == nil {
		r.runs, r.count = map[commandKey]*run{}, map[userKey]int{}
	}
	if r.count[user] >= maxReplies {
		return nil, false, &Error{Code: CodeTooMany, Message: "too many commands: come again in some minutes", RetryAfter: rememberIDs}
	}
	mine = &run{done: make(chan struct{})}
	r.runs[key] = mine
	r.count[user]++
	return mine, true, nil
}

// drop forgets a command.
func (r *replies) drop(key commandKey) {
	delete(r.runs, key)
	user := userKey{key.account, key.user}
	if r.count[user]--; r.count[user] == 0 {
		delete(r.count, user)
	}
}

// forget forgets the commands of some accounts that are done.
func (r *replies) forget(of func(account string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.runs {
		if !old.at.IsZero() && of(key.account) {
			r.drop(key)
		}
	}
}

func (r *replies) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, old := range r.runs {
		if !old.at.IsZero() && now.Sub(old.at) > rememberIDs {
			r.drop(key)
		}
	}
}
