package main

import (
	"fmt"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/push"
	"ringcast/static/browsertest"
)

// demoPage is the demo's page as somebody who tries it out has it: two CRM windows above, telephones below.
type demoPage struct {
	*page
	anna, boris *page // the frames
}

// at waits until a desk telephone is in a state.
func (d *demoPage) at(extension, state string) {
	d.t.Helper()
	d.wait(fmt.Sprintf(`document.querySelector('[data-phone="%s"]')?.dataset.state === %q`, extension, state))
}

// press presses a key of a desk telephone, once it can be pressed.
func (d *demoPage) press(extension, key string) {
	d.t.Helper()
	d.click(fmt.Sprintf(`[data-phone="%s"] [data-key=%s]:enabled`, extension, key))
}

// ring calls from outside.
func (d *demoPage) ring(number, extensions string) {
	d.t.Helper()
	d.click(fmt.Sprintf(`.choice:has([value="%s"])`, number))
	d.click(fmt.Sprintf(`[data-ring="%s"]`, extensions))
}

// TestDemoInTheBrowser does what the demo's page proposes, and looks at what both users see.
func TestDemoInTheBrowser(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-listen", "127.0.0.1:0")
	whole := openPage(browsertest.New(t), t, "demo", p.web+"/", 1440, 900)
	d := &demoPage{whole, whole.in(`[data-window="101"] iframe`), whole.in(`[data-window="102"] iframe`)}
	d.anna.wait(hasWidget)
	d.boris.wait(hasWidget)
	d.wait(`document.querySelector('#wire').dataset.link === 'connected'`)
	d.picture("01-open")

	for _, step := range []struct {
		name string
		play func(*demoPage, *program)
	}{
		{"ring both", (*demoPage).ringBoth},
		{"unknown caller", (*demoPage).unknownCaller},
		{"click to call", (*demoPage).clickToCall},
		{"cut in a call", (*demoPage).cutInACall},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.play(d.on(t), p) }) {
			return
		}
	}
	d.on(t)
	d.anna.want(pageErrors, "")
	d.boris.want(pageErrors, "")
	d.wait(`document.querySelectorAll('.step').length === document.querySelectorAll('.step.done').length`)
	d.picture("20-all-steps-done")
}

// on has what goes wrong from now on told to t.
func (d *demoPage) on(t *testing.T) *demoPage {
	d.t, d.anna.t, d.boris.t = t, t, t
	return d
}

func (d *demoPage) ringBoth(*program) {
	d.ring("+7 900 555-01-11", "101 102")
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.boris.wait(cardIs("Ivan Petrov", "ringing"))
	d.anna.want(inACall, "false")
	d.picture("02-both-ring")

	d.press("101", "green")
	d.at("101", "talking")
	d.anna.wait(inACall)
	d.boris.wait(noCard)
	d.anna.wait(cardIs("Ivan Petrov", "talking"))
	d.boris.want(inACall, "false")
	d.picture("03-anna-answers")

	d.press("101", "red")
	d.anna.wait(`!` + inACall)
	d.anna.wait(noCard)
	d.anna.wait(`document.querySelector('.ringcast-result__who a')?.textContent === 'Ivan Petrov'`)
	d.boris.want(results, "0")
	d.picture("04-result-window")
	d.anna.click(".ringcast-result__cancel")
	d.anna.wait(results + ` === 0`)
}

func (d *demoPage) unknownCaller(*program) {
	d.ring("+7 900 555-09-99", "101")
	d.anna.wait(card + `?.dataset.kind === 'unknown'`)
	d.anna.want(`document.querySelector('.ringcast-card__create').textContent.trim()`, "Create contact")
	d.boris.want(noCard, "true")
	d.picture("05-unknown-caller")
	d.click(".mobile .round.red")
	d.anna.wait(noCard)
	d.anna.want(results, "0")
}

func (d *demoPage) clickToCall(*program) {
	d.anna.click(`.menu a[href="/contacts/list/"]`)
	d.anna.wait(`document.querySelectorAll('.list .phone').length > 1`)
	d.anna.click(".list tbody tr:nth-child(1) .phone")
	d.at("101", "calling") // it was asked, and picked up by itself
	d.wait(`document.querySelector('.mobile .call')?.dataset.state === 'ringing'`)
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.anna.want(inACall, "false")
	d.picture("06-clicked-number-rings")
	d.click(".mobile .round.green")
	d.at("101", "talking")
	d.anna.wait(inACall)
	d.picture("07-clicked-number-talks")
	d.click(".mobile .round.red")
	d.anna.wait(`!` + inACall + ` && ` + noCard)
	d.anna.click(".ringcast-result__cancel")
	d.anna.wait(results + ` === 0`)
}

func (d *demoPage) cutInACall(p *program) {
	token, _, err := p.node.tokens.Mint(demoAccount, demoUsers[0].ID, push.SessionLife)
	if err != nil {
		d.t.Fatal(err)
	}
	ws := p.open(token, "", nil)

	d.ring("+7 (900) 555-01-22", "101")
	call := ws.call(gateway.EventDial, gateway.Ringing).ID
	d.anna.wait(cardIs("Maria Sokolova", "ringing"))
	d.press("101", "green")
	ws.call(gateway.EventBridge, gateway.Talking)
	d.anna.wait(inACall)
	d.click(".cut")
	d.wait(`document.querySelector('#wire').dataset.link !== 'connected'`)
	d.picture("08-link-cut")
	d.press("101", "red")
	d.at("101", "idle")
	d.anna.want(inACall, "true") // nobody could tell
	d.anna.want(cardIs("Maria Sokolova", "talking"), "true")
	d.picture("09-hung-up-unseen")

	d.click(".cut")
	d.anna.wait(`!` + inACall)
	d.anna.wait(noCard)
	d.anna.wait(results + ` === 1`)
	d.picture("10-link-back")
	d.anna.click(".ringcast-result__cancel")
	d.anna.wait(results + ` === 0`)

	// The next call comes right after this one's end: it ended once.
	d.ring("+7 900 555-01-11", "101")
	if end := ws.call(gateway.EventHangup, gateway.Ended); end.ID != call || end.Outcome == nil || *end.Outcome != gateway.Answered {
		d.t.Errorf("the call ended as %+v", end)
	}
	if next := ws.call(gateway.EventDial, gateway.Ringing); next.ID == call {
		d.t.Errorf("the call that was over rings again: %+v", next)
	}
	d.anna.wait(cardIs("Ivan Petrov", "ringing"))
	d.click(".mobile .round.red")
	d.anna.wait(noCard)
}
