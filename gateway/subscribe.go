package gateway

import (
	"context"
	"time"
)

// catchUpTime is how long a session that was on another node waits until this one has read as far.
const catchUpTime = 2 * time.Second

// Subscribe registers deliver for the messages of a user's calls and returns, in the same instant, where
// the session stands: cursor is where the client was, "" on a first visit. deliver is called in order,
// by one goroutine at a time, must not block and must not call the gateway. The returned function ends
// it; deliver is not called after that returned.
func (g *Gateway) Subscribe(account, user, cursor string, deliver func(Message)) (Hello, func(), error) {
	if err := g.serving(); err != nil {
		return Hello{}, nil, err
	}
	if err := g.catchUp(cursor); err != nil {
		return Hello{}, nil, err
	}
	hello, stop := g.feed.subscribe(account, user, cursor, deliver)
	return hello, stop, nil
}

// catchUp returns when the feed has come as far as the cursor. A cursor that the log itself has not come to is not
// waited for.
func (g *Gateway) catchUp(cursor string) error {
	c, err := ParseCursor(cursor)
	if err != nil || c.Epoch != g.feed.epoch || c.Seq <= g.feed.head.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), catchUpTime)
	defer cancel()
	behind := func(err error) error {
		return &Error{Code: CodeUnavailable, Message: "this node has not read as far as you have: come again", RetryAfter: time.Second, Err: err}
	}
	var end uint64
	for p := range g.cfg.Log.Info().Partitions {
		last, err := g.cfg.Log.Last(ctx, p)
		if err != nil {
			return behind(err)
		}
		end = max(end, last)
	}
	if c.Seq > end {
		return nil
	}
	if err := g.feed.wait(ctx, c.Seq); err != nil {
		return behind(err)
	}
	return nil
}

// Call returns a call of an account as this node knows it, by its id. It is shared: do not change it. Not to be called
// from a deliver.
func (g *Gateway) Call(account, id string) (*Call, bool) { return g.feed.call(account, id) }

// LiveCalls returns the calls of an account that have not ended, as this node knows them, in no order. They are shared:
// do not change them.
func (g *Gateway) LiveCalls(account string) (calls []*Call) {
	g.feed.live(account, func(c *Call) { calls = append(calls, c) })
	return calls
}
