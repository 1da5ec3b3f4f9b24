package asterisk

import (
	"math"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// How far a telephone's clock may be from Asterisk's events, in seconds: in traces, and on a machine that has much
// else to do.
const (
	slack     = 0.3
	slackLive = 3 // it may stand still
)

func (v verdict) near(at time.Time, want float64) bool {
	return !at.IsZero() && math.Abs(seconds(at)-want) < v.all.slack
}

func seconds(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }

// compareWithTruth compares all that a truth says with what events make of its calls: what became of each,
// and what each user's screen showed of it all the while.
func compareWithTruth(t testing.TB, tr truth, events []gateway.Event) {
	t.Helper()
	b := newBook(t)
	b.take(events)
	told := 0
	for _, want := range tr.Calls {
		c, ok := b.calls[want.Linkedid]
		if !ok {
			t.Errorf("call %s was not told", want.Linkedid)
			continue
		}
		told++
		v := verdict{TB: t, all: tr, want: want, got: c, book: b}
		v.call(events)
		v.cards()
	}
	if told != len(b.calls) {
		t.Errorf("%d calls told, %d in truth", len(b.calls), len(tr.Calls))
	}
	logEvents(t, events)
}

// verdict compares one call.
type verdict struct {
	testing.TB

	all  truth
	want truthCall
	got  gateway.Call
	book *book
}

var (
	truthDirections = map[string]gateway.Direction{
		"in": gateway.Inbound, "out": gateway.Outbound, "internal": gateway.Internal,
	}
	truthCauses = map[string]gateway.Cause{
		"answered": gateway.CauseNormal, "no-answer": gateway.CauseNoAnswer, "busy": gateway.CauseBusy,
		"declined": gateway.CauseRejected, "cancelled": gateway.CauseCancelled, "failed": gateway.CauseFailed,
		"unavailable": gateway.CauseNoAnswer, "operator-no-answer": gateway.CauseCancelled,
	}
	truthOutcomes = map[string]gateway.Outcome{
		"answered": gateway.Answered, "no-answer": gateway.Missed, "busy": gateway.Busy, "declined": gateway.Rejected,
		"cancelled": gateway.Cancelled, "elsewhere": gateway.Elsewhere, "forwarded": gateway.Missed,
	}
)

func (v verdict) call(events []gateway.Event) {
	v.Helper()
	w, c := v.want, v.got
	late := w.Connected > 0 // seen from the middle: what was dialled is not known any more
	if c.Direction != truthDirections[w.Direction] {
		v.Errorf("direction %s, want %s", c.Direction, w.Direction)
	}
	if c.From.Raw != w.Caller || c.To.Raw != w.Callee && !late {
		v.Errorf("from %q to %q, want %q %q", c.From.Raw, c.To.Raw, w.Caller, w.Callee)
	}
	if w.Direction == "in" && !late && c.Line != w.Callee {
		v.Errorf("line %q, want %q", c.Line, w.Callee)
	}
	if w.Direction == "out" && c.Line != "5550100" && (w.Origin == "phone" || c.Line != "trunk") && w.Disposition != "operator-no-answer" {
		v.Errorf("line %q, want the company's number", c.Line)
	}
	if c.Name != w.CallerName {
		v.Errorf("name %q, want %q", c.Name, w.CallerName)
	}
	if !v.near(c.EndedAt, w.EndedAt) {
		v.Errorf("ended at %s, want %.2f", show(c.EndedAt), w.EndedAt)
	}
	if into := v.labelled(w.MergedInto).Linkedid; c.Into != into {
		v.Errorf("merged into %q, want %q", c.Into, into)
	}
	if w.AnsweredAt == nil != c.AnsweredAt.IsZero() || w.AnsweredAt != nil && !v.near(c.AnsweredAt, max(*w.AnsweredAt, w.Connected)) {
		v.Errorf("answered at %s, want %v", show(c.AnsweredAt), w.AnsweredAt)
	}
	if w.AnsweredBy != nil && isUser(*w.AnsweredBy) && w.Direction != "out" && (c.AnsweredBy == nil || c.AnsweredBy.Extension != *w.AnsweredBy) {
		v.Errorf("answered by %v, want %s", c.AnsweredBy, *w.AnsweredBy)
	}
	if w.Recording != nil && c.Recording != "file:/var/spool/asterisk/monitor/"+w.Recording.File &&
		(v.all.slack != slackLive || path.Base(c.Recording) != w.Recording.File) { // live, the folder is the lab's
		v.Errorf("recording %q, want %s", c.Recording, w.Recording.File)
	}
	last := events[0]
	for _, e := range events {
		if e.Call == w.Linkedid && e.Type == gateway.EventHangup && len(e.Extensions) == 0 {
			last = e
		}
	}
	if w.MergedInto == "" && last.Cause != truthCauses[w.Disposition] {
		v.Errorf("ended %s, want %s", last.Cause, w.Disposition)
	}
}

func (v verdict) labelled(label string) truthCall {
	for _, c := range v.all.Calls {
		if c.Label == label {
			return c
		}
	}
	return truthCall{}
}

// cards compares what was shown to each user with what his telephone did.
func (v verdict) cards() {
	v.Helper()
	for n := '1'; n <= '9'; n++ {
		ext := "10" + string(n)
		k := v.book.cards[cardKey{v.want.Linkedid, "u" + ext}]
		want := v.expected(ext)
		switch {
		case k == nil && want.none():
		case k == nil:
			v.Errorf("%s: no card", ext)
		default:
			v.card(ext, k, want)
		}
	}
}

// expectation is what a user's screen should show of a call.
type expectation struct {
	rings, talks, holds [][2]float64
	outcome             gateway.Outcome
	answered            float64 // 0: never
	over                float64
	spoke               float64 // seconds
	caller              bool
	phone               string
}

func (x expectation) none() bool { return len(x.rings) == 0 && len(x.talks) == 0 }

func (v verdict) card(ext string, k *card, want expectation) {
	v.Helper()
	v.spans(ext+" rings", k.spans[gateway.Ringing], want.rings)
	v.spans(ext+" is held", k.spans[gateway.Held], want.holds)
	if v.want.Direction == "internal" { // while he is handed on, his card goes on
		want.talks = joined(want.talks, 3)
	}
	v.spans(ext+" talks", join(k.spans[gateway.Talking], k.spans[gateway.Held]), want.talks)
	last := k.last
	if last.Outcome == nil || *last.Outcome != want.outcome && !want.none() {
		v.Errorf("%s: outcome %v, want %s", ext, deref(last.Outcome), want.outcome)
	}
	if last.EndedAt == nil || !v.near(time.Time(*last.EndedAt), want.over) {
		v.Errorf("%s: over at %s, want %.2f", ext, show(time.Time(deref(last.EndedAt))), want.over)
	}
	if last.AnsweredAt == nil != (want.answered == 0) || last.AnsweredAt != nil && !v.near(time.Time(*last.AnsweredAt), want.answered) {
		v.Errorf("%s: answered at %s, want %.2f", ext, show(time.Time(deref(last.AnsweredAt))), want.answered)
	}
	if math.Abs(float64(last.Talk)-want.spoke) > 1+v.all.slack/2 || last.Talk == 0 && want.spoke > 1.5 {
		v.Errorf("%s: talked %d s, want %.1f", ext, last.Talk, want.spoke)
	}
	if !slices.Equal(k.phones, []string{want.phone}) {
		v.Errorf("%s: numbers shown %q, want %q", ext, k.phones, want.phone)
	}
	if !slices.Equal(k.names, []string{v.want.CallerName}) {
		v.Errorf("%s: names shown %q, want %q", ext, k.names, v.want.CallerName)
	}
	if !slices.Equal(k.directions, []gateway.Direction{truthDirections[v.want.Direction]}) {
		v.Errorf("%s: directions shown %q, want %q", ext, k.directions, v.want.Direction)
	}
}

// expected reads a user's card out of the truth.
func (v verdict) expected(ext string) expectation {
	w := v.want
	from, to := max(w.Connected, 0), w.EndedAt+1
	for _, m := range v.all.Calls { // a call that was merged into this one: its legs are here from then on
		if m.MergedInto == w.Label && w.Label != "" && (m.Caller == ext || slices.ContainsFunc(m.Legs, func(l truthLeg) bool { return l.Ext == ext })) && !v.own(ext) {
			from = max(from, m.EndedAt)
		}
	}
	if w.MergedInto != "" {
		to = w.EndedAt
	}
	x := expectation{caller: w.Caller == ext, phone: w.Caller}
	if w.Direction == "out" || x.caller {
		x.phone = w.Callee
	}
	add := func(list [][2]float64, a, b float64) [][2]float64 {
		a, b = max(a, from), min(b, to)
		if b-a < 0.05 {
			return list
		}
		return append(list, [2]float64{a, b})
	}
	for _, l := range w.Legs {
		if l.Ext != ext {
			continue
		}
		if l.RingStart != nil || l.AnsweredAt != nil {
			x.outcome, x.over = truthOutcomes[l.Result], min(l.OverAt, to)
		}
		end := l.RingEnd
		if x.caller && w.Origin == "click-to-call" { // rings until the far end answers
			end = &l.OverAt
			if w.AnsweredAt != nil {
				end = w.AnsweredAt
			}
			if w.AnsweredAt == nil {
				x.outcome = truthOutcomes[w.Disposition]
				if w.Disposition == "operator-no-answer" {
					x.outcome = gateway.Cancelled
				}
			}
		}
		if l.RingStart != nil {
			x.rings = add(x.rings, *l.RingStart, *end)
		}
		if l.AnsweredAt != nil && x.answered == 0 && *l.AnsweredAt < to {
			x.answered = max(*l.AnsweredAt, from)
		}
	}
	if x.caller && w.Origin != "click-to-call" {
		x.over, x.outcome = min(w.EndedAt, to), truthOutcomes[w.Disposition]
		if w.Disposition == "unavailable" {
			x.outcome = gateway.Missed
		}
		end := w.EndedAt
		if w.AnsweredAt != nil {
			end, x.answered, x.outcome = *w.AnsweredAt, *w.AnsweredAt, gateway.Answered
		}
		if w.Origin == "phone" {
			x.rings = add(x.rings, w.StartedAt, end)
		}
	}
	if x.caller && w.AnsweredAt != nil {
		x.answered = *w.AnsweredAt
	} else if x.caller {
		x.answered = 0
	}
	for _, talk := range w.Talks {
		if talk.Ext == ext || talk.Peer == ext {
			x.talks = add(x.talks, talk.From, talk.To)
			x.spoke += min(talk.To, to) - max(talk.From, from)
		}
	}
	for _, talk := range w.Consult {
		if talk.Ext == ext {
			x.talks = add(x.talks, talk.From, talk.To)
		}
	}
	slices.SortFunc(x.talks, func(a, b [2]float64) int { return int(math.Copysign(1, a[0]-b[0])) })
	x.talks = joined(x.talks, 0.05)
	for _, h := range w.Holds {
		if h.By == ext {
			x.holds = add(x.holds, h.From, h.To)
		}
	}
	v.handsOn(ext, &x)
	return x
}

// own says whether an extension has a share in the call that does not come from one merged into it.
func (v verdict) own(ext string) bool {
	return slices.ContainsFunc(v.want.Talks, func(talk truthTalk) bool {
		return talk.Ext == ext && v.want.AnsweredAt != nil && talk.From == *v.want.AnsweredAt
	})
}

// handsOn ends the card of a user who hands the call on when he does that.
func (v verdict) handsOn(ext string, x *expectation) {
	at := 0.0
	for _, tr := range v.want.Transfers {
		if tr.By != nil && *tr.By == ext && (tr.Kind == "blind" || tr.Result == "answered") {
			at = tr.At
		}
	}
	for _, p := range v.want.Parked {
		if p.By == ext {
			at = p.From
		}
	}
	again := slices.ContainsFunc(v.want.Legs, func(l truthLeg) bool {
		return l.Ext == ext && (l.RingStart != nil && *l.RingStart >= at || l.AnsweredAt != nil && *l.AnsweredAt >= at)
	})
	if v.want.MergedInto != "" && !x.none() && x.over >= v.want.EndedAt-0.05 {
		at, again = v.want.EndedAt, false
	}
	if at > 0 && !again {
		x.over, x.outcome = at, gateway.Transferred
	}
}

func (v verdict) spans(what string, got []span, want [][2]float64) {
	v.Helper()
	var spans [][2]float64
	for _, s := range got {
		if s.to.Sub(s.from) > 50*time.Millisecond {
			spans = append(spans, [2]float64{seconds(s.from), seconds(s.to)})
		}
	}
	begins := v.all.slack
	if strings.HasSuffix(what, "held") { // a code that is typed is timed from its first digit on
		begins += 0.2
	}
	same := slices.EqualFunc(spans, want, func(a, b [2]float64) bool {
		return math.Abs(a[0]-b[0]) < begins && math.Abs(a[1]-b[1]) < v.all.slack
	})
	if !same {
		v.Errorf("%s at %.2f, want %.2f", what, spans, want)
	}
}

// join puts spans of two states together that follow each other.
func join(a, b []span) []span {
	all := slices.SortedFunc(slices.Values(append(slices.Clone(a), b...)), func(a, b span) int { return a.from.Compare(b.from) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && s.from.Sub(out[n-1].to) < 50*time.Millisecond {
			out[n-1].to = s.to
			continue
		}
		out = append(out, s)
	}
	return out
}

// joined puts spans together that are at most so many seconds apart.
func joined(list [][2]float64, apart float64) [][2]float64 {
	var out [][2]float64
	for _, s := range list {
		if n := len(out); n > 0 && s[0]-out[n-1][1] < apart {
			out[n-1][1] = max(s[1], out[n-1][1])
			continue
		}
		out = append(out, s)
	}
	return out
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func show(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.Format("15:04:05.00")
}
