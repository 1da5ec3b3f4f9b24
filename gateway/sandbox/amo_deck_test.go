package sandbox_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"ringcast/static/browsertest"
)

// All cards together in the page of the pretend amoCRM, in a real browser: where they stand, how long they stay, what
// is heard, and what they cost.

func TestDeckInTheSandbox(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range map[string]func(*testing.T, *stage){
		"IsMovedAndStaysInside":              testDeckMoved,
		"IsUsedByKeyboardAlone":              testDeckKeys,
		"NarrowWindowAndManyCalls":           testDeckNarrow,
		"LiesOverTheCRMWhileThereIsACall":    testDeckOver,
		"CallThatEndedInASleepIsGoneAtOnce":  testDeckSleep,
		"RingingThatNobodyConfirmsIsGone":    testDeckLost,
		"ClockThatJumpedIsASleep":            testDeckOverslept,
		"RefusedClientLeavesNothing":         testDeckRefused,
		"CallingStatusIsRightInEveryTab":     testDeckStatus,
		"OneTabRingsAndNotifies":             testDeckAlerts,
		"BellKeepsTheAgentsChoice":           testDeckBell,
		"BrowserThatForbidsSoundIsNotForced": testDeckSilent,
		"RealSoundOfTheBrowser":              testDeckTone,
		"NothingAtRest":                      testDeckRest,
		"NextCallsCardHasNothingOfTheLast":   testDeckNext,
	} {
		t.Run(name, func(t *testing.T) { run(t, newStageOf(browser, t, cardConfig())) })
	}
}

const deckBox = `document.querySelector('.ringcast-deck__box').getBoundingClientRect()`

const inside = `(({ left, top, right, bottom }) => left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight)(` + deckBox + `)`

// drag moves the deck by its bar.
func drag(b *tab, dx, dy string) {
	b.text(`(() => {
		const bar = document.querySelector('.ringcast-deck__bar');
		const { left, top } = bar.getBoundingClientRect();
		const send = (target, type, x, y) => target.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, bubbles: true, cancelable: true }));
		send(bar, 'pointerdown', left + 20, top + 8);
		send(document, 'pointermove', left + 20 + ` + dx + `, top + 8 + ` + dy + `);
		send(document, 'pointerup', left + 20 + ` + dx + `, top + 8 + ` + dy + `);
	})()`)
}

func testDeckMoved(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(named("Ivan Petrov"))
	const at = `(({ right, bottom }) => Math.round(innerWidth - right) + ' ' + Math.round(innerHeight - bottom))(` + deckBox + `)`
	b.want(at, "20 20")
	drag(b, "-200", "-100")
	b.want(at, "220 120")
	b.navigate("/contacts/list/")
	b.want(at, "220 120")
	b.reload()
	b.wait(named("Ivan Petrov"))
	b.want(at, "220 120")
	drag(b, "-5000", "-5000")
	b.want(inside, "true")
	b.do("a smaller window", chromedp.EmulateViewport(700, 420))
	b.wait(inside)
	drag(b, "5000", "5000")
	b.want(at, "8 8")
	b.click(".ringcast-deck__fold")
	b.want(`document.querySelector('.ringcast-card__deeds').getClientRects().length`, "0")
	b.want(inside, "true")
	b.picture("deck-folded")
	b.click(".ringcast-deck__fold")
	b.want(`document.querySelector('`+deed("hangup")+`').getClientRects().length`, "1")
	b.click(".ringcast-deck__fold")
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "elsewhere"}))
	b.wait(noCard)
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2"})) // what rings unfolds it
	b.wait(`document.querySelector('` + deed("answer") + `').getClientRects().length === 1`)
}

