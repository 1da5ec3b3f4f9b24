package gateway

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a client may claim of a call.
const (
	ClaimNotify    = "notify"     // the CRM's stored notification that it rings
	ClaimNotifyEnd = "notify_end" // the CRM's stored notification of the talk
	ClaimResult    = "result"     // the result window
	ClaimAlert     = "alert"      // sound and desktop notification
	ClaimOpen      = "open"       // the caller's card opening by itself
)

var claimable = []string{ClaimNotify, ClaimNotifyEnd, ClaimResult, ClaimAlert, ClaimOpen} // fixed

// claimGrace is how long a claim outlives its client, who may be reconnecting.
const claimGrace = 5 * time.Second

// claims are who may do what must be done once per call and user. Those carried out are in the log, and where
// there are several nodes those taken are too, so that the next owner knows them.
type claims struct {
	mu    sync.Mutex
	held  map[claimKey]heldClaim
	count map[clientKey]int       // of the claims that a client holds
	since map[clientKey]time.Time // when a client went; absent while it is there

	// Where there are several nodes each knows its own clients, whatever they claim, since the owner may ask: when
	// one went, zero while it is there. nil: this node is alone.
	clients map[clientKey]time.Time
}

type clientKey struct{ account, user, client string }

type heldClaim struct {
	client string
	at     time.Time
	done   bool // carried out
}

// claim gives the claim to cmd.Client unless another holds it. With Done it is carried out, for good.
func (g *Gateway) claim(ctx context.Context, o *owner, cmd Command) error {
	if !slices.Contains(claimable, cmd.What) {
		return Errorf(CodeInvalid, "unknown claim %q: known are %s", cmd.What, strings.Join(claimable, ", "))
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
	if logged, ok := g.feed.claim(key); ok {
		g.claims.recall(key, heldClaim{logged.client, logged.at, !logged.held}, g.cfg.Now())
	}
	was, ok := g.claims.take(key, client, g.cfg.Now())
	if !ok && !was.done && g.cluster != nil && g.nowhere(ctx, clientKey{cmd.Account, cmd.User, was.client}) {
		ok = g.claims.replace(key, was, client, g.cfg.Now())
	}
	if !ok {
		return Errorf(CodeTaken, "another of your windows does this")
	}
	if logged := was.client == client && g.cluster != nil; was.done || !cmd.Done && (g.cluster == nil || logged) {
		return nil
	}
	err = o.submit(ctx, func(d *draft) error {
		record := &ClaimRecord{User: cmd.User, Call: c.ID, What: cmd.What, Client: client, Held: !cmd.Done}
		d.record(&Record{Account: cmd.Account, Claim: record})
		return nil
	})
	g.claims.logged(key, client, was, cmd.Done, err)
	return err
}

// take gives a claim to a client unless another client holds it, and returns who held it.
func (c *claims) take(key claimKey, client string, now time.Time) (was heldClaim, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	me := clientKey{key.account, key.user, client}
	delete(c.since, me)
	was = c.held[key]
	if was.client == client || was.done && was.client != "" {
		return was, was.client == client
	}
	if was.client != "" {
		gone, isGone := c.since[clientKey{key.account, key.user, was.client}]
		if c.clients != nil || !isGone || now.Sub(gone) < claimGrace {
			return was, false
		}
	}
	c.hold(key, heldClaim{client: client, at: now})
	return was, true
}

// underWay says whether a claim is held and not carried out.
func (c *claims) underWay(key claimKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[key]
	return ok && !h.done
}

// replace gives a claim to a client if it is still held as it was.
func (c *claims) replace(key claimKey, was heldClaim, client string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[key] != was {
		return false
	}
	c.hold(key, heldClaim{client: client, at: now})
	return true
}

// recall takes a claim as the log has it, unless one is held that says as much: that it was carried out may be in
// the log though the answer came too late.
func (c *claims) recall(key claimKey, h heldClaim, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.held[key]; ok && (old.done || !h.done) {
		return
	}
	c.hold(key, h)
	if c.clients == nil && !h.done { // taken before this start: its client is to come back
		c.since[clientKey{key.account, key.user, h.client}] = now
	}
}

// logged says what became of a claim's record: with an error the claim is as it was.
func (c *claims) logged(key claimKey, client string, was heldClaim, done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[key]
	switch {
	case !ok || h.client != client:
	case err == nil:
		h.done = h.done || done
		c.held[key] = h
	case was.client == "":
		c.drop(key)
	case was.client != client:
		c.hold(key, was)
	}
}

func (c *claims) hold(key claimKey, h heldClaim) {
	if c.held == nil {
		c.held, c.count, c.since = map[claimKey]heldClaim{}, map[clientKey]int{}, map[clientKey]time.Time{}
	}
	c.drop(key)
	c.held[key] = h
	c.count[clientKey{key.account, key.user, h.client}]++
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

// track makes the clients of this node known, for others to ask.
func (c *claims) track() { c.clients = map[clientKey]time.Time{} }

func (c *claims) here(client clientKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.since, client)
	if c.clients != nil {
		c.clients[client] = time.Time{}
	}
}

func (c *claims) gone(client clientKey, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[client] > 0 {
		c.since[client] = now
	}
	if c.clients != nil {
		c.clients[client] = now
	}
}

// seen says whether a client is on this node, or was there and for how long it has been gone.
func (c *claims) seen(client clientKey, now time.Time) (here, was bool, gone time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.clients[client]
	if !ok {
		return false, false, 0
	}
	return at.IsZero(), true, max(now.Sub(at), 0)
}

// forget forgets the claims of some accounts: this node was not their owner for a while.
func (c *claims) forget(of func(account string) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.held {
		if of(key.account) {
			c.drop(key)
		}
	}
}

// expire forgets what no longer matters: claims as old as the calls that are remembered, and clients that went.
func (c *claims) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, held := range c.held {
		if now.Sub(held.at) > rememberCalls {
			c.drop(key)
		}
	}
	for client, gone := range c.clients {
		if !gone.IsZero() && now.Sub(gone) > rememberClients {
			delete(c.clients, client)
		}
	}
}

