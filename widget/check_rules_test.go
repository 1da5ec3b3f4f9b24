package widget_test

import (
	"bytes"
	"strings"
	"testing"

	"ringcast/widget"
)

func textRules() []broken {
	both := func(group, key, ru, en string) func(archive) {
		return func(a archive) {
			a.words("ru", group, key, ru)
			a.words("en", group, key, en)
		}
	}
	say := func(group, key, en string) func(archive) {
		return func(a archive) { a.words("en", group, key, en) }
	}
	return []broken{
		{rule: "i18n.json", name: "no JSON", spoil: func(a archive) { a["i18n/en.json"] = []byte("{\n\"card\": }") }, at: "i18n/en.json:2"},
		{rule: "i18n.json", name: "no group", spoil: func(a archive) { a.replace("i18n/en.json", "{", `{"title": "Calls",`) }},
		{rule: "i18n.keys", name: "missing", spoil: func(a archive) {
			a.words("ru", "card", "more", "Ещё")
			a.code("self.i18n('card.' + number);")
		}, at: "i18n/en.json"},
		{rule: "i18n.keys", name: "empty", spoil: func(a archive) { a.replace("i18n/en.json", `"Consent"`, `" "`) }},
		{rule: "i18n.values", spoil: say("card", "calling", "Calling {phone}")},
		{rule: "i18n.missing", spoil: func(a archive) { a.code("self.i18n('card.callling');") }, at: "js/calls.js:4"},
		{rule: "i18n.unused", spoil: both("card", "old", "Старое", "Old")},
		{rule: "i18n.call-action", spoil: both("widget", "call_action", "", "")},
		{rule: "text.name-length", name: "long", spoil: say("widget", "name", "Telephone calls for all of us by Acme")},
		{rule: "text.name-length", name: "word", spoil: say("widget", "name", "Telephonecallsforall by Acme")},
		{rule: "text.name-form", name: "whose", spoil: say("widget", "name", "Acme Calls")},
		{rule: "text.name-form", name: "Kommo", spoil: func(a archive) {
			kommoFlavour(a)
			a["images/icon.svg"] = []byte("<svg/>\n")
			a.words("en", "widget", "name", "Kommo calls by Acme")
		}, options: func(o *widget.CheckOptions) { o.Platform = widget.Kommo }},
		{rule: "text.short-length", spoil: say("widget", "short_description", strings.Repeat("Calls. ", 8))},
		{rule: "text.description-length", spoil: say("widget", "description", strings.Repeat("Calls. ", 60)+`<a href="https://example.com">Policy</a>`)},
		{rule: "text.tag", spoil: say("widget", "description", `For #API_HASH#. <a href="https://example.com">Policy</a>`)},
		{rule: "text.link", spoil: say("card", "calling", "Calling {number}, see https://acme.com/help")},
		{rule: "text.markup", name: "script", spoil: say("card", "calling", "<script>{number}</script>")},
		{rule: "text.markup", name: "handler", spoil: say("card", "calling", `<b onclick="x">{number}</b>`)},
		{rule: "text.markup", name: "handler behind a slash", spoil: say("card", "calling", "{number}<img/onload=x()>")},
		{rule: "text.markup", name: "handler behind a quote", spoil: say("card", "calling", `{number}<img src="x"onerror=x()>`)},
		{rule: "text.markup", name: "handler behind a sign in quotes", spoil: say("card", "calling", `{number}<img alt=">" onerror=x()>`)},
		{rule: "text.markup", name: "address in entities", spoil: say("card", "calling", `{number}<a href='&#106;avascript:x()'>`)},
		{rule: "text.markup", name: "address with a tab", spoil: say("card", "calling", "{number}<a href='java\tscript:x()'>")},
		{rule: "text.markup", name: "frame", spoil: say("card", "calling", "{number}<iframe src=x></iframe>")},
		{rule: "text.translated", name: "English", spoil: both("card", "calling", "Calling {number} now", "Calling {number} now")},
		{rule: "text.translated", name: "Latin", spoil: func(a archive) { a.words("ru", "card", "calling", "Zvonim na nomer {number}") }},
		{rule: "text.platform", spoil: say("card", "calling", "Calling {number} from Kommo")},
		{rule: "privacy-link", spoil: say("widget", "description", "Shows calls.")},
	}
}

