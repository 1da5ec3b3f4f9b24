package main

import (
	"net/http"
	"testing"
	"time"
)

// outage is Anna's day at work with a gateway in a process of its own, and a network that can be cut.
type outage struct {
	*workplace
	gateway *served
	line    *cable   // between her browser and the gateway
	run     *program // asks the gateway, and tells it what the telephone system has to say
	anna    *seat
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	w := newWorkplace(t, nil)
	s := &served{t: t, web: steadyAddress(t), ops: steadyAddress(t), log: &childLog{}, up: make(chan struct{})}
	line := newCable(t, s.web)
	s.file = w.config(s.web, s.ops, "http://"+line.address())
	s.start()
	w.install("http://" + line.address())
	run := &program{t: t, web: "http://" + s.web, ops: "http://" + s.ops, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	o := &outage{w, s, line, run, w.seat(newSlowBrowser(t), anna, "/leads/", "/contacts/list/", "/contacts/detail/1001")}
	o.anna.tabs[o.anna.leader()].hide()
	run.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
	t.Cleanup(func() {
		line.cut() // the gateway ends before the browser does
		if t.Failed() {
			t.Logf("ringcast said:\n%s", s.log.tail())
		}
	})
	return o
}

// crash kills the gateway, and starts it again at the same address. Before anybody else hears of that, the telephone
// system tells it what happened meanwhile.
func (o *outage) crash(meanwhile ...string) {
	o.t.Helper()
	o.line.cut()
	o.gateway.kill()
	o.gateway.start()
	o.anna.want(cardIs("Ivan Petrov", "talking")+` || `+cardIs("Ivan Petrov", "ringing"), "true") // nobody can tell
	o.tell(meanwhile)
	o.line.mend()
}

func (o *outage) tell(events []string) {
	o.t.Helper()
	if len(events) > 0 {
		o.run.emit(events...)
	}
}

// call is one of Ivan's.
func (o *outage) call(id string) {
	o.t.Helper()
	o.run.emit(event("dial", id, `"direction":"inbound","from":"+79005550111","to":"+74951234567","line":"+74951234567","extensions":["101","102"]`))
	o.anna.wait(cardIs("Ivan Petrov", "ringing"))
}

func (o *outage) talk(id string) (since time.Time) {
	o.t.Helper()
	o.call(id)
	o.run.emit(event("bridge", id, `"extension":"101"`))
	o.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	return time.Now()
}

// goesOn waits until all tabs hear of a talk again, which began then.
func (o *outage) goesOn(id string, since time.Time) {
	o.t.Helper()
	o.run.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
	o.run.emit(event("hold", id, `"extension":"101"`))
	o.anna.wait(cardIs("Ivan Petrov", "held") + ` && ` + inACall)
	o.run.emit(event("unhold", id, `"extension":"101"`))
	o.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	for _, tab := range o.anna.tabs {
		if shown, is := tab.seconds(), int(time.Since(since).Seconds()); shown < is-3 || shown > is+3 {
			o.t.Errorf("%s: the clock says %d s after the outage, the talk lasts %d s", tab.name, shown, is)
		}
	}
}

// begun counts the result windows that are open in any tab, or wait for their turn.
const begun = `Object.keys(localStorage).filter((key) => key.includes('.draft.')).length`

// over waits until nothing of a call is left, looks whether its result was asked for so often, and closes that window.
// notes is how many notifications Anna has by then. That nothing came is known when what comes of the next call is there:
// see ends.
func (o *outage) over(windows, notes int) {
	o.t.Helper()
	o.anna.wait(noCard + ` && !` + inACall)
	eventually(o.t, "the result window", func() bool { return o.anna.windows() >= windows })
	eventually(o.t, "the notifications", func() bool { return len(o.calls(88888)) >= notes })
	if n, all, stored := o.anna.windows(), o.anna.tabs[0].number(begun), o.calls(88888); n != windows || all != windows || len(stored) != notes {
		o.t.Errorf("%d result windows of %d, want %d; %d notifications, want %d: %+v", n, all, windows, len(stored), notes, stored)
	}
	o.anna.want(noCard+` && !`+inACall, "true")
	for _, tab := range o.anna.tabs {
		if tab.number(results) > 0 {
			tab.click(".ringcast-result__cancel")
			tab.wait(results + ` === 0`)
		}
	}
}

// ends has one more talk, of which there are a window and two notifications, notes in all: what the calls before it might
// have led to has come by then.
func (o *outage) ends(notes int) {
	o.t.Helper()
	o.talk("next")
	o.run.emit(event("hangup", "next", `"cause":"normal"`))
	o.over(1, notes)
}

// TestWidgetOutlivesItsGateway kills the gateway in mid-call, three times: the talk goes on, it ends meanwhile, and a call
// that only rang is taken by another meanwhile.
func TestWidgetOutlivesItsGateway(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	since := o.talk("goes-on")
	o.crash()
	o.goesOn("goes-on", since)

	o.crash(event("hangup", "goes-on", `"cause":"normal"`))
	o.over(1, 2)

	o.call("taken")
	eventually(t, "its notification", func() bool { return len(o.calls(88888)) == 3 })
	o.crash(event("bridge", "taken", `"extension":"102"`))
	o.over(0, 3)
	o.ends(5)
	for _, tab := range o.anna.tabs {
		tab.want(`document.querySelector('.ringcast-sign').hidden`, "true")
	}
	o.gateway.log.check(t)
}

// TestWidgetSleeps puts the machine to sleep in mid-call, which cuts its connection, too.
func TestWidgetSleeps(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	sleep := func(meanwhile ...string) {
		t.Helper()
		for _, tab := range o.anna.tabs {
			tab.freeze()
		}
		o.line.cut()
		o.run.untilMetric(`ringcast_sessions{rung="ws"}`, 0)
		o.tell(meanwhile)
		o.line.mend()
		for _, tab := range o.anna.tabs {
			tab.thaw()
		}
	}
	since := o.talk("goes-on")
	sleep()
	o.goesOn("goes-on", since)

	sleep(event("hangup", "goes-on", `"cause":"normal"`))
	o.over(1, 2)

	o.call("taken")
	eventually(t, "its notification", func() bool { return len(o.calls(88888)) == 3 })
	sleep(event("bridge", "taken", `"extension":"102"`), event("hangup", "taken", ""))
	o.over(0, 3)

	// One that came and went while she slept is nothing but missed.
	sleep(event("dial", "missed", `"direction":"inbound","from":"+79005550122","to":"+74951234567","extensions":["101"]`), event("hangup", "missed", `"cause":"no_answer"`))
	o.ends(5)
	o.anna.want(`cards.slice(-4).join()`, "ringing,talking,ended,")
}
