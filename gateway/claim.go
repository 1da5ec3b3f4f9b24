package gateway

import (
	"context"
	"sync"
	"time"
)

// What a client may claim: amoCRM's stored notification, and the result window.
const (
	ClaimNotify = "notify"
	ClaimResult = "result"
)

// claimGrace is how long a claim outlives its client, who may be reconnecting.
const claimGrace = 5 * time.Second

// claims are who may do what must be done once per call and user. Those carried out are in the log.
type claims struct {
	mu    sync.Mutex
	held  map[claimKey]heldClaim
	count map[clientKey]int       // of the claims that a client holds
	since map[clientKey]time.Time // when a client went; absent while it is there
}

type clientKey struct{ account, user, client string }

type heldClaim struct {
	client string
	at     time.Time
}

// claim gives the claim to cmd.Client unless another holds it. With Done it is carried out, for good.
func (g *Gateway) claim(ctx context.Context, cmd Command) error {
	if cmd.What != ClaimNotify && cmd.What != ClaimResult {
		return Errorf(CodeInvalid, "unknown claim %q: notify and result are known", cmd.What)
	}
	c, _, err := g.ownCall(cmd)
	if err != nil {
		return err
	}
	client := cmd.Client
	if client == "" {
		client = cmd.ID
	}
	key := claimKey{cmd.Account, cmd.User, c.ID, cmd.What}
	taken := Errorf(CodeTaken, "another of your windows does this")
	if done, ok := g.feed.claim(key); ok {
		if done.client == client {
			return nil
		}
		return taken
	}
	if !g.claims.take(key, client, g.cfg.Now()) {
		return taken
	}
	if !cmd.Done {
		return nil
	}
	return g.submit(ctx, cmd.Account, func(d *draft) error {
		d.record(&Record{Account: cmd.Account, Claim: &ClaimRecord{User: cmd.User, Call: c.ID, What: cmd.What, Client: client}})
		return nil
	})
}

func (c *claims) take(key claimKey, client string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	me := clientKey{key.account, key.user, client}
	delete(c.since, me)
	if held, ok := c.held[key]; ok && held.client != client {
		gone, isGone := c.since[clientKey{key.account, key.user, held.client}]
		if !isGone || now.Sub(gone) < claimGrace {
			return false
		}
	}
	if c.held == nil {
		c.held, c.count, c.since = map[claimKey]heldClaim{}, map[clientKey]int{}, map[clientKey]time.Time{}
	}
	c.drop(key)
	c.held[key] = heldClaim{client, now}
	c.count[me]++
	return true
}

// drop ends a claim, if it is held.
func (c *claims) drop(key claimKey) {
	held, ok := c.held[key]
	if !ok {
		return
	}
	delete(c.held, key)
	holder := clientKey{key.account, key.user, held.client}
	if c.count[holder]--; c.count[holder] == 0 {
		delete(c.count, holder)
		delete(c.since, holder)
	}
}

func (c *claims) here(client clientKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.since, client)
}

func (c *claims) gone(client clientKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[client] > 0 {
		c.since[client] = now
	}
}

// expire forgets what no longer matters: claims as old as the calls that are remembered.
func (c *claims) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, held := range c.held {
		if now.Sub(held.at) > rememberCalls {
			c.drop(key)
		}
	}
}
