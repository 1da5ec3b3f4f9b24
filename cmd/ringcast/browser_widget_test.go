package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// newSlowBrowser is a browser that slows the timers of hidden pages down, as people's browsers do.
func newSlowBrowser(t *testing.T) context.Context {
	t.Helper()
	return browsertest.New(t, chromedp.Flag("disable-background-timer-throttling", false),
		chromedp.Flag("disable-renderer-backgrounding", false), chromedp.Flag("disable-backgrounding-occluded-windows", false))
}

// crew are two people at work, each in a browser of his own, and their telephones.
type crew struct {
	*workplace
	run         *program
	pbx         *sandbox.PBX
	anna, boris *seat
}

// newCrew opens tabs of both.
func newCrew(t *testing.T, w *workplace, paths ...string) *crew {
	t.Helper()
	c := &crew{workplace: w}
	c.run, c.pbx = w.serve()
	browser := newSlowBrowser(t)
	c.anna, c.boris = w.seat(browser, anna, paths...), w.seat(browser, boris, paths...)
	c.run.untilMetric(`ringcast_sessions{rung="ws"}`, 2) // the tabs of each share one
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ringcast said:\n%s", c.run.stderr)
		}
	})
	return c
}

// all waits until all tabs of both are so.
func (c *crew) all(condition string) {
	c.t.Helper()
	c.anna.wait(condition)
	c.boris.wait(condition)
}

// ring has somebody call, and returns when all tabs of those who are meant show it and the CRM has stored it for each.
func (c *crew) ring(number, name string, extensions ...string) {
	c.t.Helper()
	before := map[int64]int{88888: len(c.calls(88888)), 99999: len(c.calls(99999))}
	if _, err := c.pbx.Ring(number, "", extensions...); err != nil {
		c.t.Fatal(err)
	}
	for _, extension := range extensions {
		s, user := c.anna, int64(88888)
		if extension == "102" {
			s, user = c.boris, 99999
		}
		s.wait(cardIs(name, "ringing"))
		eventually(c.t, "the notification of "+s.user, func() bool { return len(c.calls(user)) == before[user]+1 })
	}
}

// at plays something at the telephones.
func (c *crew) at(deed func(string) error, extension string) {
	c.t.Helper()
	if err := deed(extension); err != nil {
		c.t.Fatal(err)
	}
}

// on has what goes wrong from now on told to t.
func (c *crew) on(t *testing.T) *crew {
	c.t, c.run.t = t, t
	for _, s := range []*seat{c.anna, c.boris} {
		for _, tab := range s.tabs {
			tab.t = t
		}
	}
	return c
}

// TestWidgetInSixTabs is the working day of two people who have three tabs of the CRM each, one of them in the background.
func TestWidgetInSixTabs(t *testing.T) {
	t.Parallel()
	c := newCrew(t, newWorkplace(t, nil), "/leads/", "/contacts/list/", "/contacts/detail/1001")
	c.anna.tabs[c.anna.leader()].hide()
	hidden := (c.boris.leader() + 1) % 3
	c.boris.tabs[hidden].hide()
	for _, step := range []struct {
		name string
		play func(*crew)
	}{
		{"it rings at both", (*crew).ringsAtBoth},
		{"Anna answers", (*crew).annaAnswers},
		{"a reload in mid-talk", (*crew).reloadInMidTalk},
		{"the leading tab is closed in mid-talk", (*crew).leaderCloses},
		{"the end of the talk", (*crew).hangsUp},
		{"a call for Anna alone", (*crew).forAnnaAlone},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.play(c.on(t)) }) {
			return
		}
	}
	c.on(t)
}

