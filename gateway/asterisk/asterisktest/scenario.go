package asterisktest

import (
	"os"
	"path/filepath"
	"strings"
)

// Scenarios returns the names of the scenarios that a lab can play.
func Scenarios(t T) []string {
	t.Helper()
	dir, err := labDir()
	if err != nil {
		t.Fatalf("the Asterisk lab: %v", err)
	}
	out, err := (&Lab{dir: dir, env: os.Environ()}).command("scenario", "list").Output()
	if err != nil {
		t.Fatalf("scenarios: %v", err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name, _, ok := strings.Cut(line, " "); ok {
			names = append(names, name)
		}
	}
	return names
}

// Play plays a scenario of examples/asterisk on the lab, with telephones of its own, and returns the truth
// about it as the telephones noticed it: JSON, described in lib/truth.py there. Play one at a time, and
// without Phones. It fails the test when the scenario did not go as written.
func (l *Lab) Play(t T, scenario string) []byte {
	t.Helper()
	dir, err := os.MkdirTemp(l.run, scenario)
	if err != nil {
		t.Fatalf("scenario %s: %v", scenario, err)
	}
	cmd := l.command("scenario", scenario, "-o", dir)
	cmd.Env = append(cmd.Env, "ASTERISK_LAB_PACE=0.5")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scenario %s: %v\n%s", scenario, err, said)
	}
	truth, err := os.ReadFile(filepath.Join(dir, scenario+".truth.json"))
	if err != nil {
		t.Fatalf("scenario %s: %v", scenario, err)
	}
	return truth
}
