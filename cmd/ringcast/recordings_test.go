package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
	"ringcast/static/browsertest"
)

// wav is a recording of so many seconds: a tone as telephones hear it.
func wav(seconds int) []byte {
	const rate = 8000
	sound := seconds * rate * 2
	data := make([]byte, 0, 44+sound)
	data = append(data, "RIFF"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(36+sound))
	data = append(data, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	data = binary.LittleEndian.AppendUint32(data, rate)
	data = binary.LittleEndian.AppendUint32(data, rate*2)
	data = append(data, "\x02\x00\x10\x00data"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(sound))
	for i := range sound / 2 {
		data = binary.LittleEndian.AppendUint16(data, uint16(i%20*800))
	}
	return data
}

// keepRecording puts a recording into a folder, as one that was finished a while ago.
func keepRecording(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
}

// withRecordings is a config whose PBX has recordings in a folder, and calls that place https://pbx.example.com/rec/.
func withRecordings(folder, origin, account string) string {
	return `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: ["` + goodOrigin + `", "` + origin + `"]
accounts:
  - id: acme
    region: RU
    backend_key: ` + acmeBackendKey + `
    recordings: {wait: 0s, ` + account + `}
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `, recordings: {folder: "` + folder + `", from: https://pbx.example.com/rec/}}]
    users: [{id: "88888", name: Anna, extensions: ["101"]}]
`
}

// recorded makes a call of Anna's with a recording, and returns what her tab is told of that.
func (p *program) recorded(call, recording string) gateway.View {
	p.t.Helper()
	anna := p.open(tokenOf(p.t, "acme", "88888"), "", nil)
	p.emit(inboundDial(call, `"101"`), event("bridge", call, `"extension":"101"`), event("hangup", call, `"cause":"normal"`),
		event("recording", call, fmt.Sprintf(`"recording":%q`, recording)))
	for {
		if v := anna.next().view(p.t); v.Recording != nil {
			return v
		}
	}
}

func TestRecordingsAreHandedOut(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	keepRecording(t, folder, "in-1.wav", wav(1))
	p := start(t, "serve", "-config", configFile(t, withRecordings(folder, goodOrigin, "links_last: 1h")))
	token := tokenOf(t, "acme", "88888")
	before := p.poll(token, "").Cursor
	link := *p.recorded("1", "https://pbx.example.com/rec/in-1.wav").Recording
	if !strings.HasPrefix(link, p.web+"/v1/recordings/") || !strings.HasSuffix(link, "/recording.wav") {
		t.Fatalf("the tab gets %s", link)
	}
	for _, m := range p.poll(token, before).Messages { // made again of what is remembered
		if v := m.view(t); v.Recording != nil && *v.Recording != link {
			t.Errorf("who comes back gets %s", *v.Recording)
		}
	}
	got := p.request(http.MethodGet, link, "", "Range", "bytes=44-47", "Origin", goodOrigin)
	if got.status != http.StatusPartialContent || len(got.body) != 4 || got.header.Get("Content-Type") != "audio/wav" ||
		got.header.Get("Access-Control-Allow-Origin") != goodOrigin || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "Content-Range") {
		t.Errorf("%d, %d bytes, %v", got.status, len(got.body), got.header)
	}
	if got = p.request(http.MethodHead, link, ""); got.status != http.StatusOK || got.header.Get("Content-Length") != fmt.Sprint(len(wav(1))) {
		t.Errorf("HEAD: %d, %v", got.status, got.header)
	}
	if got = p.request(http.MethodGet, link, "", "Origin", "https://evil.example.com"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("pages of others may read it: %v", got.header)
	}
	if got = p.request(http.MethodOptions, link, "", "Origin", goodOrigin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "range"); got.header.Get("Access-Control-Allow-Headers") != "range" {
		t.Errorf("preflight: %d, %v", got.status, got.header)
	}
	p.request(http.MethodGet, p.web+"/v1/recordings/AAAA/recording.wav", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)
	p.request(http.MethodGet, p.web+"/v1/recordings/", "").refused(t, http.StatusNotFound, gateway.CodeNotFound)

	other := "https://elsewhere.example.com/2.mp3"
	if got := *p.recorded("2", other).Recording; got != other {
		t.Errorf("what is elsewhere is at %s", got)
	}
	late := *p.recorded("3", "https://pbx.example.com/rec/in-3.wav").Recording
	p.request(http.MethodGet, late, "").refused(t, http.StatusServiceUnavailable, gateway.CodeNotReady)
	keepRecording(t, folder, "in-3.wav", wav(1))
	if got := p.request(http.MethodGet, late, ""); got.status != http.StatusOK {
		t.Errorf("when it has come: %d %s", got.status, got.body)
	}
	if said := p.stderr.String(); strings.Contains(said, strings.Split(link, "/")[5]) {
		t.Errorf("the log has the link:\n%s", said)
	}
}

func TestCheckLooksForRecordings(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]string{t.TempDir(): `ok    account acme, pbx main: recordings in the folder .*\n  note: it is empty`, "/nonexistent": `FAIL  account acme, pbx main: recordings in the folder /nonexistent: .*no such`} {
		_, stdout, _ := ringcast(t, "check", "-config", configFile(t, withRecordings(folder, goodOrigin, "")))
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("want %s:\n%s", want, stdout)
		}
	}
}

// TestSampleShowsEveryWayOfRecordings holds that among them the PBXs of the sample show every key of recordings.
func TestSampleShowsEveryWayOfRecordings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	newCertificate(t, dir, 1)
	full, err := parseConfig(filepath.Join(dir, "ringcast.yaml"), regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAll(data, []byte("$1$2")),
		func(name string) (string, bool) { return strings.Repeat(name, 32), true },
		func(string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, "cert.pem")) })
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{"Token": true} // in words, beside the password
	for _, pbx := range full.Accounts[0].PBX {
		if pbx.Recordings == nil {
			continue
		}
		v := reflect.ValueOf(*pbx.Recordings)
		for i := range v.NumField() {
			shown[v.Type().Field(i).Name] = shown[v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
		if pbx.Recordings.S3 != nil {
			assertAllSet(t, ".S3", reflect.ValueOf(*pbx.Recordings.S3))
		}
	}
	for name, ok := range shown {
		if !ok {
			t.Errorf("the sample does not show %s", name)
		}
	}
}

// miserly is a network on which no answer has more than some MB: a player gets no further than that without asking for
// the part that it wants.
type miserly struct {
	io.ReadCloser
	left int
	ctx  context.Context
}

func (m *miserly) Read(data []byte) (int, error) {
	if m.left <= 0 {
		<-m.ctx.Done()
		return 0, m.ctx.Err()
	}
	n, err := m.ReadCloser.Read(data[:min(len(data), m.left)])
	m.left -= n
	return n, err
}

// TestRecordingInTheBrowser plays an hour's recording on a page of another origin, as the CRM does, and winds forward
// and back: the browser asks for the part that it wants then, and has it.
func TestRecordingInTheBrowser(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	folder := t.TempDir()
	keepRecording(t, folder, "long.wav", wav(3600))
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><title>a CRM</title>`)
	}))
	t.Cleanup(crm.Close)
	p := start(t, "serve", "-config", configFile(t, withRecordings(folder, crm.URL, "links_last: forever")))
	target, err := url.Parse(p.web)
	if err != nil {
		t.Fatal(err)
	}
	network := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: p.client.Transport,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo), // the player breaks off
		ModifyResponse: func(res *http.Response) error {
			res.Body = &miserly{res.Body, 4 << 20, res.Request.Context()}
			return nil
		},
	})
	t.Cleanup(func() {
		network.CloseClientConnections()
		network.Close()
	})
	link := network.URL + strings.TrimPrefix(*p.recorded("1", "https://pbx.example.com/rec/long.wav").Recording, p.web)
	for _, how := range []string{"", `player.crossOrigin = "anonymous";`} {
		page := openPage(browser, t, "recording", crm.URL, 400, 300)
		page.wait(fmt.Sprintf(`(window.player ||= (() => { const player = new Audio(); %s player.muted = true; player.preload = "metadata"; player.src = %q; return player })()).readyState >= 1`, how, link))
		page.want("Math.round(player.duration)", "3600")
		page.wait(`player.play() && player.currentTime > 0`)
		page.wind(3000)
		page.wind(100)
		page.want("player.error === null", "true")
	}
}