// A key that one language alone has is told where it stands, beside those that this language does not have.
func TestKeyOfOneLanguageIsTold(t *testing.T) {
	t.Parallel()
	a := good(t)
	a.words("ru", "card", "less", "Меньше")
	a.words("en", "card", "more", "More")
	a.code("self.i18n('card.' + number);")
	for _, f := range widget.Check(a.zip(t), publishing) {
		if f.Rule == "i18n.keys" && f.Line > 0 {
			return
		}
	}
	t.Error("nothing is said of a key that the other language does not have")
}

// codeRules puts lines into js/calls.js: they stand on its line 4.
func codeRules() []broken {
	const at = "js/calls.js:4"
	var out []broken
	for rule, lines := range map[string][]string{
		"code.console": {
			"console.log(number);", "window.console.log(number);", "const { log } = console;", "const { console: c } = window;", "console['error'](number);", "window['console'].log(number);", "console.trace(number);",
			"try { dial(); } catch { console.error(1); }", "/x/.test(number) && console.log(1);", "`${console.log(1)}`;",
		},
		"code.leftover":             {"debugger;", "alert(number);"},
		"code.local-address":        {"number.url = 'http://localhost:8080/';", "number.url = `wss://127.0.0.1:${number}`;"},
		"code.eval":                 {"eval(number);", "(0, eval)(number);", "window['eval'](number);", "self.go({} / eval(number) / 2);", "number++ / eval(1) / 2;", "window.eval(number);", "parent.eval(number);", "document.defaultView.eval(number);", "new Function('return 1');", "setTimeout('dial()', 5);", "$.globalEval(number);"},
		"code.createElement-script": {"document.createElement('script');", "document.createElement('SCRIPT');", "$.getScript(number);", "$('<script src=x>');", "$.ajax({ dataType: 'script' });", "new Worker(number);", "import('./x');", "document.write(number);"},
		"css.injected":              {"document.createElement('style');", "$('<style>b { color: red }</style>');", "document.styleSheets[0].insertRule(number);"},
		"code.cdn":                  {"self.url = 'https://cdn.example.com/a.js';", "require(['//cdn.example.com/a.js']);", "require(['https://cdn.example.com/lib']);", "require(['https://cdn.example.com/' + number]);", "self.url = 'https://cdn.example.com/a.css?v=1.2.3';"},
		"code.module":               {"require(['./gone.js?v=1.2.3']);", "require(['lodash']);", "require(['./calls?v=1.2.3']);", "require([number]);", "require(['./' + number + '.js?v=1.2.3']);"},
		"code.file":                 {"self.load('/templates/gone.twig');", "self.load(self.path + '/css/gone.css?v=' + self.version);"},
		"code.module-version":       {"require(['../script.js']);", "require(['../script.js?v=1.2.2']);", "self.url = '/style.css';"},
		"code.sync-ajax":            {"number.set({ async: false });", "number.set({ async: !1 });", "number.set({ 'async': false });", "number.open('GET', '/', false);", "number.open('GET', '/', !1);", "number.set({ async: 0 });", "number['async'] = false;"},
		"code.app-write":            {"APP.sdk = null;", "window.APP.data.current_card.id = 5;", "AMOCRM['x'] = 1;", "delete APP.sdk;", "Object.assign(APP.data, number);", "APP.count++;", "APP.a ??= 1;", "++APP.count;", "APP.data <<= 1;", "const app = window.APP; app.sdk = 1;", "APP.constant('user').name = 'x';", "$.extend(true, APP.data, {});", "Object.setPrototypeOf(APP, {});"},
		"code.oauth":                {"number.hash = self.system().amohash;", "number.url = '/private/api?USER_HASH=' + number;"},
		"code.simulated-click":      {"$('.js-widget-install').trigger('click');", "$('.widget-uninstall').click();"},
		"markup.handler":            {`$('<a onclick="x()">');`},
		"markup.url":                {"$('<a href=\"javascript:x()\">');"},
		"code.request-in-loop": {
			"for (const n of number) self.crm_post(n);",
			"for (let i = 0; i < 3; i++) { if (i) { fetch('/api'); } }",
			"while (number.next) $.get('/api');",
			"do { number.ajax({}); } while (number);",
			"number.forEach((n) => self.$authorizedAjax({ n }));",
			"number.map(function (n) { return $.post(n); });",
			"setInterval(() => fetch('/api'), 1000);",
			"clock.every(1000, () => { new XMLHttpRequest(); });",
			"const load = () => fetch('/api'); for (;;) load();",
			"const one = () => two(), two = async () => fetch('/api'); number.forEach(one); number.forEach((n) => one(n));",
			"(async () => { for await (const n of number) { n.on('x', dial); fetch(n); } })();",
			"setInterval(() => this.dial(self, number), 1000);",
			"self.poll = () => self.crm_post('x'); setInterval(self.poll, 5);",
			"const poll = () => self.crm_post('x'); setInterval(poll.bind(self), 5);",
			"do fetch('/a'); while (number);",
			"for (let i = 0; i < 9 && fetch(i); i++) {}",
			"_.times(5, (n) => $.ajax(n)); Array.from(number, (n) => self.go(n));",
			"number.map(fetch);",
			"for (const n of number) self.$authorizedAjax.call(self, n);",
			"for (const n of number) new EventSource(n);",
		},
		"code.polling": {
			"const go = () => fetch('/a').then(go); go();",
			"const go = () => { fetch('/a'); setTimeout(go, 1000); }; go();",
			"function go() { $.get('/a', go); } go();",
			"const go = async () => { await fetch('/a'); await go(); };",
			"class P { poll() { fetch('/a'); setTimeout(() => this.poll(), 5); } } self.p = P;",
		},
		"code.minified": {
			"const _0x3fa2 = 1;", `\u0065val(number);`, "self.x = '" + strings.Repeat(`\x41`, 30) + "';", "self.x = '" + strings.Repeat("x", 600) + "';",
			strings.Repeat("a.b(c,d)[e]({f:g});", 25),
		},
		"code.syntax": {"const const = 1;", "}", "'", "`${", strings.Repeat("(", 5000)},
	} {
		for _, line := range lines {
			b := broken{rule: rule, name: line[:min(len(line), 60)], spoil: func(a archive) { a.code(line) }, at: at}
			if rule == "code.minified" || rule == "code.syntax" || line == "self.url = '/style.css';" || strings.HasPrefix(line, "const one") {
				b.at = "" // of the whole file, or somewhere behind
			}
			out = append(out, b)
		}
	}
	return append(out,
		broken{rule: "code.minified", name: "name", spoil: func(a archive) {
			a["js/calls.min.js"] = a["js/calls.js"]
			delete(a, "js/calls.js")
			a.replace("script.js", "calls.js", "calls.min.js")
		}},
		broken{rule: "code.minified", name: "letters", spoil: func(a archive) {
			a["js/calls.js"] = append(a["js/calls.js"], strings.Repeat("(function (a, b) {\n  a(b, a);\n  b(a);\n});\n", 40)...)
		}},
		broken{rule: "code.module", name: "text that is code", spoil: func(a archive) {
			a["js/a.txt"] = []byte("eval(1);\n")
			a.code("require(['./a.txt?v=1.2.3']);")
		}, at: at},
		broken{rule: "code.constructor", name: "class", spoil: func(a archive) {
			a.replace("script.js", "return function CustomWidget() {", "return class CustomWidget { constructor() {")
			a.replace("script.js", "    return this;\n  };", "    return this;\n  } };")
		}},
		broken{rule: "code.constructor", name: "class by its name", spoil: func(a archive) {
			a.replace("script.js", "return function CustomWidget() {", "class CustomWidget { constructor() {")
			a.replace("script.js", "    return this;\n  };", "    return this;\n  } }\n  return CustomWidget;")
		}, at: "script.js:5"},
		broken{rule: "code.constructor", name: "arrow function", spoil: func(a archive) {
			a.replace("script.js", "return function CustomWidget() {", "const CustomWidget = () => {")
			a.replace("script.js", "    return this;\n  };", "    return this;\n  };\n  return CustomWidget;")
		}, at: "script.js:5"},
		broken{rule: "code.callbacks", name: "no function", spoil: func(a archive) { a.replace("script.js", "bind_actions: () => true", "bind_actions: true") }, at: "script.js:17"},
		broken{rule: "code.callbacks", name: "only called", spoil: func(a archive) {
			a.replace("script.js", "bind_actions: () => true,", "")
			a.replace("script.js", "destroy() {}", "destroy() { self.callbacks.bind_actions(); }")
		}, at: "script.js"},
		broken{rule: "code.constructor", name: "two defines", spoil: func(a archive) {
			a["script.js"] = append(a["script.js"], "define([], function () { return function Widget() {}; });\n"...)
		}},
		broken{rule: "code.constructor", name: "no define", spoil: func(a archive) { a.replace("script.js", "define(", "require(") }},
		broken{rule: "code.callbacks", spoil: func(a archive) { a.replace("script.js", "destroy() {},", "") }, at: "script.js"},
	)
}