// testDeckNext: the card of a call that is over is drawn over for the next one. That looks as it does after a reload.
func testDeckNext(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", call(object{"line": "+74951234567"}))
	b.wait(named("Ivan Petrov"))
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	b.wait(state + ` === 'talking'`)
	b.click(deed("mute"))
	b.wait(`document.querySelector('` + deed("mute") + `[aria-pressed="true"]')`)
	b.click(deed("hold"))
	s.gateway.tell(anna, "call.hold", inTalk(object{"state": "held"}))
	b.wait(state + ` === 'held'`)
	b.click(deed("transfer"))
	b.wait(`document.querySelector('.ringcast-card__pane').childElementCount === 1`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "elsewhere"}))
	b.wait(noCard)

	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": nobodys}))
	const unknown = `document.querySelector('.ringcast-card[data-kind="unknown"]')`
	const look = `(() => { // what is hidden is drawn before it is shown
		const card = ` + unknown + `.cloneNode(true);
		card.querySelectorAll('[hidden]').forEach((part) => part.remove());
		return card.outerHTML;
	})()`
	b.wait(unknown)
	used := b.text(look)
	b.reload()
	b.wait(unknown)
	if fresh := b.text(look); used != fresh {
		t.Errorf("drawn over:\n%s\nafresh:\n%s", used, fresh)
	}
}

func testDeckKeys(t *testing.T, s *stage) {
	s.gateway.present(team()...)
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(named("Ivan Petrov"))
	const focus = `(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)`
	b.text(`document.querySelector('.ringcast-deck__title').focus()`)
	order := []string{b.text(focus)}
	for range 9 {
		b.do("Tab", chromedp.KeyEvent("\t"))
		order = append(order, b.text(focus))
	}
	want := []string{
		"Calls. The arrow keys move this panel.", "Sound and notifications", "Fold", "Petrov & Sons", "A hundred chairs", "Open contact",
		"Hold", "Mute", "Transfer", "Park",
	}
	if !slices.Equal(order, want) {
		t.Errorf("the keyboard goes %q, want %q", order, want)
	}
	b.text(`document.querySelector('` + deed("transfer") + `').focus()`)
	b.do("Enter", chromedp.KeyEvent("\r"))
	b.wait(`document.activeElement.matches('.ringcast-transfer input')`)
	b.do("two tabs", chromedp.KeyEvent("\t"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("\r"))
	b.wait(`document.activeElement.dataset.extension === '102' && document.querySelector('.ringcast-transfer input').value === '102'`)
	b.do("Escape", chromedp.KeyEvent("\u001b"))
	b.wait(`!document.querySelector('.ringcast-transfer') && document.activeElement === document.querySelector('` + deed("transfer") + `')`)
	before := b.text(deckBox + ".left")
	b.text(`document.querySelector('.ringcast-deck__title').focus()`)
	b.do("an arrow", chromedp.KeyEvent("\u0302")) // left
	if after := b.text(deckBox + ".left"); after == before {
		t.Errorf("an arrow key leaves the deck at %s", after)
	}
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": shared}))
	b.wait(`/^Incoming call: Olga/.test(document.querySelector('.ringcast-deck__said[aria-live=polite]').textContent)`)
}

func testDeckNarrow(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	b.do("a telephone's window", chromedp.EmulateViewport(360, 600))
	for _, id := range []string{"office:1", "office:2", "office:3"} {
		s.gateway.tell(anna, "call.dial", call(object{"id": id}))
	}
	b.wait(`document.querySelectorAll('.ringcast-card').length === 3 && ` + named("Ivan Petrov"))
	b.want(inside, "true")
	b.want(`document.documentElement.scrollWidth <= innerWidth`, "true")
	b.picture("deck-narrow")
	b.text(`document.querySelector('[data-call="office:3"] .ringcast-card__hangup').scrollIntoView()`)
	b.click(`[data-call="office:3"] .ringcast-card__hangup`)
	if got := s.asks(t, "hangup", 1); got["call"] != "office:3" {
		t.Errorf("declined %v", got["call"])
	}

	// What rings stands first, however long the cards before it are and wherever they were scrolled to.
	s.gateway.present(team()...)
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	for _, id := range []string{"office:2", "office:3"} {
		s.gateway.tell(anna, "call.hangup", atEnd(object{"id": id, "outcome": "elsewhere"}))
	}
	b.wait(`document.querySelectorAll('.ringcast-card').length === 1`)
	b.click(deed("transfer"))
	b.text(`document.querySelector('.ringcast-deck__cards').scrollTop = 1000`)
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:4"}))
	const answer = `document.querySelector('[data-call="office:4"] .ringcast-card__answer')`
	b.wait(answer)
	b.want(`(({ x, y, width, height }) => `+answer+`.contains(document.elementFromPoint(x + width / 2, y + height / 2)))(`+answer+`.getBoundingClientRect())`, "true")
	b.picture("deck-narrow-rings")
}

func testDeckOver(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	b.text(`(new (require('lib/components/base/modal'))({ init: ($body) => $body.trigger('modal:loaded').html('<p>Delete 12 leads?</p><button class="js-modal-accept" onclick="window.accepted = 1">Yes</button>') }), 0)`)
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card)
	b.picture("deck-over")
	for _, at := range []string{".ringcast-deck__title", ".ringcast-card"} { // Enter there is no answer to the window
		b.text(`document.querySelector('` + at + `').focus()`)
		b.do("Enter", chromedp.KeyEvent("\r"))
	}
	b.want(`window.accepted`, "undefined")
	b.click(deed("answer"))
	s.asks(t, "answer", 1)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "missed"}))
	b.wait(state + ` === 'ended'`)
	const top = `(({ left, top }) => document.elementFromPoint(left + 30, top + 30))(` + deckBox + `)`
	b.want(`Boolean(`+top+`.closest('.modal'))`, "true")
	b.text(`document.querySelectorAll('.modal').forEach((e) => e.remove())`)
	b.want(`Boolean(`+top+`.closest('.ringcast'))`, "true")
	// The frame around the deck lets clicks through to the page.
	b.want(`Boolean(document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('.ringcast'))`, "false")
}

