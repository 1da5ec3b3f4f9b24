package recordings

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// webRig is a rig whose recordings are below /rec/ of a web server, which lets in who has the password.
func webRig(t *testing.T, handler http.HandlerFunc) *rig {
	t.Helper()
	return stallRig(t, 0, handler)
}

// stallRig has a web server that may be silent for so long; 0: as long as by default.
func stallRig(t *testing.T, stall time.Duration, handler http.HandlerFunc) *rig {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ringcast" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return newRig(t, func(r *rig) {
		r.from(r.web(WebConfig{URL: server.URL + "/rec/", User: "ringcast", Password: "secret", Stall: stall}))
	})
}

func (r *rig) web(cfg WebConfig) Source {
	r.Helper()
	s, err := Web(cfg)
	if err != nil {
		r.Fatal(err)
	}
	if w, ok := s.(*web); ok {
		r.Cleanup(w.client.CloseIdleConnections)
	}
	return s
}

func TestARecordingOnAWebServer(t *testing.T) {
	t.Parallel()
	data := tone(10_000)
	r := webRig(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/rec/2026/in%20%2B79%3F.wav" || r.Method != http.MethodGet {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/html") // it is what its name says
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Unix(1763760000, 0), bytes.NewReader(data))
	})
	link := r.link("file:/spool/2026/in +79?.wav")
	res := r.get(link)
	if got := r.body(res, http.StatusOK); got != string(data) || res.Header.Get("Content-Type") != "audio/wav" || res.Header.Get("Set-Cookie") != "" || res.Header.Get("Content-Length") != "10000" {
		t.Errorf("%d bytes, %v", len(got), res.Header)
	}
	res = r.get(link, "Range", "bytes=9000-9009")
	if got := r.body(res, http.StatusPartialContent); got != string(data[9000:9010]) || res.Header.Get("Content-Range") != "bytes 9000-9009/10000" {
		t.Errorf("%q, %v", got, res.Header)
	}
	if res = r.get(link, "Range", "bytes=10000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable || res.Header.Get("Content-Range") != "bytes */10000" {
		t.Errorf("%s, %v", res.Status, res.Header)
	}
	res = r.ask(http.MethodHead, link)
	if got := r.body(res, http.StatusOK); got != "" || res.Header.Get("Content-Length") != "10000" || res.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("HEAD: %q, %v", got, res.Header)
	}
	r.body(r.get(link, "If-None-Match", `"1"`), http.StatusNotModified)
	r.refused(r.get(r.link("file:/spool/b.wav")), http.StatusNotFound, "the recording is gone")
}

// TestAWebServerWithoutRanges: winding forward works all the same.
func TestAWebServerWithoutRanges(t *testing.T) {
	t.Parallel()
	data := tone(100_000)
	r := webRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data)
	})
	link := r.link("file:/spool/a.mp3")
	for asked, want := range map[string][]byte{"bytes=0-": data, "bytes=99000-": data[99000:], "bytes=-5": data[99995:], "bytes=10-19": data[10:20]} {
		res := r.get(link, "Range", asked)
		if got := r.body(res, http.StatusPartialContent); got != string(want) {
			t.Errorf("%s: %d bytes, %v", asked, len(got), res.Header)
		}
	}
	if res := r.get(link, "Range", "bytes=100000-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable || res.Header.Get("Content-Range") != "bytes */100000" {
		t.Errorf("%s, %v", res.Status, res.Header)
	}
	if got := r.body(r.get(link, "Range", "bytes=5-9", "If-Range", `"old"`), http.StatusOK); got != string(data) {
		t.Errorf("of another version: %d bytes", len(got))
	}
}

// TestUpstreamRedirect: the server of the recordings cannot send us elsewhere, with its password or without.
func TestUpstreamRedirect(t *testing.T) {
	t.Parallel()
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer inside.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		r := webRig(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inside.URL+"/secret.wav", status) })
		res := r.get(r.link("file:/spool/a.wav"))
		r.later(res, "the recording cannot be fetched now")
		if strings.Contains(r.log.String(), "secret:") || !strings.Contains(r.log.String(), fmt.Sprint(status)) {
			t.Errorf("the log says:\n%s", r.log)
		}
	}
}

func TestAWebServerThatIsWrong(t *testing.T) {
	t.Parallel()
	for what, handler := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"is down": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"packs":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
		"sends a part of its own": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-1/2")
			w.WriteHeader(http.StatusPartialContent)
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		r := webRig(t, handler)
		t.Log(what)
		r.later(r.get(r.link("file:/spool/a.wav")), "the recording cannot be fetched now")
		if !strings.Contains(r.log.String(), "level=WARN") {
			t.Errorf("the operator is not told:\n%s", r.log)
		}
	}
}

// TestAWebServerThatStops: the player is not left to believe that this was all.
func TestAWebServerThatStops(t *testing.T) {
	t.Parallel()
	for what, stop := range map[string]func(r *http.Request){
		"breaks off": func(*http.Request) { panic(http.ErrAbortHandler) },
		"stalls":     func(r *http.Request) { <-r.Context().Done() },
	} {
		r := stallRig(t, 100*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(tone(500))
			_ = http.NewResponseController(w).Flush()
			stop(r)
		})
		front := httptest.NewServer(r)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, front.URL+r.link("file:/spool/a.wav"), nil)
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		res, err := front.Client().Do(req)
		if err == nil { // else it broke off before anything was sent
			data, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
		}
		if err == nil || len(data) > 500 {
			t.Errorf("one that %s: %d bytes, %v", what, len(data), err)
		}
		front.Close()
	}
}

// TestClosingEndsWhatIsPlayed: a node that leaves does not wait for a player that reads nothing for a while.
func TestClosingEndsWhatIsPlayed(t *testing.T) {
	t.Parallel()
	r := webRig(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	defer func() {
		if recover() == nil {
			t.Error("the answer looks whole")
		}
	}()
	r.ServeHTTP(&untilBegun{httptest.NewRecorder(), r.Close}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, r.link("file:/spool/a.wav"), nil))
}

// untilBegun is a player to whom something happens once his answer has begun.
type untilBegun struct {
	*httptest.ResponseRecorder

	happens func()
}

func (u *untilBegun) WriteHeader(status int) {
	u.ResponseRecorder.WriteHeader(status)
	u.happens()
}

func TestCheckOfAWebServer(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/rec/" {
			t.Errorf("%q asks for %s", r.Header.Get("Authorization"), r.URL)
		}
		w.WriteHeader(status)
	}))
	r := newRig(t)
	s := r.web(WebConfig{URL: server.URL + "/rec", Token: "t"})
	for _, c := range []struct {
		status, notes int
		says          string
	}{{200, 0, ""}, {404, 1, ""}, {403, 1, ""}, {401, 0, "does not take the user"}, {502, 0, "502"}, {302, 0, "not followed"}} {
		status = c.status
		notes, err := s.Check(t.Context())
		if said := fmt.Sprint(err); len(notes) != c.notes || (err != nil) != (c.says != "") || !strings.Contains(said, c.says) {
			t.Errorf("%d: %q, %v", c.status, notes, err)
		}
	}
	server.Close()
	if _, err := s.Check(t.Context()); err == nil {
		t.Error("it is found though it is not there")
	}
	for _, bad := range []string{"", "/rec", "https://a/?b", "https://a/#b", "%"} {
		if _, err := Web(WebConfig{URL: bad}); err == nil {
			t.Errorf("%q is a web server", bad)
		}
	}
}
