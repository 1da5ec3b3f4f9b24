package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

// childArgs in the environment makes this test binary be ringcast itself, with those arguments, one a line.
const childArgs = "RINGCAST_TEST_ARGS"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(childArgs); ok {
		os.Args = append([]string{"ringcast"}, strings.Split(args, "\n")...)
		os.Exit(process(paceOf(os.Getenv(childSecond))))
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must happen; only a failing one waits so long.
const patience = 30 * time.Second

// atOnce is what does not wait for the next ping, after 25 s, on a machine that may stand still for some seconds.
const atOnce = 10 * time.Second

// The keys of the accounts in a test's config.
const (
	acmePBXKey       = "acme-pbx-0123456789abcdef"
	globexPBXKey     = "globex-pbx-0123456789abcdef"
	acmeBackendKey   = "acme-backend-key-0123456789abcdef"
	globexBackendKey = "globex-backend-key-0123456789abcdef"
	goodOrigin       = "https://crm.example.com"
)

// twoAccounts is a config with the same users and extensions in two accounts.
const twoAccounts = `
listen: 127.0.0.1:0
ops_listen: 127.0.0.1:0
data_dir: data
origins: ["` + goodOrigin + `"]
accounts:
  - id: acme
    region: RU
    backend_key: ` + acmeBackendKey + `
    pbx: [{id: main, kind: webhook, key: ` + acmePBXKey + `}]
    users:
      - {id: "88888", name: Anna, extensions: ["101"]}
      - {id: "99999", name: Boris, extensions: ["102"]}
  - id: globex
    backend_key: ` + globexBackendKey + `
    pbx: [{id: main, kind: webhook, key: ` + globexPBXKey + `}]
    users:
      - {id: "88888", name: Clara, extensions: ["101"]}
`

// configFile writes a config into a directory of its own.
func configFile(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ringcast.yaml")
	write(t, file, yaml)
	return file
}

// ringcast runs a command to its end.
func ringcast(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs transcript
	code = (&app{stdout: &out, stderr: &errs, env: noEnv}).run(ctx, args)
	return code, out.String(), errs.String()
}

// program is a ringcast that serves in this process.
type program struct {
	t              *testing.T
	node           *node
	web, ops       string // base URLs
	stdout, stderr *transcript
	client         *http.Client // its own, so that nothing of it outlives the test
	end            context.CancelFunc
	code           chan int
}

// start runs a command that serves, and returns when it does.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startAt(t, pace{}, args...)
}

// startAt is start at another pace.
func startAt(t *testing.T, pace pace, args ...string) *program {
	t.Helper()
	p := &program{t: t, stdout: &transcript{}, stderr: &transcript{}, code: make(chan int, 1)}
	p.client = &http.Client{
		Transport:     &http.Transport{ExpectContinueTimeout: patience},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	started := make(chan *node, 1)
	a := &app{stdout: p.stdout, stderr: p.stderr, env: noEnv, started: func(n *node) { started <- n }, pace: pace}
	go func() {
		p.code <- a.run(ctx, args)
		close(p.code)
	}()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		p.stop()
	})
	select {
	case p.node = <-started:
	case code := <-p.code:
		t.Fatalf("ringcast %q ended with %d:\n%s", args, code, p.stderr)
	case <-time.After(patience):
		t.Fatalf("ringcast %q does not serve:\n%s", args, p.stderr)
	}
	p.web, p.ops = "http://"+p.node.web.addr().String(), "http://"+p.node.ops.addr().String()
	return p
}

// as is the program for a subtest: what goes wrong there is its own failure.
func (p *program) as(t *testing.T) *program {
	own := *p
	own.t = t
	return &own
}

// stop ends the program as a signal does. It may be called again.
func (p *program) stop() {
	p.t.Helper()
	p.end()
	select {
	case code := <-p.code: // 0 when it was told before
		if code != 0 {
			p.t.Errorf("exit code %d:\n%s", code, p.stderr)
		}
	case <-time.After(patience):
		p.t.Errorf("it does not stop:\n%s", p.stderr)
	}
}

// transcript keeps what is written, from any goroutine.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// backendToken is what an account's own server signs for a user.
func backendToken(t *testing.T, key string, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"iss": "acme", "sub": "88888", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenOf is a valid token of a user, as his account's server signs it.
func tokenOf(t *testing.T, account, user string) string {
	t.Helper()
	key := map[string]string{"acme": acmeBackendKey, "globex": globexBackendKey}[account]
	return backendToken(t, key, jwt.MapClaims{"iss": account, "sub": user})
}

// event is a call event as a PBX posts it; more is further fields in JSON.
func event(kind, call, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"event":"call.%s","call":%q%s}`, kind, call, more)
}

// inbound rings the extensions of a call from outside.
func inboundDial(call, extensions string) string {
	return event("dial", call, `"direction":"inbound","from":"8 999 111-22-33","to":"+74951234567","line":"+74951234567","extensions":[`+extensions+`]`)
}
