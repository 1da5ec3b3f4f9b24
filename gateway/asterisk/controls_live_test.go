package asterisk

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/gateway/gatewaytest"
)

// TestControlsOnARealAsterisk does from a link what people at real telephones would do by hand.
func TestControlsOnARealAsterisk(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	cfg := labConfig(lab, asterisktest.UserControl)
	cfg.AutoAnswer = ByCallInfo
	d := &desk{Phones: lab.Phones(t), t: t, lab: lab, sink: newRecorder(), link: New(cfg)}
	runLink(t, d.link, d.sink)
	for _, c := range []struct {
		name string
		play func(*desk)
	}{
		{"caller id", (*desk).callerIDs},
		{"clicks that fail", (*desk).clicksThatFail},
		{"far end fails", (*desk).farEndFails},
		{"hang up what rings", (*desk).hangUpWhatRings},
		{"answer", (*desk).answer},
		{"hold", (*desk).hold},
		{"mute", (*desk).mute},
		{"transfer", (*desk).transfer},
		{"transfer to nowhere", (*desk).transferToNowhere},
		{"transfer in a queue, and on", (*desk).transferOnwards},
		{"consult and complete", (*desk).consult},
		{"consult and cancel", (*desk).consultInVain},
		{"consult where the dial plan does not let", (*desk).consultForbidden},
		{"park", (*desk).parkAndFetch},
		{"two calls at one telephone", (*desk).twoCalls},
	} {
		alone := t.Run(c.name, func(t *testing.T) {
			d.fresh(t)
			c.play(d)
		})
		if !alone {
			break // what it left would disturb the next
		}
	}
}

// another returns one more link to the lab, which runs until the test ends.
func (d *desk) another(user string, set func(*Config)) (*Link, *recorder) {
	d.t.Helper()
	cfg := labConfig(d.lab, user)
	set(&cfg)
	l, told := New(cfg), newRecorder()
	runLink(d.t, l, told)
	return l, told
}

// rings has a customer call a number of the company, and returns the call when 101 rings.
func (d *desk) rings(number string) (call string) {
	d.t.Helper()
	d.Do(d.t, "trunk", "dial", number, customer)
	d.Wait(d.t, "101", "ringing")
	d.tells("dial CALL 101")
	return d.sink.told()[0].Call
}

// talks has 101 take such a call.
func (d *desk) talks(number string) (call string) {
	d.t.Helper()
	call = d.rings(number)
	d.Do(d.t, "101", "answer")
	d.tells("bridge CALL 101")
	return call
}

// tells waits until the link has told of all these, among others. CALL is the call that was told of first, + is
// followed by an extension that is one of several.
func (d *desk) tells(want ...string) {
	d.t.Helper()
	for _, w := range want {
		d.sink.until(d.t, w, func(r *recorder) bool {
			return len(r.events) > 0 && slices.ContainsFunc(brief(r.events), func(got string) bool {
				got = strings.ReplaceAll(got, r.events[0].Call, "CALL")
				event, ext, _ := strings.Cut(got, "CALL ")
				return got == w || strings.HasPrefix(w, event+"CALL ") && slices.Contains(strings.Split(ext, ","), strings.TrimPrefix(w, event+"CALL "))
			})
		})
	}
}

// outcomes waits until the call is over and returns how it ended for each extension.
func (d *desk) outcomes() map[string]gateway.Outcome {
	d.t.Helper()
	of := map[string]gateway.Outcome{}
	events := d.over()
	for _, leg := range track(d.t, events)[events[0].Call].Legs {
		of[leg.Extension] = leg.Outcome
	}
	return of
}

func (d *desk) ended(want map[string]gateway.Outcome) {
	d.t.Helper()
	got := d.outcomes()
	for ext, outcome := range want {
		if got[ext] != outcome {
			d.t.Errorf("ended for %s: %q, want %q; told:\n  %s", ext, got[ext], outcome, strings.Join(brief(d.sink.told()), "\n  "))
		}
	}
}

// quick checks that something succeeded, in the time that commands have.
func (d *desk) quick(began time.Time, err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("%v; told:\n  %s", err, strings.Join(brief(d.sink.told()), "\n  "))
	}
	if took := time.Since(began); took > answersWithin {
		d.t.Errorf("took %v", took)
	}
}

func (d *desk) fails(want gateway.Code, err error) {
	d.t.Helper()
	if gateway.CodeOf(err) != want {
		d.t.Errorf("got %v, want %s", err, want)
	}
}

