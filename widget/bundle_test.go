package widget_test

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestAPageLoadsAFewFiles: each costs the CRM's page some milliseconds.
func TestAPageLoadsAFewFiles(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	var scripts []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".js") {
			scripts = append(scripts, name)
		}
	}
	if want := []string{"client.js", "config.js", "js/session.js", "js/settings/address.js", "js/settings/window.js", "js/text.js", "script.js"}; !slices.Equal(scripts, want) {
		t.Errorf("the archive's scripts are %q, want %q", scripts, want)
	}
	session := string(files["js/session.js"])
	for _, part := range []string{"js/desk.js", "js/result/results.js", "js/list/list.js"} {
		if strings.Count(session, "part('"+part+"',") != 1 {
			t.Errorf("%s does not stand once in js/session.js", part)
		}
	}
	if strings.Index(session, "part('js/phone.js'") > strings.Index(session, "part('js/caller.js'") {
		t.Error("a module stands before one that it needs")
	}
}

// TestBundledModulesRun in Node, where a wrong one does not parse.
func TestBundledModulesRun(t *testing.T) {
	t.Parallel()
	files, _ := unpack(t, build(t, config()))
	for _, name := range []string{"js/session.js", "js/settings/address.js", "js/settings/window.js", "js/text.js"} {
		script := "let made; globalThis.define = (names, make) => { made = make(...names.map(() => () => ({}))); };\n" +
			string(files[name]) + "\nif (!made) throw new Error('it makes nothing');\n"
		cmd := exec.CommandContext(t.Context(), "node", "-")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
