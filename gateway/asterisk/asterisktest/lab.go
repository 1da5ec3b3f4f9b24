// Package asterisktest runs a real Asterisk with real SIP telephones for tests: the lab of
// examples/asterisk, each one on ports and in a folder of its own, so that tests may run side by side.
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
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The lab's manager users; their secrets are their names with "-secret" after them.
const (
	User         = "gateway"  // may do what a gateway needs, and no more
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
		if attempt == 3 || !strings.Contains(err.Error(), "is taken") {
			t.Fatalf("the Asterisk lab does not start (RINGCAST_SKIP_ASTERISK=1 skips the tests that need it): %v", err)
		}
	}
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
	t.Cleanup(func() { os.RemoveAll(run) }) // a temporary folder
	lab := &Lab{
		AMI: "127.0.0.1:" + ports[0],
		dir: dir,
		env: append(os.Environ(), "ASTERISK_LAB_RUN="+run, "ASTERISK_LAB_AMI_PORT="+ports[0],
			"ASTERISK_LAB_SIP_PORT="+ports[1], "ASTERISK_LAB_TRUNK_PORT="+ports[2]),
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

// freePorts returns ports for AMI, SIP, and the provider behind the trunk.
func freePorts() (ports [3]string, err error) {
	var listen net.ListenConfig
	ctx := context.Background()
	ami, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return ports, err
	}
	defer ami.Close()
	addrs := []net.Addr{ami.Addr()}
	for _, host := range []string{"127.0.0.1:0", "127.0.0.2:0"} {
		sip, err := listen.ListenPacket(ctx, "udp", host)
		if err != nil {
			return ports, err
		}
		defer sip.Close()
		addrs = append(addrs, sip.LocalAddr())
	}
	for i, addr := range addrs {
		if _, ports[i], err = net.SplitHostPort(addr.String()); err != nil {
			return ports, err
		}
	}
	return ports, nil
}
