package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// kind is the first byte of what nodes send to each other. Each has one handler, set in New.
type kind byte

// The kinds.
const (
	kindEmit    kind = 'e' // events for the owner of their account's partition
	kindCommand kind = 'c' // a command, likewise
	kindClient  kind = 'k' // whether a client is on the node
	kindPhones  kind = 't' // what the PBXes of an account say of its extensions, for the owner of its partition
	kindShown   kind = 's' // told: a call was shown on a screen
	kindFull    kind = 'f' // told: the log refuses, whoever writes snapshots should make room
)

const (
	routeTime  = 5 * time.Second        // what reaches another node than the owner's is answered within this
	routePause = 100 * time.Millisecond // before the owner is asked again, unless there is another
	lastWords  = 250 * time.Millisecond // what a node that leaves has answered may come later than that it is gone
)

// ownerFunc answers a request; o is the owner that was asked for, nil if it was for anybody on this node.
type ownerFunc func(ctx context.Context, o *owner, data []byte) ([]byte, error)

// remote is what this node does for the others.
type remote struct {
	answers map[kind]ownerFunc
	owners  map[kind]bool // kinds that only an owner answers
	hears   map[kind]func(data []byte)
}

// handle sets what answers the requests of a kind, this node's own included. Called before Run. fn is called
// from many goroutines and must not keep data; what an *Error of it says reaches who asked. Its context ends
// when who asked waits no longer.
func (g *Gateway) handle(k kind, fn func(ctx context.Context, data []byte) ([]byte, error)) {
	g.handleAsOwner(k, func(ctx context.Context, _ *owner, data []byte) ([]byte, error) { return fn(ctx, data) })
	g.remote.owners[k] = false
}

// handleAsOwner is handle for what only the owner of a partition can answer.
func (g *Gateway) handleAsOwner(k kind, fn ownerFunc) {
	if g.remote.answers == nil {
		g.remote.answers, g.remote.owners = map[kind]ownerFunc{}, map[kind]bool{}
	}
	g.remote.answers[k], g.remote.owners[k] = fn, true
}

// hear sets what takes the messages of a kind that other nodes tell. Called before Run. fn is called for one
// message after another, must not block and must not keep data.
func (g *Gateway) hear(k kind, fn func(data []byte)) {
	if g.remote.hears == nil {
		g.remote.hears = map[kind]func([]byte){}
	}
	g.remote.hears[k] = fn
}

// askOwner has the owner of an account answer, which may be this node. While it is certain that no node has
// begun to, it is tried again, as r says; errElsewhere then means that there was none. When an answer was lost, or
// there is no time left, it is CodeUnavailable.
func (g *Gateway) askOwner(ctx context.Context, account string, r route, k kind, data []byte) (answer []byte, err error) {
	err = g.atOwner(ctx, account, r, func(ctx context.Context, o *owner) (err error) {
		answer, err = g.remote.answers[k](ctx, o, data)
		return err
	}, func(ctx context.Context, l lease) (err error) {
		answer, err = g.askLease(ctx, l, question{kind: k, partition: g.partition(account), seen: g.feed.head.Load()}, data)
		return err
	})
	return answer, err
}

// askNode has a node answer. ErrNoPeer: it is not there.
func (g *Gateway) askNode(ctx context.Context, node string, k kind, data []byte) ([]byte, error) {
	return g.ask(ctx, node, question{kind: k, partition: -1}, data)
}

// askLease has a node answer as the owner of a partition, while its lease is this one.
func (g *Gateway) askLease(ctx context.Context, l lease, q question, data []byte) ([]byte, error) {
	if now, ok := g.cluster.view().owner(q.partition); !ok || now != l || l.Node == g.cluster.node {
		return nil, errElsewhere
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if g.cluster.away(ctx, l.Node) && wait(ctx, lastWords) {
			cancel(fmt.Errorf("node %s is gone", l.Node))
		}
	}()
	q.generation = l.generation
	return g.ask(ctx, l.Node, q, data)
}

