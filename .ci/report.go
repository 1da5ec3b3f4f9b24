// Command report turns the output of go test -json into what a person wants to see: a line for each package
// as it finishes, all that a failed test said, every skipped test with its reason, and the slowest tests.
// It exits with 1 if a test failed, or was skipped where none may be.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is a line of go test -json (go doc test2json), or of a build that failed.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// test is what is known of a test, or of its package where name is "".
type test struct {
	pkg, name string
	output    strings.Builder
	elapsed   float64
	ended     bool
}

func main() {
	skips := flag.String("skips", "list", "what a skipped test is: list, it is only named; fail, a failure")
	summary := flag.String("summary", "", "file that the packages' lines are added to as well")
	flag.Parse()
	r := &report{out: os.Stdout, tests: map[string]*test{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	r.finish()
	if *summary != "" {
		if err := add(*summary, r.lines.String()); err != nil {
			fmt.Fprintln(os.Stderr, "report:", err)
			os.Exit(1)
		}
	}
	if *skips == "fail" && len(r.skipped) > 0 {
		fmt.Fprintln(r.out, "FAIL: no test may be skipped here; RINGCAST_ALLOW_SKIPS=1 allows it")
		r.failed = true
	}
	if r.failed {
		os.Exit(1)
	}
}

// add writes text to the end of a file.
func add(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

type report struct {
	out     io.Writer
	tests   map[string]*test
	lines   strings.Builder // the packages' own
	passed  []*test
	skipped []*test
	failed  bool
}

func (r *report) read(in io.Reader) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			fmt.Fprintln(r.out, scanner.Text()) // go itself, not a test
			continue
		}
		r.take(e)
	}
	return scanner.Err()
}

func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	t := r.tests[key]
	if t == nil {
		t = &test{pkg: e.Package, name: e.Test}
		r.tests[key] = t
	}
	t.elapsed = e.Elapsed
	t.ended = t.ended || e.Action == "pass" || e.Action == "fail" || e.Action == "skip"
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
		if e.Test == "" && isSummary(e.Output) {
			fmt.Fprint(r.out, e.Output)
			r.lines.WriteString(e.Output)
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed = true
	case "pass":
		if e.Test != "" && !strings.Contains(e.Test, "/") {
			r.passed = append(r.passed, t)
		}
	case "skip":
		if e.Test != "" { // a package without tests is "skipped", too
			r.skipped = append(r.skipped, t)
		}
	case "fail":
		r.failed = true
		if said := t.said(); said != "" {
			fmt.Fprintf(r.out, "\n%s %s\n%s", t.pkg, t.name, said)
		}
		if e.Test == "" {
			r.cutOff(e.Package)
		}
	}
}

// cutOff tells what the tests of a package said that had not ended when it did: a panic is among it.
func (r *report) cutOff(pkg string) {
	for _, t := range r.tests {
		if said := t.said(); t.pkg == pkg && t.name != "" && !t.ended && said != "" {
			fmt.Fprintf(r.out, "\n%s %s, which did not end\n%s", t.pkg, t.name, said)
		}
	}
}

// said is a test's output without the lines that go test writes for itself.
func (t *test) said() string {
	var said strings.Builder
	for line := range strings.Lines(t.output.String()) {
		own := strings.HasPrefix(strings.TrimSpace(line), "=== ")
		if t.name == "" {
			own = own || isSummary(line) || line == "FAIL\n" || line == "PASS\n"
		}
		if !own {
			said.WriteString(line)
		}
	}
	return said.String()
}

// isSummary tells the lines that go test prints about a package without -v.
func isSummary(line string) bool {
	for _, start := range []string{"ok  \t", "FAIL\t", "?   \t", "---", "panic:"} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return false
}

func (r *report) finish() {
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nskipped, %d:\n", len(r.skipped))
		for _, t := range r.skipped {
			fmt.Fprintf(r.out, "%s %s\n%s", t.pkg, t.name, t.said())
		}
	}
	slices.SortFunc(r.passed, func(a, b *test) int { return cmp.Compare(b.elapsed, a.elapsed) })
	fmt.Fprintf(r.out, "\n%d tests passed, %d skipped; the slowest:\n", len(r.passed), len(r.skipped))
	for _, t := range r.passed[:min(5, len(r.passed))] {
		fmt.Fprintf(r.out, "%7.1f s %s %s\n", t.elapsed, t.pkg, t.name)
	}
}
