package widget_test

import (
	"strings"
	"testing"

	"ringcast/widget"
)

// TestWhatIsAllowed holds what looks like a mistake and is none.
func TestWhatIsAllowed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"/* console.log(number); eval(number); */ // debugger",
		"self.text = 'console.log(1); eval(number); while (true) fetch(x);';",
		"const form = /console\\.log\\(eval|[/]\\/debugger/; self.form = form;",
		"if (number) /eval(1)/.test(number); { } /debugger/.test(number); self.x = (a) => { } /* / */; self.y = number++ / 2 / 3;",
		"self.half = number / 2 / self.eval; self.eval(number);",
		"try { self.go(); } catch (err) { console.trace(err); }",
		"self.go().then(() => true, (err) => console.trace(err));",
		"self.go().fail(function (err) { console.trace(err); });",
		"self.set({ console: 1, alert: 2, async: true }); self.alert(number); self.console.log(1);",
		"APP.data.go(number === APP.data.id); const { id } = APP.data; self.APP = 1;",
		"self.copy = Object.assign({}, APP.data); if (APP.a <= 1 && APP.b >= 2) self.go();",
		"setTimeout(() => self.go(), 5); setInterval(self.tick, 1000);",
		"document.createElement('div'); number.open('GET', '/', true);",
		"number.forEach((n) => n.on('click', () => self.$authorizedAjax({ n })));",
		"for (const n of number) n.addEventListener('click', (e) => fetch(e));",
		"number.filter(Boolean).find((n) => self.get(n)); self.get(number); number.every((n) => n.get('id'));",
		"for (const n of number) { self.queue.push(() => fetch(n)); n.onclick = () => fetch(n); $(n).bind('click', () => fetch(n)); self.add_action(n, () => fetch(n)); }",
		"const retry = (n) => fetch('/a').catch(() => n && setTimeout(() => retry(n - 1), 1000 * n)); retry(3);",
		"for (let asked = fetch('/a'), i = 0; i < 3; i++) self.show(asked, i);",
		"self.modal.open(number, self, false); self.text = 'JavaScript: the good parts'; self.import(number);",
		"self.p.catch(self.fail); self.fail = (err) => console.trace(err); $.ajax({ error: (err) => console.trace(err) });",
		"fetch('/api').then((r) => r.list.forEach((n) => self.show(n)));",
		"const send = () => fetch('/a'); { const send = () => 1; for (;;) send(); }",
		"class A { send() { fetch('/a'); } } class B { send() {} all() { for (;;) this.send(); } } self.x = [A, B];",
		"self.url = 'https://ajax.googleapis.com/ajax/libs/jquery/2.1.3/jquery.js';",
		"self.url = 'https://example.com/help'; $('.widget-install').addClass('x'); $('.acme-call').trigger('click');",
		"self.html = '<a href=\"https://example.com/a.html\" data-on=\"x\">'; self.words = 'once = on a time';",
		"self.i18n('card.' + number); self.i18n(number ? 'card.calling' : number);",
		"const a = `${number} / ${`${number}`}`; const b = a / 2; self.x = b / a;",
		"self.render({ href: '/tmpl/controls/button.twig' }); self.x = '//x.css';",
		"require(['lib/components/base/modal', 'moment'], () => {}); self.define('x');",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			a := good(t)
			a.code(line)
			for _, f := range widget.Check(a.zip(t), publishing) {
				t.Error(f)
			}
		})
	}
}

