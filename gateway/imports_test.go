package gateway_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// This file holds the house rules that a program can check: who may import whom, what a folder is called,
// how long a file gets. It reads the sources only, so it also works while a package does not build.

const module = "ringcast"

// libraries are what the packages of each room may import beside the standard library and each other; the
// name of a library stands for all its packages. Every room is listed but cmd and examples, which may
// import anything that is not for tests. An adapter has its own technology, and never another adapter.
var libraries = map[string][]string{
	"gateway":             {"github.com/nyaruka/phonenumbers"},
	"gateway/asterisk":    {"ringcast/gateway"},
	"gateway/phonet":      {"ringcast/gateway", "github.com/gorilla/websocket"},
	"gateway/webhook":     {"ringcast/gateway"},
	"gateway/natslog":     {"ringcast/gateway", "github.com/nats-io", "github.com/klauspost/compress/s2", "golang.org/x/sys"},
	"gateway/push":        {"ringcast/gateway", "github.com/olahol/melody", "github.com/gorilla/websocket", "github.com/golang-jwt/jwt/v5", "github.com/rs/cors", "golang.org/x/time"},
	"gateway/recordings":  {"ringcast/gateway", "github.com/minio/minio-go/v7"},
	"gateway/amocrm":      {"ringcast/gateway", "github.com/golang-jwt/jwt/v5", "golang.org/x/oauth2", "golang.org/x/time"},
	"gateway/bitrix24":    {"ringcast/gateway", "golang.org/x/oauth2", "golang.org/x/time"},
	"gateway/sandbox":     {"ringcast/gateway", "github.com/golang-jwt/jwt/v5", "github.com/gorilla/websocket"},
	"gateway/gatewaytest": {"ringcast/gateway"},
	"widget":              {"github.com/tdewolff/parse/v2"},
	"static":              {},
}

// testFolders are parts of the tests, which stand apart because several packages' tests use them.
var testFolders = []string{"gateway/gatewaytest", "static/browsertest", "widget/widgettest"}

// testLibraries have no place in the program, only in its tests and in testFolders.
var testLibraries = []string{
	"testing", "github.com/chromedp", "go.uber.org/goleak", "pgregory.net/rapid", "github.com/robertkrimen/otto",
	module + "/gateway/gatewaytest", module + "/static/browsertest", module + "/widget/widgettest",
}

// topLevel is all that may stand beside each other at the top of the repository.
var topLevel = []string{
	"cmd", "gateway", "widget", "static", "examples", "go.mod", "go.sum", "README.md",
	".ci", ".github", ".gitignore", ".golangci.yml", "LICENSE", "CHANGELOG.md", "Makefile",
}

// sharedNames say that code is shared, not what it is.
var sharedNames = []string{"common", "util", "utils", "helper", "helpers", "types", "misc", "shared", "lib", "base"}

const (
	maxLines   = 600 // of a file that is read as code
	maxMethods = 5   // of an interface
)

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	unlisted := map[string]bool{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		room := roomOf(f.dir)
		allowed, listed := libraries[room]
		if !listed && room != "cmd" && room != "examples" {
			unlisted[room] = true
		}
		for _, i := range f.imports() {
			switch {
			case isBelow(i.path, testLibraries):
				if !slices.Contains(testFolders, f.dir) {
					f.errorf(t, i.line, "imports %s, which only tests may", i.path)
				}
			case listed && !isStandard(i.path) && !isInRoom(i.path, room) && !isAllowed(i.path, allowed):
				f.errorf(t, i.line, "imports %s; beside the standard library it may import %q only", i.path, allowed)
			}
		}
	}
	for room := range unlisted {
		t.Errorf("%s has no entry in libraries: say what it may import", room)
	}
}

// TestAdaptersDoNotKnowEachOther keeps the table itself to the rule.
func TestAdaptersDoNotKnowEachOther(t *testing.T) {
	t.Parallel()
	for room, allowed := range libraries {
		for _, name := range allowed {
			if strings.HasPrefix(name, module+"/") && name != module+"/gateway" {
				t.Errorf("%s may import %s: adapters know package gateway, never each other", room, name)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, name := range []string{path.Base(f.dir), f.syntax.Name.Name} {
			if slices.Contains(sharedNames, strings.TrimSuffix(name, "_test")) {
				f.errorf(t, 1, "%q says that code is shared, not what it is", name)
			}
		}
	}
}

func TestEveryPackageHasADocComment(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{} // by what to say if it is not
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		name, start := f.syntax.Name.Name, "Package "+f.syntax.Name.Name+" "
		if name == "main" {
			start = "Command " + path.Base(f.dir) + " "
		}
		key := f.dir + ": no file has a package comment that begins with " + strconv.Quote(start)
		documented[key] = documented[key] || strings.HasPrefix(f.syntax.Doc.Text(), start)
	}
	for complaint, ok := range documented {
		if !ok {
			t.Error(complaint)
		}
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
				f.errorf(t, f.line(n), "an interface of %d methods, %d at most", i.Methods.NumFields(), maxMethods)
			}
			return true
		})
	}
}