func (c *crew) ringsAtBoth() {
	c.ring("+79005550111", "Ivan Petrov", "101", "102")
	c.anna.want(inACall, "false")
	c.boris.want(inACall, "false")
	for user, me := range map[int64]string{88888: "Anna Orlova", 99999: "Boris Lvov"} {
		stored := c.calls(user)
		if len(stored) != 1 || stored[0].From != "+7 900 555-01-11" || stored[0].To != me || stored[0].Duration != "" ||
			stored[0].Element == nil || *stored[0].Element != (sandbox.AmoElement{ID: 1001, Type: "contact"}) {
			c.t.Errorf("stored for %s: %+v", me, stored)
		}
		if n := c.searches(user); n != 1 {
			c.t.Errorf("three tabs of %s searched %d times, want once", me, n)
		}
	}
	c.anna.tabs[1].picture("01-rings")
	c.boris.tabs[0].picture("01-rings")
}

func (c *crew) annaAnswers() {
	c.at(c.pbx.PickUp, "101")
	c.boris.wait(noCard)
	c.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.boris.want(`cards.join()`, "ringing,") // at once: it never said how the call ended
	c.boris.want(`__sandbox.callingStatus.includes(true)`, "false")
	c.boris.want(inACall, "false")
	c.anna.tabs[1].picture("02-talks")
}

func (c *crew) reloadInMidTalk() {
	leader := c.anna.leader()
	still, reloaded := c.anna.tabs[(leader+1)%3], c.anna.tabs[(leader+2)%3]
	still.wait(`document.querySelector('.ringcast-card__clock').textContent >= '00:04'`)
	for _, tab := range []*crmTab{reloaded, c.anna.tabs[leader]} { // the one that follows, and the one that leads
		tab.reload()
		tab.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
		before, here, after := still.seconds(), tab.seconds(), still.seconds()
		if here < before-2 || here > after+2 {
			c.t.Errorf("%s: the clock says %d s after a reload, another tab %d to %d s", tab.name, here, before, after)
		}
	}
	c.anna.tabs[leader].hide()
	c.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.run.untilMetric(`ringcast_sessions{rung="ws"}`, 2)
}

func (c *crew) leaderCloses() {
	c.anna.close(c.anna.leader())
	c.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.anna.leader()
	c.anna.open("/contacts/list/") // and one is opened in mid-talk
	c.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.anna.tabs[2].hide()
	c.run.untilMetric(`ringcast_sessions{rung="ws"}`, 2)
	c.at(c.pbx.PressHold, "101")
	c.anna.wait(cardIs("Ivan Petrov", "held") + ` && ` + inACall)
	c.at(c.pbx.PressResume, "101")
	c.anna.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
}

func (c *crew) hangsUp() {
	hungUp := time.Now()
	c.at(c.pbx.PutDown, "101")
	c.all(noCard)
	if took := time.Since(hungUp); took > atOnce {
		c.t.Errorf("the cards were gone after %v", took)
	}
	c.anna.wait(`!` + inACall)
	c.onceAfterTheTalk("Ivan Petrov")
	if n := len(c.calls(99999)); n != 1 {
		c.t.Errorf("%d notifications for Boris, want that it rang and no more", n)
	}
	for user, n := range map[int64]int{88888: c.searches(88888), 99999: c.searches(99999)} {
		if n != 1 {
			c.t.Errorf("the tabs of %d searched %d times for one call, want once", user, n)
		}
	}
}

// onceAfterTheTalk waits for what comes after a talk of Anna's, and for its last part: the notification, which waits 10 s
// for a recording. By then a second window would have opened.
func (c *crew) onceAfterTheTalk(name string) {
	c.t.Helper()
	n := len(c.calls(88888))
	eventually(c.t, "a result window", func() bool { return c.anna.windows() > 0 })
	eventually(c.t, "the notification after the talk", func() bool { return len(c.calls(88888)) > n })
	if windows := c.anna.windows(); windows != 1 {
		c.t.Errorf("%d result windows in Anna's tabs, want one", windows)
	}
	if n := c.boris.windows(); n != 0 {
		c.t.Errorf("Boris has %d result windows for Anna's call", n)
	}
	stored := c.calls(88888)
	if last := stored[len(stored)-1]; len(stored) != n+1 || last.Duration == "" || last.Duration == "00:00" {
		c.t.Errorf("stored for Anna after the talk: %+v, want one more, with its duration", stored[n:])
	}
	c.anna.want(inACall, "false")
	for _, tab := range c.anna.tabs {
		if tab.number(results) == 0 {
			continue
		}
		tab.want(`document.visibilityState`, "visible")
		tab.want(`document.querySelector('.ringcast-result__who a').textContent`, name)
		tab.picture("03-result")
		tab.click(".ringcast-result__cancel")
		tab.wait(results + ` === 0`)
	}
}

