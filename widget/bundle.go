package widget

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A page that loads sixty modules one by one pays for each with some milliseconds of its main thread, whatever stands
// in them. An archive has one file for each module that script.js names instead, with what that one needs before it.
// Nothing is shortened: moderators read it as it was written.

var (
	// moduleForm is how every module of src begins.
	moduleForm = regexp.MustCompile(`(?s)\A(/\*.*?\*/\n)?define\(\[(.*?)\],\s*`)
	neededName = regexp.MustCompile(`'([^']*)'`)
	rootName   = regexp.MustCompile(`'\./(js/[^'?]*)\?v=`)
)

// module is one as it is written: what it needs, by names of the archive or of the CRM, and the rest of its text.
type module struct {
	comment, body string
	needs         []string
}

// bundle puts the modules that only others need into those that script.js names.
func bundle(files map[string][]byte) (map[string][]byte, error) {
	modules := map[string]module{}
	for name, data := range files {
		if m, ok := readModule(name, data); ok {
			modules[name] = m
		}
	}
	out := maps.Clone(files)
	for name := range modules {
		if strings.HasPrefix(name, "js/") {
			delete(out, name)
		}
	}
	for _, m := range rootName.FindAllSubmatch(files["script.js"], -1) {
		root := string(m[1])
		b := bundler{modules: modules, seen: map[string]bool{}}
		if err := b.add(root, nil); err != nil {
			return nil, err
		}
		out[root] = b.file(root)
	}
	return out, nil
}

func readModule(name string, data []byte) (module, bool) {
	at := moduleForm.FindSubmatchIndex(data)
	if at == nil || path.Ext(name) != ".js" {
		return module{}, false
	}
	m := module{body: string(data[at[1]:])}
	if at[2] >= 0 {
		m.comment = string(data[at[2]:at[3]])
	}
	for _, found := range neededName.FindAllSubmatch(data[at[4]:at[5]], -1) {
		need, _, _ := strings.Cut(string(found[1]), "?")
		if strings.HasPrefix(need, ".") {
			need = path.Join(path.Dir(name), need)
		}
		m.needs = append(m.needs, need)
	}
	return m, true
}

// bundler collects a module and what it needs, in an order in which each stands behind all that it needs.
type bundler struct {
	modules map[string]module
	seen    map[string]bool
	inside  []string // of the archive
	outside []string // of the CRM
}

func (b *bundler) add(name string, from []string) error {
	if slices.Contains(from, name) {
		return fmt.Errorf("modules need each other: %s", strings.Join(append(from, name), " → "))
	}
	if b.seen[name] {
		return nil
	}
	b.seen[name] = true
	m, ok := b.modules[name]
	if !ok {
		if strings.HasSuffix(name, ".js") {
			return fmt.Errorf("%s: there is no module %s, or it does not begin with define([…], …", from[len(from)-1], name)
		}
		b.outside = append(b.outside, name)
		return nil
	}
	for _, need := range m.needs {
		if err := b.add(need, append(from[:len(from):len(from)], name)); err != nil {
			return err
		}
	}
	b.inside = append(b.inside, name)
	return nil
}

// file is the module root with all that it needs.
func (b *bundler) file(root string) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "/* %s, and before it the modules that it is made of. */\ndefine([%s], function (...given) {\n", root, literals(b.outside))
	fmt.Fprintf(&out, "  const made = new Map([%s].map((name, i) => [name, given[i]]));\n", literals(b.outside))
	out.WriteString("  const part = (name, needs, make) => made.set(name, make(...needs.map((need) => made.get(need))));\n")
	for _, name := range b.inside {
		m := b.modules[name]
		fmt.Fprintf(&out, "\n/* ---- %s ---- */\n%spart('%s', [%s], %s", name, m.comment, name, literals(m.needs), m.body)
	}
	fmt.Fprintf(&out, "\n  return made.get('%s');\n});\n", root)
	return out.Bytes()
}

func literals(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "'" + name + "'"
	}
	return strings.Join(out, ", ")
}