// wait lets time go by; it returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tellAll tells the other nodes, if there are any. It does not wait, and a node may miss it.
func (g *Gateway) tellAll(k kind, data []byte) error {
	if g.cfg.Peers == nil {
		return nil
	}
	if err := g.cfg.Peers.Tell(append([]byte{byte(k)}, data...)); err != nil {
		return fmt.Errorf("tell the other nodes: %w", err)
	}
	return nil
}

// nodes returns the other nodes that are alive.
func (g *Gateway) nodes() []string {
	if g.cluster == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.cluster.view().alive), func(node string) bool { return node == g.cluster.node })
}

// route says how far a request to an owner goes.
type route struct {
	patience time.Duration // how long to look for an owner; 0: as long as there is time
	repeat   bool          // it does no harm twice: it is asked again when the answer was lost
}

// atOwner does something at the owner of an account: here if it is on this node, there if on another. It is done
// again while it is certain that it was not done, for routeTime at most.
func (g *Gateway) atOwner(ctx context.Context, account string, r route,
	here func(ctx context.Context, o *owner) error, there func(ctx context.Context, l lease) error,
) error {
	p := g.partition(account)
	if g.cluster == nil {
		return here(ctx, g.seats[p].owner.Load())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, routeTime, errors.New("no node takes the account's events now"))
	defer cancel()
	if r.patience == 0 {
		r.patience = routeTime
	}
	for begun := time.Now(); ; {
		select {
		case <-g.ended:
			return leaving()
		default:
		}
		v := g.cluster.view()
		err := errElsewhere
		if o := g.seats[p].owner.Load(); o != nil {
			err = here(ctx, o)
		} else if l, ok := v.owner(p); ok && l.Node != g.cluster.node {
			err = there(ctx, l)
		}
		switch nobody := errors.Is(err, errElsewhere) || errors.Is(err, ErrNoPeer); {
		case nobody && time.Since(begun) > r.patience:
			return errElsewhere
		case !nobody && !(r.repeat && errors.Is(err, errLost)):
			return err
		}
		pause := time.NewTimer(routePause)
		select {
		case <-v.changed:
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return unavailable(context.Cause(ctx))
		case <-g.ended:
			pause.Stop()
			return leaving()
		}
		pause.Stop()
	}
}

// errLost means that a node was asked and its answer did not come: nobody knows whether it did what it should.
var errLost = errors.New("the answer of another node was lost")

// question is the head of a request.
type question struct {
	kind       kind
	partition  int    // whose owner is asked; -1: none
	generation uint64 // of its lease, as who asks knows it
	seen       uint64 // the entry up to which the feed of who asks has read
	within     time.Duration
}

func (q question) frame(data []byte) []byte {
	frame := make([]byte, 0, 1+4*binary.MaxVarintLen64+len(data))
	frame = append(frame, byte(q.kind))
	frame = binary.AppendVarint(frame, int64(q.partition))
	frame = binary.AppendUvarint(frame, q.generation)
	frame = binary.AppendUvarint(frame, q.seen)
	frame = binary.AppendVarint(frame, q.within.Milliseconds())
	return append(frame, data...)
}

func parseQuestion(frame []byte) (q question, data []byte, err error) {
	if len(frame) == 0 {
		return q, nil, errors.New("an empty request")
	}
	q.kind, frame = kind(frame[0]), frame[1:]
	partition, n := binary.Varint(frame)
	frame = frame[max(n, 0):]
	generation, m := binary.Uvarint(frame)
	frame = frame[max(m, 0):]
	seen, k := binary.Uvarint(frame)
	frame = frame[max(k, 0):]
	within, l := binary.Varint(frame)
	if n <= 0 || m <= 0 || k <= 0 || l <= 0 || within < 0 || within > routeTime.Milliseconds() {
		return q, nil, errors.New("a request with a bad head")
	}
	q.partition, q.generation, q.seen, q.within = int(partition), generation, seen, time.Duration(within)*time.Millisecond
	return q, frame[l:], nil
}

