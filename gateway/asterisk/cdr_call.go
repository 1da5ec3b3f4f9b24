package asterisk

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// pastCalls makes calls of their records: those with one Linkedid, and those that have a channel in common, are one.
func (cfg *Config) pastCalls(rows []cdr) []gateway.PastCall {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b cdr) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.sequence, b.sequence))
	})
	rows = slices.CompactFunc(rows, func(a, b cdr) bool { return a == b }) // of a file that was read and of its copy
	var calls []gateway.PastCall
	for _, group := range groupCDRs(rows) {
		p := pastCall{cfg: cfg, rows: group}
		if call, ok := p.call(); ok {
			calls = append(calls, call)
		}
	}
	return calls
}

// channelGap is how far records of one channel may be apart: Asterisk gives out the names of channels again when it was
// restarted.
const channelGap = 2 * time.Second

// groupCDRs puts the records of a call together, which are sorted by time; so are the groups.
func groupCDRs(rows []cdr) [][]cdr {
	parent := make([]int, len(rows))
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	type user struct {
		row int
		end time.Time
	}
	ids, channels := map[string]int{}, map[string]user{}
	for i, r := range rows {
		parent[i] = i
		join := func(other int) {
			if a, b := root(i), root(other); a < b {
				parent[b] = a
			} else {
				parent[a] = b
			}
		}
		for _, id := range []string{r.linkedid, r.uniqueid} {
			if other, ok := ids[id]; ok && id != "" {
				join(other)
			}
			ids[id] = i
		}
		for _, name := range []string{r.channel, r.dstChannel} {
			if name = half(name); name == "" {
				continue
			}
			last, ok := channels[name]
			if ok && !r.start.After(last.end.Add(channelGap)) {
				join(last.row)
			}
			if last.end.Before(r.end) {
				last.end = r.end
			}
			channels[name] = user{i, last.end}
		}
	}
	at := map[int]int{}
	var groups [][]cdr
	for i, r := range rows {
		k, ok := at[root(i)]
		if !ok {
			k = len(groups)
			at[root(i)] = k
			groups = append(groups, nil)
		}
		groups[k] = append(groups[k], r)
	}
	return groups
}

// half returns what both halves of a Local pair are called.
func half(name string) string {
	if strings.HasPrefix(strings.ToLower(name), "local/") {
		name, _, _ = strings.Cut(name, ";")
	}
	return name
}

// pastCall makes a call of its records, the oldest first.
type pastCall struct {
	cfg  *Config
	rows []cdr

	direction gateway.Direction
	caller    string // the extension that made it
	from, to  string
	line      string
	name      string
	stays     []*stay
}

// stay is a time in which somebody was called, or took part.
type stay struct {
	channel
	from, answered, end time.Time // answered: zero unless he was there
	called              bool      // Asterisk called him
	cause               gateway.Cause
}

func (p *pastCall) call() (gateway.PastCall, bool) {
	p.attend()
	p.origin()
	if p.direction == "" || !p.isCall() {
		return gateway.PastCall{}, false
	}
	first := p.root()
	past := gateway.PastCall{ID: callID(cmp.Or(first.linkedid, first.uniqueid))}
	if past.ID == "" {
		return past, false
	}
	for _, r := range p.rows {
		for _, id := range []string{r.linkedid, r.uniqueid} {
			if id = callID(id); id != "" && id != past.ID && !slices.Contains(past.Also, id) {
				past.Also = append(past.Also, id)
			}
		}
	}
	past.Events = p.events()
	for i := range past.Events {
		e := &past.Events[i]
		e.Call, e.ID = past.ID, "cdr "+past.ID+" "+strconv.Itoa(i)
		e.At = e.At.Add(time.Duration(i) * time.Microsecond) // the order of what the records have in the same second
	}
	return past, true
}

// root is the record of the channel that the call began with, the first of them.
func (p *pastCall) root() cdr {
	for _, r := range p.rows {
		if r.uniqueid == r.linkedid {
			return r
		}
	}
	return p.rows[0]
}

func (p *pastCall) party(name string) channel {
	ch := channel{name: name}
	if name == "" {
		ch.kind = kindOther
		return ch
	}
	ch.classify((&correlator{devices: p.cfg.Devices, trunks: p.cfg.Trunks, isUser: p.cfg.IsExtension}).extension)
	return ch
}

