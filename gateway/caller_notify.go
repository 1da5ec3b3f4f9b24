package gateway

import (
	"context"
	"crypto/rand"
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
	if notifier == nil || call.From.Raw == "" || !c.begin(&c.notices, call, func(ctx context.Context) {
		if wait(ctx, notifyAfter) {
			c.notify(ctx, notifier, call.Account, call.ID)
		}
	}) {
		for _, user := range state.wait {
			delete(state.told, user)
		}
		state.wait = nil
	}
}

// notify tells those who wait for it that a call rings, if it still does.
func (c *callers) notify(ctx context.Context, notifier Notifier, account, id string) {
	c.mu.Lock()
	state := c.calls[callKey{account, id}]
	var users []string
	if state != nil {
		users, state.wait = state.wait, nil
	}
	c.mu.Unlock()
	call, ok := c.gateway.feed.call(account, id)
	o := c.gateway.seats[c.gateway.partition(account)].owner.Load()
	if !ok || o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, notifyTime)
	defer cancel()
	var tell []string
	for _, user := range users {
		if mine := call.share(user); mine == nil || !mine.ringing() || c.gateway.presence.online(userKey{account, user}) {
			continue
		}
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