func testDeckSleep(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2"}))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 2 && APP.sdk.getCallingStatus()`)
	b.freeze()
	b.wait(`!APP.sdk.getCallingStatus()`) // should the page be thrown away now, the status is not left on
	s.gateway.cut()
	s.gateway.tell(anna, "call.hangup", atEnd(nil))
	s.gateway.tell(anna, "call.hangup", atEnd(object{"id": "office:2", "outcome": "missed"}))
	b.thaw()
	b.wait(noCard + ` && !APP.sdk.getCallingStatus()`)
}

// later lets ms pass for the page, but not for its timers.
func later(b *tab, ms string) {
	b.text(`(() => { const was = Date.now; Date.now = () => was.call(Date) + ` + ms + `; })()`)
}

// hurry makes time run ten times as fast in a page. In one that runs already the client keeps its own timers.
const hurry = `(() => {
	const { setTimeout: wait, setInterval: repeat } = window;
	const { now } = Date;
	const began = now();
	Date.now = () => began + 10 * (now() - began);
	window.setTimeout = (fn, ms, ...args) => wait(fn, ms / 10, ...args);
	window.setInterval = (fn, ms, ...args) => repeat(fn, ms / 10, ...args);
})()`

const noLine = `document.querySelector('.ringcast-sign').textContent`

func testDeckLost(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.before(b, hurry)
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2"}))
	b.wait(`document.querySelectorAll('.ringcast-card').length === 2`)
	s.gateway.shut(true)
	b.wait(noLine + ` === 'No connection to telephony'`)
	later(b, "31000")
	b.wait(`document.querySelectorAll('.ringcast-card').length === 1 && ` + state + ` === 'talking'`)
	b.want(`APP.sdk.getCallingStatus()`, "true")
	b.picture("deck-lost")
	for range 5 {
		later(b, "60000")
	}
	b.wait(noCard + ` && !APP.sdk.getCallingStatus() && ` + noLine + ` !== ''`)
	s.gateway.shut(false)
	b.text(`window.dispatchEvent(new Event('online'))`)
	b.wait(`document.querySelectorAll('.ringcast-card').length === 2 && APP.sdk.getCallingStatus() && ` + noLine + ` === ''`)
}

func testDeckOverslept(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.before(b, hurry)
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card)
	later(b, "3600000")
	b.wait(noCard + ` && ` + noLine + ` !== ''`)
	b.wait(card + ` && ` + noLine + ` === ''`) // the line has outlived it, and it still rings
}

func testDeckRefused(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(card + ` && APP.sdk.getCallingStatus()`)
	s.gateway.secret = "another secret"
	s.gateway.cut()
	later(b, "7200000") // the session token has expired
	b.wait(noCard + ` && !APP.sdk.getCallingStatus()`)
}

