package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"ringcast/gateway/sandbox"
)

// hostileNames are what strangers call themselves, and what somebody has called their companies and deals.
var hostileNames = []struct{ what, name string }{ // fixed
	{"markup", `<img src=x onerror="window.hacked=1"><b>Ivan</b>`},
	{"script", `</script><script>window.hacked=1</script>`},
	{"quotes", `"'><svg onload='window.hacked=1'>&amp;&lt;"` + "`\\"},
	{"a word of 500 letters", strings.Repeat("Wolfeschlegelsteinhausen", 21)[:500]},
	{"500 letters of words", strings.Repeat("Ivan Petrovich ", 34)[:500]},
	{"from the right", "محمد علي <b>شركة</b> 12345"},
	{"an override", "Ivan \u202egnp.exe\u2066 \u200fPetrov"},
	{"control characters", "Ivan\x00Petrov\x07\x1b[31m\u2028\u0085Ltd"},
	{"placeholders", `{name} {phone} {{ 7*7 }} ${window.hacked=1} %s`},
	{"a thousand accents", "Z" + strings.Repeat("\u0336\u034c", 249)},
}

// asText is a name as it may stand in a line: nothing that breaks it or turns it around.
func asText(name string) string {
	line := strings.Map(func(r rune) rune {
		switch {
		case r == '\u061c', r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		}
		return r
	}, name)
	return strings.Join(strings.Fields(line), " ")
}

// desktopNotes stands in for the browser's notifications, which show up outside of the page.
const desktopNotes = `
window.notes = [];
window.Notification = class {
  static permission = 'granted';
  constructor(title, { body }) { notes.push(title + '\n' + body); }
  close() {}
};
`

// looks gives a page wrong(selector): what names have done to it, or an empty string. The widget's own <b> have a direction.
const looks = `
window.wrong = (around) => {
  const found = [];
  const say = (is, what) => is && found.push(what);
  say('hacked' in window, 'hacked');
  say(document.documentElement.scrollWidth > innerWidth, 'the page scrolls to the side');
  document.querySelectorAll(around).forEach((root) => {
    const { left, right, top, bottom } = root.getBoundingClientRect();
    const outside = left < 0 || right > innerWidth || top < 0 || bottom > innerHeight;
    say(outside && !root.matches('.toast'), root.className + ' stands outside of the page: ' + [left, top, right, bottom].map(Math.round));
    root.querySelectorAll('*').forEach((element) => {
      const name = element.tagName.toLowerCase();
      say(['img', 'script', 'iframe', 'object'].includes(name) || (name === 'b' && !element.dir), name + ' in ' + root.className);
      say([...element.attributes].some((attribute) => attribute.name.startsWith('on')), 'a handler on ' + name);
      const box = element.getBoundingClientRect();
      const shown = box.width > 0 && !element.closest('select, svg') && getComputedStyle(element).position !== 'absolute';
      say(shown && box.right > right + 1, name + '.' + element.className + ' sticks out of ' + root.className + ' by ' + Math.round(box.right - right));
    });
    say(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e]/.test(root.textContent), 'characters that break or turn text in ' + root.className);
  });
  return found.join('; ');
};
`

// addressee has a name that his company's directory and the CRM have taken from him.
const addressee = `<img src=x onerror="window.hacked=1">` + "\u202eBoris"

// hostile is a workplace where everything is named so.
func hostile(t *testing.T) *workplace {
	w := newWorkplace(t, func(cfg *sandbox.AmoConfig) {
		cfg.RateLimit = -1
		cfg.Users[1].Name = addressee
		cfg.Users = append(cfg.Users, sandbox.AmoUser{ID: 77777, Name: "\u202e" + hostileNames[1].name})
		cfg.Settings = map[string]any{"extensions": map[string]string{"77777": "107"}}
		for i, h := range hostileNames {
			id := int64(i)
			cfg.Leads = append(cfg.Leads, sandbox.AmoLead{ID: 4000 + id, Name: h.name, Responsible: 99999})
			cfg.Contacts = append(cfg.Contacts, sandbox.AmoContact{
				ID: 2000 + id, Name: h.name, Phones: []string{numberOf(i)}, Company: h.name, Leads: []int64{4000 + id}, Responsible: 99999,
			})
		}
	})
	quoted, err := json.Marshal(addressee)
	if err != nil {
		t.Fatal(err)
	}
	w.people[1] = fmt.Sprintf(`{id: "99999", name: %s, extensions: ["102"]}`, quoted)
	return w
}

