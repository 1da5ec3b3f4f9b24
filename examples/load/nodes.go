package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringcast/examples/cluster/fleet"
)

// server is a process that can be ended and started again where it was.
type server interface {
	Start(ctx context.Context) error
	Stop() error
	Kill() error
	PID() int
}

var (
	_ server = (*process)(nil)
	_ server = (*fleet.Process)(nil)
)

// node is a gateway, or a NATS server below one.
type node struct {
	server
	addr, ops string
	busy      *sync.Mutex // something is being done to it
}

func newNode(s server, addr, ops string) node { return node{s, addr, ops, new(sync.Mutex)} }

// nodes are gateways that are as good as each other.
type nodes struct {
	all     []node
	servers []node       // the NATS servers below them
	end     func() error // stops all
}

// nodes starts one gateway with a log of its own, or two on an external NATS cluster.
func (s *site) nodes(ctx context.Context, accounts []*account) (nodes, error) {
	if s.o.nodes < 2 {
		p, err := s.serve(ctx, kindStrict, accounts)
		if err != nil {
			return nodes{}, err
		}
		return nodes{all: []node{newNode(p, p.addr, p.ops)}, end: p.Stop}, nil
	}
	dir, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		return nodes{}, err
	}
	var list bytes.Buffer
	writeAccounts(&list, accounts)
	f, err := fleet.Start(ctx, fleet.Config{
		Dir: dir, Gateways: s.o.nodes, Ringcast: s.ringcast, Accounts: list.String(),
		Settings: fmt.Sprintf("durability: %s\norigins: [%q]", kindStrict, origin),
	})
	if err != nil {
		return nodes{}, err
	}
	n := nodes{end: f.Stop}
	for _, g := range f.Gateways {
		n.all = append(n.all, newNode(g, g.Addr, g.Ops))
	}
	for _, s := range f.Servers {
		n.servers = append(n.servers, newNode(s, s.Addr, s.Ops))
	}
	return n, nil
}

func (n nodes) addrs() []string {
	var addrs []string
	for _, node := range n.all {
		addrs = append(addrs, node.addr)
	}
	return addrs
}

// cpu is the processor time that the gateways have taken since they were started.
func (n nodes) cpu() (sum time.Duration, err error) {
	for _, node := range n.all {
		took, err := cpuTime(node.PID())
		if err != nil {
			return 0, err
		}
		sum += took
	}
	return sum, nil
}

// metrics are a node's, by name and labels as they are written; those with labels are also summed under their name.
func (n node) metrics(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.ops+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	found := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := cutLast(strings.TrimSpace(line), ' ')
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		figure, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		found[name] = figure
		if family, _, labelled := strings.Cut(name, "{"); labelled {
			found[family] += figure
		}
	}
	return found, nil
}

func cutLast(s string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
