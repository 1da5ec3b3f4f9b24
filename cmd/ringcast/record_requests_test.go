package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/webhook"
)

// passageRig is a gateway, and a recorder in front of it.
type passageRig struct {
	t      *testing.T
	config string
	*recordingProgram
	url string
}

// openPassage records a PBX. The gateway has another port than its config says: the recorder's config knows it.
func openPassage(t *testing.T, yaml, pbx string, files func(dir string)) *passageRig {
	t.Helper()
	file := configFile(t, yaml)
	if files != nil {
		files(filepath.Dir(file))
	}
	gw := start(t, "serve", "-config", file)
	theirs := filepath.Join(filepath.Dir(file), "recorder.yaml")
	write(t, theirs, strings.Replace(yaml, "listen: 127.0.0.1:0", "listen: "+gw.node.web.addr().String(), 1))
	p := startRecording(t, "-config", theirs, "-account", "acme", "-pbx", pbx, "-listen", "127.0.0.1:0")
	at := regexp.MustCompile(`post to (http://[0-9.:]+)`)
	eventually(t, "an address", func() bool { return at.MatchString(p.stderr.String()) })
	return &passageRig{t: t, config: file, recordingProgram: p, url: at.FindStringSubmatch(p.stderr.String())[1]}
}

// send returns the status.
func (r *passageRig) send(method, path, body string, header ...string) int {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		r.t.Error(err)
	}
	return res.StatusCode
}

// ended ends the recording and returns it.
func (r *passageRig) ended() []byte {
	r.t.Helper()
	r.stop()
	data, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// TestRecorderIsSeenThrough: behind a proxy and with TLS, requests of a mapping that looks at address, header, query and
// path are taken as without the recorder, and replayed as they were.
func TestRecorderIsSeenThrough(t *testing.T) {
	t.Parallel()
	const mapped = `
      - id: cloud
        kind: webhook
        mapping:
          encoding: query
          addresses: [203.0.113.7]
          keys: [{in: $query.key, key: cloud-cloud-cloud-cloud}]
          fields: {call: $.id, direction: inbound, from: $.phone, extension: $.ext}
          rules:
            - {when: {$header.X-Kind: ring, $path: a/b}, event: call.dial}
            - {when: {$header.X-Kind: over}, event: call.hangup, extension: ""}
    users:`
	yaml := strings.Replace(twoAccounts+"tls: {cert: cert.pem, key: key.pem}\n", "pbx: [{id: main, kind: webhook, key: "+acmePBXKey+"}]\n    users:",
		"pbx:\n      - {id: main, kind: webhook, key: "+acmePBXKey+"}"+mapped, 1)
	r := openPassage(t, yaml, "cloud", func(dir string) { newCertificate(t, dir, 1) })
	const path, query = "/v1/accounts/acme/pbx/cloud/events", "?key=cloud-cloud-cloud-cloud&id=7&phone=89991112233&ext=101"
	const vendor = "203.0.113.7"
	for _, tt := range []struct {
		method, path, kind, from string
		status                   int
	}{
		{http.MethodGet, path + "/a/b" + query, "ring", vendor, 202},
		{http.MethodGet, path + "/a/b/" + query, "ring", "203.0.113.8", 401},
		{http.MethodGet, path + "/a/b/" + query, "ring", vendor + ", 203.0.113.8", 401},
		{http.MethodPost, path + query, "over", vendor, 202},
		{http.MethodPost, path + query, "nothing", vendor, 400},
		{http.MethodPost, "/v1/accounts/acme/events", "", vendor, 404},
		{http.MethodGet, "/admin/", "", vendor, 404},
		{http.MethodGet, "/client.js", "", vendor, 404},
	} {
		if got := r.send(tt.method, tt.path, "", "X-Kind", tt.kind, "X-Forwarded-For", tt.from); got != tt.status {
			t.Errorf("%+v: %d", tt, got)
		}
	}
	data := r.ended()
	if n := bytes.Count(data, []byte("\n")); n != 4 || bytes.Contains(data, []byte("cloud-cloud-cloud-cloud")) {
		t.Errorf("%d lines, or the key is in it:\n%s", n, data)
	}
	calls := replayed(t, "-in", r.file, "-config", r.config)
	if len(calls) != 1 || !calls[0].Call.Over() || calls[0].Users[anna].State != gateway.Ended || calls[0].Call.From.Raw != "89991112233" {
		t.Errorf("%+v", calls)
	}
	if code, _, stderr := ringcast(t, "replay", "-in", r.file); code != 1 || !strings.Contains(stderr, "-config is needed") {
		t.Errorf("%d %s", code, stderr)
	}
}

// TestRecorderIsNoOpenRelay: whatever host a request names, it goes to the gateway or nowhere.
func TestRecorderIsNoOpenRelay(t *testing.T) {
	t.Parallel()
	r := openPassage(t, twoAccounts, "main", nil)
	for line, want := range map[string]string{
		"GET http://203.0.113.9/ HTTP/1.1\r\nHost: 203.0.113.9":                                        "404",
		"CONNECT 203.0.113.9:443 HTTP/1.1\r\nHost: 203.0.113.9:443":                                    "404",
		"DELETE /v1/accounts/acme/events HTTP/1.1\r\nHost: x":                                          "405",
		"POST http://203.0.113.9/v1/accounts/acme/events HTTP/1.1\r\nHost: 203.0.113.9":                "401", // by the gateway
		"POST /v1/accounts/acme/../../../events HTTP/1.1\r\nHost: 203.0.113.9":                         "307",
		"POST /v1/accounts/acme/events/../../../admin/ HTTP/1.1\r\nHost: 203.0.113.9":                  "307",
		"POST /v1/accounts/acme/events%2f..%2f..%2fadmin HTTP/1.1\r\nHost: 203.0.113.9":                "404",
		"POST /v1/accounts/acme/events HTTP/1.1\r\nHost: 203.0.113.9\r\nX-Forwarded-Host: 203.0.113.9": "401",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, line+"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
			t.Error(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) {
			t.Errorf("%s: %v %.60q, want %s", line, err, answer, want)
		}
		_ = conn.Close()
	}
	if data := r.ended(); bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("recorded:\n%s", data)
	}
}

