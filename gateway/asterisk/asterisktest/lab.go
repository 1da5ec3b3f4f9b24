// Package asterisktest runs a real Asterisk with real SIP telephones for tests: the lab of
// examples/asterisk, each one on ports and in a folder of its own, so that tests may run side by side.
// Telephones can be told what to do (Lab.Phones), or play a whole scenario and tell the truth about it
// (Lab.Play), or there may be very many of them (Load).
//
// The lab takes Debian's packages the first time (README.md of that folder says what it needs). Where it
// cannot run, tests fail and say why; RINGCAST_SKIP_ASTERISK=1 skips them instead.
package asterisktest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The lab's manager users; their secrets are their names with "-secret" after them.
const (
	User         = "gateway"  // may do what a gateway needs, and no more
	UserControl  = "control"  // may also tell telephones what to do
	UserMute     = "mute"     // gets no events of calls
	UserListener = "listener" // may neither dial nor hang up
)

// Secret returns the secret of a manager user.
func Secret(user string) string { return user + "-secret" }

// T is the part of testing.TB that the lab needs.
type T interface {
	Helper()
	Cleanup(fn func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Skipf(format string, args ...any)
}

// Lab is a running Asterisk.
type Lab struct {
	AMI string // the address of its manager

	dir string // of the scripts
	run string // the folder of this lab
	env []string
}

// Start starts a lab that runs until the test ends. It fails the test when it cannot.
func Start(t T) *Lab {
	t.Helper()
	if os.Getenv("RINGCAST_SKIP_ASTERISK") == "1" {
		t.Skipf("RINGCAST_SKIP_ASTERISK=1: no test against a real Asterisk")
	}
	dir, err := labDir()
	if err != nil {
		t.Fatalf("the Asterisk lab: %v", err)
	}
	for attempt := 1; ; attempt++ { // a port that was free may be taken by the time Asterisk wants it
		lab, err := start(t, dir)
		if err == nil {
			return lab
		}
		if attempt == 3 || !strings.Contains(err.Error(), "is taken") && !strings.Contains(err.Error(), "does not answer") {
			t.Fatalf("the Asterisk lab does not start (RINGCAST_SKIP_ASTERISK=1 skips the tests that need it): %v", err)
		}
	}
}

// tellLog shows the end of Asterisk's log where a test has failed.
func tellLog(t T, file string) {
	failed, ok := t.(interface {
		Failed() bool
		Logf(format string, args ...any)
	})
	if !ok || !failed.Failed() {
		return
	}
	log, err := os.ReadFile(file)
	failed.Logf("the end of Asterisk's log (%v):\n%s", err, log[max(0, len(log)-10_000):])
}

// labDir finds examples/asterisk from the folder of any package of the module, where its tests run.
func labDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "examples", "asterisk"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the test's folder")
		}
		dir = parent
	}
}

func start(t T, dir string) (*Lab, error) {
	t.Helper()
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	run, err := os.MkdirTemp("", "asterisk") // short: Asterisk puts a socket there
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		tellLog(t, filepath.Join(run, "log", "messages"))
		os.RemoveAll(run) // a temporary folder
	})
	lab := &Lab{
		AMI: "127.0.0.1:" + ports[0],
		dir: dir,
		run: run,
		env: append(os.Environ(), "ASTERISK_LAB_RUN="+run, "ASTERISK_LAB_AMI_PORT="+ports[0], "ASTERISK_LAB_HTTP_PORT="+ports[1],
			"ASTERISK_LAB_SIP_PORT="+ports[2], "ASTERISK_LAB_TRUNK_PORT="+ports[3], "ASTERISK_LAB_LOAD_PORT="+ports[4]),
	}
	// The script stops Asterisk when its standard input ends, also when this process is killed.
	cmd := lab.command("up", "--hold")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, out, err := pipes(cmd)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "up:") {
		return nil, fmt.Errorf("%s: %s%w\n%s", cmd.Path, line, errors.Join(err, cmd.Wait()), complaint.String())
	}
	t.Cleanup(func() {
		in.Close()                         // it is the sign to stop
		_, err := io.Copy(io.Discard, out) // what it says then
		if err = errors.Join(err, cmd.Wait()); err != nil {
			t.Errorf("the Asterisk lab did not stop: %v\n%s", err, complaint.String())
		}
	})
	return lab, nil
}

// Set sets a global variable of the dial plan.
func (l *Lab) Set(t T, name, value string) {
	t.Helper()
	if said, err := l.command("status", "-x", fmt.Sprintf("dialplan set global %s %s", name, value)).CombinedOutput(); err != nil {
		t.Fatalf("the Asterisk lab: set %s: %v\n%s", name, err, said)
	}
}

// Recordings is the folder that MixMonitor writes to. Calls to 5550400 are recorded.
func (l *Lab) Recordings() string { return filepath.Join(l.run, "spool", "monitor") }

func (l *Lab) command(script string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(l.dir, script), args...) //nolint:gosec // the lab's own scripts
	cmd.Env = l.env
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func pipes(cmd *exec.Cmd) (in io.WriteCloser, out io.ReadCloser, err error) {
	if in, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		return nil, nil, err
	}
	return in, out, cmd.Start()
}

// freePorts returns ports for AMI, ARI, SIP, the provider behind the trunk, and the operators of a load. They are
// below those that systems give to connections that go out, any of which could take one before Asterisk does.
func freePorts() (ports [5]string, err error) {
	for i, at := range []struct{ network, host string }{
		{"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1"}, {"udp", "127.0.0.1"}, {"udp", "127.0.0.2"}, {"udp", "127.0.0.3"},
	} {
		for attempt := 0; ; attempt++ {
			ports[i] = strconv.Itoa(12000 + rand.IntN(20000))
			if err = tryPort(at.network, net.JoinHostPort(at.host, ports[i])); err == nil {
				break
			}
			if attempt == 100 {
				return ports, err
			}
		}
	}
	return ports, nil
}

func tryPort(network, address string) error {
	var listen net.ListenConfig
	ctx := context.Background()
	if network == "udp" {
		conn, err := listen.ListenPacket(ctx, network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	listener, err := listen.Listen(ctx, network, address)
	if err != nil {
		return err
	}
	return listener.Close()
}