// forAnnaAlone: what goes on at Anna's desk is none of Boris's business.
func (c *crew) forAnnaAlone() {
	before := c.boris.tabs[0].text(`cards.length`)
	searches, notes := c.searches(99999), len(c.calls(99999))
	c.ring("+79005550122", "Maria Sokolova", "101")
	c.at(c.pbx.PickUp, "101")
	c.anna.wait(cardIs("Maria Sokolova", "talking") + ` && ` + inACall)
	c.anna.tabs[0].wait(`document.querySelector('.ringcast-card__clock').textContent >= '00:01'`)
	c.at(c.pbx.PutDown, "101")
	c.anna.wait(noCard + ` && !` + inACall)
	c.onceAfterTheTalk("Maria Sokolova")
	c.boris.tabs[0].want(`cards.length`, before)
	c.boris.want(`[...document.querySelectorAll('.toast')].map((toast) => toast.textContent).join() + Object.entries(localStorage).flat().filter((part) => /Maria|5550122/.test(part)).join()`, "")
	c.boris.want(inACall, "false")
	if now := len(c.calls(99999)); c.searches(99999) != searches || now != notes {
		c.t.Errorf("Boris's tabs searched %d times and he got %d notifications", c.searches(99999)-searches, now-notes)
	}
}

// TestWidgetOnKommo is a call in short on the other platform, where Boris has the dark theme.
func TestWidgetOnKommo(t *testing.T) {
	t.Parallel()
	c := newCrew(t, newWorkplace(t, func(cfg *sandbox.AmoConfig) { cfg.Platform = sandbox.KommoPlatform }), "/leads/", "/contacts/list/")
	c.ring("+79005550111", "Ivan Petrov", "101", "102")
	const brightness = `getComputedStyle(document.querySelector('.ringcast-deck__box')).backgroundColor.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)`
	if light, dark := c.anna.tabs[0].number(brightness), c.boris.tabs[0].number(brightness); light < 600 || dark > 300 {
		t.Errorf("a card's background is %d of 765 in the light theme, %d in the dark one", light, dark)
	}
	c.boris.tabs[0].picture("kommo-rings")
	c.at(c.pbx.PickUp, "102")
	c.anna.wait(noCard)
	c.boris.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.anna.want(inACall, "false")
	c.boris.tabs[1].reload()
	c.boris.wait(cardIs("Ivan Petrov", "talking") + ` && ` + inACall)
	c.at(c.pbx.PutDown, "102")
	c.all(noCard + ` && !` + inACall)
	eventually(t, "a result window", func() bool { return c.boris.windows() > 0 })
	eventually(t, "the notification after the talk", func() bool { return len(c.calls(99999)) > 1 })
	if n, other := c.boris.windows(), c.anna.windows(); n != 1 || other != 0 {
		t.Errorf("%d result windows at Boris's and %d at Anna's, want one and none", n, other)
	}
	for _, tab := range c.boris.tabs {
		if tab.number(results) > 0 {
			tab.picture("kommo-result")
			tab.want(`document.querySelector('.ringcast-result').classList.contains('ringcast_dark')`, "true")
		}
		tab.want(`/amocrm/i.test(document.querySelector('.ringcast-deck').textContent + [...document.querySelectorAll('.ringcast-result')].map((el) => el.textContent))`, "false")
	}
	if stored := fmt.Sprint(len(c.calls(88888)), len(c.calls(99999))); stored != "1 2" {
		t.Errorf("stored for Anna and Boris: %s, want 1 2", stored)
	}
}