func testDeckStatus(t *testing.T, s *stage) {
	s.gateway.share()
	a, b := s.open(t, anna, "/leads/"), s.open(t, anna, "/contacts/list/")
	other := s.open(t, boris, "/leads/")
	b.text(`APP.sdk.setCallingStatus(true)`) // another widget's call
	s.gateway.tell(anna, "call.dial", call(nil))
	a.wait(card)
	a.want(`APP.sdk.getCallingStatus()`, "false")
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	a.wait(`APP.sdk.getCallingStatus()`)
	a.reload()
	a.wait(`APP.sdk.getCallingStatus()`)
	other.want(`APP.sdk.getCallingStatus()`, "false")
	a.text(`APP.sdk.setCallingStatus(false)`) // another widget's call is over
	a.wait(`APP.sdk.getCallingStatus()`)
	s.gateway.tell(anna, "call.hangup", atEnd(nil))
	a.wait(`!APP.sdk.getCallingStatus()`)
	b.wait(`!document.querySelector('.ringcast-card')`)
	b.want(`APP.sdk.getCallingStatus()`, "true")
}

// What the page's sound and notifications would have done is kept in window.heard and window.notes.
const alertStandIns = `(() => {
	window.heard = []; window.notes = []; window.asked = 0; window.focused = 0;
	const part = { connect() {}, gain: {} };
	window.AudioContext = class {
		constructor() { this.state = 'running'; }
		createGain() { return part; }
		createBuffer(channels, length) { return { getChannelData: () => new Float32Array(length) }; }
		createBufferSource() { return { connect() {}, start() { heard.push('ring'); }, stop() { heard.push('quiet'); } }; }
		async resume() {} async suspend() {} async close() {}
	};
	window.Notification = class {
		static permission = 'granted';
		static async requestPermission() { window.asked += 1; return (Notification.permission = 'granted'); }
		constructor(title, options) {
			if (!/^ringcast/.test(options.tag)) return; // the CRM's own
			const same = notes.findIndex(({ tag }) => tag === options.tag); // whose place it takes
			notes.splice(same < 0 ? notes.length : same, 1, Object.assign(this, options, { title }));
		}
		close() { this.closed = true; }
	};
	window.focus = () => { window.focused += 1; };
	document.hasFocus = () => false;
})()`

func testDeckAlerts(t *testing.T, s *stage) {
	s.gateway.share()
	tabs := []*tab{s.open(t, anna, "/leads/"), s.open(t, anna, "/contacts/list/"), s.open(t, anna, "/leads/")}
	for _, b := range tabs {
		b.click("#title")
		b.text(alertStandIns)
	}
	tabs[0].hide()
	tabs[2].hide()
	sum := func(expression string) string {
		all := ""
		for _, b := range tabs {
			all += b.text(expression) + " "
		}
		return all
	}
	s.gateway.tell(anna, "call.dial", call(object{"phone": "+79005556666"})) // the contact who is called like a script
	const rings, notes = `heard.filter((what) => what === 'ring').length`, `notes.length`
	one := func(expression string) *tab {
		t.Helper()
		s.until(t, "one of "+expression, func() bool {
			return strings.Count(sum(expression), "1") == 1 && strings.Count(sum(expression), "0") == len(tabs)-1
		})
		return tabs[slices.IndexFunc(tabs, func(b *tab) bool { return b.text(expression) == "1" })]
	}
	rang, noted := one(rings), one(notes)
	noted.want(`notes[0].title + '|' + notes[0].body`, "Incoming call|<img src=x onerror=\"window.hacked=1\">\n+7 900 555-66-66")
	noted.text(`document.querySelector('.ringcast-deck__fold').click()`)
	noted.text(`notes[0].onclick()`)
	noted.want(`window.focused + ' ' + notes[0].closed + ' ' + Boolean(document.querySelector('.ringcast-deck__box_folded'))`, "1 true false")
	s.gateway.tell(anna, "call.bridge", inTalk(object{"phone": "+79005556666"}))
	rang.wait(`heard.join() === 'ring,quiet'`)

	// The tab that rings is closed: another goes on. Taken by somebody else: silence at once.
	for _, b := range tabs {
		b.text(`(heard.length = notes.length = 0)`)
	}
	s.gateway.tell(anna, "call.hangup", atEnd(object{"phone": "+79005556666", "outcome": "transferred"}))
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2"}))
	rang = one(rings)
	rang.close()
	tabs = slices.DeleteFunc(tabs, func(b *tab) bool { return b == rang })
	rang = one(rings)
	s.gateway.tell(anna, "call.bridge", call(object{"id": "office:2", "state": "ended", "outcome": "elsewhere"}))
	rang.wait(`heard.join() === 'ring,quiet'`)
	s.until(t, "no notification", func() bool { return !strings.Contains(sum(`notes.some((note) => !note.closed)`), "true") })
}