func styleRules() []broken {
	css := func(text string) func(archive) {
		return func(a archive) { a["style.css"] = append(a["style.css"], text+"\n"...) }
	}
	twig := func(text string) func(archive) {
		return func(a archive) { a["templates/call.twig"] = append(a["templates/call.twig"], text+"\n"...) }
	}
	const at, html = "style.css:6", "templates/call.twig:3"
	return []broken{
		{rule: "css.syntax", spoil: css(".acme { color: red; } } .acme {"), at: "style.css:6"},
		{rule: "css.global-selector", name: "element", spoil: css("b { color: red; }"), at: at},
		{rule: "css.global-selector", name: "after a comma", spoil: css(".acme b, body { color: red; }"), at: at},
		{rule: "css.global-selector", name: "after a nested rule", spoil: css(".acme { b { color: red; } } b { color: red; }"), at: at},
		{rule: "css.global-selector", name: "everything", spoil: css("* { color: red; }"), at: at},
		{rule: "css.global-selector", name: "root", spoil: css(":root { --acme: 1; }"), at: at},
		{rule: "css.global-selector", name: "the CRM's", spoil: css(".button-input .acme { color: red; }"), at: at},
		{rule: "css.global-selector", name: "in a query", spoil: css("@media print { .modal-body { color: red; } }"), at: at},
		{rule: "css.global-selector", name: "in a function", spoil: css(":not(.acme) { color: red; }"), at: at},
		{rule: "css.global-selector", name: "beside it", spoil: css(".acme ~ .modal-body { color: red; }"), at: at},
		{rule: "css.global-selector", name: "beside it, nested", spoil: css(".acme { & + div { color: red; } }"), at: at},
		{rule: "css.global-selector", name: "around it", spoil: css(".acme { .modal:has(&) { color: red; } }"), at: at},
		{rule: "css.global-selector", name: "in a container", spoil: css("@container (width > 1px) { body { color: red; } }"), at: at},
		{rule: "css.global-selector", name: "the CRM's, most of all", spoil: func(a archive) {
			a["style.css"] = append(bytes.Repeat([]byte(".acme { color: red; }\n"), 5), bytes.Repeat([]byte(".modal-body { color: red; }\n"), 15)...)
		}},
		{rule: "css.keyframes", spoil: css("@keyframes blink { from { opacity: 0; } }"), at: at},
		{rule: "css.switcher", spoil: css(".acme .switcher__on { color: red; }"), at: at},
		{rule: "css.import", spoil: css(`@import "other.css";`), at: at},
		{rule: "css.injected", name: "template", spoil: twig("<style>b { color: red }</style>"), at: html},
		{rule: "code.cdn", name: "style sheet", spoil: css(".acme { background: url(https://cdn.example.com/a.png); }"), at: at},
		{rule: "code.cdn", name: "quoted", spoil: css(`.acme { background: url("//cdn.example.com/a.png"); }`), at: at},
		{rule: "code.cdn", name: "template", spoil: twig(`<link href="https://cdn.example.com/a.css">`), at: html},
		{rule: "code.minified", name: "style sheet", spoil: css(strings.Repeat(".acme{color:red}", 40)), at: at},
		{rule: "code.minified", name: "template", spoil: twig(strings.Repeat("<b>x</b>", 80)), at: html},
		{rule: "markup.script", spoil: twig("<script>x()</script>"), at: html},
		{rule: "markup.handler", name: "template", spoil: twig(`<p class="a"  OnClick = "x()">`), at: html},
		{rule: "markup.raw", spoil: twig("<p>{{ text | raw }}</p>"), at: html},
		{rule: "markup.url", name: "template", spoil: twig(`<a href="JavaScript:x()">`), at: html},
	}
}
