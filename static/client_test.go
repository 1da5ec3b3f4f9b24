package static

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestClient runs the client's own tests, which are in JavaScript.
func TestClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing, and the browser client is tested with it: install nodejs (Debian: apt-get install nodejs)")
	}
	files, err := filepath.Glob("client*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("node --test %v: %v\n%s", files, err, out)
	}
}