// How an answer begins.
const (
	answerOK        = '+'
	answerError     = '-' // a wireError follows
	answerElsewhere = '>' // this node is not the owner, and nothing was done
)

// wireError is an Error between nodes.
type wireError struct {
	Code       Code          `json:"code"`
	Message    string        `json:"message"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	Fields     []FieldError  `json:"fields,omitempty"`
}

func toWire(err error) *wireError {
	e := Shown(err)
	return &wireError{e.Code, e.Message, e.RetryAfter, e.Fields}
}

func (w *wireError) err() error {
	return &Error{Code: w.Code, Message: w.Message, RetryAfter: w.RetryAfter, Fields: w.Fields}
}

// ask sends a request to a node. ErrNoPeer and errElsewhere: nothing was done; errLost: perhaps.
func (g *Gateway) ask(ctx context.Context, node string, q question, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, routeTime)
	defer cancel()
	deadline, _ := ctx.Deadline()
	q.within = min(max(time.Until(deadline), 0), routeTime)
	answer, err := g.cfg.Peers.Request(ctx, node, q.frame(data))
	if errors.Is(err, ErrNoPeer) {
		return nil, err
	}
	lost := func(err error) error {
		return &Error{
			Code: CodeUnavailable, Message: "the node that takes these events did not answer: send it again", RetryAfter: time.Second,
			Err: fmt.Errorf("%w: node %s: %w", errLost, node, err),
		}
	}
	switch {
	case err != nil:
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, lost(err)
	case len(answer) == 0:
		return nil, lost(errors.New("an empty answer"))
	case answer[0] == answerElsewhere:
		return nil, errElsewhere
	case answer[0] == answerOK:
		return answer[1:], nil
	}
	var e wireError
	if err := json.Unmarshal(answer[1:], &e); err != nil {
		return nil, lost(err)
	}
	return nil, e.err()
}

// answer answers a request of another node.
func (g *Gateway) answer(ctx context.Context, frame []byte) []byte {
	data, err := g.answerFrame(ctx, frame)
	switch {
	case err == nil:
		return append([]byte{answerOK}, data...)
	case errors.Is(err, errElsewhere):
		return []byte{answerElsewhere}
	}
	if CodeOf(err) == CodeInternal {
		g.cfg.Logger.Error("request of another node", "err", err)
	}
	data, err = json.Marshal(toWire(err))
	if err != nil {
		g.cfg.Logger.Error("answer to another node", "err", err)
	}
	return append([]byte{answerError}, data...)
}

func (g *Gateway) answerFrame(ctx context.Context, frame []byte) ([]byte, error) {
	q, data, err := parseQuestion(frame)
	if err != nil {
		return nil, err
	}
	fn := g.remote.answers[q.kind]
	if fn == nil {
		return nil, fmt.Errorf("a request of an unknown kind %q", q.kind)
	}
	ctx, cancel := context.WithTimeout(ctx, q.within)
	defer cancel()
	if q.partition < 0 && !g.remote.owners[q.kind] {
		return fn(ctx, nil, data)
	}
	if q.partition < 0 || q.partition >= len(g.seats) {
		return nil, fmt.Errorf("a request for partition %d", q.partition)
	}
	o := g.seats[q.partition].owner.Load()
	if o == nil || o.generation != q.generation || o.over() {
		return nil, errElsewhere
	}
	// Who asks may have seen more of the log than this node, and asks for what he has seen.
	if err := g.feed.wait(ctx, q.seen); err != nil {
		return nil, unavailable(err)
	}
	return fn(ctx, o, data)
}

// heard takes what another node told.
func (g *Gateway) heard(data []byte) {
	if len(data) == 0 {
		return
	}
	if fn := g.remote.hears[kind(data[0])]; fn != nil {
		fn(data[1:])
	}
}