func testDeckBell(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	b.click("#title")
	b.text(alertStandIns)
	b.text(`Notification.permission = 'default'`)
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(card + ` && heard.join() === 'ring'`)
	b.click(".ringcast-bell__button")
	b.wait(`document.querySelector('.ringcast-bell [name=sound]').checked && !document.querySelector('.ringcast-bell [name=desktop]').checked`)
	b.picture("deck-bell")
	b.want(`window.asked`, "0")
	b.click(`.ringcast-bell [name=desktop]`)
	b.wait(`window.asked === 1 && document.querySelector('.ringcast-bell [name=desktop]').checked`)
	b.click(`.ringcast-bell [name=sound]`)
	b.wait(`heard.join() === 'ring,quiet'`)
	b.do("Escape", chromedp.KeyEvent("\u001b"))
	b.wait(`document.querySelector('.ringcast-bell__menu').hidden && document.activeElement.matches('.ringcast-bell__button')`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "missed"}))
	b.reload()
	b.text(alertStandIns)
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2"}))
	b.wait(`notes.length === 1 && notes[0].body.startsWith('Ivan Petrov')`)
	b.want(`heard.join()`, "")
}

func testDeckSilent(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/") // where nobody has clicked yet
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(`document.querySelector('.ringcast-bell__button_hint')`)
	b.want(`navigator.userActivation.hasBeenActive`, "false")
	b.text(alertStandIns)
	b.click(".ringcast-bell__button") // and there it is
	b.wait(`heard.join() === 'ring' && !document.querySelector('.ringcast-bell__button_hint')`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "missed"}))
	b.wait(`heard.join() === 'ring,quiet'`)
}

func testDeckTone(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	b.click("#title")
	b.text(`(() => {
		const Real = AudioContext;
		window.contexts = [];
		window.AudioContext = class extends Real { constructor() { super(); contexts.push(this); } };
	})()`)
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(`window.contexts.length === 1 && contexts[0].state === 'running'`)
	b.want(`Boolean(document.querySelector('.ringcast-bell__button_hint'))`, "false")
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "missed"}))
	b.wait(`contexts[0].state === 'suspended'`)
}

// before runs a script in the page before any of its own, from the next load on.
func (s *stage) before(b *tab, script string) {
	_, _, opened := s.gateway.seen()
	b.do("a script before the page", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}))
	b.reload()
	s.until(b.t, "the widget to connect", func() bool {
		_, _, now := s.gateway.seen()
		return now > opened
	})
}

func testDeckRest(t *testing.T, s *stage) {
	b := s.open(t, anna, "/leads/")
	s.before(b, `(() => {
		const { setInterval: start, clearInterval: end } = window;
		window.intervals = new Set();
		window.setInterval = (...args) => { const id = start(...args); intervals.add(id); return id; };
		window.clearInterval = (id) => { intervals.delete(id); end(id); };
		for (const name of ['MutationObserver', 'ResizeObserver', 'IntersectionObserver']) {
			window[name] = class { constructor() { window.observed = name; } observe() {} disconnect() {} };
		}
	})()`)
	b.want(`intervals.size`, "0")
	s.gateway.tell(anna, "call.dial", inTalk(nil))
	b.wait(card + ` && intervals.size === 1`)
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "elsewhere"}))
	b.wait(noCard)
	b.want(`intervals.size + ' ' + window.observed`, "0 undefined")
}
