package recordings

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringcast/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	publicURL = "https://calls.example.com"
	key       = "a key for the tests, of 32 bytes, and more"
	otherKey  = "another key for the tests, of 32 bytes, and more"
)

// rig is a server of recordings, and what its telephone systems have: acme's office has a folder of this machine, which
// the PBX calls /spool, and globex' office another.
type rig struct {
	*testing.T
	*Server
	cfg    Config
	folder string // acme's
	other  string // globex'
	log    *bytes.Buffer
	calls  map[string]*gateway.Call
	ended  time.Time // the calls did, long enough ago
}

func newRig(t *testing.T, change ...func(*rig)) *rig {
	t.Helper()
	r := &rig{T: t, folder: t.TempDir(), other: t.TempDir(), log: &bytes.Buffer{}, calls: map[string]*gateway.Call{}}
	r.ended = time.Now().Add(-time.Hour)
	r.cfg = Config{
		PublicURL: publicURL, Keys: [][]byte{[]byte(key)}, Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Call:   func(account, id string) (*gateway.Call, bool) { c, ok := r.calls[account+"/"+id]; return c, ok },
		Accounts: map[string]Account{
			"acme":   {PBX: map[string]PBX{"office": {From: []string{"file:/spool", "https://pbx.example.com/rec/"}, Source: Folder(r.folder, time.Now)}}},
			"globex": {PBX: map[string]PBX{"office": {From: []string{"file:/spool"}, Source: Folder(r.other, time.Now)}}},
		},
	}
	for _, c := range change {
		c(r)
	}
	var err error
	if r.Server, err = New(r.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// from has acme's recordings come from a source.
func (r *rig) from(s Source) {
	r.cfg.Accounts["acme"] = Account{PBX: map[string]PBX{"office": {From: []string{"file:/spool"}, Source: s}}}
}

// call is one of acme's that has been over for an hour.
func (r *rig) call(recording string) *gateway.Call {
	return &gateway.Call{Account: "acme", ID: "office:1700.1", Known: gateway.Known{
		StartedAt: r.ended.Add(-time.Minute), EndedAt: r.ended, Recording: recording,
	}}
}

// link returns the path of a recording's link.
func (r *rig) link(recording string) string {
	r.Helper()
	url, ok := strings.CutPrefix(r.Link(r.call(recording)), publicURL)
	if !ok {
		r.Fatalf("no link for %q", recording)
	}
	return url
}

// record writes a file that nobody has written to for a while.
func (r *rig) record(dir, name string, data []byte) {
	r.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		r.Fatal(err)
	}
	if err := os.Chtimes(file, r.ended, r.ended); err != nil {
		r.Fatal(err)
	}
}

// get asks for a path. header holds name, value, name, value and so on.
func (r *rig) get(path string, header ...string) *http.Response {
	return r.ask(http.MethodGet, path, header...)
}

func (r *rig) ask(method, path string, header ...string) *http.Response {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Result()
}

// body reads an answer that has to have a status.
func (r *rig) body(res *http.Response, status int) string {
	r.Helper()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatal(err)
	}
	if res.StatusCode != status {
		r.Fatalf("%s %s, want %d; log:\n%s", res.Status, data, status, r.log)
	}
	return string(data)
}

// refused checks that an answer is a problem that says so, and nothing of the file.
func (r *rig) refused(res *http.Response, status int, says string) {
	r.Helper()
	if body := r.body(res, status); !strings.Contains(body, says) || res.Header.Get("Content-Type") != "application/problem+json" {
		r.Errorf("%s, want a problem that says %q", body, says)
	}
	if got := res.Header.Get("Content-Disposition") + res.Header.Get("Accept-Ranges"); got != "" {
		r.Errorf("it looks like a recording: %q", got)
	}
}

// tone is what a recording may hold: bytes that tell where they are.
func tone(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return data
}

func TestARecordingIsPlayed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := tone(100_000)
	r.record(r.folder, "2026/11/in +79.mp3", data)
	for _, recording := range []string{"file:/spool/2026/11/in +79.mp3", "https://pbx.example.com/rec/2026/11/in%20+79.mp3"} {
		link := r.link(recording)
		if !strings.HasSuffix(link, "/recording.mp3") {
			t.Errorf("a player that goes by the name cannot tell what it is: %s", link)
		}
		res := r.get(link)
		if got := r.body(res, http.StatusOK); got != string(data) {
			t.Errorf("%d bytes, and not those of the file", len(got))
		}
		for name, want := range map[string]string{
			"Content-Type": "audio/mpeg", "Content-Length": "100000", "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
			"Content-Disposition": `inline; filename="in +79.mp3"`, "Content-Security-Policy": "default-src 'none'; sandbox",
			"Cache-Control": "private, no-cache", "Cross-Origin-Resource-Policy": "cross-origin", "Referrer-Policy": "no-referrer",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		again := r.get(link, "If-None-Match", res.Header.Get("ETag"))
		r.body(again, http.StatusNotModified)
		head := r.ask(http.MethodHead, link)
		if body := r.body(head, http.StatusOK); body != "" || head.Header.Get("Content-Length") != "100000" {
			t.Errorf("HEAD: %d bytes, Content-Length %q", len(body), head.Header.Get("Content-Length"))
		}
	}
}