// attend notes who was called and who took part, and when.
func (p *pastCall) attend() {
	for _, r := range p.rows {
		a, b := p.party(r.channel), p.party(r.dstChannel)
		answer := time.Time{}
		if r.answered() {
			answer = p.answer(r)
		}
		if b.party() {
			s := &stay{channel: b, from: r.start, answered: answer, end: r.end, called: true, cause: causeOf(r.disposition)}
			if !answer.IsZero() || r.end.After(r.start) && s.cause == gateway.CauseNoAnswer {
				p.stay(s)
			}
		}
		if a.party() {
			s := &stay{channel: a, from: r.start, end: r.end, cause: causeOf(r.disposition)}
			if r.dstChannel != "" {
				s.answered = answer
			}
			s.called = r.app == "AppDial" || r.app == "AppDial2"
			p.stay(s)
		}
	}
}

// stay adds one, or to one of the same channel that it is part of.
func (p *pastCall) stay(s *stay) {
	for _, other := range p.stays {
		if other.name != s.name {
			continue
		}
		if s.from.Before(other.from) {
			other.from = s.from
		}
		if other.answered.IsZero() || !s.answered.IsZero() && s.answered.Before(other.answered) {
			other.answered = s.answered
		}
		if s.end.After(other.end) {
			other.end = s.end
		}
		other.called = other.called || s.called
		return
	}
	p.stays = append(p.stays, s)
}

// answer is when somebody took the call of a record. A record has an earlier time where a queue or a menu had answered the
// caller; then it is when the others were no longer called.
func (p *pastCall) answer(r cdr) time.Time {
	answer := r.answer
	for _, o := range p.rows {
		if o.uniqueid == r.uniqueid && o.channel == r.channel && o.start.Equal(r.start) && o.dstChannel != "" && !o.answered() &&
			o.end.After(answer) && o.end.Before(r.end) {
			answer = o.end
		}
	}
	return answer
}

func causeOf(disposition string) gateway.Cause {
	switch disposition {
	case "BUSY":
		return gateway.CauseBusy
	case "FAILED", "CONGESTION":
		return gateway.CauseFailed
	case "NO ANSWER":
		return gateway.CauseNoAnswer
	default:
		return gateway.CauseNormal
	}
}

// origin finds out where the call comes from and goes to.
func (p *pastCall) origin() {
	r := p.root()
	first := p.party(r.channel)
	dst, outgoing := p.destination(r.uniqueid), r.app == "AppDial2"
	switch {
	case first.kind == kindTrunk && !outgoing:
		p.direction, p.from, p.to = gateway.Inbound, publicNumber(r.src), cmp.Or(text(r.did), dst)
		p.name = callerName(r.name, p.from)
		p.line = text(r.did)
		if p.line == "" && !p.isExtension(p.to) {
			p.line = p.to
		}
		p.line = cmp.Or(p.line, text(first.endpoint))
		return
	case first.kind == kindDevice:
		p.caller, p.to = first.ext, p.cfg.Numbers.Dialled(dst)
		if n := publicNumber(r.src); outgoing && p.to == "" && n != p.caller {
			p.to = n // whom a click was for
		}
	case first.kind == kindLocal, outgoing:
		for _, s := range p.stays {
			if s.kind == kindDevice && (p.caller == "" || s.called) {
				p.caller = s.ext
				break
			}
		}
		for _, o := range p.rows {
			if p.party(o.dstChannel).kind == kindTrunk && p.to == "" {
				p.to = number(o.dst)
			}
		}
		for _, o := range p.rows {
			if n := number(o.dst); p.to == "" && n != p.caller {
				p.to = n
			}
		}
	default:
		return
	}
	p.from = p.caller
	var reached *stay // whom he called first
	for _, s := range p.stays {
		if s.called && s.ext != p.caller && (reached == nil || s.from.Before(reached.from)) {
			reached = s
		}
	}
	colleague := reached != nil && reached.kind == kindDevice
	switch {
	case p.caller == "":
	case p.cfg.IsExtension(p.to), colleague, reached == nil && p.isExtension(p.to):
		p.direction = gateway.Internal
		if colleague && slices.ContainsFunc(p.stays, func(s *stay) bool { return s.kind == kindTrunk }) {
			p.to = reached.ext // it is where he was handed on to
		}
	default:
		p.direction = gateway.Outbound
		if p.line = publicNumber(r.src); p.line == p.caller || p.line == p.to {
			p.line = ""
		}
		if reached != nil && p.line == "" {
			p.line = text(reached.endpoint)
		}
	}
}

// isExtension is as the correlator's.
func (p *pastCall) isExtension(number string) bool {
	return (&correlator{isUser: p.cfg.IsExtension}).isExtension(number)
}

// destination is the first number that a channel was at in the dial plan.
func (p *pastCall) destination(uniqueid string) string {
	for _, r := range p.rows {
		if n := number(r.dst); r.uniqueid == uniqueid && n != "" {
			return n
		}
	}
	return ""
}

