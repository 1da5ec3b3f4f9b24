package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk/asterisktest"
)

// recordingProgram is a `ringcast record` that runs.
type recordingProgram struct {
	t      *testing.T
	file   string
	stderr *transcript
	end    context.CancelFunc
	code   chan int
	once   sync.Once
}

func startRecording(t *testing.T, args ...string) *recordingProgram {
	t.Helper()
	p := &recordingProgram{t: t, file: filepath.Join(t.TempDir(), "recording.jsonl"), stderr: &transcript{}, code: make(chan int, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	a := &app{stdout: io.Discard, stderr: p.stderr, env: noEnv}
	go func() { p.code <- a.run(ctx, append([]string{"record", "-out", p.file}, args...)) }()
	t.Cleanup(p.stop)
	return p
}

// has waits until the file holds a text.
func (p *recordingProgram) has(text string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%q in the recording", text), func() bool {
		data, err := os.ReadFile(p.file)
		return err == nil && bytes.Contains(data, []byte(text))
	})
}

func (p *recordingProgram) stop() {
	p.once.Do(func() {
		p.end()
		select {
		case code := <-p.code:
			if code != 0 {
				p.t.Errorf("ringcast record ended with %d:\n%s", code, p.stderr)
			}
		case <-time.After(patience):
			p.t.Errorf("ringcast record does not end")
		}
	})
}

// replayed returns what a recording's calls come to.
func replayed(t *testing.T, args ...string) []seenCall {
	t.Helper()
	code, stdout, stderr := ringcast(t, append([]string{"replay", "-json"}, args...)...)
	if code != 0 {
		t.Fatalf("ringcast replay %q: %d\n%s", args, code, stderr)
	}
	var calls []seenCall
	if err := json.Unmarshal([]byte(stdout), &calls); err != nil {
		t.Fatal(err)
	}
	return calls
}

func TestAsteriskRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	lab := asterisktest.Start(t)
	phones := lab.Phones(t)
	config := configFile(t, fmt.Sprintf(`
accounts:
  - id: acme
    region: RU
    pbx: [{id: office, kind: asterisk, address: %q, username: %s, secret: %s}]
    users: [{id: %q, name: Anna, extensions: ["101"]}]
`, lab.AMI, asterisktest.User, asterisktest.Secret(asterisktest.User), anna))
	p := startRecording(t, "-config", config, "-account", "acme", "-pbx", "office")
	eventually(t, "a link", func() bool { return strings.Contains(p.stderr.String(), "link up") })
	phones.Do(t, "trunk", "dial", "5550101", ivan)
	phones.Wait(t, "101", "ringing")
	phones.Do(t, "101", "answer")
	phones.Wait(t, "trunk", "up")
	phones.Do(t, "trunk", "hangup")
	phones.Wait(t, "101", "ended")
	p.has(`Event: BridgeDestroy`)
	p.has(`Event: Hangup\r\nPrivilege: call,all\r\nChannel: PJSIP/trunk`)
	p.stop()
	data, err := os.ReadFile(p.file)
	if err != nil || bytes.Contains(data, []byte(asterisktest.Secret(asterisktest.User))) {
		t.Errorf("%v, or the secret is in it", err)
	}
	calls := replayed(t, "-in", p.file, "-config", config)
	if len(calls) != 1 {
		t.Fatalf("%d calls: %+v", len(calls), calls)
	}
	v := calls[0].Users[anna]
	if v.Outcome == nil || *v.Outcome != gateway.Answered || v.Phone == nil || *v.Phone != "+"+ivan || v.AnsweredBy.Name != "Anna" {
		t.Errorf("Anna saw %+v", v)
	}
}

func TestRequestsRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	config := configFile(t, twoAccounts)
	gw := start(t, "serve", "-config", config)
	// The recorder passes requests on to the address that the config names; here the gateway has another.
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	theirs := configFile(t, strings.Replace(string(text), "listen: 127.0.0.1:0", "listen: "+strings.TrimPrefix(gw.web, "http://"), 1))
	p := startRecording(t, "-config", theirs, "-account", "acme", "-pbx", "main", "-listen", "127.0.0.1:0", "-mask-numbers")
	at := regexp.MustCompile(`http://[0-9.:]+`)
	eventually(t, "an address", func() bool { return at.MatchString(p.stderr.String()) })
	to := at.FindString(p.stderr.String()) + "/v1/accounts/acme/events?token=abcdef"
	for _, body := range []string{inboundDial("c1", `"101"`), event("bridge", "c1", `"extension":"101"`), event("hangup", "c1", ""), `{"event":"nonsense"}`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+acmePBXKey)
		res, err := gw.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Error(err)
		}
		if want := map[bool]int{true: http.StatusAccepted, false: http.StatusBadRequest}[!strings.Contains(body, "nonsense")]; res.StatusCode != want {
			t.Errorf("%s: %d, want %d", body, res.StatusCode, want)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	p.has("nonsense")
	p.stop()
	data, err := os.ReadFile(p.file)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{acmePBXKey, "abcdef", "1112233"} {
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%q is in the recording:\n%s", secret, data)
		}
	}
	calls := replayed(t, "-in", p.file) // without a config: 101 is somebody
	if len(calls) != 1 || calls[0].Call.AnsweredBy == nil || calls[0].Users["101"].State != gateway.Ended {
		t.Errorf("replayed %+v", calls)
	}
}

func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	config, there := configFile(t, twoAccounts), filepath.Join(t.TempDir(), "there")
	write(t, there, "")
	unwritten := there + ".not"
	garbage := there + ".garbage"
	write(t, garbage, `{"ringcast":"recording 1","kind":"webhook","account":"acme","pbx":"main","at":"2026-11-21T09:00:00Z"}`+"\n"+
		`{"at":"2026-11-21T09:00:01Z","to":"/v1/x","raw":"{\"event\":\"nonsense\"}"}`+"\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no such account":    {[]string{"record", "-config", config, "-account", "nobody", "-pbx", "main", "-out", "x"}, `no account "nobody"`},
		"no such pbx":        {[]string{"record", "-config", config, "-account", "acme", "-pbx", "other", "-out", "x"}, `no pbx "other"`},
		"over another file":  {[]string{"record", "-config", config, "-account", "acme", "-pbx", "main", "-listen", "127.0.0.1:0", "-out", there}, "does not take the place"},
		"in no folder":       {[]string{"record", "-config", config, "-account", "acme", "-pbx", "main", "-listen", "127.0.0.1:0", "-out", filepath.Join(there, "x")}, "not a directory"},
		"at no address":      {[]string{"record", "-config", config, "-account", "acme", "-pbx", "main", "-listen", "203.0.113.1:1", "-out", unwritten}, "203.0.113.1:1"},
		"for no time":        {[]string{"record", "-config", config, "-account", "acme", "-pbx", "main", "-for", "-1s", "-out", unwritten}, "-for"},
		"nowhere":            {[]string{"record", "-config", config, "-account", "acme", "-pbx", "main"}, "-out is needed"},
		"nothing readable":   {[]string{"replay", "-in", garbage}, "none of the 1 requests can be read"},
		"replay of nothing":  {[]string{"replay", "-in", there}, "is empty"},
		"replay of a config": {[]string{"replay", "-in", config}, "not a recording"},
	} {
		code, _, stderr := ringcast(t, test.args...)
		if code == 0 || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: %d, %s", name, code, stderr)
		}
	}
	if _, err := os.Stat(unwritten); err == nil {
		t.Error("a recording that never began left a file")
	}
}

func TestRecordForAWhile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "recording.jsonl")
	code, stdout, stderr := ringcast(t, "record", "-config", configFile(t, twoAccounts), "-account", "acme", "-pbx", "main", "-listen", "127.0.0.1:0", "-for", "100ms", "-out", file)
	if code != 0 || stdout != "0 messages in "+file+"\n" || !strings.Contains(stderr, "the gateway does not answer") {
		t.Errorf("%d %s\n%s", code, stdout, stderr)
	}
	if code, _, stderr := ringcast(t, "replay", "-in", file); code != 0 {
		t.Errorf("replay of nothing said: %d %s", code, stderr)
	}
}

