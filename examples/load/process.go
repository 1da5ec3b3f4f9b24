package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = 30 * time.Second
	stopTime  = time.Minute // it drains its sessions

	clockTick = 10 * time.Millisecond // what /proc counts processor time in
)

// process is a server. It can be started again after it has ended.
type process struct {
	name   string
	binary string
	args   []string
	pin    bool
	stderr io.Writer
	secure bool   // speaks TLS to PBXes and tabs
	addr   string // where they connect
	ops    string // where it says that it is ready

	cmd   *exec.Cmd
	done  chan struct{}
	ended error // after done
}

// serverConfig is what differs between Ringcasts.
type serverConfig struct {
	durability string
	dataDir    string
	cert, key  string // files, "": plain
}

// newRingcast prepares the server binary with a config file in dir.
func newRingcast(ctx context.Context, binary, dir string, c serverConfig, accounts []*account) (*process, error) {
	addrs, err := freeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	var config bytes.Buffer
	writeConfig(&config, c, addrs[0], addrs[1], accounts)
	file := filepath.Join(dir, "ringcast.yaml")
	if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil { //nolint:gosec // in the directory of this run
		return nil, err
	}
	return &process{
		name: "ringcast", binary: binary, args: []string{"serve", "-config", file, "-log-level", "warn"},
		secure: c.cert != "", addr: addrs[0], ops: addrs[1],
	}, nil
}

// newPeer prepares this program as one of the servers that Ringcast is measured beside.
func newPeer(ctx context.Context, peer string) (*process, error) {
	addrs, err := freeAddresses(ctx, 1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	return &process{name: peer, binary: self, args: []string{peer, addrs[0]}, addr: addrs[0], ops: addrs[0]}, err
}

// freeAddresses returns addresses on which nobody listens, of ports that the kernel gives to nobody who does not ask
// for them: a server that comes back after a kill finds them free.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	var addrs []string
	for range 100 * n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000)))
		if err != nil {
			continue // taken
		}
		defer func() { _ = l.Close() }()
		if addrs = append(addrs, l.Addr().String()); len(addrs) == n {
			return addrs, nil
		}
	}
	return nil, errors.New("no address is free")
}

// Start runs the server and returns when it is ready. It is killed when ctx ends.
func (p *process) Start(ctx context.Context) error {
	name, args := p.binary, p.args
	if p.pin {
		name, args = pinned(name, args)
	}
	p.cmd = exec.CommandContext(ctx, name, args...) //nolint:gosec // what to run is given on the command line
	p.cmd.Stdout, p.cmd.Stderr = p.stderr, p.stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // a peer ends with it
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		p.ended = p.cmd.Wait()
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("not ready after %v", startTime))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.ready(ctx) {
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended: %w", p.name, p.ended)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), p.Stop())
		}
	}
	return nil
}

func (p *process) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+"/readyz", http.NoBody) //nolint:gosec // our own server
	if err != nil {
		return false
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request) //nolint:gosec // our own server
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Kill ends the process at once, as a power cut would.
func (p *process) Kill() error {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
	return nil
}

// Stop ends the process, with force if it takes too long. A process that does not end cleanly is an error.
func (p *process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which is seen below
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %v", p.name, stopTime)
	}
	if p.ended != nil {
		return fmt.Errorf("%s ended with %w", p.name, p.ended)
	}
	return nil
}

// PID is the number of the process that was started last.
func (p *process) PID() int { return p.cmd.Process.Pid }

// memory is what a process has of it at the moment, in bytes.
func memory(pid int) (int64, error) {
	status, err := readProc(fmt.Sprint(pid, "/status"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(status, "VmRSS:")
	line, _, _ := strings.Cut(rest, "kB")
	kib, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("VmRSS: %w", err)
	}
	return kib << 10, nil
}

// cpuTime is the processor time that a process has taken.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := readProc(fmt.Sprint(pid, "/stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(stat, ") ") // the name before it may hold anything
	return ticks(strings.Fields(rest), 11, 12)
}

// machineTime is the processor time that all processes have taken, the kernel's interrupts left out.
func machineTime() (time.Duration, error) {
	stat, err := readProc("stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(stat, "\n")
	return ticks(strings.Fields(line), 1, 2, 3)
}

func ticks(fields []string, which ...int) (time.Duration, error) {
	var sum time.Duration
	for _, i := range which {
		if i >= len(fields) {
			return 0, fmt.Errorf("%d fields where %d are wanted", len(fields), i+1)
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}

// readProc reads a file of the proc file system.
func readProc(name string) (string, error) {
	data, err := os.ReadFile("/proc/" + name)
	return string(data), err
}
