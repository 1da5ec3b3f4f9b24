package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachCallIsWorthOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		b := beginLogged(t, slog.New(slog.NewTextHandler(&said, nil)), newMemLog(), &memStore{})
		b.emit("dial 101 102", "bridge 101")
		pass(3 * time.Second)
		b.emit("hangup 101", "hangup", "hangup") // a leg, the call, and once more
		b.emit("c2: dial 102", "c2: hangup", "c3: hangup busy")
		b.stop()
		want := []string{
			`msg="call ended" account=acme call=office:c1 direction=inbound users="[u1 u2]" outcome=answered talk_seconds=3`,
			`msg="call ended" account=acme call=office:c2 direction=inbound users=[u2] outcome=missed talk_seconds=0`,
		}
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		if len(lines) != len(want) {
			t.Fatalf("the log says\n%s", &said)
		}
		for i, line := range lines {
			if !strings.Contains(line, want[i]) {
				t.Errorf("line %d: %s", i, line)
			}
		}
	})
}
