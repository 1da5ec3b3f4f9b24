package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	receiptTime  = 5 * time.Second // after a call's end, for the last receipt to arrive
	receiptTick  = time.Second
	maxRung      = 100_000 // calls whose cards are waited for: those beyond are neither timed nor judged
	maxUnshown   = 200     // calls that are kept for a person to see
	keyUnshown   = "unshown"
	unshownTries = 5
)

// Why a call was shown on no screen.
const (
	UnshownOffline = "offline" // none of those it rang had a session
	UnshownUnseen  = "unseen"  // somebody had one, and no page said that it shows the card
)

// UnshownCall is a call that rang and that no screen showed.
type UnshownCall struct {
	Account   string    `json:"account"`
	Call      string    `json:"call"`
	Why       string    `json:"why"`
	Direction Direction `json:"direction"`
	From      string    `json:"from"` // as the PBX wrote it
	Rung      []Person  `json:"rung"`
	StartedAt Millis    `json:"started_at"`
	EndedAt   Millis    `json:"ended_at"`
}

// Shown says that a page of a user shows the card of a call, on a session of that rung ("": not known).
func (g *Gateway) Shown(account, user, call, rung string) {
	if g.receipts.shown(userKey{account, user}, call, rung) {
		data, err := json.Marshal(callReceipt{account, call})
		if err == nil {
			err = g.tellAll(kindShown, data)
		}
		if err != nil { // at worst the call is counted as unseen
			g.cfg.Logger.Debug("a receipt stays on this node", "account", account, "call", call, "err", err)
		}
	}
}

// Unshown returns the last calls that no screen showed, on all nodes, the latest first.
func (g *Gateway) Unshown(ctx context.Context) ([]UnshownCall, error) { return g.receipts.list(ctx) }

// term names the time for which this node has owned an account without a break; 0: it does not, or does not serve yet.
func (g *Gateway) term(account string) uint64 {
	o := g.seats[g.partition(account)].owner.Load()
	if o == nil {
		return 0
	}
	return o.generation + 1 // which is 0 on a node that is alone
}

// callReceipt tells the other nodes that a call was shown on some screen.
type callReceipt struct {
	Account string `json:"account"`
	Call    string `json:"call"`
}

// receipts know which cards came onto a screen, and when. Every node waits for the receipts of all calls, and judges
// at their end those that it has owned from their first ringing.
type receipts struct {
	metrics Metrics
	logger  *slog.Logger
	now     func() time.Time
	shared  Store                       // nil: this node is alone
	online  func(userKey) bool          // on any node
	term    func(account string) uint64 // names the time for which this node owns an account; 0: it does not

	mu      sync.Mutex
	calls   map[callKey]*rungCall
	over    []endedCall // the first to end first
	unshown []UnshownCall
	fresh   int // how many of unshown are not in the shared store yet; the last ones
}

func newReceipts(g *Gateway) *receipts {
	return &receipts{
		metrics: g.cfg.Metrics, logger: g.cfg.Logger, now: g.cfg.Now, shared: g.cfg.Shared,
		online: g.presence.online, term: g.term, calls: map[callKey]*rungCall{},
	}
}

// rungCall is a call that is at somebody's telephone.
type rungCall struct {
	cards  []card
	seen   bool // some screen shows it
	over   bool
	online bool // at its end, somebody whose telephone rang had a session
	term   uint64
}

// card is a user's share of a rung call.
type card struct {
	Person
	caller bool      // he rings somebody: his own card does not count for the call
	rung   time.Time // when its ringing was appended
	shown  bool
}

// endedCall is what is to be said of a call if no screen showed it. The call itself is much larger, and many end
// within receiptTime.
type endedCall struct {
	key            callKey
	direction      Direction
	from           string
	started, ended time.Time // of the call
	at             time.Time // when that was heard of
}

// record looks at a record that the feed has applied.
func (r *receipts) record(rec *Record) {
	if rec.Call == nil || rec.Call.StartedAt.IsZero() {
		return
	}
	key := callKey{rec.Account, rec.Call.ID}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls[key]
	for i := range rec.Call.Legs {
		leg := &rec.Call.Legs[i]
		if leg.User == "" || !leg.ringing() {
			continue
		}
		if c == nil {
			if len(r.calls) >= maxRung {
				return
			}
			c = &rungCall{}
			if !slices.ContainsFunc(rec.Call.Legs, func(l Leg) bool { return l.User != "" && !l.ringing() }) {
				c.term = r.term(rec.Account) // else it was at somebody's desk before, and who knows whether he saw it
			}
			r.calls[key] = c
		}
		c.rings(leg, rec.At)
	}
	if c != nil && rec.Call.Over() && !c.over {
		c.over = true
		c.online = c.online || !c.seen && r.anyOnline(rec.Account, c)
		call := rec.Call
		r.over = append(r.over, endedCall{key, call.Direction, call.From.Raw, call.StartedAt, call.EndedAt, r.now()})
	}
}

func (c *rungCall) rings(leg *Leg, at time.Time) {
	i := slices.IndexFunc(c.cards, func(c card) bool { return c.User == leg.User })
	if i < 0 {
		c.cards = append(c.cards, card{Person: leg.Person, caller: leg.Caller, rung: at})
	} else if c.cards[i].caller && !leg.Caller {
		c.cards[i].caller = false
	}
}

