package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startTime = time.Minute
	stopTime  = 30 * time.Second
)

// Process is a server or a gateway. Its exported fields do not change; its log is appended to over restarts.
type Process struct {
	Name string // nats-1, gateway-2
	Addr string // host:port for clients
	Ops  string // host:port of its health and metrics

	dir     string
	program string
	args    []string
	health  string // where Ops says 200 once it is ready

	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has, with err
	err   error
}

// LogFile is where the process's output goes.
func (p *Process) LogFile() string { return filepath.Join(p.dir, p.Name+".log") }

// ConfigFile is what the process is configured by.
func (p *Process) ConfigFile() string { return filepath.Join(p.dir, p.Name+".conf") }

// Program is the file that the process runs.
func (p *Process) Program() string { return p.program }

// Running reports whether the process runs.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// PID returns the number of the process that was started last, 0 before the first.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Start starts a process that does not run, where its data lies and at its addresses, and returns when it is
// ready. It is killed when ctx ends.
func (p *Process) Start(ctx context.Context) error {
	if p.Running() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	if err := p.launch(ctx); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("not ready after %v", startTime))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.ready(ctx) {
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %w\n%s", p.Name, p.err, p.lastWords())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start %s: %w\n%s", p.Name, context.Cause(ctx), p.lastWords()), p.Kill())
		}
	}
	return nil
}

func (p *Process) launch(ctx context.Context) error {
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()                    // the process has its own
	cmd := exec.CommandContext(ctx, p.program, p.args...) //nolint:gosec // what is run was built or given
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		defer close(ended)
		p.err = cmd.Wait()
	}()
	return nil
}

func (p *Process) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Ops+p.health, http.NoBody)
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

// Kill ends the process as a power cut would, and returns when it is gone. One that does not run is no error.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.ended
	return nil
}

// Stop asks the process to leave, and kills it if that takes too long. It fails if the process did not end
// well; one that does not run is no error.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("%s did not end within %v", p.Name, stopTime), p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("%s ended: %w", p.Name, p.err)
	}
	return nil
}

func (p *Process) writeConfig(text string) error {
	return os.WriteFile(p.ConfigFile(), []byte(text), 0o600)
}

// lastWords is the end of the log.
func (p *Process) lastWords() []byte {
	log, err := os.Open(p.LogFile())
	if err != nil {
		return nil
	}
	defer func() { _ = log.Close() }() // read only
	const enough = 4 << 10
	if size, err := log.Seek(0, io.SeekEnd); err == nil {
		_, _ = log.Seek(max(0, size-enough), io.SeekStart) // at worst there is more of it
	}
	text, _ := io.ReadAll(log)
	return bytes.TrimSpace(text)
}
