package widget_test

import (
	"bytes"
	"strings"

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
		{rule: "text.name-length", name: "word", spoil: say("widget", "name", "Telephonecallsforallofus by Acme")},
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
		{rule: "text.translated", name: "English", spoil: both("card", "calling", "Calling {number} now", "Calling {number} now")},
		{rule: "text.translated", name: "Latin", spoil: func(a archive) { a.words("ru", "card", "calling", "Zvonim na nomer {number}") }},
		{rule: "text.platform", spoil: say("card", "calling", "Calling {number} from Kommo")},
		{rule: "privacy-link", spoil: say("widget", "description", "Shows calls.")},
	}
}

// codeRules puts lines into js/calls.js: they stand on its line 4.
func codeRules() []broken {
	const at = "js/calls.js:4"
	var out []broken
	for rule, lines := range map[string][]string{
		"code.console": {
			"console.log(number);", "window.console.log(number);", "const { log } = console;", "console['error'](number);", "console.trace(number);",
			"try { dial(); } catch { console.error(1); }", "/x/.test(number) && console.log(1);", "`${console.log(1)}`;",
		},
		"code.leftover":             {"debugger;", "alert(number);"},
		"code.local-address":        {"number.url = 'http://localhost:8080/';", "number.url = `wss://127.0.0.1:${number}`;"},
		"code.eval":                 {"eval(number);", "(0, eval)(number);", "window['eval'](number);", "self.go({} / eval(number) / 2);", "number++ / eval(1) / 2;", "window.eval(number);", "new Function('return 1');", "setTimeout('dial()', 5);", "$.globalEval(number);"},
		"code.createElement-script": {"document.createElement('script');", "document.createElement('SCRIPT');", "$.getScript(number);", "$('<script src=x>');", "import('./x');", "document.write(number);"},
		"css.injected":              {"document.createElement('style');", "$('<style>b { color: red }</style>');", "document.styleSheets[0].insertRule(number);"},
		"code.cdn":                  {"self.url = 'https://cdn.example.com/a.js';", "require(['//cdn.example.com/a.js']);", "self.url = 'https://cdn.example.com/a.css?v=1.2.3';"},
		"code.module":               {"require(['./gone.js?v=1.2.3']);", "require(['lodash']);"},
		"code.file":                 {"self.load('/templates/gone.twig');", "self.load(self.path + '/css/gone.css?v=' + self.version);"},
		"code.module-version":       {"require(['../script.js']);", "require(['../script.js?v=1.2.2']);", "self.url = '/style.css';"},
		"code.sync-ajax":            {"number.set({ async: false });", "number.set({ async: !1 });", "number.set({ 'async': false });", "number.open('GET', '/', false);"},
		"code.app-write":            {"APP.sdk = null;", "window.APP.data.current_card.id = 5;", "AMOCRM['x'] = 1;", "delete APP.sdk;", "Object.assign(APP.data, number);", "APP.count++;", "APP.a ??= 1;", "++APP.count;"},
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
		broken{rule: "code.constructor", name: "class", spoil: func(a archive) {
			a.replace("script.js", "return function CustomWidget() {", "return class CustomWidget { constructor() {")
			a.replace("script.js", "    return this;\n  };", "    return this;\n  } };")
		}},
		broken{rule: "code.constructor", name: "no define", spoil: func(a archive) {
			a.replace("script.js", "});\n", "});\ndefine([], () => 1);\n")
			a["script.js"] = append(bytes.TrimSuffix(a["script.js"], []byte("\n")), "\ndefine([], () => 1);\n"...)
			a.replace("script.js", "});\ndefine([], () => 1);\n", "});\n")
		}},
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
		{rule: "css.keyframes", spoil: css("@keyframes blink { from { opacity: 0; } }"), at: at},
		{rule: "css.switcher", spoil: css(".acme .switcher__on { color: red; }"), at: at},
		{rule: "css.import", spoil: css(`@import "other.css";`), at: at},
		{rule: "css.injected", name: "template", spoil: twig("<style>b { color: red }</style>"), at: html},
		{rule: "code.cdn", name: "style sheet", spoil: css(".acme { background: url(https://cdn.example.com/a.png); }"), at: at},
		{rule: "code.cdn", name: "quoted", spoil: css(`.acme { background: url("//cdn.example.com/a.png"); }`), at: at},
		{rule: "code.cdn", name: "template", spoil: twig(`<link href="https://cdn.example.com/a.css">`), at: html},
		{rule: "code.minified", name: "style sheet", spoil: css(strings.Repeat(".acme{color:red}", 40)), at: at},
		{rule: "markup.script", spoil: twig("<script>x()</script>"), at: html},
		{rule: "markup.handler", name: "template", spoil: twig(`<p class="a"  OnClick = "x()">`), at: html},
		{rule: "markup.url", name: "template", spoil: twig(`<a href="JavaScript:x()">`), at: html},
	}
}
