package main

import (
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/static/browsertest"
)

// desks are an office with both users at their pages, and beside each what his session is told.
type desks struct {
	*office
	anna, boris     *page
	toAnna, toBoris *tab
}

// newDesks opens an office where both users are at work. name is that of their pictures.
func newDesks(t *testing.T, name string, lab *asterisktest.Lab, ami string) *desks {
	t.Helper()
	browser := browsertest.New(t)
	o := newOffice(t, lab, ami)
	d := &desks{o, o.desk(browser, name+"-anna", anna), o.desk(browser, name+"-boris", boris), o.tab(anna), o.tab(boris)}
	o.sessions(4)
	return d
}

// on has what goes wrong from now on told to t, and forgets what the telephones have noticed.
func (d *desks) on(t *testing.T) *desks {
	d.Forget()
	d.t, d.anna.t, d.boris.t, d.toAnna.t, d.toBoris.t = t, t, t, t, t
	return d
}

// TestAsteriskInTheBrowser plays real calls on a real Asterisk and looks at what the CRM's users see in a
// real browser that runs the widget's archive.
func TestAsteriskInTheBrowser(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	d := newDesks(t, "asterisk", lab, lab.AMI)
	for _, call := range []struct {
		name string
		play func(*desks)
	}{
		{"inbound", (*desks).inbound},
		{"ring group", (*desks).ringGroup},
		{"clicked number", (*desks).clickedNumber},
		{"outbound", (*desks).outbound},
		{"unknown caller who gives up", (*desks).unknownCaller},
	} {
		if !t.Run(call.name, func(t *testing.T) { call.play(d.on(t)) }) {
			return
		}
	}
	d.on(t)
	d.anna.want(pageErrors, "")
	d.boris.want(pageErrors, "")
}

func (d *desks) inbound() {
	d.Do(d.t, "trunk", "dial", "5550101", ivan)
	d.Wait(d.t, "101", "ringing")
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.anna.wait(`__sandbox.toasts.length === 1`)
	d.anna.want(inACall, "false")
	d.anna.picture("01-inbound-rings")

	d.Do(d.t, "101", "answer")
	d.Wait(d.t, "trunk", "up")
	d.anna.wait(inACall)
	d.anna.wait(cardIs("Ivan Petrov", "talking"))
	d.anna.picture("02-inbound-answered")

	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "101", "ended")
	d.anna.wait(`!` + inACall)
	d.anna.wait(noCard)
	d.anna.wait(`document.querySelector('.ringcast-result__who a')?.textContent === 'Ivan Petrov'`)
	d.anna.picture("03-inbound-over")
	d.closeResult()
	d.anna.want(`__sandbox.callingStatus.join()`, "true,false")
	d.boris.want(noCard, "true")
	if stored := d.amo.Notifications(); len(stored) != 1 || stored[0].User != 88888 || stored[0].Element == nil || stored[0].Element.ID != 1001 {
		d.t.Errorf("stored notifications are %+v, want one for Anna about Ivan Petrov", stored)
	}
	d.toAnna.call(gateway.EventDial, gateway.Ringing)
	d.toAnna.call(gateway.EventBridge, gateway.Talking)
	d.toAnna.call(gateway.EventHangup, gateway.Ended)
}

// ringGroup rings both users; Boris's card closes when Anna answers, not at the end of the call.
func (d *desks) ringGroup() {
	d.Do(d.t, "trunk", "dial", "5550200", ivan)
	d.Wait(d.t, "101", "ringing")
	d.Wait(d.t, "102", "ringing")
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.boris.wait(cardIs("Ivan Petrov", "ringing"))
	d.anna.picture("04-group-rings")
	d.boris.picture("04-group-rings")

	d.Do(d.t, "101", "answer")
	d.boris.wait(noCard) // nobody hangs up before this
	d.anna.wait(inACall)
	d.anna.wait(cardIs("Ivan Petrov", "talking"))
	d.boris.want(inACall, "false")
	d.anna.picture("05-anna-answers")
	d.boris.picture("05-anna-answers")
	d.Wait(d.t, "102", "ended")
	d.Wait(d.t, "trunk", "up")

	_, boriss := d.toBoris.until(gateway.Ended)
	if *boriss.Outcome != gateway.Elsewhere {
		d.t.Errorf("Boris's call ended as %+v", boriss)
	}
	for boriss.AnsweredBy == nil { // Asterisk ends the other channels a moment before it joins the two
		_, boriss = d.toBoris.until(gateway.Ended)
	}
	if by := *boriss.AnsweredBy; by.User != anna || by.Extension != "101" {
		d.t.Errorf("Boris is told that %+v answered", by)
	}
	d.toAnna.until(gateway.Talking)

	d.Do(d.t, "101", "hangup")
	d.Wait(d.t, "trunk", "ended")
	d.anna.wait(`!` + inACall + ` && ` + noCard)
	d.anna.wait(results + ` === 1`)
	d.boris.want(results, "0")
	d.closeResult()
	d.toAnna.until(gateway.Ended)
}