// click orders a call of 101's, whose telephone picks up by itself, and returns what the far end sees.
func (d *desk) click(l *Link, key, callerID string) asterisktest.Event {
	d.t.Helper()
	_, err := l.Dial(d.t.Context(), gateway.DialRequest{
		Key: key, Extension: "101", To: gateway.Number{Raw: customer, E164: "+" + customer}, CallerID: callerID,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	if rang := d.Wait(d.t, "101", "up"); rang.From != customer {
		d.t.Errorf("the caller's display shows %q", rang.From)
	}
	far := d.Wait(d.t, "trunk", "ringing")
	d.Do(d.t, "101", "hangup")
	d.Wait(d.t, "trunk", "ended")
	return far
}

// callerIDs dials in three kinds of dial plans: one that sets the company's number, one that sets none, FreePBX's.
func (d *desk) callerIDs() {
	plain, _ := d.another(asterisktest.User, func(cfg *Config) { cfg.Context, cfg.AutoAnswer = "plain", ByAlertInfo })
	freepbx, _ := d.another(asterisktest.User, func(cfg *Config) { cfg.Numbers.Prefix, cfg.AutoAnswer = "9", ByCallInfo })
	for _, c := range []struct {
		link           *Link
		key, own, want string
	}{
		{d.link, "own1", "", "5550100"},
		{d.link, "own2", "+7 495 123-45-67", "74951234567"},
		{plain, "plain1", "", "101"},
		{plain, "plain2", "+74951234567", "74951234567"},
		{freepbx, "freepbx1", "", "5550100"},
		{freepbx, "freepbx2", "+74951234567", "74951234567"},
	} {
		if far := d.click(c.link, c.key, c.own); far.From != c.want || far.To != customer {
			d.t.Errorf("%s: the far end sees %q and was called as %q, want %q", c.key, far.From, far.To, c.want)
		}
	}
}

func (d *desk) clicksThatFail() {
	powerless, _ := d.another(asterisktest.UserListener, func(*Config) {})
	dial := func(l *Link, key, to string) error {
		_, err := l.Dial(d.t.Context(), gateway.DialRequest{Key: key, Extension: "103", To: gateway.Number{Raw: to}})
		return err
	}
	d.fails(gateway.CodeBadNumber, dial(d.link, "x1", "199"))
	d.fails(gateway.CodeNotPermitted, dial(powerless, "x2", customer))
	d.fails(gateway.CodePBXOffline, dial(New(labConfig(d.lab, asterisktest.User)), "x3", customer))
	d.Do(d.t, "103", "unregister")
	d.fails(gateway.CodeNotRegistered, dial(d.link, "x4", customer))
	d.Do(d.t, "103", "register")
	d.Do(d.t, "103", "auto", "busy")
	d.fails(gateway.CodeBusy, dial(d.link, "x5", customer))
	d.Do(d.t, "103", "auto", "302:199")
	d.fails(gateway.CodeRejected, dial(d.link, "x6", customer))
	d.Do(d.t, "103", "auto", "ring")
}

func (d *desk) farEndFails() {
	for code, want := range map[string]gateway.Cause{"486": gateway.CauseBusy, "404": gateway.CauseFailed} {
		d.fresh(d.t)
		d.Do(d.t, "trunk", "auto", "silent")
		call, err := d.link.Dial(d.t.Context(), gateway.DialRequest{Key: "far" + code, Extension: "101", To: gateway.Number{Raw: customer}})
		if err != nil {
			d.t.Fatal(err)
		}
		d.Wait(d.t, "trunk", "incoming")
		d.Do(d.t, "trunk", "reject", code)
		d.Wait(d.t, "101", "ended")
		if events := d.overOf(call); events[len(events)-1].Cause != want {
			d.t.Errorf("ended with %s, want %s", events[len(events)-1].Cause, want)
		}
	}
	d.Do(d.t, "trunk", "auto", "ring")
}

// hangUpWhatRings stops one telephone of those that ring; the others go on.
func (d *desk) hangUpWhatRings() {
	for _, number := range []string{"5550200", "5550300", "5550310"} { // a group, a queue, and one of Local channels
		d.fresh(d.t)
		call := d.rings(number)
		d.Wait(d.t, "102", "ringing")
		d.quick(time.Now(), d.link.HangUp(d.t.Context(), call, "101"))
		d.Wait(d.t, "101", "ended")
		d.Do(d.t, "102", "answer")
		d.tells("bridge CALL 102")
		d.fails(gateway.CodeNotFound, d.link.HangUp(d.t.Context(), call, "101"))
		d.Do(d.t, "trunk", "hangup")
		d.ended(map[string]gateway.Outcome{"101": gateway.Rejected, "102": gateway.Answered})
	}
	d.fresh(d.t)
	d.Do(d.t, "101", "obey", "off")
	call, err := d.link.Dial(d.t.Context(), gateway.DialRequest{Key: "own", Extension: "101", To: gateway.Number{Raw: customer}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Wait(d.t, "101", "ringing")
	d.tells("dial CALL 101")
	d.quick(time.Now(), d.link.HangUp(d.t.Context(), call, "101"))
	d.Wait(d.t, "101", "ended")
	d.Do(d.t, "101", "obey", "on")
	d.ended(map[string]gateway.Outcome{"101": gateway.Cancelled})
}

func (d *desk) answer() {
	call := d.rings("5550101")
	powerless, _ := d.another(asterisktest.User, func(*Config) {})
	d.fails(gateway.CodeNotPermitted, powerless.Answer(d.t.Context(), call, "101"))
	d.Do(d.t, "101", "obey", "off")
	d.fails(gateway.CodeRejected, d.link.Answer(d.t.Context(), call, "101"))
	d.Do(d.t, "101", "obey", "on")
	d.quick(time.Now(), d.link.Answer(d.t.Context(), call, "101"))
	d.Wait(d.t, "101", "up")
	d.tells("bridge CALL 101")
	d.fails(gateway.CodeRejected, d.link.Answer(d.t.Context(), call, "101"))
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Answered})
}

func (d *desk) hold() {
	call := d.talks("5550101")
	d.Do(d.t, "101", "obey", "off")
	d.fails(gateway.CodeRejected, d.link.Hold(d.t.Context(), call, "101", true))
	d.Do(d.t, "101", "obey", "on")
	d.quick(time.Now(), d.link.Hold(d.t.Context(), call, "101", true))
	d.tells("hold CALL 101")
	d.quick(time.Now(), d.link.Hold(d.t.Context(), call, "101", true)) // it is so already
	d.quick(time.Now(), d.link.Hold(d.t.Context(), call, "101", false))
	d.tells("unhold CALL 101")
	d.Do(d.t, "trunk", "hangup")
	d.over()
}

func (d *desk) mute() {
	call := d.talks("5550101")
	powerless, _ := d.another(asterisktest.User, func(*Config) {})
	d.fails(gateway.CodeNotPermitted, powerless.Mute(d.t.Context(), call, "101", true))
	d.hears("trunk", true)
	d.quick(time.Now(), d.link.Mute(d.t.Context(), call, "101", true))
	d.hears("trunk", false)
	d.hears("101", true)
	d.quick(time.Now(), d.link.Mute(d.t.Context(), call, "101", false))
	d.hears("trunk", true)
	d.Do(d.t, "trunk", "hangup")
	d.over()
}

// hears checks whether a telephone hears its talk; it listens for a moment.
func (d *desk) hears(phone string, want bool) {
	d.t.Helper()
	d.Do(d.t, phone, "listen")
	if heard := d.Wait(d.t, phone, "heard").Packets > 0; heard != want {
		d.t.Errorf("%s hears something: %v, want %v", phone, heard, want)
	}
}

func (d *desk) transfer() {
	call := d.talks("5550101")
	d.quick(time.Now(), d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "102"}))
	d.Wait(d.t, "101", "ended")
	if rang := d.Wait(d.t, "102", "ringing"); rang.From != customer {
		d.t.Errorf("the colleague's display shows %q", rang.From)
	}
	d.Do(d.t, "102", "answer")
	d.tells("bridge CALL 102")
	d.quick(time.Now(), d.link.Transfer(d.t.Context(), call, "102", gateway.Number{Raw: "8 (900) 555-02-22"})) // and on, to somebody outside
	d.Wait(d.t, "102", "ended")
	if far := d.Wait(d.t, "trunk", "ringing"); far.To != "89005550222" {
		far = d.Wait(d.t, "trunk", "ringing") // the first was the customer's own
		if far.To != "89005550222" {
			d.t.Errorf("called %q", far.To)
		}
	}
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Transferred, "102": gateway.Transferred})
}

