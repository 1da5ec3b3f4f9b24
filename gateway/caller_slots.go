package gateway

import (
	"context"
	"slices"
)

// slots count what is under way, and keep what has to wait for that.
type slots struct {
	what    string // for Metrics.PutOff
	all     int
	busy    map[string]int       // by account
	waiting map[string][]*errand // by account, the oldest first; one for a call at most, and none for one that is over
}

// errand is what is to be done about a call.
type errand struct {
	call callKey
	do   func(ctx context.Context)
}

func newSlots(what string) slots {
	return slots{what: what, busy: map[string]int{}, waiting: map[string][]*errand{}}
}

// take takes a slot, if the account and the node have one.
func (s *slots) take(account string) bool {
	if s.all >= maxLookups || s.busy[account] >= maxAtOnce {
		return false
	}
	s.all++
	s.busy[account]++
	return true
}

func (s *slots) free(account string) {
	s.all--
	if s.busy[account]--; s.busy[account] == 0 {
		delete(s.busy, account)
	}
}

func (s *slots) wait(e *errand) {
	s.waiting[e.call.account] = append(s.waiting[e.call.account], e)
}

// next takes a slot for what waits and may go now: the first of the account that has just freed one, unless the node had
// no more for others either. nil: nothing does.
func (s *slots) next() *errand {
	for account, waiting := range s.waiting {
		if s.take(account) {
			first := waiting[0]
			s.keep(account, slices.Delete(waiting, 0, 1))
			return first
		}
	}
	return nil
}

// drop forgets what waits for a call.
func (s *slots) drop(call callKey) {
	if waiting := s.waiting[call.account]; len(waiting) > 0 {
		s.keep(call.account, slices.DeleteFunc(waiting, func(e *errand) bool { return e.call == call }))
	}
}

func (s *slots) keep(account string, waiting []*errand) {
	s.waiting[account] = waiting
	if len(waiting) == 0 {
		delete(s.waiting, account)
	}
}
