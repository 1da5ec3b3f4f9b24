package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
	"ringcast/widget"
)

// These tests show the widget in each language of each platform, and look for words that do not fit.

func TestWidgetSpeaksTheLanguagesOf(t *testing.T) {
	t.Parallel()
	for _, platform := range []widget.Platform{widget.AmoCRM, widget.Kommo} {
		t.Run(string(platform), func(t *testing.T) {
			t.Parallel()
			browser := browsertest.New(t)
			for _, lang := range platform.Locales() {
				t.Run(lang, func(t *testing.T) { testLanguage(browser, t, platform, lang) })
			}
		})
	}
}

// speech is a page of a user whose CRM is in a language, and the widget's texts in it.
type speech struct {
	*tab
	name  string // of the pictures
	words map[string]map[string]string
}

func testLanguage(browser context.Context, t *testing.T, platform widget.Platform, lang string) {
	data, err := os.ReadFile("../../widget/src/i18n/" + lang + ".json")
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]map[string]string{}
	if err := json.Unmarshal(data, &words); err != nil {
		t.Fatal(err)
	}
	s := newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) {
		own := cardConfig()
		cfg.Platform, cfg.Lang, cfg.RateLimit = string(platform), lang, -1
		cfg.Companies, cfg.Leads, cfg.Contacts = own.Companies, own.Leads, own.Contacts
	})
	s.gateway.present(team()...)
	name := "lang-" + string(platform) + "-" + lang
	b := speech{s.open(t, anna, "/leads/"), name, words}
	b.cards(s)
	b.result(s)
	b.list(t, s)
	b.settings()
}

// says wants an element to say one of the widget's texts.
func (b speech) says(element, section, key string) {
	b.t.Helper()
	if b.words[section][key] == "" {
		b.t.Fatalf("there is no text %s.%s", section, key)
	}
	b.want(fmt.Sprintf(`document.querySelector(%q).textContent.trim()`, element), b.words[section][key])
}

func (b speech) cards(s *settingsStage) {
	b.t.Helper()
	s.gateway.tell(anna, "call.dial", call(nil))
	b.wait(named("Ivan Petrov"))
	b.says(".ringcast-deck__title", "card", "title")
	b.says(".ringcast-card__state", "card", "incoming")
	b.fits("ringing")
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	b.wait(state + " === 'talking'")
	b.says(".ringcast-card__state", "card", "talking")
	b.tour(1)
	b.click(".ringcast-bell__button")
	b.fits("bell")
	b.click(".ringcast-bell__button")
	b.click(deed("transfer"))
	b.wait(`document.querySelectorAll('.ringcast-transfer__people b').length > 2`)
	b.says(`.ringcast-transfer [data-way="consult"]`, "transfer", "ask")
	b.fits("card")
	s.gateway.tell(anna, "call.hangup", atEnd(object{"outcome": "transferred"}))
	b.wait(state + " === 'ended'")
	b.says(".ringcast-card__state", "outcome", "transferred")
	b.fits("ended")

	stranger := object{"id": "office:2", "phone": strangerPhone, "phone_raw": strangerPhone}
	s.gateway.tell(anna, "call.dial", call(stranger))
	const create = `[data-call="office:2"] .ringcast-card__create` // the card before it may be there still
	b.wait(visible(create))
	b.click(create)
	b.wait(`document.querySelector('.ringcast-create')`)
	b.says(`.ringcast-create [type="submit"]`, "create", "save")
	b.fits("create")
	s.gateway.tell(anna, "call.hangup", call(object{"id": "office:2", "phone": strangerPhone, "phone_raw": strangerPhone, "state": "ended", "outcome": "elsewhere"}))
}

func (b speech) result(s *settingsStage) {
	b.t.Helper()
	(&resultStage{s.stage}).talk(anna, object{"id": "office:3", "phone": strangerPhone, "phone_raw": strangerPhone})
	b.wait(resultShown + ` && document.querySelector('.ringcast-result__fate').textContent`)
	b.says(".ringcast-result__fate", "result", "fate")
	b.click(`.ringcast-result__switch input`)
	b.want(`/\b[a-z]+\.[a-z_]+\b/.test(document.querySelector('.ringcast-result').textContent)`, "false") // a key without a text
	b.tour(2)
	b.fits("result")
	b.says(".ringcast-result__save", "result", "save")
	b.click(".ringcast-result__cancel")
	b.wait(`!document.querySelector('.ringcast-result__ask').hidden`)
	b.fits("result-ask")
	b.click(".ringcast-result__discard")
	b.wait(noResult)
}

func visible(selector string) string {
	return fmt.Sprintf(`document.querySelector(%q).getClientRects().length > 0`, selector)
}