func (d *desk) transferToNowhere() {
	call := d.rings("5550101")
	d.fails(gateway.CodeRejected, d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "102"})) // it rings yet
	d.Do(d.t, "101", "answer")
	d.tells("bridge CALL 101")
	d.fails(gateway.CodeBadNumber, d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "199"}))
	d.fails(gateway.CodeBadNumber, d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "Boris"}))
	d.fails(gateway.CodeBadNumber, d.link.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "199"}))
	d.fails(gateway.CodeNotFound, d.link.Transfer(d.t.Context(), call, "102", gateway.Number{Raw: "103"}))
	d.fails(gateway.CodeRejected, d.link.Complete(d.t.Context(), call, "101"))
	d.fails(gateway.CodeRejected, d.link.Cancel(d.t.Context(), call, "101"))
	d.hears("trunk", true) // and the talk goes on
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Answered})
}

// transferOnwards hands a call of a queue with agents on Local channels on, and then on again.
func (d *desk) transferOnwards() {
	call := d.talks("5550310")
	d.quick(time.Now(), d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "103"}))
	d.Wait(d.t, "103", "ringing")
	d.Do(d.t, "103", "answer")
	d.tells("bridge CALL 103")
	d.quick(time.Now(), d.link.Transfer(d.t.Context(), call, "103", gateway.Number{Raw: "104"}))
	d.Wait(d.t, "104", "ringing")
	d.Do(d.t, "104", "answer")
	d.tells("bridge CALL 104")
	d.hears("104", true)
	d.Do(d.t, "104", "hangup")
	d.Wait(d.t, "trunk", "ended")
	d.ended(map[string]gateway.Outcome{"101": gateway.Transferred, "103": gateway.Transferred, "104": gateway.Answered})
}

