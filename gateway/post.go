package gateway

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// post carries events to a partition's owner on another node. What arrives while a request is under way goes
// together with the next.
type post struct {
	mu      sync.Mutex
	waiting []*parcel
	bytes   int // of those
	sending int
}

// parcel is the events of one Emit.
type parcel struct {
	ctx  context.Context // its Emit waits so long
	data []byte          // a posted
	done chan receipt
}

// posted is a parcel on its way.
type posted struct {
	Account string        `json:"account"`
	PBX     string        `json:"pbx"`
	Events  []postedEvent `json:"events"`
}

// postedEvent is an event with what an entry of the log need not repeat.
type postedEvent struct {
	Of string `json:"call"`
	Event
}

func encodePosted(account, pbx string, events []Event) ([]byte, error) {
	p := posted{account, pbx, make([]postedEvent, len(events))}
	for i, e := range events {
		p.Events[i] = postedEvent{e.Call, e}
	}
	return json.Marshal(&p)
}

func (p *posted) events() []Event {
	events := make([]Event, len(p.Events))
	for i, e := range p.Events {
		events[i] = e.Event
		events[i].Call = e.Of
	}
	return events
}

// receipt is what became of a parcel.
type receipt struct {
	Result    Result     `json:"result,omitzero"`
	Error     *wireError `json:"error,omitempty"`
	Elsewhere bool       `json:"elsewhere,omitempty"`
	err       error      // of the whole request
}

const (
	postRequests = 2       // under way at a time
	postBytes    = 1 << 20 // of a request, unless one parcel is more
	postParcels  = 512     // of a request
	postRoom     = 8 << 20 // for what waits
)

// send has the partition's owner on another node take events, encoded as posted.
func (s *seat) send(ctx context.Context, data []byte) (Result, error) {
	m := &parcel{ctx: ctx, data: data, done: make(chan receipt, 1)}
	s.post.mu.Lock()
	if s.post.bytes > postRoom {
		s.post.mu.Unlock()
		return Result{}, unavailable(errors.New("the node that takes these events is too slow"))
	}
	s.post.waiting = append(s.post.waiting, m)
	s.post.bytes += len(data)
	first := s.post.sending < postRequests
	if first {
		s.post.sending++
	}
	s.post.mu.Unlock()
	if first {
		go s.deliver(context.WithoutCancel(ctx))
	}
	select {
	case r := <-m.done:
		switch {
		case r.err != nil:
			return Result{}, r.err
		case r.Elsewhere:
			return Result{}, errElsewhere
		case r.Error != nil:
			return Result{}, r.Error.err()
		}
		return r.Result, nil
	case <-ctx.Done():
		return Result{}, unavailable(context.Cause(ctx))
	}
}

// deliver sends what waits until nothing does.
func (s *seat) deliver(ctx context.Context) {
	for {
		batch, frame := s.post.next()
		if len(batch) == 0 {
			return
		}
		l, _ := s.gateway.cluster.view().owner(s.partition)
		answer, err := s.gateway.askLease(ctx, l, question{kind: kindEmit, partition: s.partition}, frame)
		for i, m := range batch {
			r := receipt{err: err}
			if err == nil {
				var data []byte
				if data, answer, r.err = cutParcel(answer); r.err == nil {
					r.err = json.Unmarshal(data, &r)
				}
				if r.err != nil {
					r.err = unavailable(fmt.Errorf("%w: receipt %d: %w", errLost, i, r.err))
				}
			}
			m.done <- r
		}
	}
}

// next takes the parcels of a request, without those that nobody waits for any more; none means that the sender
// has ended.
func (p *post) next() (batch []*parcel, frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 && len(batch) < postParcels && (len(batch) == 0 || len(frame)+len(p.waiting[0].data) <= postBytes) {
		m := p.waiting[0]
		p.waiting[0], p.waiting = nil, p.waiting[1:]
		p.bytes -= len(m.data)
		if m.ctx.Err() == nil {
			batch, frame = append(batch, m), appendParcel(frame, m.data)
		}
	}
	if len(batch) == 0 {
		p.waiting = nil
		p.sending--
	}
	return batch, frame
}

func appendParcel(frame, data []byte) []byte {
	return append(binary.AppendUvarint(frame, uint64(len(data))), data...)
}

func cutParcel(frame []byte) (data, rest []byte, err error) {
	n, size := binary.Uvarint(frame)
	if size <= 0 || n > uint64(len(frame)-size) {
		return nil, nil, errors.New("a parcel that is cut short")
	}
	frame = frame[size:]
	return frame[:n], frame[n:], nil
}

// answerEmit takes the parcels of another node.
func (g *Gateway) answerEmit(ctx context.Context, o *owner, frame []byte) ([]byte, error) {
	var parcels []posted
	for len(frame) > 0 {
		data, rest, err := cutParcel(frame)
		if err != nil {
			return nil, err
		}
		var p posted
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("parcel: %w", err)
		}
		parcels, frame = append(parcels, p), rest
	}
	receipts := make([]receipt, len(parcels))
	take := func(i int) {
		result, err := g.emit(ctx, o, parcels[i].Account, parcels[i].PBX, parcels[i].events())
		switch {
		case errors.Is(err, errElsewhere):
			receipts[i].Elsewhere = true
		case err != nil:
			receipts[i].Error = toWire(err)
		default:
			receipts[i].Result = result
		}
	}
	var others sync.WaitGroup // together they make one group
	for i := 1; i < len(parcels); i++ {
		others.Go(func() { take(i) })
	}
	if len(parcels) > 0 {
		take(0)
	}
	others.Wait()
	var answer []byte
	for i := range receipts {
		data, err := json.Marshal(&receipts[i])
		if err != nil {
			return nil, err
		}
		answer = appendParcel(answer, data)
	}
	return answer, nil
}