const (
	rememberClients = time.Minute            // that were on a node
	whereTime       = 500 * time.Millisecond // for a node to say whether a client is there
)

// whereabouts is what a node knows of a client.
type whereabouts struct {
	Here bool          `json:"here"`
	Was  bool          `json:"was,omitempty"`
	Gone time.Duration `json:"gone,omitempty"` // for so long, if it was there
}

func (g *Gateway) answerClient(_ context.Context, data []byte) ([]byte, error) {
	var who [3]string
	if err := json.Unmarshal(data, &who); err != nil {
		return nil, err
	}
	var w whereabouts
	w.Here, w.Was, w.Gone = g.claims.seen(clientKey{who[0], who[1], who[2]}, g.cfg.Now())
	return json.Marshal(w)
}

// nowhere says whether a client has been on no node for claimGrace. It asks them all. A node that is there and does
// not say may have it; one that is dead has not.
func (g *Gateway) nowhere(ctx context.Context, client clientKey) bool {
	data, err := json.Marshal([3]string{client.account, client.user, client.client})
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, whereTime)
	defer cancel()
	nodes := g.nodes()
	answers := make([]bool, len(nodes)+1)
	absent := func(data []byte, err error) bool {
		var w whereabouts
		return err == nil && json.Unmarshal(data, &w) == nil && !w.Here && (!w.Was || w.Gone >= claimGrace)
	}
	var asked sync.WaitGroup
	for i, node := range nodes {
		asked.Go(func() { answers[i] = absent(g.askNode(ctx, node, kindClient, data)) })
	}
	answers[len(nodes)] = absent(g.answerClient(ctx, data))
	asked.Wait()
	// Nodes that are gone have taken with them what they knew.
	return !slices.Contains(answers, false) && time.Since(g.cluster.lastLoss()) >= claimGrace
}