func TestWhatIsAllowedElsewhere(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(archive){
		"style": func(a archive) {
			a["style.css"] = append(a["style.css"], "/* b {} */ .acme:not(.x) > .button-input, .modal-body.acme { color: red; background: url(images/x.png); }\n.acme { b { c: d; } &:hover { e: f; } }\n@supports (display: grid) { .acme { color: red; } }\n@media (prefers-color-scheme: dark) { @keyframes acme-a { 0%, 50% { opacity: 0; } } }\n"...)
			a["images/x.png"] = picture(t, 10, 10, 0)
		},
		"selectors": func(a archive) {
			a["style.css"] = append(a["style.css"], ".theme-dark .acme, [data-theme=dark] .acme, html body.dark .acme > i, #acme-root .x, .acmeCard { color: red; }\n.acme b + i, .acme + .acme-b, .acme-a ~ .acme { color: red; }\n.acme { body & { color: red; } > b ~ i { color: red; } }\n@container acme (width > 1px) { .acme b { color: red; } }\n"...)
		},
		"long lines of data": func(a archive) {
			a["style.css"] = append(a["style.css"], "/* "+strings.Repeat("ф", 300)+" */\n.acme { background: url(data:image/png;base64,"+strings.Repeat("QUJD", 200)+"); }\n"...)
			a.code("self.text = '" + strings.Repeat("ф", 300) + "'; self.ring = 'data:audio/mp3;base64," + strings.Repeat("QUJD", 300) + "';")
			a.code("self.icon = '<svg><path d=\"" + strings.Repeat("M1 2l3 4z", 70) + "\"/></svg>';")
		},
		"a table": func(a archive) {
			a["js/table.js"] = []byte("define([], function () {\n  return [\n" + strings.Repeat("    [0, 7, 495, 'Moscow'], [1, 7, 499, 'Moscow'], [2, 7, 812, 'Petersburg'], [3, 7, 343, 'Perm'],\n", 60) + "  ];\n});\n")
			a.replace("script.js", "'./js/calls.js?v=1.2.3'", "'./js/calls.js?v=1.2.3', './js/table.js?v=1.2.3'")
		},
		"modules and images named by parts": func(a archive) {
			a["js/late.js"], a["js/later.js"] = []byte("define([], () => 1);\n"), []byte("define([], () => 2);\n")
			a["images/help.png"] = picture(t, 10, 10, 0)
			a.code("require(['./late.js?v=' + self.params.version, `${self.params.path}/js/later.js?v=${self.params.version}`], () => {});")
			a.code("self.help = '<img alt=\"?\" src=\"' + self.params.path + '/images/help.png\">';")
		},
		"files named by parts": func(a archive) {
			a["css/a.css"], a["css/b.css"] = []byte(".acme { color: red; }\n"), []byte(".acme { color: red; }\n")
			a["templates/list/row.twig"], a["templates/head.twig"] = []byte("<p></p>\n"), []byte(`{% include "list/row.twig" %}`+"\n")
			a.code("self.url = `${self.path}/css/${number}.css?v=${self.version}`; self.head = (name) => '/templates/' + name + '.twig';")
		},
		"texts named by parts": func(a archive) {
			for _, key := range []string{"one", "two_many"} {
				a.words("ru", "group", key, "Один")
				a.words("en", "group", key, "One")
				a.words("ru", "other", "x_"+key, "Один")
				a.words("en", "other", "x_"+key, "One")
			}
			a.words("ru", "third", "a_b", "Один")
			a.words("en", "third", "a_b", "One")
			a.words("ru", "fourth", "a", "Один")
			a.words("en", "fourth", "a", "One")
			a.code("self.i18n('group.' + number); self.i18n(`other.x_${number}`); self.i18n('third.' + number + '_' + self.b); self.say('fourth.', number);")
		},
		"names, abbreviations and numbers are the same in all languages": func(a archive) {
			a.words("ru", "card", "calling", "CRM {number}")
			a.words("en", "card", "calling", "CRM {number}")
		},
		"an example is no link": func(a archive) {
			a.words("en", "card", "calling", "{number}: begins with https://, such as https://calls.example.com")
		},
		"an address that names the other platform, and is long": func(a archive) {
			a.words("en", "widget", "description", "Shows calls. <a href=\"https://example.com/kommo/"+strings.Repeat("p", 400)+"\">Policy</a>")
		},
		"folders of the archive": func(a archive) { a["js/"] = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := good(t)
			change(a)
			for _, f := range widget.Check(a.zip(t), publishing) {
				t.Error(f)
			}
		})
	}
}

// TestNotices holds that what is for publishing only does not hold up anybody before.
func TestNotices(t *testing.T) {
	t.Parallel()
	a := good(t)
	a.words("en", "widget", "description", "Shows calls.")
	a.replace("manifest.json", `, "email": "help@example.com"`, "")
	data := a.zip(t)
	findings := widget.Check(data, widget.CheckOptions{})
	if len(findings) != 3 || widget.Refusals(findings) != nil {
		t.Errorf("%v", findings)
	}
	if got := widget.Refusals(widget.Check(data, publishing)); got == nil {
		t.Error("a widget that lacks what is asked for is published")
	}
}