// consult announces a call of a queue, and then one of 101's own, who does not wait for the answer.
func (d *desk) consult() {
	call := d.talks("5550310")
	d.quick(time.Now(), d.link.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "103"}))
	d.Wait(d.t, "103", "ringing")
	d.fails(gateway.CodeRejected, d.link.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "104"}))
	d.Do(d.t, "103", "answer")
	d.Wait(d.t, "103", "up")
	d.hears("103", true)
	d.quick(time.Now(), d.link.Complete(d.t.Context(), call, "101"))
	d.Wait(d.t, "101", "ended")
	d.hears("103", true)
	d.Do(d.t, "103", "hangup")
	d.Wait(d.t, "trunk", "ended")
	d.ended(map[string]gateway.Outcome{"101": gateway.Transferred, "103": gateway.Answered})

	d.fresh(d.t)
	call, err := d.link.Dial(d.t.Context(), gateway.DialRequest{Key: "consult", Extension: "101", To: gateway.Number{Raw: customer}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Wait(d.t, "trunk", "ringing")
	d.Do(d.t, "trunk", "answer")
	d.tells("bridge CALL 101")
	d.quick(time.Now(), d.link.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "102"}))
	d.Wait(d.t, "102", "ringing")
	d.quick(time.Now(), d.link.Complete(d.t.Context(), call, "101")) // without waiting for him
	d.Wait(d.t, "102", "ended")
	d.Wait(d.t, "102", "ringing") // by the customer now
	d.Do(d.t, "102", "answer")
	d.Wait(d.t, "102", "up")
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Transferred, "102": gateway.Answered})
}

func (d *desk) consultInVain() {
	call := d.talks("5550101")
	d.Do(d.t, "103", "unregister")
	d.fails(gateway.CodeRejected, d.link.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "103"}))
	d.Do(d.t, "103", "register")
	for _, answered := range []bool{false, true} {
		d.quick(time.Now(), d.link.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "102"}))
		d.Wait(d.t, "102", "ringing")
		if answered {
			d.Do(d.t, "102", "answer")
			d.Wait(d.t, "102", "up")
		}
		d.quick(time.Now(), d.link.Cancel(d.t.Context(), call, "101"))
		d.Wait(d.t, "102", "ended")
	}
	d.hears("trunk", true) // they are together again
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Answered})
}

