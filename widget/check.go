package widget

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckOptions is what Check cannot see in the archive. The zero value is a private widget for amoCRM.
type CheckOptions struct {
	Platform Platform // "": AmoCRM
	Name     string   // what the archive is called; "": not checked

	// Publish refuses also what is asked of a published widget only, and is a notice otherwise.
	Publish          bool
	Published        []byte // the archive that is published now; nil: none is
	TechnicalAccount string // the account that the reviewers get
}

// Finding is one place of an archive that breaks a rule.
type Finding struct {
	Rule   string // a name of Rules
	File   string // in the archive; "": the archive as a whole
	Line   int    // from 1; 0: the file as a whole
	Text   string // what is there, and what to do about it
	Notice bool   // nothing is refused for it
}

// String returns the finding as a compiler would say it: "js/a.js:3: code.eval: …".
func (f Finding) String() string {
	var where string
	switch {
	case f.File == "":
	case f.Line == 0:
		where = f.File + ": "
	default:
		where = fmt.Sprintf("%s:%d: ", f.File, f.Line)
	}
	return where + f.Rule + ": " + f.Text
}

// RefusedError is why an archive is refused: at least one finding that is no notice.
type RefusedError struct {
	Findings []Finding
}

// Error lists the findings, a line each.
func (e *RefusedError) Error() string {
	lines := make([]string, 0, len(e.Findings)+1)
	lines = append(lines, "the widget would be refused:")
	for _, f := range e.Findings {
		lines = append(lines, "  "+f.String())
	}
	return strings.Join(lines, "\n")
}

// Refusals returns nil if all findings are notices, and otherwise a *RefusedError with those that are not.
func Refusals(findings []Finding) error {
	refusals := slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Notice })
	if len(refusals) == 0 {
		return nil
	}
	return &RefusedError{Findings: refusals}
}

// Check holds an archive against all Rules that a program can check, and returns what breaks one: refusals first,
// then notices, each by file and line. The archive may come from anybody.
func Check(archive []byte, opt CheckOptions) []Finding {
	if opt.Platform == "" {
		opt.Platform = AmoCRM
	}
	c := &check{opt: opt, keepers: map[string]Keeper{}, count: map[string]int{}}
	for _, r := range Rules() {
		c.keepers[r.Name] = r.By
	}
	c.run(archive)
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		if a.Notice != b.Notice {
			if b.Notice {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(c.findings)
}

// check is one run of Check.
type check struct {
	opt      CheckOptions
	keepers  map[string]Keeper
	findings []Finding
	count    map[string]int // of findings, by rule and file

	files    map[string]*file
	manifest *manifest // nil: there is none that can be read
	texts    map[string]dictionary
	scripts  map[string]*script

	unreadable bool // a script could not be parsed: nobody knows what it asks for
}

// file is a file of the archive.
type file struct {
	name string
	data []byte
	used bool
	seen bool // as an image
}

func (f *file) lineOf(offset int) int { return lineOf(f.data, offset) }

const maxFindings = 20 // of one rule in one file: who has mended so many runs the check again

// add notes a finding.
func (c *check) add(rule, file string, line int, format string, args ...any) {
	if c.enough(rule, file) {
		return
	}
	c.count[rule+" "+file]++
	by := c.keepers[rule]
	c.findings = append(c.findings, Finding{
		Rule: rule, File: file, Line: line, Text: plain(fmt.Sprintf(format, args...)),
		Notice: by == Advice || by == Publishing && !c.opt.Publish,
	})
}

// plain is a text as a terminal may show it, whoever wrote what it quotes.
func plain(text string) string {
	const enough = 400 // bytes
	if len(text) > enough {
		text = text[:enough] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

func (c *check) enough(rule, file string) bool { return c.count[rule+" "+file] >= maxFindings }

func (c *check) run(archive []byte) {
	if c.opt.Name != "" && c.opt.Name != "widget.zip" {
		c.add("archive.name", "", 0, "it is called %.64q: call it widget.zip before you upload it", c.opt.Name)
	}
	if !c.unpack(archive) {
		return
	}
	c.checkEncoding()
	c.readManifest()
	c.readTexts()
	c.readScripts()

	c.checkManifest()
	c.checkPublishing(archive)
	c.checkTexts()
	c.checkImages()
	c.checkScripts()
	c.checkStyles()
	c.checkTemplates()
	c.checkUse()
}
