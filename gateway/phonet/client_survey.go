package phonet

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	lookBack     = 10 * time.Minute // into the history, at the start
	overlap      = time.Minute      // how much more of the history is read than was missed
	mostBack     = 24 * time.Hour
	settleOpen   = 300 * time.Millisecond // after a socket came back, in which more of them may
	surveyEvery  = 3 * time.Second        // at most
	quietTime    = 2 * time.Minute        // a call of which nothing is heard for so long may have ended unheard
	doubtEvery   = time.Minute
	withoutREST  = 10 * time.Minute // until a PBX without the HTTP API is tried again
	historyAfter = 4 * time.Second  // the end of a call: it is in the history by then
)

// survey says when the HTTP API is to be asked: for the calls that live, and for what became of those that ended.
// It belongs to Run, but for gap, which the link's mutex guards.
type survey struct {
	next    time.Time // zero: no need
	whole   bool      // what lives is to be told to the sink
	busy    bool
	begun   time.Time
	gap     time.Time // since when something may have gone unheard; zero: nothing
	wait    backoff
	tell    *time.Time // Live is due, as of then
	lookups map[string]*lookup
	pace    func(time.Duration) time.Duration // Config.pace
}

// lookup is a call that ended and whose row in the history is wanted.
type lookup struct {
	ended time.Time
	next  time.Time
	tries int
}

// answer is what the HTTP API said.
type answer struct {
	at     time.Time // when it was asked
	active []fact
	rows   []fact
	users  []restUser
	err    error
}

// want has the PBX asked soon.
func (s *survey) want(now time.Time, whole bool) {
	s.whole = s.whole || whole
	s.wantAt(later(now.Add(s.pace(settleOpen)), s.begun.Add(s.pace(surveyEvery))))
}

// wantWithin has the PBX asked if that was so long ago.
func (s *survey) wantWithin(now time.Time, every time.Duration) {
	s.wantAt(later(now, s.begun.Add(every)))
}

func (s *survey) wantAt(at time.Time) {
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
	}
}

// lose notes that a socket is lost. The link's mutex is held.
func (s *survey) lose(now time.Time) {
	if s.gap.IsZero() {
		s.gap = now
	}
}

// ended has the history asked for a call that has ended.
func (s *survey) ended(call string, now time.Time) {
	if s.lookups[call] == nil {
		s.lookups[call] = &lookup{ended: now, next: now.Add(s.pace(historyAfter))}
		s.wantAt(later(now.Add(s.pace(historyAfter)), s.begun.Add(s.pace(surveyEvery))))
	}
}

// looked notes that the history has been read, and whether it said all there is to say of a call. A recording may
// take some minutes.
func (s *survey) looked(call string, complete bool) {
	look := s.lookups[call]
	if look.next.After(s.begun) {
		return
	}
	look.tries++
	again := []time.Duration{15 * time.Second, time.Minute, 5 * time.Minute}
	if complete || look.tries > len(again) {
		delete(s.lookups, call)
		return
	}
	look.next = s.begun.Add(s.pace(again[look.tries-1]))
	s.wantAt(look.next)
}

// due says whether it is time to ask; the calls that live are asked for when all sockets listen.
func (s *survey) due(now time.Time, ready bool) bool {
	return !s.busy && ready && !s.next.IsZero() && !now.Before(s.next)
}

func (s *survey) begin(now time.Time) {
	s.busy, s.begun, s.next = true, now, time.Time{}
}

// ask asks for the calls that live, and what has ended since a time.
func (l *Link) ask(ctx context.Context, at, since time.Time, out chan<- answer) {
	a := answer{at: at}
	l.cfg.Tap(fromAsking, nil)
	a.active, a.err = l.rest.active(ctx)
	if a.err == nil {
		var err error
		if a.users, err = l.rest.users(ctx); err != nil {
			l.cfg.Logger.Debug("phonet's employees could not be listed", "err", l.rest.masked(err))
		}
		a.rows, a.err = l.rest.history(ctx, since)
		if errors.Is(a.err, errNoREST) || errors.Is(a.err, errRefused) { // it may do without
			a.err = nil
		}
	}
	select {
	case out <- a:
	case <-ctx.Done():
	}
}

// since is from when on the history is to be read, by Phonet's clock.
func (l *Link) since(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := now
	if !l.asked {
		from = now.Add(-lookBack)
	}
	if gap := l.survey.gap; !gap.IsZero() {
		from = earlier(from, gap)
	}
	for _, look := range l.survey.lookups {
		from = earlier(from, look.ended)
	}
	for _, c := range l.book.calls {
		if c.endAt.IsZero() {
			from = earlier(from, c.heard)
		}
	}
	return l.book.skew.theirs(later(from, now.Add(-mostBack)).Add(-overlap))
}

// learn adds what the HTTP API said to what is known of calls. What the sockets have said since it was asked counts
// for more.
func (l *Link) learn(a answer) {
	s, now := &l.survey, l.cfg.now()
	s.busy = false
	if a.err != nil {
		l.unlearned(l.rest.masked(a.err), now)
		return
	}
	s.wait.reset()
	l.cfg.Tap(fromLearnt, nil)
	live := map[string][]string{}
	for _, f := range a.active {
		live[f.uuid] = append(live[f.uuid], f.ext)
	}
	l.mu.Lock()
	l.meet(a.users)
	var events []gateway.Event
	slices.SortStableFunc(a.rows, tellFirst)
	for _, f := range append(a.active, a.rows...) {
		events = append(events, l.book.take(f, a.at)...)
	}
	events = append(events, l.book.compare(live, a.at)...)
	l.asked, l.noREST, s.gap = true, nil, time.Time{}
	for _, socket := range l.sockets {
		if !socket.open() { // it goes on missing
			s.gap = a.at
		}
	}
	complete := map[string]bool{}
	for call := range s.lookups {
		complete[call] = l.book.complete(call)
	}
	l.mu.Unlock()
	for call, ok := range complete {
		s.looked(call, ok)
	}
	l.queue(events)
	if s.whole {
		s.whole, s.tell = false, &a.at
	}
}

// tellFirst puts what rang people before them, and who answered before who did not.
func tellFirst(a, b fact) int {
	rank := func(f fact) int {
		switch {
		case f.kind != legUser:
			return 0
		case f.bridged:
			return 1
		default:
			return 2
		}
	}
	return cmp.Compare(rank(a), rank(b))
}

// meet notes who the employees are. l.mu is held.
func (l *Link) meet(users []restUser) {
	if len(users) == 0 {
		return
	}
	l.book.staff = map[string]bool{}
	for _, u := range users {
		l.book.staff[string(u.Ext)] = true
		for _, s := range l.sockets {
			if s.extension == "" && u.Email != "" && strings.EqualFold(s.name, string(u.Email)) {
				s.extension = string(u.Ext)
			}
		}
	}
}

// unlearned notes that the HTTP API did not answer as it should.
func (l *Link) unlearned(err error, now time.Time) {
	s := &l.survey
	if errors.Is(err, errNoREST) || errors.Is(err, errRefused) {
		l.mu.Lock()
		first := l.noREST == nil
		l.noREST = err
		l.mu.Unlock()
		clear(s.lookups) // nobody will say
		if first {
			l.cfg.Logger.Warn("phonet's HTTP API is not to be had: on events alone", "err", err)
		}
		s.wantAt(now.Add(withoutREST))
		return
	}
	delay := s.pace(s.wait.next() + surveyEvery)
	l.cfg.Logger.Warn("phonet's calls could not be listed", "err", err, "again_in", delay)
	s.wantAt(now.Add(delay))
}