func TestFilesAreShort(t *testing.T) {
	t.Parallel()
	for name, data := range textFiles(t) {
		if !slices.Contains([]string{".go", ".js", ".mjs", ".css", ".html"}, path.Ext(name)) || strings.Contains(name, "third_party/") {
			continue
		}
		if lines := bytes.Count(data, []byte("\n")); lines > maxLines {
			t.Errorf("%s: %d lines, %d at most", name, lines, maxLines)
		}
	}
}

func TestTopLevelIsTheHouse(t *testing.T) {
	t.Parallel()
	ignored, err := os.ReadFile("../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		local := regexp.MustCompile(`(?m)^/` + regexp.QuoteMeta(e.Name()) + `/?$`).Match(ignored)
		if e.Name() != ".git" && !local && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s has no place at the top level", e.Name())
		}
	}
	for _, name := range topLevel {
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name }) {
			t.Errorf("%s is missing at the top level", name)
		}
	}
}

// TestTestsWaitForWhatHappens refuses sleeps, which make tests slow when they pass and fail on a slow machine.
// Under testing/synctest they are how time passes.
func TestTestsWaitForWhatHappens(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		fake := slices.ContainsFunc(f.imports(), func(i imported) bool { return i.path == "testing/synctest" })
		if fake || (!f.test && f.dir != "gateway/gatewaytest") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isName(s.X, "time") && s.Sel.Name == "Sleep" {
				f.errorf(t, f.line(n), "time.Sleep: wait for a signal, or use testing/synctest")
			}
			return true
		})
	}
}

func TestSkipsGiveAReason(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			s, ok := call.Fun.(*ast.SelectorExpr)
			if ok && len(call.Args) == 0 && (s.Sel.Name == "SkipNow" || (s.Sel.Name == "Skip" && isName(s.X, "t", "b", "f", "tb"))) {
				f.errorf(t, f.line(n), "a skip without a reason")
			}
			return true
		})
	}
}

// TestNothingPointsOutside refuses mentions of what is not in the repository: folders beside it, and places
// that exist only on the machine it was written on.
func TestNothingPointsOutside(t *testing.T) {
	t.Parallel()
	outside := regexp.MustCompile(`\.\./shared\b|(?:^|[\s"'` + "`" + `=(:])/(?:home|Users|work|root)/[\w.]`)
	for name, data := range textFiles(t) {
		for i, line := range bytes.Split(data, []byte("\n")) {
			if found := outside.Find(line); found != nil && !strings.Contains(name, "third_party/") {
				t.Errorf("%s:%d: %q is not in this repository", name, i+1, bytes.TrimSpace(found))
			}
		}
	}
}

// goFile is a parsed source file of the repository.
type goFile struct {
	name, dir string // from the top, with slashes
	test      bool
	set       *token.FileSet
	syntax    *ast.File
}

func goFiles(t *testing.T) []*goFile {
	t.Helper()
	files, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// textFiles returns the repository's files by their names from the top, without binary ones.
func textFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var parseOnce = sync.OnceValues(func() ([]*goFile, error) {
	texts, err := readOnce()
	if err != nil {
		return nil, err
	}
	var files []*goFile
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") || strings.HasPrefix(name, ".") {
			continue
		}
		set := token.NewFileSet()
		syntax, err := parser.ParseFile(set, name, texts[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, &goFile{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), set, syntax})
	}
	return files, nil
})

var readOnce = sync.OnceValues(func() (map[string][]byte, error) {
	files := map[string][]byte{}
	return files, filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", "node_modules", "ringcast-data", "__pycache__"}, d.Name()) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(name)
		if err == nil && !bytes.ContainsRune(data, 0) {
			files[strings.TrimPrefix(filepath.ToSlash(name), "../")] = data
		}
		return err
	})
})

func (f *goFile) line(n ast.Node) int { return f.set.Position(n.Pos()).Line }

func (f *goFile) errorf(t *testing.T, line int, format string, args ...any) {
	t.Helper()
	t.Errorf("%s:%d: "+format, append([]any{f.name, line}, args...)...)
}

type imported struct {
	path string
	line int
}

func (f *goFile) imports() []imported {
	list := make([]imported, 0, len(f.syntax.Imports))
	for _, spec := range f.syntax.Imports {
		if name, err := strconv.Unquote(spec.Path.Value); err == nil {
			list = append(list, imported{name, f.line(spec)})
		}
	}
	return list
}

// isStandard tells the standard library from the rest: its first element has no dot, and is not this module.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".") && first != module
}

// roomOf returns the folder that a rule is about: an adapter with what lies below it, else the top folder.
func roomOf(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	if parts[0] == "gateway" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func isInRoom(name, room string) bool {
	dir, ours := strings.CutPrefix(name, module+"/")
	return ours && roomOf(dir) == room
}

// isAllowed takes packages of this module by their exact name, and libraries with all their packages.
func isAllowed(name string, allowed []string) bool {
	if strings.HasPrefix(name, module+"/") {
		return slices.Contains(allowed, name)
	}
	return isBelow(name, allowed)
}

func isBelow(name string, tops []string) bool {
	return slices.ContainsFunc(tops, func(top string) bool {
		return name == top || strings.HasPrefix(name, top+"/")
	})
}

func isName(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}
