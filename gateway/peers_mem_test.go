package gateway

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"
)

// memNet joins the nodes of one test. A test can hold up and spoil what they send.
type memNet struct {
	prefix string // of the nodes' names

	mu    sync.Mutex
	nodes map[string]*memPeers
	last  int

	onRequest func(from, to string, data []byte) error // before it arrives; an error is what who asks gets
	onAnswer  func(from, to string, data []byte) error // after it was answered: likewise
}

// memPeers is a node of a memNet.
type memPeers struct {
	net  *memNet
	name string

	// These are guarded by net.mu.
	answer func(ctx context.Context, data []byte) []byte
	told   [][]byte
	wake   chan struct{}
	ctx    context.Context //nolint:containedctx // of Serve
	calls  sync.WaitGroup
	frozen chan struct{} // closed when the node goes on; nil: it does
}

var _ Peers = (*memPeers)(nil)

func newMemNet() *memNet { return &memNet{prefix: "n", nodes: map[string]*memPeers{}} }

func (n *memNet) join() *memPeers {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	p := &memPeers{net: n, name: n.prefix + strconv.Itoa(n.last), wake: make(chan struct{}, 1)}
	n.nodes[p.name] = p
	return p
}

func (p *memPeers) Node() string { return p.name }

// thawed waits while the node is frozen.
func (p *memPeers) thawed(ctx context.Context) error {
	for {
		p.net.mu.Lock()
		frozen := p.frozen
		p.net.mu.Unlock()
		if frozen == nil {
			return nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *memPeers) Request(ctx context.Context, node string, data []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := p.net
	n.mu.Lock()
	to := n.nodes[node]
	if to == nil || to.answer == nil {
		n.mu.Unlock()
		return nil, ErrNoPeer
	}
	answer, serving, before, after := to.answer, to.ctx, n.onRequest, n.onAnswer
	to.calls.Add(1)
	n.mu.Unlock()
	if before != nil {
		if err := before(p.name, node, data); err != nil {
			to.calls.Done()
			return nil, err
		}
	}
	done := make(chan []byte, 1)
	data = append([]byte(nil), data...)
	go func() {
		defer to.calls.Done()
		if to.thawed(serving) == nil {
			done <- append([]byte(nil), answer(serving, data)...)
		}
	}()
	select {
	case got := <-done:
		if after != nil {
			if err := after(p.name, node, data); err != nil {
				return nil, err
			}
		}
		return got, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *memPeers) Tell(data []byte) error {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	for _, to := range p.net.nodes {
		if to == p || to.answer == nil {
			continue
		}
		to.told = append(to.told, append([]byte(nil), data...))
		select {
		case to.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

func (p *memPeers) Serve(ctx context.Context, answer func(context.Context, []byte) []byte, heard func([]byte)) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	p.net.mu.Lock()
	if p.answer != nil {
		p.net.mu.Unlock()
		return errors.New("it serves already")
	}
	p.answer, p.ctx = answer, own
	p.net.mu.Unlock()
	defer p.calls.Wait()
	defer func() {
		p.net.mu.Lock()
		defer p.net.mu.Unlock()
		p.answer, p.told = nil, nil
	}()
	for {
		p.net.mu.Lock()
		var next []byte
		if len(p.told) > 0 {
			next, p.told = p.told[0], p.told[1:]
		}
		p.net.mu.Unlock()
		if next != nil {
			heard(next)
			continue
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// rest is time that passes: for fakes that answer late.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// NewMemNodes returns nodes that can reach each other, for the conformance suite.
func NewMemNodes(prefix string, n int) []Peers {
	net := newMemNet()
	net.prefix = prefix
	var nodes []Peers
	for range n {
		nodes = append(nodes, net.join())
	}
	return nodes
}
