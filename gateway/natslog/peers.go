package natslog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"ringcast/gateway"
)

const (
	nodeSubject = "ringcast.node." // and the node that is asked
	allSubject  = "ringcast.all."  // and the node that tells

	statusNobody = "503" // what the servers answer where nobody listens

	maxAnswering = 256      // requests that one node works on at a time
	maxWaiting   = 64 << 20 // bytes of messages that wait for it; what is more is lost
)

// peers joins nodes by NATS's own requests and publications. A node is who serves its subject.
type peers struct {
	line *line
	node string

	mu   sync.Mutex
	gone *nats.Subscription // of a node that has served: tells who asks that it does no more
}

var _ gateway.Peers = (*peers)(nil)

var (
	nodeForm  = regexp.MustCompile(`^[-_a-zA-Z0-9]{1,64}$`)
	notOfNode = regexp.MustCompile(`[^-_a-zA-Z0-9]+`)
)

func newPeers(l *line) *peers { return &peers{line: l, node: nodeName()} }

// nodeName is the machine's name, for people, and chance.
func nodeName() string {
	host, _ := os.Hostname() // without it, there is still chance
	host, _, _ = strings.Cut(host, ".")
	host = notOfNode.ReplaceAllString(host, "-")
	return strings.ToLower(host[:min(len(host), 32)] + "-" + rand.Text())
}

func (p *peers) Node() string { return p.node }

func (p *peers) Request(ctx context.Context, node string, data []byte) ([]byte, error) {
	if !nodeForm.MatchString(node) {
		return nil, fmt.Errorf("node %q: %w", node, gateway.ErrNoPeer)
	}
	guarded, done := p.line.guard(ctx)
	answer, err := p.line.RequestWithContext(guarded, nodeSubject+node, data)
	err = done(err)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fmt.Errorf("node %s: %w", node, gateway.ErrNoPeer)
	}
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", node, err)
	}
	return answer.Data, nil
}

func (p *peers) Tell(data []byte) error {
	if err := p.line.Publish(allSubject+p.node, data); err != nil {
		return fmt.Errorf("tell all nodes: %w", err)
	}
	return nil
}

func (p *peers) Serve(ctx context.Context, answer func(context.Context, []byte) []byte, heard func([]byte)) error {
	p.comeBack()
	asked, err := p.subscribe(nodeSubject + p.node)
	if err != nil {
		return err
	}
	defer p.leave(ctx, asked)
	told, err := p.subscribe(allSubject + "*")
	if err != nil {
		return err
	}
	defer func() { _ = told.Unsubscribe() }() // fails only when the connection has ended it before
	if p.line.IsConnected() {
		_ = p.line.FlushTimeout(answerTimeout) // the servers know by then; if it fails, with the reconnect
	}

	serving, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	running.Go(func() {
		cancel(each(serving, told, func(msg *nats.Msg) {
			if msg.Subject != allSubject+p.node {
				heard(msg.Data)
			}
		}))
	})
	free := make(chan struct{}, maxAnswering)
	cancel(each(serving, asked, func(msg *nats.Msg) {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			_ = msg.Respond(answer(serving, msg.Data)) // who asked learns of a broken connection himself
		})
	}))
	running.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve other nodes: %w", context.Cause(serving))
}

// leave stops serving. Who asks from now on is told by this node that there is nobody, for as long as it is
// connected: a server that still believes in it would just drop the request.
func (p *peers) leave(ctx context.Context, asked *nats.Subscription) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	p.gone, err = p.line.Subscribe(nodeSubject+p.node, decline)
	if err != nil || asked.Drain() != nil { // the connection has ended before
		return
	}
	_ = each(ctx, asked, decline) // until it is drained
}

// comeBack ends what leave has begun.
func (p *peers) comeBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil {
		_ = p.gone.Unsubscribe() // fails only when the connection has ended it before
		p.gone = nil
	}
}

// decline answers as the servers do where nobody listens.
func decline(msg *nats.Msg) {
	_ = msg.RespondMsg(&nats.Msg{Header: nats.Header{statusHeader: {statusNobody}}})
}

func (p *peers) subscribe(subject string) (*nats.Subscription, error) {
	sub, err := p.line.SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	return sub, sub.SetPendingLimits(-1, maxWaiting)
}

// each hands on a subscription's messages until ctx ends; it returns what ended it.
func each(ctx context.Context, sub *nats.Subscription, do func(*nats.Msg)) error {
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case err == nil:
			do(msg)
		case errors.Is(err, nats.ErrSlowConsumer): // something was lost, which is told once
		default:
			return err
		}
	}
}
