package gateway

import (
	"context"
	"crypto/rand"
	"time"
)

// rings has those told whose telephone a call rings and who have no tab that would show it: once for a call and user,
// and never those of whom a client of theirs has seen to it. The caller holds the lock.
//
// Telephones that ring together come in events of their own, so it waits a moment, and one notification is for all.
func (c *callers) rings(call *Call, state *calling) {
	first := len(state.wait) == 0
	for i := range call.Legs {
		leg := &call.Legs[i]
		if _, told := state.told[leg.User]; told || leg.User == "" || leg.Caller || !leg.ringing() {
			continue
		}
		if c.gateway.presence.online(userKey{call.Account, leg.User}) {
			continue
		}
		state.told[leg.User] = struct{}{}
		state.wait = append(state.wait, leg.User)
	}
	if !first || len(state.wait) == 0 {
		return
	}
	notifier := c.gateway.notifier(call.Account)
	if notifier == nil || call.From.Raw == "" {
		for _, user := range state.wait {
			delete(state.told, user)
		}
		state.wait = nil
		return
	}
	together := time.Now().Add(notifyAfter)
	key := callKey{call.Account, call.ID}
	c.begin(&c.notices, &errand{key, func(ctx context.Context) {
		if wait(ctx, time.Until(together)) {
			c.notify(ctx, notifier, key)
		}
	}})
}

// notify tells those who wait for it that a call rings, if it still does.
func (c *callers) notify(ctx context.Context, notifier Notifier, key callKey) {
	account, id := key.account, key.id
	call, users := c.due(key)
	o := c.gateway.seats[c.gateway.partition(account)].owner.Load()
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	var tell []string
	for _, user := range users {
		// As a client of the user's that no other is, so that it is refused when this was done before.
		claim := Command{Account: account, User: user, Client: "gateway " + rand.Text(), Call: id, What: ClaimNotify, Done: true}
		if err := c.gateway.claim(ctx, o, claim); err != nil {
			c.gateway.cfg.Logger.DebugContext(ctx, "no notification of the CRM", "account", account, "call", id, "user", user, "err", err)
			continue
		}
		tell = append(tell, user)
	}
	if len(tell) == 0 {
		return
	}
	if err := notifier.Notify(ctx, call.From, tell); err != nil {
		c.gateway.cfg.Logger.WarnContext(ctx, "the CRM did not notify those without a tab", "account", account, "call", id, "users", tell, "err", err)
	}
}

// due returns who waits to be told that a call rings and has still no tab. Those whose telephones have stopped may be told
// when they ring again.
func (c *callers) due(key callKey) (call *Call, users []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.calls[key]
	call, ok := c.gateway.feed.call(key.account, key.id)
	if state == nil || !ok {
		return nil, nil
	}
	for _, user := range state.wait {
		if mine := call.share(user); mine == nil || !mine.ringing() || c.gateway.presence.online(userKey{key.account, user}) {
			delete(state.told, user)
			continue
		}
		users = append(users, user)
	}
	state.wait = nil
	return call, users
}
