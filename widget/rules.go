package widget

// Rule is one of the rules for widgets: of the upload, of the CRM's loader, or of those who review widgets before
// they are published.
type Rule struct {
	Name   string
	Text   string
	Source string // the page of the CRM's documentation for developers that has it; "ours" for what reason asks for
	By     Keeper
}

// Keeper is who sees to a rule.
type Keeper string

// The keepers.
const (
	Always     Keeper = "always"     // an archive that breaks the rule is refused
	Publishing Keeper = "publishing" // only for publishing; before that it is a notice
	Advice     Keeper = "advice"     // never more than a notice
	Person     Keeper = "person"     // no program can tell: somebody has to look
)

// Rules returns all rules in the order in which they are described.
func Rules() []Rule {
	return []Rule{
		{"archive.zip", "the file is a ZIP archive, not encrypted, whole", "upload, archive structure", Always},
		{"archive.name", "the file that is uploaded is called widget.zip", "upload, archive structure", Advice},
		{"archive.root", "the files lie at the root of the archive, not in a folder", "upload, archive structure", Always},
		{"archive.path", "names are relative, of a-z, A-Z, 0-9, dot, dash, underscore and slash; no links", "ours", Always},
		{"archive.twice", "no name stands there twice, or differs from another in capitals only", "ours", Always},
		{"archive.size", "1,000 files and 10 MiB at most, 512 KiB each", "ours", Always},
		{"archive.missing", "manifest.json, script.js and i18n/<language>.json for each language are there", "upload, archive structure", Always},
		{"archive.unused-file", "nothing is there that nobody needs", "checklist", Always},
		{"archive.leftover", "no tests, source maps, copies, or files of an editor or a system", "checklist", Always},
		{"archive.utf8", "text is UTF-8", "checklist", Always},
		{"archive.bom", "text has no byte order mark", "checklist", Always},
		{"archive.crlf", "lines end with LF", "checklist", Always},

		{"images.missing", "the five logos are there, logo_dp with digital_pipeline", "archive structure, checklist", Always},
		{"images.size", "logos have exactly the pixels that are asked for", "archive structure, checklist", Always},
		{"images.weight", "an image has 300 KB at most", "archive structure, checklist", Always},
		{"images.format", "images are whole, and of a format that the platform takes", "archive structure, checklist", Always},
		{"images.margin", "logo_main has a margin of 10 pixels", "archive structure, checklist", Always},
		{"images.svg", "Kommo's listing wants an SVG icon, with a contrast of 3 on #FFFFFF and on #153043", "archive structure, checklist", Advice},

		{"manifest.json", "manifest.json is a JSON object", "manifest.json", Always},
		{"manifest.unknown", "it has no keys that the CRM does not know", "manifest.json", Always},
		{"manifest.required", "widget, locations, and in widget name, description, short_description, version, interface_version, locale, installation are there", "manifest.json", Always},
		{"manifest.type", "values have the right type", "manifest.json", Always},
		{"manifest.version", "version is of the form 1.2.3", "manifest.json", Always},
		{"manifest.published", "version is higher than that of the published archive, if one is given", "checklist", Always},
		{"manifest.changed", "the archive differs from the published one, if one is given", "checklist", Always},
		{"manifest.interface-version", "interface_version is 2", "manifest.json", Always},
		{"manifest.code", "no code and no secret_key: new widgets get them at the upload", "upload", Always},
		{"manifest.locale", "locale names languages of the platform, each once", "manifest.json", Always},
		{"manifest.text", "texts are given as paths into i18n, and stand there in every language", "manifest.json", Always},
		{"manifest.support", "support names an e-mail address and a link", "manifest.json", Publishing},

		{"locations.unknown", "locations are known, with -0 or -1 where they want it, each once", "locations", Always},
		{"locations.section", "sections such as dp stand there with their location, and the other way round", "locations", Always},
		{"locations.unused", "locations are used: their callback is in script.js", "checklist", Always},

		{"tour", "is_tour is true, and each language has 1 to 5 pictures", "manifest.json, checklist", Always},
		{"tour.size", "pictures of the tour have 1188 × 616 pixels", "manifest.json, checklist", Publishing},
		{"tour.missing", "there is a tour", "manifest.json, checklist", Publishing},

		{"settings.missing", "a widget with installation has settings", "settings", Always},
		{"settings.type", "a setting is text, pass, users, users_lp or custom", "settings", Always},
		{"settings.required", "required is true or false", "settings", Always},
		{"settings.pass", "a password in the settings can be read by every user of the account", "ours", Advice},
		{"settings.consent", "in Russia a required custom field takes the consent to data transfer", "checklist", Always},

		{"i18n.json", "language files are JSON: groups of keys with texts", "i18n", Always},
		{"i18n.keys", "all languages have the same keys, and none is empty", "i18n", Always},
		{"i18n.values", "a text has the same {values} in all languages", "i18n", Always},
		{"i18n.missing", "texts that the code asks for are there", "i18n", Always},
		{"i18n.unused", "texts that are there are asked for", "i18n", Always},
		{"i18n.call-action", "who dials numbers has widget.call_action, the caption in the menu of numbers", "i18n", Always},

		{"text.name-length", "the name has 30 characters at most, and no word over 19", "checklist", Always},
		{"text.name-form", "the name says by or via whom, and is not about Kommo", "checklist", Always},
		{"text.short-length", "the short description has 50 characters at most", "checklist", Always},
		{"text.description-length", "the description has 400 characters at most", "checklist", Always},
		{"text.tag", "tags of the description such as #SUBDOMAIN# are known", "manifest.json", Always},
		{"text.link", "an address in a text is a link", "checklist", Always},
		{"text.markup", "texts have no script, no style and no handlers", "checklist", Always},
		{"text.translated", "texts are translated", "checklist", Always},
		{"text.platform", "no text names the other platform", "ours", Always},
		{"privacy-link", "the description links to the privacy policy, in every language", "checklist", Publishing},

		{"code.syntax", "scripts can be parsed", "ours", Always},
		{"code.minified", "code can be read: not minified, not obfuscated", "checklist", Always},
		{"code.console", "no console, but for console.trace where something was caught", "checklist", Always},
		{"code.leftover", "no debugger, no alert", "checklist", Always},
		{"code.local-address", "no address of a developer's machine", "developing", Publishing},
		{"code.eval", "no eval, no code made of text", "checklist", Always},
		{"code.createElement-script", "no script elements: what is needed is named in define", "checklist", Always},
		{"code.cdn", "scripts and styles come from the archive, or from jQuery's, Google's or Microsoft's CDN", "checklist", Always},
		{"code.module", "modules that are asked for are in the archive, or the CRM's own", "script.js", Always},
		{"code.file", "style sheets and templates that are asked for are in the archive", "script.js", Always},
		{"code.module-version", "files of the archive are asked for with ?v= and the version", "script.js", Always},
		{"code.sync-ajax", "no synchronous request", "checklist", Always},
		{"code.request-in-loop", "no request in a loop, nor in an interval", "checklist", Always},
		{"code.polling", "nothing asks again and again by itself, without an end", "checklist", Advice},
		{"code.app-write", "APP is only read", "checklist", Always},
		{"code.oauth", "nobody is authorised by the API key of old", "checklist", Always},
		{"code.simulated-click", "no simulated click on the buttons that install and uninstall", "checklist", Always},
		{"code.constructor", "script.js defines one module that returns a function, not a class", "script.js", Always},
		{"code.callbacks", "render, init, bind_actions, settings, onSave and destroy are there", "script.js", Always},

		{"css.syntax", "style sheets can be parsed", "ours", Always},
		{"css.global-selector", "selectors begin with a class of the widget's own", "checklist", Always},
		{"css.keyframes", "names of animations are the widget's own", "checklist", Always},
		{"css.switcher", "the system's switcher is not restyled", "checklist", Always},
		{"css.import", "style sheets do not import others", "checklist", Always},
		{"css.injected", "styles stand in style sheets, not in scripts or templates", "checklist", Always},

		{"markup.script", "templates and HTML in scripts have no script", "checklist", Always},
		{"markup.handler", "and no handlers such as onclick", "checklist", Always},
		{"markup.url", "and no javascript: addresses", "checklist", Always},
		{"markup.raw", "templates escape what they show", "ours", Advice},

		{"technical-account", "there is a technical account for the reviewers, paid for at least a month", "checklist", Publishing},
		{"undocumented", "no variables of the CRM are used that are not documented", "checklist", Person},
		{"dark-theme", "it can be read in the dark theme", "checklist", Person},
		{"controls", "nothing covers the CRM's controls, or makes the page longer; Save is at the bottom", "checklist", Person},
		{"errors", "errors say why, and whom to ask", "checklist", Person},
		{"disable", "users can switch the widget off", "checklist", Person},
		{"iframe", "code that comes from a frame is not run", "checklist", Person},
		{"rating", "the block with the rating is not hidden", "checklist", Person},
		{"languages", "there is support in each of the languages", "checklist", Person},
		{"links", "what leads elsewhere is an <a>", "checklist", Person},
	}
}