// number returns what was dialled, "" for places in the dial plan that have no number.
func number(dst string) string {
	if dst = gateway.Party(dst); strings.Trim(strings.TrimPrefix(dst, "+"), "0123456789*#") != "" {
		return ""
	}
	return text(dst)
}

// isCall says whether it was more than somebody's trying a service of Asterisk, such as his voicemail.
func (p *pastCall) isCall() bool {
	met := slices.ContainsFunc(p.stays, func(s *stay) bool { return s.called && s.ext != p.caller })
	if p.direction == gateway.Inbound || met {
		return true
	}
	if p.to == "" || p.to == p.caller || strings.Trim(p.to, "+0123456789") != "" {
		return false
	}
	return p.cfg.IsExtension(p.to) || !slices.ContainsFunc(p.rows, cdr.answered)
}

// events are what happened, in order.
func (p *pastCall) events() []gateway.Event {
	begin, end := p.rows[0].start, p.rows[0].end
	for _, r := range p.rows {
		if r.end.After(end) {
			end = r.end
		}
	}
	dial := gateway.Event{
		Type: gateway.EventDial, At: begin, Direction: p.direction, From: gateway.Number{Raw: p.from}, To: gateway.Number{Raw: p.to},
		Line: p.line, Name: p.name,
	}
	if p.direction == gateway.Outbound {
		dial.Extensions = []string{p.caller}
	}
	events := []gateway.Event{dial}
	say := func(t gateway.EventType, at time.Time, ext string, cause gateway.Cause) {
		e := gateway.Event{Type: t, At: at, Cause: cause}
		if ext != "" {
			e.Extensions = []string{ext}
		}
		if t == gateway.EventDial {
			e.Direction, e.From, e.To, e.Line = p.direction, dial.From, dial.To, p.line
		}
		events = append(events, e)
	}
	answered := false
	for _, s := range p.byExtension() {
		own := s.ext == p.caller
		if s.kind == kindTrunk {
			if s.called && !s.answered.IsZero() { // a customer, or a mobile that stands for a telephone
				say(gateway.EventBridge, s.answered, p.caller, "")
				answered = true
			}
			continue
		}
		if !own {
			say(gateway.EventDial, s.from, s.ext, "")
			if !s.answered.IsZero() {
				say(gateway.EventBridge, s.answered, s.ext, "")
				answered = true
			}
		}
		if s.end.Before(end) {
			say(gateway.EventHangup, s.end, s.ext, s.cause)
		}
	}
	slices.SortStableFunc(events[1:], func(a, b gateway.Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(eventOrder(a.Type), eventOrder(b.Type)))
	})
	if r := p.recorded(); r != "" {
		events = append(events, gateway.Event{Type: gateway.EventRecording, At: end, Recording: r})
	}
	say(gateway.EventHangup, end, "", p.cause(answered))
	return events
}

func (p *pastCall) recorded() string {
	for _, r := range p.rows {
		if r.recording != "" && strings.HasPrefix(r.recording, "/") {
			return p.cfg.recordingAt(r.recording)
		}
	}
	return ""
}

func eventOrder(t gateway.EventType) int {
	return slices.Index([]gateway.EventType{gateway.EventDial, gateway.EventBridge, gateway.EventHangup}, t)
}

// byExtension returns who was called or took part, the times of one extension that overlap as one.
func (p *pastCall) byExtension() []*stay {
	slices.SortStableFunc(p.stays, func(a, b *stay) int { return a.from.Compare(b.from) })
	var all []*stay
	for _, s := range p.stays {
		if s.kind == kindTrunk {
			all = append(all, s)
			continue
		}
		i := slices.IndexFunc(all, func(o *stay) bool { return o.ext == s.ext && !s.from.After(o.end) })
		if i < 0 {
			all = append(all, s)
			continue
		}
		o := all[i]
		if o.answered.IsZero() || !s.answered.IsZero() && s.answered.Before(o.answered) {
			o.answered = s.answered
		}
		if s.end.After(o.end) {
			o.end = s.end
		}
	}
	return all
}

// cause is why the call ended. Where nobody answered, the caller gave up if the dial plan had nothing left to do for him.
func (p *pastCall) cause(answered bool) gateway.Cause {
	if answered {
		return gateway.CauseNormal
	}
	uniqueid := p.root().uniqueid
	cause := gateway.CauseCancelled
	for _, r := range p.rows {
		if r.uniqueid != uniqueid {
			continue
		}
		switch {
		case r.dstChannel == "" && r.app != "AppDial2" && len(p.rows) > 1:
			if cause == gateway.CauseCancelled {
				cause = gateway.CauseNoAnswer
			}
		case r.disposition == "BUSY", r.disposition == "FAILED", r.disposition == "CONGESTION":
			cause = causeOf(r.disposition)
		}
	}
	return cause
}