func numberOf(i int) string { return fmt.Sprintf("+7900600%04d", i) }

// TestWidgetShowsHostileNamesAsText calls under each name, from the telephone network and from the CRM, and looks at
// every place where it is shown.
func TestWidgetShowsHostileNamesAsText(t *testing.T) {
	t.Parallel()
	w := hostile(t)
	run, _ := w.serve()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ringcast said:\n%s", run.stderr)
		}
	})
	browser := newSlowBrowser(t)
	tab := w.seat(browser, anna).open("/contacts/list/", looks)
	away := w.seat(browser, boris).open("/leads/", desktopNotes)
	away.hide()
	run.untilMetric(`ringcast_sessions{rung="ws"}`, 2)

	dial := func(call, from, name, extensions string) string {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		return event("dial", call, fmt.Sprintf(`"direction":"inbound","from":%q,"name":%s,"to":"+74951234567","line":"<b>+7495</b>","extensions":[%s]`, from, quoted, extensions))
	}
	run.emit(dial("plain", "+79005550111", "", `"101"`))
	tab.wait(cardIs("Ivan Petrov", "ringing"))
	const width = `document.querySelector('.ringcast-deck__box').getBoundingClientRect().width`
	usual := tab.text(width)
	run.emit(event("hangup", "plain", `"cause":"cancelled"`))
	tab.wait(noCard)

	for i, h := range hostileNames {
		if !t.Run(h.what, func(t *testing.T) {
			p := run.as(t)
			tab.t, away.t = t, t
			want, stranger := asText(h.name), fmt.Sprintf("+7900700%04d", i)
			network := []rune(h.name)
			told := asText(string(network[:min(len(network), 256)]))
			known, nameless := fmt.Sprint("known-", i), fmt.Sprint("unknown-", i)
			p.emit(dial(known, numberOf(i), "", `"101","102"`))
			away.wait(fmt.Sprintf(`notes.some((note) => note.includes(%s))`, inJS(string([]rune(want)[:min(len([]rune(want)), 60)]))))
			away.want(`notes.some((note) => /[\u0000-\u0009\u202a-\u202e]/.test(note) || note.length > 1200)`, "false") // the CRM's own among them
			p.emit(dial(nameless, stranger, string(network[:min(len(network), 256)]), `"101"`))
			of := func(call, part string) string {
				return fmt.Sprintf(`document.querySelector('[data-call="main:%s"] %s')`, call, part)
			}
			tab.wait(of(known, ".ringcast-card__name") + `?.textContent === ` + inJS(want))
			tab.wait(of(nameless, ".ringcast-card__name") + `?.textContent === ` + inJS(told))
			tab.want(fmt.Sprintf(`JSON.stringify([...%s.children].filter((el) => el.tagName === 'DD').map((dd) => dd.firstChild.textContent))`, of(known, ".ringcast-card__facts")),
				toJSON([]string{want, want, asText(addressee)}))
			tab.wait(`document.querySelectorAll('.toast[data-kind="call"]').length > 1`)
			tab.picture("names-" + h.what)
			tab.want(width, usual)
			tab.want(`wrong('.ringcast-deck__box, .toast')`, "")
			tab.want(`document.querySelectorAll('.toast__text *:not(p):not(a), .toast__header *').length`, "0")

			p.emit(event("hangup", nameless, `"cause":"cancelled"`), event("bridge", known, `"extension":"101"`))
			tab.wait(inACall)
			p.emit(event("hangup", known, `"cause":"normal","recording":"https://pbx.example/1.mp3"`))
			tab.wait(`document.querySelector('.ringcast-result')`)
			tab.want(`document.querySelector('.ringcast-result__who a').textContent`, want)
			tab.want(`wrong('.ringcast-result, .ringcast-deck__box')`, "")
			tab.picture("names-result-" + h.what)
			tab.click(".ringcast-result__cancel")
			tab.wait(results + ` === 0`)
			eventually(t, "the notification after the talk", func() bool { return len(w.calls(88888)) == 1+3*(i+1) })
			tab.reload() // a connection takes so many commands a second, and a person no such number of calls
		}) {
			return
		}
	}
	tab.t, away.t = t, t
	tab.wait(noCard)

	t.Run("colleagues", func(t *testing.T) {
		p := run.as(t)
		tab.t = t
		p.emit(event("dial", "inside", `"direction":"internal","from":"102","to":"101","extensions":["101"]`))
		tab.wait(cardIs(asText(addressee), "ringing"))
		tab.want(`wrong('.ringcast-deck__box')`, "")
		p.emit(event("hangup", "inside", `"cause":"cancelled"`), event("dial", "crm", `"direction":"internal","from":"107","to":"101","extensions":["101"]`))
		tab.wait(cardIs(asText(hostileNames[1].name), "ringing"))
		tab.want(`wrong('.ringcast-deck__box')`, "")
		p.emit(event("bridge", "crm", `"extension":"101"`))
		tab.click(".ringcast-card__transfer")
		tab.wait(`document.querySelector('.ringcast-transfer__people button')`)
		tab.want(`wrong('.ringcast-deck__box')`, "")
		tab.want(width, usual)
		tab.picture("names-colleagues")
		p.emit(event("hangup", "crm", ""))
		tab.wait(noCard)
	})

	t.Run("the call list", func(t *testing.T) {
		tab.t = t
		for i := range hostileNames {
			tab.click(fmt.Sprintf(`.list__check[value="%d"]`, 2000+i))
		}
		tab.click(".more__button")
		tab.click(`.more__item[data-widget="ringcast"]`)
		tab.wait(fmt.Sprintf(`document.querySelectorAll('.ringcast-row').length === %d`, len(hostileNames)))
		var names []string
		for _, h := range hostileNames {
			name := []rune(asText(h.name))
			names = append(names, strings.TrimSpace(string(name[:min(len(name), 255)]))) // what a list that is kept has of a name
		}
		tab.want(`JSON.stringify([...document.querySelectorAll('.ringcast-row__name')].map((name) => name.textContent))`, toJSON(names))
		tab.want(`wrong('.ringcast-list')`, "")
		tab.want(`document.querySelector('.ringcast-list__rows').scrollWidth <= document.querySelector('.ringcast-list__rows').clientWidth`, "true")
		tab.picture("names-list")
	})
	tab.t = t

	ours := regexp.MustCompile(`</?p>|<a class="js-navigate-link" href="[^"<>]*">|</a>`)
	for _, n := range w.calls(88888) {
		if rest := ours.ReplaceAllString(n.Text, "") + n.Header + n.From + n.To; strings.ContainsAny(rest, "<>\"\u202e\x00") || len([]rune(rest)) > 1300 {
			t.Errorf("stored for Anna: %+v", n)
		}
	}
	tab.want(`'hacked' in window`, "false")
	away.want(`'hacked' in window`, "false")
}

// TestIngestRefusesAnEndlessName: what a telephone system tells is not longer than 256 characters.
func TestIngestRefusesAnEndlessName(t *testing.T) {
	t.Parallel()
	p := start(t, "serve", "-config", configFile(t, twoAccounts))
	long := strings.Repeat("x", 500)
	got := p.post("acme", acmePBXKey, event("dial", "1", `"direction":"inbound","from":"+79005550111","to":"+7495","name":"`+long+`","extensions":["101"]`)).
		refused(t, http.StatusBadRequest, "invalid")
	if len(got.Errors) != 1 || got.Errors[0].Field != "name" {
		t.Errorf("%+v", got)
	}
}

func toJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text))
}

// inJS is text as a string of JavaScript.
func inJS(text string) string { return toJSON(text) }
