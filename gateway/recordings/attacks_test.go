package recordings

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAGuessedLink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(10))
	good := r.link("file:/spool/a.wav")
	signed := strings.Split(strings.TrimPrefix(good, Path), "/")[0]
	data, err := base64.RawURLEncoding.DecodeString(signed)
	if err != nil {
		t.Fatal(err)
	}
	links := []string{
		Path, Path + "a", Path + "a.wav", Path + strings.Repeat("A", 200) + "/recording.wav", Path + strings.Repeat("A", 100_000) + "/recording.wav",
		good + "/", good + "x", strings.TrimSuffix(good, ".wav"), strings.TrimSuffix(good, "wav") + "html", Path + signed, Path + signed + "=/recording.wav",
		Path + signed + "\n/recording.wav", Path + "x/" + signed + "/recording.wav",
	}
	for i := range data { // each byte counts
		forged := append([]byte{}, data...)
		forged[i] ^= 1
		links = append(links, Path+base64.RawURLEncoding.EncodeToString(forged)+"/recording.wav")
	}
	for _, link := range links {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.URL.Path = link
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		r.refused(w.Result(), http.StatusNotFound, "there is no such recording")
	}
	r.body(r.get(good), http.StatusOK)
}

func TestALinkOfAnotherKey(t *testing.T) {
	t.Parallel()
	theirs := newRig(t, func(r *rig) { r.cfg.Keys = [][]byte{[]byte(otherKey)} })
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(10))
	r.refused(r.get(theirs.link("file:/spool/a.wav")), http.StatusNotFound, "there is no such recording")
}

// TestAKeyIsNoKeyOfSomethingElse: what is signed with the key itself, as session tokens are, is no link.
func TestAKeyIsNoKeyOfSomethingElse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l := link{account: "acme", call: "office:1", name: "a.wav", started: r.ended}
	r.refused(r.get(Path+l.sign([]byte(key))+"/recording.wav"), http.StatusNotFound, "there is no such recording")
}

func TestKeysAreChanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(10))
	before := r.link("file:/spool/a.wav")
	keys := func(keys ...string) *Server {
		cfg := r.cfg
		cfg.Keys = nil
		for _, k := range keys {
			cfg.Keys = append(cfg.Keys, []byte(k))
		}
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	r.Server = keys(otherKey, key)
	after := r.link("file:/spool/a.wav")
	if after == before {
		t.Error("links are still signed with the old key")
	}
	r.body(r.get(before), http.StatusOK)
	r.body(r.get(after), http.StatusOK)
	r.Server = keys(otherKey)
	r.refused(r.get(before), http.StatusNotFound, "there is no such recording")
	r.body(r.get(after), http.StatusOK)
	for _, bad := range [][][]byte{nil, {[]byte("short")}} {
		if _, err := New(Config{Keys: bad}); err == nil {
			t.Errorf("keys %q are taken", bad)
		}
	}
}

// TestAnExpiredLink: the account may shorten the life of links that were given out, and lengthen it again.
func TestAnExpiredLink(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(10))
	link := r.link("file:/spool/a.wav")
	last := func(d time.Duration) {
		acme := r.cfg.Accounts["acme"]
		acme.Lasts = d
		r.cfg.Accounts["acme"] = acme
	}
	last(time.Hour) // the call began 61 minutes ago
	r.refused(r.get(link), http.StatusForbidden, "this link has expired")
	last(2 * time.Hour)
	r.body(r.get(link), http.StatusOK)
	last(0)
	r.body(r.get(link), http.StatusOK)
}

// TestAnotherAccountsRecording: a link opens what its own account has under that name.
func TestAnotherAccountsRecording(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", []byte("of acme"))
	r.record(r.other, "a.wav", []byte("of globex"))
	r.record(r.other, "b.wav", []byte("of globex alone"))
	if got := r.body(r.get(r.link("file:/spool/a.wav")), http.StatusOK); got != "of acme" {
		t.Errorf("%q", got)
	}
	c := r.call("file:/spool/a.wav")
	c.Account = "globex"
	if got := r.body(r.get(strings.TrimPrefix(r.Link(c), publicURL)), http.StatusOK); got != "of globex" {
		t.Errorf("%q", got)
	}
	r.refused(r.get(r.link("file:/spool/b.wav")), http.StatusNotFound, "the recording is gone")
	link := r.link("file:/spool/a.wav")
	delete(r.cfg.Accounts, "acme")
	r.refused(r.get(link), http.StatusNotFound, "not handed out any more")
}

// TestPathEscape signs what Link would not, to see that the folder is not left in any case.
func TestPathEscape(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(filepath.Dir(r.folder), "secret.wav", []byte("secret"))
	for _, name := range []string{"../secret.wav", "a/../../secret.wav", "/etc/passwd", "", ".", "..", "./a.wav", "a//b", `..\secret.wav`, "a\x00b", "\xff.wav"} {
		l := link{account: "acme", call: "office:1", name: name, started: r.ended}
		r.refused(r.get(Path+l.sign(r.keys[0])+"/"+l.shown()), http.StatusNotFound, "there is no such recording")
		if isName(name) {
			t.Errorf("%q is taken for a name", name)
		}
		if rec, err := Folder(r.folder, time.Now).Open(t.Context(), name, nil); err == nil {
			t.Errorf("%q: %+v", name, rec)
		}
	}
}