func (d *desks) clickedNumber() {
	d.anna.click(`.menu a[href="/contacts/list/"]`)
	d.anna.wait(`document.querySelectorAll('.list .phone').length === 2`)
	d.anna.click(".list tbody tr:nth-child(1) .phone")
	if rang := d.Wait(d.t, "101", "ringing"); rang.From != ivan {
		d.t.Errorf("the display of telephone 101 shows %q, want whom it will call", rang.From)
	}
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.anna.picture("06-clicked-101-rings")

	d.Do(d.t, "101", "answer")
	if far := d.Wait(d.t, "trunk", "ringing"); far.To != ivan {
		d.t.Errorf("Asterisk dialled %q", far.To)
	}
	d.anna.want(inACall, "false") // the far end only rings
	d.anna.want(cardIs("Ivan Petrov", "ringing"), "true")
	d.anna.picture("07-clicked-far-end-rings")

	d.Do(d.t, "trunk", "answer")
	d.anna.wait(inACall)
	d.anna.picture("08-clicked-talks")
	d.Do(d.t, "101", "hangup")
	d.Wait(d.t, "trunk", "ended")
	d.anna.wait(`!` + inACall + ` && ` + noCard)
	d.anna.wait(results + ` === 1`)
	d.closeResult()
	d.boris.want(noCard, "true")
	if _, end := d.toAnna.until(gateway.Ended); *end.Outcome != gateway.Answered || end.Direction != gateway.Outbound || end.Extension != "101" {
		d.t.Errorf("the call ended as %+v", end)
	}
}

func (d *desks) outbound() {
	d.Do(d.t, "102", "dial", maria)
	d.Wait(d.t, "trunk", "ringing")
	d.boris.wait(cardIs("Maria Sokolova", "ringing"))
	d.boris.picture("09-outbound-rings")
	d.Do(d.t, "trunk", "answer")
	d.Wait(d.t, "102", "up")
	d.boris.wait(inACall)
	d.boris.picture("10-outbound-talks")
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "102", "ended")
	d.boris.wait(`!` + inACall + ` && ` + noCard)
	d.boris.click(".ringcast-result__cancel")
	d.boris.wait(results + ` === 0`)
	d.anna.want(noCard, "true")
	if _, end := d.toBoris.until(gateway.Ended); *end.Outcome != gateway.Answered || end.Direction != gateway.Outbound {
		d.t.Errorf("the call ended as %+v", end)
	}
}

func (d *desks) unknownCaller() {
	d.Do(d.t, "trunk", "dial", "5550101", unknown)
	d.Wait(d.t, "101", "ringing")
	d.anna.wait(card + `?.dataset.kind === 'unknown'`)
	d.anna.want(`document.querySelector('.ringcast-card__create').textContent.trim()`, "Create contact")
	d.anna.picture("11-unknown-caller")
	d.Wait(d.t, "trunk", "ringing")
	d.Do(d.t, "trunk", "hangup")
	d.Wait(d.t, "101", "ended")
	d.anna.wait(noCard)
	d.anna.want(results, "0")
	if _, end := d.toAnna.until(gateway.Ended); *end.Outcome != gateway.Cancelled {
		d.t.Errorf("the call ended as %+v", end)
	}
}

// closeResult closes Anna's result window.
func (d *desks) closeResult() {
	d.t.Helper()
	d.anna.click(".ringcast-result__cancel")
	d.anna.wait(results + ` === 0`)
}
