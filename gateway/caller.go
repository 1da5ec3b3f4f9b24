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

	maxCallers  = 100_000 // calls that are watched
	maxLookups  = 512     // questions under way on this node, and as many notifications
	maxAtOnce   = 64      // of one account
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

// slots count what is under way.
type slots struct {
	what string         // for Metrics.PutOff
	busy map[string]int // by account
	all  int
}

// calling is a live call with somebody outside.
type calling struct {
	asked bool
	told  map[string]struct{} // users for whom a notification was considered
	wait  []string            // those it is to be sent to
}

func newCallers(g *Gateway) *callers {
	return &callers{
		gateway: g, calls: map[callKey]*calling{},
		questions: slots{what: "find", busy: map[string]int{}}, notices: slots{what: "notify", busy: map[string]int{}},
	}
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

// record looks at a record that the feed has applied. It does not block. What there is no room for is tried again with the
// call's next one.
func (c *callers) record(r *Record) {
	if r.Call == nil {
		return
	}
	key := callKey{r.Account, r.Call.ID}
	if r.Call.Over() { // whether or not the account still has a CRM
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, key)
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
		call.asked = r.Call.Contact != nil || c.ask(r.Call)
	}
	if r.Call.Direction == Inbound {
		c.rings(r.Call, call)
	}
}

// begin runs fn beside the feed, unless the account or the node has too much of its kind under way. The caller holds the
// lock.
func (c *callers) begin(s *slots, call *Call, fn func(ctx context.Context)) bool {
	account := call.Account
	if s.all >= maxLookups || s.busy[account] >= maxAtOnce {
		c.gateway.cfg.Logger.Debug("too many calls at once to ask the CRM about each", "account", account, "call", call.ID, "what", s.what)
		if putOff := c.gateway.cfg.Metrics.PutOff; putOff != nil {
			putOff(account, s.what)
		}
		return false
	}
	s.all++
	s.busy[account]++
	ctx := c.ctx
	c.underWay.Go(func() {
		fn(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.all--
		if s.busy[account]--; s.busy[account] == 0 {
			delete(s.busy, account)
		}
	})
	return true
}

// ask finds out who is at the other end of a call, if that can be asked. false: not now. The caller holds the lock.
func (c *callers) ask(call *Call) bool {
	phone := *call.outside(false)
	if phone.E164 == "" && len(Digits(phone.Raw)) < shortestPublic {
		return true
	}
	finder := c.gateway.finder(call.Account)
	if finder == nil {
		return true
	}
	return c.begin(&c.questions, call, func(ctx context.Context) {
		found, err := c.find(ctx, finder, phone)
		if err == nil && found.Contact != nil {
			err = c.gateway.setContact(ctx, call.Account, call.ID, found.Contact)
		}
		if err != nil && ctx.Err() == nil {
			c.gateway.cfg.Logger.InfoContext(ctx, "who calls is not known", "account", call.Account, "call", call.ID, "err", err)
		}
	})
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