func (b speech) list(t *testing.T, s *settingsStage) {
	b.t.Helper()
	b.navigate("/contacts/list/")
	b.pick(1001, 1002)
	b.more("ringcast")
	b.wait(`document.querySelectorAll('.ringcast-row').length === 2`)
	b.says(".ringcast-list__title", "list", "title")
	b.says(listDo("start"), "list", "start")
	b.fits("list")
	s.answering("office:4")
	b.text(`document.querySelectorAll('.toast__close').forEach((close) => close.click())`) // they lie over everything else
	b.click(listDo("start"))
	s.rings(anna, "office:4", s.dialled(t, 1)[0])
	b.wait(listStates + " === 'dialling,waiting'")
	b.fits("list-dialling")
	s.ends(anna, "office:4", "+79005550111", "busy", 0)
	b.wait(listStates + " === 'busy,waiting' && " + visible(listDo("now")))
	b.fits("list-gap")
	s.answering("office:5")
	b.click(listDo("now"))
	s.rings(anna, "office:5", s.dialled(t, 2)[1])
	s.ends(anna, "office:5", "89005550222", "busy", 0)
	b.wait(visible(listDo("again")))
	b.fits("list-over")
	b.click(listDo("clear"))
	b.fits("list-clear")
	b.click(listDo("clear_yes"))
	b.wait(`!(` + listShown + `)`)
	b.click(".menu__phone")
	b.wait(listShown + ` && !document.querySelector('.ringcast-list__hint').hidden`)
	b.fits("list-empty")
	b.click(listDo("hide"))
	b.wait(`!(` + listShown + `)`)
}

func (b speech) settings() {
	b.t.Helper()
	b.navigate("/settings/widgets/")
	b.do("a tall window", chromedp.EmulateViewport(1180, 1500))
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(fmt.Sprintf(checked, "good"))
	b.says(`.ringcast-settings [data-do="check"]`, "settings", "check")
	b.fits("settings")
}

// tour leaves a picture of the size that the tour in the CRM's marketplace has: widget/src/images has them.
func (b speech) tour(n int) {
	b.t.Helper()
	b.do("the tour's window", chromedp.EmulateViewport(1188, 616))
	b.picture(fmt.Sprintf("tour_%d-%s", n, b.name))
	b.do("the window as it was", chromedp.EmulateViewport(1180, 760))
}

// fits finds words of the widget that do not fit into their boxes: cut, wider than the box, in two lines on a button,
// buttons in two rows, a choice or a hint longer than its field. Days are tried out for a whole year.
func (b speech) fits(part string) {
	b.t.Helper()
	b.picture(b.name + "-" + part)
	if cut := b.text(misfits); cut != "" {
		b.t.Errorf("%s: does not fit:\n%s", part, cut)
	}
}

const misfits = `(() => {
	const found = [];
	const pen = document.createElement('canvas').getContext('2d');
	const widthOf = (e, text) => {
		const { fontStyle, fontWeight, fontSize, fontFamily } = getComputedStyle(e);
		pen.font = [fontStyle, fontWeight, fontSize, fontFamily].join(' ');
		return pen.measureText(text).width;
	};
	const inner = (e) => e.clientWidth - parseFloat(getComputedStyle(e).paddingLeft) - parseFloat(getComputedStyle(e).paddingRight);
	const tell = (e, why, text) => found.push(why + ': ' + e.tagName.toLowerCase() + '.' + e.className + ' “' + text.trim().slice(0, 80) + '”');
	const date = new Intl.DateTimeFormat(document.documentElement.lang, { weekday: 'short', day: 'numeric', month: 'short' });
	const longest = Array.from({ length: 366 }, (_, day) => date.format(new Date(2024, 0, day + 1)));
	const everyDay = (text) => (/, .*\d/.test(text) ? longest.map((each) => text.replace(/, .*$/, ', ' + each)) : [text]);
	document.querySelectorAll('.ringcast *, [class*=ringcast]').forEach((e) => {
		if (!e.getClientRects().length || e.closest('[hidden], svg, .ringcast-deck__said, .ringcast-card__avatar')) return;
		const text = e.value !== undefined && e.tagName !== 'BUTTON' ? e.value : e.textContent;
		if (e.tagName === 'SELECT') {
			const room = inner(e) - 16; // for the arrow
			[...e.options].flatMap(({ text }) => everyDay(text)).filter((choice) => widthOf(e, choice) > room)
				.forEach((choice) => tell(e, 'a choice, ' + Math.ceil(widthOf(e, choice)) + ' in ' + room, choice));
		} else if (e.placeholder) {
			if (e.tagName === 'INPUT' && widthOf(e, e.placeholder) > inner(e) + 1) tell(e, 'a hint', e.placeholder);
		} else if (text && e.clientWidth > 1 && e.scrollWidth > e.clientWidth + 1) {
			tell(e, 'cut or too wide by ' + (e.scrollWidth - e.clientWidth), text);
		}
		if (e.tagName === 'BUTTON' && text.trim() && !e.querySelector('b, bdi')) {
			const range = document.createRange();
			range.selectNodeContents(e);
			const lines = [...range.getClientRects()].filter(({ width }) => width > 1);
			if (lines.some(({ top }) => top > lines[0].bottom - 2)) tell(e, 'in several lines', text);
		}
		const { left, right } = e.getBoundingClientRect();
		if (left < 0 || right > innerWidth + 1) tell(e, 'outside of the page', text || '');
	});
	document.querySelectorAll('.ringcast [class*=__buttons], .ringcast [class*=__actions]').forEach((row) => {
		const shown = [...row.querySelectorAll('button')].filter((e) => e.getClientRects().length);
		shown.filter((e) => e.offsetTop !== shown[0].offsetTop).forEach((e) => tell(e, 'in a second row', e.textContent));
	});
	return [...new Set(found)].slice(0, 12).join('\n');
})()`
