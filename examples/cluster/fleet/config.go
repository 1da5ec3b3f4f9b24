package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
)

// serverConfig is the config file of the NATS server with this index. One server alone is no cluster.
func serverConfig(s *Process, index int, routes []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: %q\nhttp: %q\n", s.Name, s.Addr, s.Ops)
	b.WriteString("max_payload: 8388608 # the largest that Ringcast sends; the server's default is 1 MiB\n")
	fmt.Fprintf(&b, "jetstream {store_dir: %q, max_mem: 1GB, max_file: 64GB}\n", filepath.Join(s.dir, s.Name))
	if len(routes) == 1 {
		return b.String()
	}
	fmt.Fprintf(&b, "cluster {\n  name: ringcast\n  listen: %q\n  routes: [\n", routes[index])
	for i, route := range routes {
		if i != index {
			fmt.Fprintf(&b, "    \"nats://%s\"\n", route)
		}
	}
	b.WriteString("  ]\n}\n")
	return b.String()
}

func gatewayConfig(g *Process, url, sessionKey string, cfg Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listen: %s\nops_listen: %s\ndata_dir: %q\n", g.Addr, g.Ops, filepath.Join(g.dir, g.Name))
	fmt.Fprintf(&b, "session_key: %q\nnats: {url: %q}\n", sessionKey, url)
	if cfg.Settings != "" {
		b.WriteString(strings.TrimRight(cfg.Settings, "\n") + "\n")
	}
	b.WriteString("accounts:\n" + strings.TrimRight(cfg.Accounts, "\n") + "\n")
	return b.String()
}

// steadyPorts returns loopback addresses that are free, and that the kernel gives to nobody who does not ask
// for them by number: they are still free when a process comes back.
func steadyPorts(ctx context.Context, n int) ([]string, error) {
	var free []string
	for range 100 * n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(10000)))
		if err != nil {
			continue // taken
		}
		defer func() { _ = l.Close() }() // held until all are found, so that none is found twice
		if free = append(free, l.Addr().String()); len(free) == n {
			return free, nil
		}
	}
	return nil, errors.New("no loopback addresses are free")
}
