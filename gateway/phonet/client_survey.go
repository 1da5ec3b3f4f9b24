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
	staffEvery   = 10 * time.Minute // the employees are listed
	withoutREST  = 10 * time.Minute // until a PBX without the HTTP API is tried again
	historyAfter = 4 * time.Second  // the end of a call: it is in the history by then
)

// survey says when the HTTP API is to be asked: for the calls that live, and for what became of those that ended.
// It belongs to Run, but for gap, which the link's mutex guards.
type survey struct {
	next    time.Time // zero: no need
	whole   bool      // what lives is to be told to the sink
	busy    bool
	alone   bool // the HTTP API is not to be had: it is tried again when that is due, and no sooner
	read    bool // the history has been
	begun   time.Time
	met     time.Time // when the employees were listed
	gap     time.Time // since when something may have gone unheard; zero: nothing
	wait    backoff
	tell    *time.Time // Live is due, as of then
	presume time.Time  // without the HTTP API: since when the sockets listen; zero: no need
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
	err    error // why it did not say which calls live
	unread error // why not, or not all of, what became of the others
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
	if s.next.IsZero() || at.Before(s.next) && !s.alone {
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
	if s.lookups[call] == nil && !s.alone {
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

// begin says whether the employees are to be listed, too.
func (s *survey) begin(now time.Time) (staff bool) {
	s.busy, s.begun, s.next = true, now, time.Time{}
	if staff = s.met.IsZero() || now.Sub(s.met) >= staffEvery; staff {
		s.met = now
	}
	return staff
}

// presumed returns, once and when nobody would ring any more who rang when the sockets began to listen, that time.
func (s *survey) presumed(now time.Time) *time.Time {
	since := s.presume
	if since.IsZero() || now.Sub(since) < maxRing {
		return nil
	}
	s.presume = time.Time{}
	return &since
}

// ask asks for the calls that live, and what has ended since a time; and, if wanted, who the employees are.
func (l *Link) ask(ctx context.Context, at, since time.Time, staff bool, out chan<- answer) {
	a := answer{at: at}
	l.cfg.Tap(fromAsking, nil)
	a.active, a.err = l.rest.active(ctx)
	if a.err == nil && staff {
		var err error
		if a.users, err = l.rest.users(ctx); err != nil {
			l.cfg.Logger.Debug("phonet's employees could not be listed", "err", l.rest.masked(err))
		}
	}
	if a.err == nil {
		a.rows, a.unread = l.rest.history(ctx, since)
		if errors.Is(a.unread, errNoREST) || errors.Is(a.unread, errRefused) { // it may do without
			a.unread = nil
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
	if !l.survey.read {
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
		l.unlearned(a.err, now)
		return
	}
	s.alone, s.presume = false, time.Time{}
	l.cfg.Tap(fromLearnt, nil)
	live := map[string][]string{}
	for _, f := range a.active {
		live[f.uuid] = append(live[f.uuid], f.ext)
	}
	l.mu.Lock()
	l.meet(a.users)
	var events []gateway.Event
	parentsFirst(a.active)
	parentsFirst(a.rows)
	slices.SortStableFunc(a.rows, tellFirst)
	for _, f := range append(a.active, a.rows...) {
		events = append(events, l.book.take(f, a.at)...)
	}
	if !s.read {
		events = append(events, l.book.former(a.at)...)
	}
	events = append(events, l.book.compare(live, a.at)...)
	l.asked, l.noREST = true, nil
	complete := map[string]bool{}
	if a.unread == nil {
		s.read, s.gap = true, time.Time{}
		for _, socket := range l.sockets {
			if !socket.open() { // it goes on missing
				s.gap = a.at
			}
		}
		for call := range s.lookups {
			complete[call] = l.book.complete(call)
		}
	}
	l.mu.Unlock()
	for call, ok := range complete {
		s.looked(call, ok)
	}
	l.queue(events)
	if s.whole {
		s.whole, s.tell = false, &a.at
	}
	if a.unread != nil {
		l.again("phonet's history could not be read", a.unread, now)
	} else {
		s.wait.reset()
	}
}

// again has the PBX asked again after a delay that grows.
func (l *Link) again(what string, err error, now time.Time) {
	delay := l.survey.pace(l.survey.wait.next() + surveyEvery)
	l.cfg.Logger.Warn(what, "err", l.rest.masked(err), "again_in", delay)
	l.survey.wantAt(now.Add(delay))
}

// parentsFirst puts calls before those that came of them, in whatever order the PBX lists them.
func parentsFirst(facts []fact) {
	const deepest = 8
	parents := map[string]string{}
	for _, f := range facts {
		parents[f.uuid] = f.parent
	}
	depth := func(f fact) (n int) {
		for up := f.parent; up != "" && n < deepest; up = parents[up] {
			n++
		}
		return n
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(depth(a), depth(b)) })
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
		if len(l.book.staff) == 0 {
			l.survey.met = time.Time{} // they are asked for again
		}
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
		l.noREST = l.rest.masked(err)
		l.mu.Unlock()
		clear(s.lookups) // nobody will say
		if first {
			s.presume = s.begun
			l.cfg.Logger.Warn("phonet's HTTP API is not to be had: on events alone", "err", l.rest.masked(err))
		}
		s.alone, s.next = true, now.Add(withoutREST)
		return
	}
	l.again("phonet's calls could not be listed", err, now)
}