func TestPartsOfARecording(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := string(tone(10_000))
	r.record(r.folder, "a.wav", []byte(data))
	link := r.link("file:/spool/a.wav")
	for asked, want := range map[string]string{
		"bytes=0-": data, "bytes=0-0": data[:1], "bytes=9000-": data[9000:], "bytes=-10": data[9990:],
		"bytes=5000-99999": data[5000:], "bytes=-99999": data,
	} {
		res := r.get(link, "Range", asked)
		if got := r.body(res, http.StatusPartialContent); got != want || res.Header.Get("Content-Range") == "" {
			t.Errorf("%s: %d bytes, Content-Range %q", asked, len(got), res.Header.Get("Content-Range"))
		}
	}
	if res := r.get(link, "Range", "bytes=10000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable || res.Header.Get("Content-Range") != "bytes */10000" {
		t.Errorf("%s, Content-Range %q", res.Status, res.Header.Get("Content-Range"))
	}
}

// TestHostileRanges: what asks for a thousand pieces, or the same one over and over, gets the file once.
func TestHostileRanges(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(1000))
	link := r.link("file:/spool/a.wav")
	for _, asked := range []string{
		"bytes=" + strings.TrimSuffix(strings.Repeat("0-,", 1000), ","), "bytes=0-1,3-4", "bytes=-", "bytes=--1", "bytes=1-0x9",
		"bytes=99999999999999999999-", "bytes= 0-1", "items=0-1", "bytes=0-1\r\nX: y", "bytes",
	} {
		res := r.get(link, "Range", asked)
		if got := r.body(res, http.StatusOK); len(got) != 1000 {
			t.Errorf("%.40q: %d bytes", asked, len(got))
		}
	}
	res := r.get(link, "Range", "bytes=0-1", "Range", "bytes=3-4")
	if got := r.body(res, http.StatusOK); len(got) != 1000 {
		t.Errorf("two headers: %d bytes", len(got))
	}
}

func TestAFileIsWhatItsNameSays(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for name, want := range map[string]string{
		"a.mp3": "audio/mpeg", "a.WAV": "audio/wav", "a.ogg": "audio/ogg", "a.opus": "audio/ogg", "a.m4a": "audio/mp4", "a.gsm": "audio/gsm",
		"a.html": "application/octet-stream", "a.svg": "application/octet-stream", "a": "application/octet-stream", "a.wav.html": "application/octet-stream",
	} {
		r.record(r.folder, name, []byte("<html><script>alert(1)</script>"))
		res := r.get(r.link("file:/spool/" + name))
		r.body(res, http.StatusOK)
		if got := res.Header.Get("Content-Type"); got != want || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestANameCannotBreakTheHeader(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.wav":                   `inline; filename=a.wav`,
		`x"; filename=evil.exe`:   `inline; filename="x_; filename=evil.exe"`,
		"a\r\nSet-Cookie: b.wav":  `inline; filename="a__Set-Cookie_ b.wav"`,
		"звонок.wav":              `inline; filename*=utf-8''%D0%B7%D0%B2%D0%BE%D0%BD%D0%BE%D0%BA.wav`,
		"..wav":                   `inline; filename=wav`,
		"gnp\u202e3pm.exe":        `inline; filename=gnp_3pm.exe`,
		strings.Repeat("a", 500):  `inline; filename=` + strings.Repeat("a", 100),
		"dir/../..\\windows\\a.x": `inline; filename=_windows_a.x`,
	} {
		if got := disposition(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestCallsWithoutALink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for what, recording := range map[string]string{
		"none": "", "elsewhere at the PBX": "file:/etc/passwd", "beside it": "file:/spooled/a.wav", "the folder": "file:/spool", "it again": "file:/spool/",
		"dots": "file:/spool/../etc/passwd", "dots behind": "file:/spool/a/..", "a backslash": `file:/spool/..\..\a`, "a line": "file:/spool/a\nb",
		"another server": "https://evil.example.com/rec/a.wav", "a query": "https://pbx.example.com/rec/a.wav?b",
		"dots that are hidden": "https://pbx.example.com/rec/%2e%2e/a.wav", "a zero": "https://pbx.example.com/rec/a%00.wav",
	} {
		if got := r.Link(r.call(recording)); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
	c := r.call("file:/spool/a.wav")
	c.ID = "home:1"
	if got := r.Link(c); got != "" {
		t.Errorf("of a PBX that hands out none: %s", got)
	}
	c = r.call("file:/spool/a.wav")
	c.StartedAt = time.Time{}
	if got := r.Link(c); got != "" {
		t.Errorf("of a call that has not begun: %s", got)
	}
}
