package gateway

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	callerTime = 300 * time.Millisecond // a card is to have its contact within this; later it is brought up to date
	callerLate = 30 * time.Second       // how long the answer to one question is waited for

	maxCallers  = 100_000         // calls that are watched
	maxLookups  = 512             // questions under way on this node, and as many notifications
	maxAtOnce   = 64              // of one account
	callerTries = 5               // questions about one call, where they fail
	callerAgain = 2 * time.Second // after the first of them, doubled with each
	notifyAfter = 250 * time.Millisecond
	notifyTime  = 10 * time.Second
)

// callers finds out who calls, for the accounts whose CRM can say, and has the CRM tell those whom no tab would. The
// owner of an account does it. Nothing waits for it: not the events of a PBX, nor the cards, which go out without the
// contact unless the CRM's memory has it, and are brought up to date when it is known.
type callers struct {
	gateway *Gateway

	mu        sync.Mutex
	calls     map[callKey]*calling
	questions slots
	notices   slots           // of their own: a CRM that answers no question may notify all the same
	ctx       context.Context //nolint:containedctx // of what is under way; nil: nothing may begin
	underWay  sync.WaitGroup
}

// calling is a live call with somebody outside.
type calling struct {
	asked bool
	told  map[string]struct{} // users for whom a notification was considered
	wait  []string            // those it is to be sent to
}

func newCallers(g *Gateway) *callers {
	return &callers{gateway: g, calls: map[callKey]*calling{}, questions: newSlots("find"), notices: newSlots("notify")}
}

// open lets questions be asked, until run ends.
func (c *callers) open(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = ctx
}

// run waits until ctx ends, and then for the questions under way.
func (c *callers) run(ctx context.Context) {
	<-ctx.Done()
	c.mu.Lock()
	c.ctx = nil
	c.mu.Unlock()
	c.underWay.Wait()
}

// finder returns the account's Finder, nil if it has none.
func (g *Gateway) finder(account string) Finder {
	if g.cfg.Finders == nil {
		return nil
	}
	return g.cfg.Finders(account)
}

func (g *Gateway) notifier(account string) Notifier {
	if g.cfg.Notifiers == nil {
		return nil
	}
	return g.cfg.Notifiers(account)
}

// recall gives a call's first events the contact that the CRM's memory has.
func (g *Gateway) recall(e *Event) {
	if e.Type != EventDial || e.Contact != nil || e.Direction != Inbound && e.Direction != Outbound {
		return
	}
	phone := &e.From
	if e.Direction == Outbound {
		phone = &e.To
	}
	if finder := g.finder(e.Account); finder != nil {
		found, _ := finder.Recall(*phone)
		e.Contact = found.Contact
	}
}

// record looks at a record that the feed has applied. It does not block.
func (c *callers) record(r *Record) {
	if r.Call == nil {
		return
	}
	key := callKey{r.Account, r.Call.ID}
	if r.Call.Over() { // whether or not the account still has a CRM
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, key)
		c.questions.drop(key)
		c.notices.drop(key)
		return
	}
	if c.gateway.finder(r.Account) == nil && c.gateway.notifier(r.Account) == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Call.Direction == Internal || r.Call.StartedAt.IsZero() || c.ctx == nil || c.gateway.term(r.Account) == 0 {
		return
	}
	call := c.calls[key]
	if call == nil {
		if len(c.calls) >= maxCallers {
			return
		}
		call = &calling{told: map[string]struct{}{}}
		c.calls[key] = call
	}
	if !call.asked {
		call.asked = true
		c.ask(r.Call, 1)
	}
	if r.Call.Direction == Inbound {
		c.rings(r.Call, call)
	}
}

// begin has an errand done beside the feed, as soon as the account and the node have not too much of its kind under way.
// The caller holds the lock.
func (c *callers) begin(s *slots, e *errand) {
	account := e.call.account
	if !s.take(account) {
		c.gateway.cfg.Logger.Debug("too many calls at once to ask the CRM about each", "account", account, "call", e.call.id, "what", s.what)
		if putOff := c.gateway.cfg.Metrics.PutOff; putOff != nil {
			putOff(account, s.what)
		}
		s.wait(e)
		return
	}
	ctx := c.ctx
	c.underWay.Go(func() {
		for e != nil {
			e.do(ctx)
			e = c.next(ctx, s, e)
		}
	})
}

// next gives back the slot of what is done, and returns what has waited for one; nil: nothing has, or ctx has ended.
func (c *callers) next(ctx context.Context, s *slots, done *errand) *errand {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.free(done.call.account)
	if ctx.Err() != nil {
		return nil
	}
	return s.next()
}

// ask finds out who is at the other end of a call, if that can be asked; where the CRM fails, once more after a while.
// The caller holds the lock.
func (c *callers) ask(call *Call, try int) {
	phone := *call.outside(false)
	if call.Contact != nil || phone.E164 == "" && len(Digits(phone.Raw)) < shortestPublic || c.gateway.finder(call.Account) == nil {
		return
	}
	key := callKey{call.Account, call.ID}
	c.begin(&c.questions, &errand{key, func(ctx context.Context) {
		err := c.name(ctx, key, phone)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.gateway.cfg.Logger.InfoContext(ctx, "who calls is not known", "account", key.account, "call", key.id, "try", try, "err", err)
		if try < callerTries {
			time.AfterFunc(backoff(try, callerAgain, callerLate), func() { c.askAgain(key, try+1) }) //nolint:contextcheck // it has the gateway's, if that still runs
		}
	}})
}

// askAgain asks who is at the other end of a call, if it still goes on.
func (c *callers) askAgain(key callKey, try int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call, ok := c.gateway.feed.call(key.account, key.id); ok && c.calls[key] != nil && c.ctx != nil && c.gateway.term(key.account) != 0 {
		c.ask(call, try)
	}
}

// name gives a call the contact that the CRM has for a number. The CRM may have gone while that waited, and the contact
// have come otherwise.
func (c *callers) name(ctx context.Context, key callKey, phone Number) error {
	finder := c.gateway.finder(key.account)
	if call, ok := c.gateway.feed.call(key.account, key.id); !ok || call.Contact != nil || finder == nil {
		return nil
	}
	found, err := c.find(ctx, finder, phone)
	if err != nil || found.Contact == nil {
		return err
	}
	return c.gateway.setContact(ctx, key.account, key.id, found.Contact)
}

// find waits no longer than a card may for everything there is about a caller, and then for who he is alone.
func (c *callers) find(ctx context.Context, finder Finder, phone Number) (Found, error) {
	soon, cancel := context.WithTimeout(ctx, callerTime)
	found, err := finder.Find(soon, phone)
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		return found, err
	}
	late, cancel := context.WithTimeout(ctx, callerLate)
	defer cancel()
	return finder.Find(late, phone)
}

// setContact notes who is at the other end of a call, while that lives.
func (g *Gateway) setContact(ctx context.Context, account, id string, contact *Contact) error {
	o := g.seats[g.partition(account)].owner.Load()
	if o == nil {
		return nil // the next owner asks itself
	}
	pbx, call, _ := cutCallID(id)
	err := o.submit(ctx, func(d *draft) error {
		c, ok := d.call(account, id)
		if !ok || c.Over() || same(c.Contact, contact) {
			return nil
		}
		d.apply(Event{Account: account, PBX: pbx, Call: call, Type: EventUpdate, Contact: contact})
		return nil
	})
	if errors.Is(err, errElsewhere) {
		return nil
	}
	return err
}
