package push

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ringcast/gateway"
)

// throttle bounds how often each user may do something on this node. On sockets frames are counted instead.
type throttle struct {
	what  string
	limit rate.Limit
	burst int

	mu    sync.Mutex
	users map[userKey]*rate.Limiter
}

// newThrottle lets a user do a thing n times at once, and in the long run n times in a period.
func newThrottle(what string, n int, period time.Duration) *throttle {
	return &throttle{what: what, limit: rate.Limit(float64(n) / period.Seconds()), burst: n, users: map[userKey]*rate.Limiter{}}
}

// take fails with CodeTooMany when it is too soon.
func (t *throttle) take(user userKey) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.users[user]
	if l == nil {
		l = rate.NewLimiter(t.limit, t.burst)
		t.users[user] = l
	}
	if !l.Allow() {
		return errTooMany("too many " + t.what + " of this user: slower, please")
	}
	return nil
}

// tick forgets the users who have been slow for a while.
func (t *throttle) tick(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for user, l := range t.users {
		if l.TokensAt(now) >= float64(t.burst) {
			delete(t.users, user)
		}
	}
}

func errTooMany(message string) error {
	return &gateway.Error{Code: gateway.CodeTooMany, Message: message, RetryAfter: retryAfter}
}