// consultForbidden tries it in a call whose Dial has neither t nor T.
func (d *desk) consultForbidden() {
	plain, told := d.another(asterisktest.User, func(cfg *Config) {
		cfg.Context, cfg.TransferContext, cfg.AutoAnswer = "plain", "from-internal", ByCallInfo
	})
	call, err := plain.Dial(d.t.Context(), gateway.DialRequest{Key: "forbidden", Extension: "101", To: gateway.Number{Raw: customer}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.Wait(d.t, "trunk", "ringing")
	d.Do(d.t, "trunk", "answer")
	told.until(d.t, "the talk", func(r *recorder) bool { return slices.Contains(brief(r.events), "bridge "+call+" 101") })
	d.fails(gateway.CodeNotPermitted, plain.Consult(d.t.Context(), call, "101", gateway.Number{Raw: "102"}))
	d.quick(time.Now(), plain.Transfer(d.t.Context(), call, "101", gateway.Number{Raw: "102"})) // which needs no option
	d.Wait(d.t, "102", "ringing")
	d.Do(d.t, "trunk", "hangup")
	d.ended(map[string]gateway.Outcome{"101": gateway.Transferred})
}

func (d *desk) parkAndFetch() {
	call := d.talks("5550101")
	slot, err := d.link.Park(d.t.Context(), call, "101")
	d.quick(time.Now(), err)
	d.Wait(d.t, "101", "ended")
	d.Do(d.t, "102", "dial", slot)
	d.Wait(d.t, "102", "up")
	d.hears("102", true)
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "102", "ended")
	d.tells("hangup CALL normal")
}

// twoCalls has two customers talk to 101, one of whom waits: what is done to one call does not touch the other.
func (d *desk) twoCalls() {
	first := d.talks("5550101")
	d.Do(d.t, "101", "hold")
	d.Do(d.t, "trunk", "dial", "5550101", "79005550333")
	d.Wait(d.t, "101", "ringing")
	other := func(r *recorder) int {
		return slices.IndexFunc(r.events, func(e gateway.Event) bool { return e.Call != first && e.Type == gateway.EventDial })
	}
	d.sink.until(d.t, "the second call", func(r *recorder) bool { return other(r) >= 0 })
	second := d.sink.told()[other(d.sink)].Call
	d.quick(time.Now(), d.link.Answer(d.t.Context(), second, "101"))
	d.quick(time.Now(), d.link.Transfer(d.t.Context(), first, "101", gateway.Number{Raw: "102"}))
	d.Wait(d.t, "102", "ringing")
	d.hears("101", true) // still talks to the second
	d.quick(time.Now(), d.link.HangUp(d.t.Context(), second, "101"))
	d.Do(d.t, "102", "answer")
	d.sink.until(d.t, "the first call to go on", func(r *recorder) bool {
		return slices.ContainsFunc(r.events, func(e gateway.Event) bool {
			return e.Call == first && e.Type == gateway.EventBridge && slices.Contains(e.Extensions, "102")
		})
	})
	d.Do(d.t, "102", "hangup")
	d.sink.untilOver(d.t, 2)
}

// TestControlsOfARealAsteriskAsOfAny runs what any PBX has to do.
func TestControlsOfARealAsteriskAsOfAny(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	d := &desk{Phones: lab.Phones(t), t: t, lab: lab, sink: newRecorder(), link: New(labConfig(lab, asterisktest.UserControl))}
	runLink(t, d.link, d.sink)
	gatewaytest.Controls(t, func(t *testing.T) gatewaytest.Office {
		d.fresh(t)
		t.Cleanup(func() { d.clear(t) })
		return gatewaytest.Office{
			PBX: d.link, Agent: "101", Colleague: "102",
			Call:   func(*testing.T) string { d.fresh(t); return d.rings("5550101") },
			PickUp: func(t *testing.T, ext string) { d.Do(t, ext, "answer") },
			Doing:  d.link.doing,
		}
	})
}

// clear ends all calls.
func (d *desk) clear(t *testing.T) {
	t.Helper()
	d.link.mu.Lock()
	c := d.link.client
	d.link.mu.Unlock()
	if _, err := c.do(context.Background(), newAction("Hangup", field{"Channel", "/^.*$/"})); err != nil && !strings.Contains(err.Error(), "o such channel") {
		t.Error(err)
	}
	d.sink.until(t, "no call", func(*recorder) bool {
		d.link.mu.Lock()
		defer d.link.mu.Unlock()
		return len(d.link.correlator.channels) == 0
	})
}

// doing is what an extension's telephones do, as far as the link can tell.
func (l *Link) doing(extension string) gateway.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := gateway.Ended
	for _, ch := range l.correlator.channels {
		if ch.ext != extension {
			continue
		}
		switch s := l.correlator.share(ch.call, extension); {
		case s.held && !s.consults():
			return gateway.Held
		case len(s.others) > 0:
			return gateway.Talking
		default:
			state = gateway.Ringing
		}
	}
	return state
}