// wind has the player go to a second, and waits until it plays from there.
func (p *page) wind(to int) {
	p.t.Helper()
	p.want(fmt.Sprintf("player.currentTime = %d", to), fmt.Sprint(to))
	p.wait(fmt.Sprintf("!player.seeking && player.currentTime > %d && player.currentTime < %d", to, to+60))
}

// TestAsteriskRecordingIsPlayed records a call with MixMonitor on a real Asterisk: the tab has the link with the call,
// and the link the sound once the call is over.
func TestAsteriskRecordingIsPlayed(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	p := start(t, "serve", "-config", configFile(t, fmt.Sprintf(`
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
accounts:
  - id: acme
    region: RU
    backend_key: %s
    recordings: {wait: 15s}
    pbx:
      - id: office
        kind: asterisk
        address: %q
        username: %s
        secret: %s
        recordings_dir: %q
        recordings: {folder: %[5]q}
    users: [{id: "88888", name: Anna, extensions: ["101"]}]
`, acmeBackendKey, lab.AMI, asterisktest.User, asterisktest.Secret(asterisktest.User), lab.Recordings())))
	phones := lab.Phones(t)
	eventually(t, "a link to Asterisk", func() bool { return p.node.gateway.Links()[0].PBX.State().State == "connected" })
	tab := p.open(tokenOf(t, "acme", "88888"), "", nil)
	phones.Do(t, "trunk", "dial", "5550400", ivan)
	phones.Wait(t, "101", "ringing")
	phones.Do(t, "101", "answer")
	phones.Wait(t, "trunk", "up")
	link := ""
	for link == "" {
		if v := tab.next().view(t); v.Recording != nil {
			link = *v.Recording
		}
	}
	phones.Do(t, "101", "listen") // to some of it
	if heard := phones.Wait(t, "101", "heard"); heard.Packets == 0 {
		t.Error("there is no sound")
	}
	if got := p.request(http.MethodGet, p.web+"/v1/recordings/"+strings.Split(link, "/")[5]+"/recording.mp3", ""); got.status != http.StatusNotFound {
		t.Errorf("by another name: %d", got.status)
	}
	phones.Do(t, "trunk", "hangup")
	phones.Wait(t, "101", "ended")
	tab.until(gateway.Ended)
	got := p.request(http.MethodGet, link, "")
	if got.status != http.StatusOK || len(got.body) < 1000 || !strings.HasPrefix(got.body, "RIFF") || got.header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%d, %d bytes of %s: %.200s", got.status, len(got.body), got.header.Get("Content-Type"), got.body)
	}
	if size := binary.LittleEndian.Uint32([]byte(got.body)[4:8]); int(size)+8 != len(got.body) {
		t.Errorf("it is not whole: %d bytes of %d", len(got.body), size+8)
	}
}
