package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
	stopTime  = 20 * time.Second

	clockTick = 10 * time.Millisecond // what /proc counts processor time in
)

// process is a server under measurement.
type process struct {
	cmd   *exec.Cmd
	addr  string // where PBXes and tabs connect
	ops   string // where it says that it is ready
	done  chan struct{}
	ended error // after done
}

// startRingcast runs the server binary on a directory of its own in dir.
func startRingcast(ctx context.Context, binary, dir, durability string, accounts []*account, stderr io.Writer) (*process, error) {
	addrs, err := freeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	var config bytes.Buffer
	writeConfig(&config, accounts, durability, filepath.Join(dir, "data"), addrs[0], addrs[1])
	file := filepath.Join(dir, "ringcast.yaml")
	if err := os.WriteFile(file, config.Bytes(), 0o600); err != nil { //nolint:gosec // in the directory of this run
		return nil, err
	}
	p := &process{addr: addrs[0], ops: addrs[1]}
	return p, p.start(ctx, stderr, binary, "serve", "-config", file, "-log-level", "warn")
}

// startBare runs this program as the bare fan-out.
func startBare(ctx context.Context, stderr io.Writer) (*process, error) {
	addrs, err := freeAddresses(ctx, 1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{addr: addrs[0], ops: addrs[0]}
	return p, p.start(ctx, stderr, self, bareCommand, addrs[0])
}

// freeAddresses returns addresses on which nobody listens at the moment.
func freeAddresses(ctx context.Context, n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// start runs a command and returns when it is ready. It is killed when ctx ends.
func (p *process) start(ctx context.Context, stderr io.Writer, name string, args ...string) error {
	p.cmd = exec.CommandContext(ctx, name, args...) //nolint:gosec // what to run is given on the command line
	p.cmd.Stdout, p.cmd.Stderr = stderr, stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // the bare fan-out ends with it
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
			return fmt.Errorf("%s ended: %w", filepath.Base(name), p.ended)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), p.stop())
		}
	}
	return nil
}

func (p *process) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// stop ends the process, with force if it takes too long. A process that does not end cleanly is an error.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself, which is seen below
	select {
	case <-p.done:
	case <-time.After(stopTime):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not end within %v", filepath.Base(p.cmd.Path), stopTime)
	}
	if p.ended != nil {
		return fmt.Errorf("%s ended with %w", filepath.Base(p.cmd.Path), p.ended)
	}
	return nil
}

// rss is the memory that the process has at the moment, in bytes.
func (p *process) rss() (int64, error) {
	status, err := readProc(p.pid() + "/status")
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

// cpu is the processor time that the process has taken.
func (p *process) cpu() (time.Duration, error) { return cpuTime(p.pid()) }

func (p *process) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// cpuTime is the processor time of a process, by its number or "self".
func cpuTime(pid string) (time.Duration, error) {
	stat, err := readProc(pid + "/stat")
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
	data, err := os.ReadFile("/proc/" + name) //nolint:gosec // name holds a number at most
	return string(data), err
}