// TestNothingOfAPBXThatIsDownIsRecorded: no file is left that looks like a recording.
func TestNothingOfAPBXThatIsDownIsRecorded(t *testing.T) {
	t.Parallel()
	config := configFile(t, `accounts: [{id: acme, pbx: [{id: office, kind: asterisk, address: "`+steadyAddress(t)+`", username: u, secret: s}]}]`)
	file := filepath.Join(t.TempDir(), "recording.jsonl")
	code, stdout, stderr := ringcast(t, "record", "-config", config, "-account", "acme", "-pbx", "office", "-for", "100ms", "-out", file)
	if _, err := os.Stat(file); code != 1 || stdout != "" || !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(stderr, "asterisk link down") || !strings.Contains(stderr, "nothing came from pbx office") {
		t.Errorf("%d %s\n%s\n%v", code, stdout, stderr, err)
	}
}

// Recordings of customers' odd calls live in testdata/recordings, each beside what has to come of it:
// `ringcast replay -json -in NAME.jsonl > NAME.want.json`, once that is right.
func TestRecordings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("recordings: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(strings.TrimSuffix(file, ".jsonl") + ".want.json")
			if err != nil {
				t.Fatal(err)
			}
			if code, got, stderr := ringcast(t, "replay", "-json", "-in", file); code != 0 || got != string(want) {
				t.Errorf("%d %s\ngot\n%s\nwant\n%s", code, stderr, got, want)
			}
		})
	}
}

func TestReplayTakesItsTime(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	code, stdout, stderr := ringcast(t, "replay", "-in", "testdata/recordings/attended-transfer.jsonl", "-speed", "20")
	if code != 0 || !strings.Contains(stdout, "101 sees 1795254312.299  held") || !strings.Contains(stdout, "ended: transferred") {
		t.Errorf("%d\n%s\n%s", code, stdout, stderr)
	}
	if took := time.Since(begun); took < 400*time.Millisecond { // of ten seconds
		t.Errorf("took %v", took)
	}
}

// TestDamagedRecordings: one that went over Windows, and one of a recorder that was killed, are played as far as they go.
func TestDamagedRecordings(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/recordings/phonet-group-and-click.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	whole := replayed(t, "-in", "testdata/recordings/phonet-group-and-click.jsonl")
	file := filepath.Join(t.TempDir(), "recording.jsonl")
	write(t, file, strings.ReplaceAll(string(data), "\n", "\r\n"))
	if calls := replayed(t, "-in", file); !reflect.DeepEqual(calls, whole) {
		t.Errorf("with Windows' line ends: %+v", calls)
	}
	for _, part := range []int{2, 3, 5} {
		write(t, file, string(data[:len(data)-len(data)/part]))
		if calls := replayed(t, "-in", file); len(calls) == 0 {
			t.Errorf("without the last of %d parts: nothing", part)
		}
	}
	write(t, file, strings.Replace(string(data), `"from":"socket 101"`, `"from`, 1))
	if code, _, stderr := ringcast(t, "replay", "-in", file); code != 1 || !strings.Contains(stderr, "line 8 is not a message") {
		t.Errorf("damaged in its midst: %d %s", code, stderr)
	}
}

// fullDisk has no room behind so many bytes.
type fullDisk int

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), int(*d))
	*d -= fullDisk(n)
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestRecordingOnAFullDisk ends, and says why.
func TestRecordingOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := fullDisk(1000)
	r := newRecorder(&disk, recordingHead{Kind: "asterisk"}, newMask(nil, nil, false), time.Now)
	err := r.during(t.Context(), func(ctx context.Context, r *recorder) error {
		r.message(recorded{}, make([]byte, 1000))
		<-ctx.Done()
		return nil
	})
	if messages, flushed := r.flush(); err != nil || !errors.Is(flushed, syscall.ENOSPC) || messages != 1 {
		t.Errorf("%v, %v after %d messages", err, flushed, messages)
	}
}

func FuzzRecording(f *testing.F) {
	data, err := os.ReadFile("testdata/recordings/attended-transfer.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"ringcast":"recording 1","kind":"webhook","account":"a","pbx":"p","at":"2026-11-21T09:00:00Z"}` + "\n" + `{"at":"2026-11-21T09:00:01Z","to":"/v1/x","raw":"[]"}` + "\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := readRecording(bytes.NewReader(data))
		if err != nil {
			return
		}
		s, err := (&app{stdout: io.Discard, stderr: io.Discard, env: noEnv}).stage(r.recordingHead, "", slog.New(slog.DiscardHandler))
		if err != nil {
			return
		}
		names := extensionSink{}
		_ = s.player(r, 0, slog.New(slog.DiscardHandler)).Run(t.Context(), names) // a recording that is damaged says so
	})
}
