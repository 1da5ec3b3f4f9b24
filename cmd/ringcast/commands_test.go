package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
)

func TestUsageErrorsExitWith2(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"nothing":             {nil, "ringcast serve"},
		"no such command":     {[]string{"nonsense"}, `no command "nonsense"`},
		"no such flag":        {[]string{"serve", "-nonsense"}, "-nonsense"},
		"a stray argument":    {[]string{"serve", "-config", file, "nonsense"}, `"nonsense" is not a flag`},
		"serve: no config":    {[]string{"serve"}, "-config is needed"},
		"check: no config":    {[]string{"check"}, "-config is needed"},
		"widget: no account":  {[]string{"widget", "-config", file}, "-account is needed"},
		"token: no user":      {[]string{"token", "-config", file, "-account", "acme"}, "-user is needed"},
		"version: a flag":     {[]string{"version", "-x"}, "-x"},
		"serve: no log level": {[]string{"serve", "-config", file, "-log-level", "loud"}, `"loud"`},
		"demo: no log level":  {[]string{"demo", "-log-level", "loud"}, `"loud"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := ringcast(t, c.args...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, c.says) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want 2, and %q on stderr", code, stdout, stderr, c.says)
			}
		})
	}
	// What is wrong comes first, and is not buried under thirty lines of flags.
	for _, args := range [][]string{{"serve"}, {"serve", "-nonsense"}, {"record", "-for", "soon"}, {"widget", "-config", file}} {
		_, _, stderr := ringcast(t, args...)
		if lines := strings.Split(stderr, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "ringcast "+args[0]+": ") || !strings.Contains(lines[1], "-h") {
			t.Errorf("%q: %s", args, stderr)
		}
	}
	if code, _, stderr := ringcast(t, "help", "serve"); code != 0 || !strings.Contains(stderr, "-log-level") || strings.Contains(stderr, "ringcast demo") {
		t.Errorf("help serve: exit code %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"serve", "-h"}} {
		if code, _, stderr := ringcast(t, args...); code != 0 || !strings.Contains(stderr, args[0][:1]) {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestConfigErrorsExitWith1(t *testing.T) {
	t.Parallel()
	file := configFile(t, "listen: 127.0.0.1:0\nacounts: []\norigins: [everywhere]\n")
	for _, args := range [][]string{{"serve"}, {"check"}, {"widget", "-account", "acme"}, {"token", "-account", "acme", "-user", "1"}} {
		args = append(args, "-config", file)
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := ringcast(t, args...)
			if code != 1 || stdout != "" {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			for _, want := range []string{file + `:2: acounts: unknown key (did you mean "accounts"?)`, file + ":3: origins[0]: "} {
				if !strings.Contains(stderr, want) {
					t.Errorf("%q does not say %q", stderr, want)
				}
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		if code, _, stderr := ringcast(t, "serve", "-config", file+".none"); code != 1 || !strings.Contains(stderr, file+".none") {
			t.Errorf("exit code %d, %q", code, stderr)
		}
	})
}

// TestASignalWhileItStartsIsNoFailure stops what has not got as far as serving.
func TestASignalWhileItStartsIsNoFailure(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"serve", "-config", configFile(t, twoAccounts)}, {"demo", "-listen", "127.0.0.1:0"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var out, errs transcript
			if code := (&app{stdout: &out, stderr: &errs, env: noEnv}).run(ctx, args); code != 0 {
				t.Errorf("exit code %d: %s", code, &errs)
			}
		})
	}
}

func TestServeOnAUsedPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	used := l.Addr().String()
	for _, key := range []string{"listen", "ops_listen"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			yaml := regexp.MustCompile(`(?m)^`+key+`: .*$`).ReplaceAllString(twoAccounts, key+": "+used)
			code, _, stderr := ringcast(t, "serve", "-config", configFile(t, yaml))
			if code != 1 || !strings.Contains(stderr, used) || !strings.Contains(stderr, "in use") {
				t.Errorf("exit code %d, %q", code, stderr)
			}
		})
	}
}

func TestServeTwiceOnOneDataDir(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	p := start(t, "serve", "-config", file)
	code, _, stderr := ringcast(t, "serve", "-config", file)
	if dir := filepath.Join(filepath.Dir(file), "data"); code != 1 || !strings.Contains(stderr, dir) || !strings.Contains(stderr, "in use") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	p.open(tokenOf(t, "acme", "88888"), "", nil) // the first is not disturbed
}

func TestVersion(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := ringcast(t, "version")
	for _, flag := range []string{"-version", "--version"} {
		if code, out, _ := ringcast(t, flag); code != 0 || out != stdout {
			t.Errorf("%s: exit code %d, %q", flag, code, out)
		}
	}
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "ringcast ") || !strings.Contains(stdout, runtime.Version()) || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestTokenOpensASession(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	code, before, stderr := ringcast(t, "token", "-config", file, "-account", "acme", "-user", "88888")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %q", code, stderr)
	}
	p := start(t, "serve", "-config", file)
	_, while, _ := ringcast(t, "token", "-config", file, "-account", "globex", "-user", "88888")
	for name, token := range map[string]string{"Anna": before, "Clara": while} {
		if h := p.open(strings.TrimSuffix(token, "\n"), "", nil).hello; h.User.Name != name {
			t.Errorf("hello to %q, want %s", h.User.Name, name)
		}
	}
	for _, nobody := range [][2]string{{"acme", "77777"}, {"globex", "99999"}, {"nobody", "88888"}} {
		code, stdout, stderr := ringcast(t, "token", "-config", file, "-account", nobody[0], "-user", nobody[1])
		if code != 1 || stdout != "" || !strings.Contains(stderr, nobody[0]) || !strings.Contains(stderr, nobody[1]) {
			t.Errorf("%v: exit code %d, %q, %q", nobody, code, stdout, stderr)
		}
	}
}

// withCRM is a config with an amoCRM at a base URL, and a PBX beside the one that posts.
func withCRM(baseURL, origin, pbx string) string {
	return `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
public_url: https://calls.example.com
data_dir: data
origins: ["` + origin + `"]
accounts:
  - id: acme
    pbx:
      - {id: main, kind: webhook, key: ` + acmePBXKey + `}
      ` + pbx + `
    crm: {kind: amocrm, domain: acme.amocrm.ru, base_url: "` + baseURL + `", client_id: c, client_secret: s, token: t, redirect_uri: "https://calls.example.com/oauth"}
    users: [{id: "88888", name: Anna, extensions: ["101"]}]
  - id: plain
    users: [{id: "1", extensions: ["101"]}]
`
}

func TestWidgetIsTheSameByteForByte(t *testing.T) {
	t.Parallel()
	file := configFile(t, withCRM("https://acme.amocrm.ru", "https://*.amocrm.ru", ""))
	dir := t.TempDir()
	var archives [][]byte
	for _, name := range []string{"one.zip", "two.zip"} {
		out := filepath.Join(dir, name)
		code, stdout, stderr := ringcast(t, "widget", "-config", file, "-account", "acme", "-out", out)
		if code != 0 || stderr != "" || !strings.Contains(stdout, out) || !strings.Contains(stdout, "https://calls.example.com") {
			t.Fatalf("exit code %d, %q, %q", code, stdout, stderr)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same input made two archives")
	}
	zr, err := zip.NewReader(bytes.NewReader(archives[0]), int64(len(archives[0])))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range zr.File {
		names[f.Name] = true
	}
	for _, want := range []string{"manifest.json", "script.js", "i18n/ru.json", "i18n/en.json", "images/logo_main.png"} {
		if !names[want] {
			t.Errorf("%s is not in the archive", want)
		}
	}

	for account, says := range map[string]string{"nobody": `no account "nobody"`, "plain": "no crm"} {
		out := filepath.Join(dir, account+".zip")
		if code, _, stderr := ringcast(t, "widget", "-config", file, "-account", account, "-out", out); code != 1 || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit code %d, %q", account, code, stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: an archive was written", account)
		}
	}
}

func TestCheckFindsAllWell(t *testing.T) {
	t.Parallel()
	crm := httptest.NewServer(anyCRM())
	t.Cleanup(crm.Close)
	file := configFile(t, withCRM(crm.URL, crm.URL, `- {id: office, kind: asterisk, address: "`+fakeAMI(t)+`", username: ringcast, secret: s3cret}`))
	code, stdout, stderr := ringcast(t, "check", "-config", file)
	if code != 0 || stderr != "" || strings.Contains(stdout, "FAIL") || !strings.Contains(stdout, "checks passed") {
		t.Errorf("exit code %d, %q\n%s", code, stderr, stdout)
	}
	for _, what := range []string{"config", "log in ", "pbx main", "pbx office", "its pages in origins", "address, certificate and clock"} {
		if !regexp.MustCompile(`(?m)^ok .*` + what).MatchString(stdout) {
			t.Errorf("no line says that %s is ok:\n%s", what, stdout)
		}
	}
	start(t, "serve", "-config", file) // what was checked is left in order
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	closed, wrongClock := steadyAddress(t), httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 02 Jan 2006 15:04:05 GMT")
	}))
	t.Cleanup(wrongClock.Close)
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // of the refused handshakes
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for name, c := range map[string]struct {
		yaml string
		says []string // each on a line that fails
	}{
		"an Asterisk that is not there": {
			withCRM(wrongClock.URL, wrongClock.URL, `- {id: office, kind: asterisk, address: "`+closed+`", username: ringcast, secret: s3cret}`),
			[]string{"pbx office.*" + regexp.QuoteMeta(closed)},
		},
		"a wrong secret": {
			withCRM(wrongClock.URL, wrongClock.URL, `- {id: office, kind: asterisk, address: "`+fakeAMI(t)+`", username: ringcast, secret: wrong}`),
			[]string{"pbx office.*login refused.*manager.conf"},
		},
		"an origin that is missing": {
			withCRM(wrongClock.URL, "https://*.amocrm.ru", ""),
			[]string{`its pages in origins: .*add "` + regexp.QuoteMeta(wrongClock.URL) + `" to origins`},
		},
		"a clock that is wrong":        {withCRM(wrongClock.URL, wrongClock.URL, ""), []string{"clock.* differ by .*NTP"}},
		"a certificate that is wrong":  {withCRM(untrusted.URL, untrusted.URL, ""), []string{"certificate"}},
		"a CRM that is not there":      {withCRM("http://"+closed, "http://"+closed, ""), []string{regexp.QuoteMeta(closed) + ".*refused"}},
		"an account without any users": {"data_dir: data\naccounts: [{id: empty}]\n", []string{"account empty: users"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, c.yaml))
			if code != 1 || !regexp.MustCompile(`\d+ of \d+ checks failed`).MatchString(stderr) {
				t.Errorf("exit code %d, %q", code, stderr)
			}
			for _, want := range c.says {
				if !regexp.MustCompile(`(?m)^FAIL .*` + want).MatchString(stdout) {
					t.Errorf("no line that fails says %q:\n%s", want, stdout)
				}
			}
		})
	}
}

func TestCheckWhileTheDataDirIsServed(t *testing.T) {
	t.Parallel()
	file := configFile(t, twoAccounts)
	p := start(t, "serve", "-config", file)
	code, stdout, _ := ringcast(t, "check", "-config", file)
	if code != 0 || !regexp.MustCompile(`(?m)^ok .*a running ringcast has it`).MatchString(stdout) {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
	p.emit(inboundDial("1", `"101"`)) // it is not disturbed
}

// fakeAMI is as much of an Asterisk manager as a check asks: user ringcast with secret s3cret, who may do
// everything. It knows no challenge, as a proxy may.
func fakeAMI(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				playAMI(conn)
			})
		}
	})
	return l.Addr().String()
}

// playAMI answers one connection until the other end closes it.
func playAMI(conn net.Conn) {
	say := func(lines ...string) { _, _ = conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n")) }
	_, _ = conn.Write([]byte("Asterisk Call Manager/9.0.0\r\n"))
	fields := map[string]string{}
	for in := bufio.NewScanner(conn); in.Scan(); {
		if key, value, ok := strings.Cut(in.Text(), ": "); ok {
			fields[key] = value
			continue
		}
		id := "ActionID: " + fields["ActionID"]
		switch {
		case fields["Action"] == "Challenge", fields["Action"] == "Hangup":
			say("Response: Error", id, "Message: No such thing")
		case fields["Action"] == "Login" && (fields["Username"] != "ringcast" || fields["Secret"] != "s3cret"):
			say("Response: Error", id, "Message: Authentication failed")
		default:
			say("Response: Success", id)
		}
		if fields["Action"] == "Originate" {
			say("Event: OriginateResponse", id, "Response: Failure", "Reason: 0")
		}
		clear(fields)
	}
}