func TestSymlinkOutOfTheFolder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	outside := t.TempDir()
	r.record(outside, "secret.wav", []byte("secret"))
	r.record(r.folder, "real.wav", []byte("a recording"))
	for name, to := range map[string]string{
		"file.wav": filepath.Join(outside, "secret.wav"), "dir": outside, "within.wav": "real.wav", "proc": "/proc/self",
		"relative.wav": "../" + filepath.Base(outside) + "/secret.wav", "round.wav": "round.wav",
	} {
		if err := os.Symlink(to, filepath.Join(r.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"file.wav", "dir/secret.wav", "proc/environ", "relative.wav"} {
		r.refused(r.get(r.link("file:/spool/"+name)), http.StatusNotFound, "there is no such recording")
	}
	if res := r.get(r.link("file:/spool/round.wav")); res.StatusCode < 400 {
		t.Errorf("a link in a circle: %s", res.Status)
	}
	if got := r.body(r.get(r.link("file:/spool/within.wav")), http.StatusOK); got != "a recording" {
		t.Errorf("a link within the folder: %q", got)
	}
}

// TestWhatIsNoFile: a pipe would hold whoever opens it, a folder would be listed.
func TestWhatIsNoFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := syscall.Mkfifo(filepath.Join(r.folder, "pipe.wav"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.folder, "dir.wav"), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pipe.wav", "dir.wav"} {
		r.refused(r.get(r.link("file:/spool/"+name)), http.StatusNotFound, "there is no such recording")
	}
}

// TestTheLogOpensNothing: whoever reads the log gets no link from it.
func TestTheLogOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	link := r.link("file:/spool/gone.wav")
	r.refused(r.get(link), http.StatusNotFound, "the recording is gone: the telephone system does not have it any more")
	if said := r.log.String(); !strings.Contains(said, "call=office:1700.1") || strings.Contains(said, link[len(Path):len(Path)+20]) {
		t.Errorf("the log says:\n%s", said)
	}
}

func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.cfg.Streams, r.cfg.AccountStreams = 3, 2 })
	r.record(r.folder, "a.wav", tone(10))
	link := r.link("file:/spool/a.wav")
	for range 2 {
		if !r.begin("acme") {
			t.Fatal("two are too many")
		}
	}
	res := r.get(link)
	r.refused(res, http.StatusTooManyRequests, "too many recordings")
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if !r.begin("globex") {
		t.Error("one account's streams keep another's out")
	}
	r.end("acme")
	r.body(r.get(link), http.StatusOK)
	if !r.begin("x") || r.begin("y") {
		t.Error("the limit of all is not three")
	}
}

// TestASlowReader: who asks and does not read is cut off, and his place is free again.
func TestASlowReader(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(r *rig) { r.cfg.Stall = 50 * time.Millisecond })
	r.record(r.folder, "a.wav", make([]byte, 32<<20)) // more than the network takes by itself
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(done)
		r.ServeHTTP(w, req)
	}))
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET " + r.link("file:/spool/a.wav") + " HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("he is not cut off")
	}
	if len(r.streams) != 1 || r.streams[""] != 0 {
		t.Errorf("his place is still taken: %v", r.streams)
	}
}

// FuzzLink: whatever stands in a URL is refused, unless it is what was signed, letter for letter.
func FuzzLink(f *testing.F) {
	keys, err := deriveKeys([][]byte{[]byte(key), []byte(otherKey)})
	if err != nil {
		f.Fatal(err)
	}
	whole := link{account: "acme", call: "office:1700.1", name: "2026/a.wav", started: time.Unix(1763760000, 0)}
	for _, l := range []link{whole, {started: time.Unix(0, 0)}, {account: "a", call: "b", name: "..", started: time.Unix(1, 0)}} {
		f.Add(l.sign(keys[0]), []byte{1, 2})
		f.Add(l.sign(keys[1])+"A", []byte{linkFormat, 0, 0, 0, 0})
	}
	f.Add("", []byte{linkFormat, 1, 1, 'a', 1, 'b', 1, 'c'})
	f.Add("%", []byte{linkFormat, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		if l, err := parseLink(text, keys); err == nil && l.sign(keys[0]) != text && l.sign(keys[1]) != text {
			t.Errorf("%q is taken for %+v", text, l)
		}
		if len(data) == 0 {
			return
		}
		// What is signed is read with as much care, whoever has the key.
		text = base64.RawURLEncoding.EncodeToString(append(data, mac(keys[0], data)...))
		if l, err := parseLink(text, keys); err == nil && (!isName(l.name) || strings.Contains(l.name, "..") && strings.Contains("/"+l.name+"/", "/../")) {
			t.Errorf("a name that is none: %q", l.name)
		}
	})
}