// TestRecorderKeepsWhatIsOfItsPBX: all PBXs of an account post to one URL, and none of them is cut off meanwhile.
func TestRecorderKeepsWhatIsOfItsPBX(t *testing.T) {
	t.Parallel()
	yaml := strings.Replace(twoAccounts, "{id: main, kind: webhook, key: "+acmePBXKey+"}", "{id: main, kind: webhook, key: "+acmePBXKey+"}, {id: other, kind: webhook, key: other-other-other-other}", 1)
	r := openPassage(t, yaml, "main", nil)
	for key, id := range map[string]string{acmePBXKey: "mine", "other-other-other-other": "theirs", "stranger": "nobodys"} {
		want := http.StatusAccepted
		if key == "stranger" {
			want = http.StatusUnauthorized
		}
		if got := r.send(http.MethodPost, "/v1/accounts/acme/events", inboundDial(id, `"101"`), "Authorization", "Bearer "+key); got != want {
			t.Errorf("%s: %d", id, got)
		}
	}
	// Bytes that are no text stay what they are.
	if got := r.send(http.MethodPost, "/v1/accounts/acme/events", "\xc8\xe2\xe0\xed", "Authorization", "Bearer "+acmePBXKey); got != http.StatusBadRequest {
		t.Error(got)
	}
	if got := r.send(http.MethodPost, "/v1/accounts/acme/events", strings.Repeat(" ", webhook.MaxBody+1), "Authorization", "Bearer "+acmePBXKey); got != http.StatusRequestEntityTooLarge {
		t.Error(got)
	}
	data := r.ended()
	if !bytes.Contains(data, []byte("mine")) || bytes.Contains(data, []byte("theirs")) || bytes.Contains(data, []byte("nobodys")) || bytes.Count(data, []byte("\n")) != 3 {
		t.Errorf("recorded:\n%s", data)
	}
	recording, err := readRecording(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var last recorded
	for m, err := recording.next(); err == nil; m, err = recording.next() {
		last = m
	}
	if string(last.content()) != "\xc8\xe2\xe0\xed" {
		t.Errorf("%+v", last)
	}
}