// anyOnline says whether one of those whose telephones rang has a session now.
func (r *receipts) anyOnline(account string, c *rungCall) bool {
	return slices.ContainsFunc(c.cards, func(card card) bool {
		return !card.caller && r.online(userKey{account, card.User})
	})
}

// shown notes a receipt, and says whether it is the first that this node hears of for the call.
func (r *receipts) shown(user userKey, call, rung string) (first bool) {
	now := r.now()
	r.mu.Lock()
	c := r.calls[callKey{user.account, call}]
	if c == nil {
		r.mu.Unlock()
		return false
	}
	i := slices.IndexFunc(c.cards, func(c card) bool { return c.User == user.user })
	if i < 0 || c.cards[i].shown {
		r.mu.Unlock()
		return false
	}
	c.cards[i].shown = true
	first, c.seen = !c.seen, true
	after := max(now.Sub(c.cards[i].rung), 0)
	r.mu.Unlock()
	if r.metrics.Shown != nil {
		r.metrics.Shown(rung, after)
	}
	return first
}

// heard notes a receipt that came to another node.
func (r *receipts) heard(data []byte) {
	var receipt callReceipt
	if err := json.Unmarshal(data, &receipt); err != nil {
		r.logger.Error("not a receipt", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.calls[callKey{receipt.Account, receipt.Call}]; c != nil {
		c.seen = true
	}
}

// run judges calls until ctx ends.
func (r *receipts) run(ctx context.Context) {
	tick := time.NewTicker(receiptTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.judge()
			if err := r.share(ctx); err != nil && ctx.Err() == nil {
				r.logger.Warn("calls that no screen showed stay on this node for now", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// judge counts the calls that nobody was shown.
func (r *receipts) judge() {
	now := r.now()
	var found []UnshownCall
	r.mu.Lock()
	for len(r.over) > 0 && now.Sub(r.over[0].at) >= receiptTime {
		if u, ok := r.verdict(r.over[0]); ok {
			found = append(found, u)
		}
		delete(r.calls, r.over[0].key)
		r.over[0] = endedCall{}
		r.over = r.over[1:]
	}
	r.unshown = append(r.unshown, found...)
	r.fresh += len(found)
	if surplus := len(r.unshown) - maxUnshown; surplus > 0 {
		r.unshown = slices.Clone(r.unshown[surplus:])
		r.fresh = min(r.fresh, maxUnshown)
	}
	r.mu.Unlock()
	for _, u := range found {
		r.logger.Info("a call was shown on no screen", "account", u.Account, "call", u.Call, "why", u.Why)
		if r.metrics.Unshown != nil {
			r.metrics.Unshown(u.Account, u.Why)
		}
	}
}

// verdict says whether an ended call rang and was shown nowhere. What began before this node owned the account is
// not its to judge: it may have missed the receipts.
func (r *receipts) verdict(e endedCall) (UnshownCall, bool) {
	c := r.calls[e.key]
	u := UnshownCall{
		Account: e.key.account, Call: e.key.id, Why: UnshownUnseen, Direction: e.direction, From: e.from,
		StartedAt: Millis(e.started), EndedAt: Millis(e.ended),
	}
	for _, card := range c.cards {
		if !card.caller {
			u.Rung = append(u.Rung, card.Person)
		}
	}
	if c.seen || len(u.Rung) == 0 || c.term == 0 || c.term != r.term(e.key.account) {
		return UnshownCall{}, false
	}
	if !c.online && !r.anyOnline(e.key.account, c) {
		u.Why = UnshownOffline
	}
	return u, true
}

// share puts what is new into the list that all nodes have.
func (r *receipts) share(ctx context.Context) error {
	r.mu.Lock()
	fresh := slices.Clone(r.unshown[len(r.unshown)-r.fresh:])
	r.mu.Unlock()
	if r.shared == nil || len(fresh) == 0 {
		return nil
	}
	for range unshownTries {
		all, rev, err := r.load(ctx)
		if err != nil {
			return err
		}
		all = append(all, fresh...)
		data, err := json.Marshal(all[max(0, len(all)-maxUnshown):])
		if err != nil {
			return err
		}
		switch _, err = r.shared.Put(ctx, keyUnshown, data, rev); {
		case err == nil:
			r.mu.Lock() // only judge adds to it, before share
			r.unshown, r.fresh = nil, 0
			r.mu.Unlock()
			return nil
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
	return ErrConflict
}

func (r *receipts) load(ctx context.Context) (all []UnshownCall, rev uint64, err error) {
	v, err := r.shared.Get(ctx, keyUnshown)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	return all, v.Rev, json.Unmarshal(v.Data, &all)
}

func (r *receipts) list(ctx context.Context) (all []UnshownCall, err error) {
	if r.shared != nil {
		if all, _, err = r.load(ctx); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	all = append(all, r.unshown...)
	r.mu.Unlock()
	slices.SortStableFunc(all, func(a, b UnshownCall) int {
		return cmp.Or(time.Time(b.EndedAt).Compare(time.Time(a.EndedAt)), cmp.Compare(a.Call, b.Call))
	})
	return all[:min(len(all), maxUnshown)], nil
}
