package natslog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// accounts is how many installations the servers of a test have room for: each has a NATS account of its own.
const accounts = 120

// programDir names the environment variable that says where programs are built.
const programDir = "NATSLOG_TEST_PROGRAMS"

// natsServer is one server of others, in a process of its own.
type natsServer struct {
	t       *testing.T
	name    string
	addr    string
	monitor string
	config  string // file
	cmd     *exec.Cmd
	ended   chan struct{}
}

// servers are the NATS servers of a test.
type servers struct {
	t     *testing.T
	nodes []*natsServer
	urls  []string // host:port

	mu    sync.Mutex
	given map[string]int // account by directory
}

// url returns where the installation that belongs to dir connects.
func (s *servers) url(dir string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.given[dir]
	if !ok {
		if n = len(s.given); n == accounts {
			s.t.Error("too few accounts")
		}
		s.given[dir] = n
	}
	urls := make([]string, len(s.urls))
	for i, addr := range s.urls {
		urls[i] = fmt.Sprintf("nats://user-%d:secret@%s", n, addr)
	}
	return strings.Join(urls, ",")
}

// config is a server's config file. Without routes it is alone.
func serverConfigFile(t *testing.T, dir, name, addr, monitor, route string, routes []string, more string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: %q\nmax_payload: %d\n", name, addr, maxPayload)
	if monitor != "" {
		fmt.Fprintf(&b, "http: %q\n", monitor)
	}
	fmt.Fprintf(&b, "jetstream {store_dir: %q, max_mem: 1GB, max_file: 1TB}\n", filepath.Join(dir, name))
	if len(routes) > 0 {
		fmt.Fprintf(&b, "cluster {name: test, listen: %q, routes: [\"%s\"]}\n", route, "nats://"+strings.Join(routes, "\", \"nats://"))
	}
	b.WriteString("accounts {\n")
	for i := range accounts {
		fmt.Fprintf(&b, "  A%d {jetstream: enabled, users: [{user: user-%d, password: secret}]}\n", i, i)
	}
	b.WriteString("}\n" + more)
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// inProcess starts one server within this process.
func inProcess(t *testing.T, more string) *servers {
	t.Helper()
	opts, err := server.ProcessConfigFile(serverConfigFile(t, t.TempDir(), "alone", "127.0.0.1:-1", "", "", nil, more))
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(startTimeout) {
		t.Fatal("the server does not start")
	}
	return &servers{t: t, urls: []string{srv.Addr().String()}, given: map[string]int{}}
}

// program builds the real nats-server once, in the directory that TestMain has made for it.
var program = sync.OnceValues(func() (string, error) {
	out := filepath.Join(os.Getenv(programDir), "nats-server")
	said, err := exec.Command("go", "build", "-o", out, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return out, nil
})

// processes starts real servers that form a cluster, or one that is alone.
func processes(t *testing.T, n int) *servers {
	t.Helper()
	s := &servers{t: t, given: map[string]int{}}
	dir := t.TempDir()
	addrs := steadyAddresses(t, 3*n)
	routes := addrs[2*n:]
	if n == 1 {
		routes = nil
	}
	for i := range n {
		node := &natsServer{t: t, name: fmt.Sprintf("n%d", i+1), addr: addrs[i], monitor: addrs[n+i]}
		node.config = serverConfigFile(t, dir, node.name, node.addr, node.monitor, addrs[2*n+i], routes, "")
		s.nodes, s.urls = append(s.nodes, node), append(s.urls, node.addr)
		node.launch()
	}
	for _, node := range s.nodes {
		node.await()
	}
	return s
}

var steadyGiven sync.Map // addresses, to nil: no two tests get the same one

// steadyAddresses are free, and the kernel gives them to nobody who does not ask for them by number: they are
// still free when a server comes back.
func steadyAddresses(t *testing.T, n int) []string {
	t.Helper()
	var free []string
	for range 100 * n {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10000+rand.IntN(10000)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }()
		if _, given := steadyGiven.LoadOrStore(l.Addr().String(), nil); given {
			continue
		}
		if free = append(free, l.Addr().String()); len(free) == n {
			return free
		}
	}
	t.Fatal("no addresses are free")
	return nil
}

// launch starts the server; await returns when it is ready.
func (n *natsServer) launch() {
	n.t.Helper()
	path, err := program()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", n.config, "-l", n.config+".log")
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is always killed
	}()
	n.cmd, n.ended = cmd, ended
	n.t.Cleanup(n.kill)
}

func (n *natsServer) await() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.monitor+"/healthz", http.NoBody)
		if err != nil {
			n.t.Fatal(err)
		}
		request.Close = true
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-n.ended:
			n.t.Fatalf("%s ended", n.name)
		case <-ctx.Done():
			n.t.Fatalf("%s is not ready", n.name)
		}
	}
}

// kill ends the server as a power cut does.
func (n *natsServer) kill() {
	if err := n.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		n.t.Error(err)
	}
	<-n.ended
}

// node returns the server of that name.
func (s *servers) node(name string) *natsServer {
	for _, n := range s.nodes {
		if n.name == name {
			return n
		}
	}
	s.t.Fatalf("no server %q", name)
	return nil
}
