package gateway

import (
	"context"
	"slices"
	"strings"
	"time"
)

// RouteTime is the most that a call waits for Gateway.Route, whatever the CRM does.
const RouteTime = 500 * time.Millisecond

const (
	routeMargin = 50 * time.Millisecond // of RouteTime, for all but the CRM
	maxTalks    = 100_000               // numbers of a shard of accounts whose last talk is remembered
)

// RouteStep is a way to find whom a call is for.
type RouteStep string

// The steps.
const (
	RouteOwner RouteStep = "owner" // who is responsible for the caller in the CRM
	RouteLast  RouteStep = "last"  // who talked with this number last, within 24 hours
	RouteFixed RouteStep = "fixed" // the rule's extension
	RouteGroup RouteStep = "group" // the first of the rule's extensions that is free
)

// RouteRule says to whom the calls of some lines go.
type RouteRule struct {
	Lines   []string    // as the PBX names them; none: every line that no other rule names
	Off     bool        // its calls are not routed, and the CRM is not asked
	Try     []RouteStep // in this order
	Fixed   string      // of RouteFixed; one that is nobody's in the directory, such as a queue's, is always free
	Group   []string    // of RouteGroup
	Busy    bool        // also to those who are on the telephone
	Offline bool        // also to those who have no tab open
}

// Routed is where a call should go.
type Routed struct {
	Extension *string   `json:"extension"`         // nil: as the PBX does without Ringcast
	User      string    `json:"user,omitempty"`    // "": the extension is nobody's in the directory
	By        RouteStep `json:"by,omitempty"`      // which step found it
	Contact   *Contact  `json:"contact,omitempty"` // who calls, where that is known
	Company   *Contact  `json:"company,omitempty"`
	Lead      *Contact  `json:"lead,omitempty"`
	Customer  *Contact  `json:"customer,omitempty"`
	Others    []Contact `json:"others,omitempty"` // who else has the number

	// Why there is no extension: RouteOff, RouteNobody, RouteEngaged, RouteNoAnswer.
	Why string `json:"why,omitempty"`
}

// Why a call is routed nowhere.
const (
	RouteOff      = "off"       // no rule for the line
	RouteNobody   = "nobody"    // no step names anybody
	RouteEngaged  = "engaged"   // all of them are on the telephone, away or have no tab open, and the rule passes them over
	RouteNoAnswer = "no_answer" // the CRM did not say in time who is responsible, and no other step names anybody
)

// Route says where a call of a number to a line should go, by the account's rules. It answers within RouteTime, also before
// Ready: then nobody is online, and on the telephone and last talked with is whom the log, as far as it was read, shows so.
// CodeNotFound: there is no such account.
func (g *Gateway) Route(ctx context.Context, account string, rules []RouteRule, phone, line string) (Routed, error) {
	acc, ok := g.cfg.Directory.Account(account)
	if !ok {
		return Routed{}, noAccount(account)
	}
	rule, ok := g.ruleFor(rules, line, acc.Region)
	if !ok || rule.Off {
		return Routed{Why: RouteOff}, nil
	}
	x := routing{gateway: g, account: account, rule: rule, phone: g.numbers.parse(cleanText(phone), acc.Region)}
	if finder := g.finder(account); finder != nil {
		found, err := x.ask(ctx, finder)
		x.found, x.unanswered = found, err != nil
		if err != nil {
			g.cfg.Logger.InfoContext(ctx, "a call is routed without the CRM", "account", account, "err", err)
		}
	}
	answer := Routed{Contact: x.found.Contact, Company: x.found.Company, Lead: x.found.Lead, Customer: x.found.Customer, Others: x.found.Others}
	for _, step := range rule.Try {
		if x.try(step, &answer) {
			return answer, nil
		}
	}
	switch {
	case x.engaged:
		answer.Why = RouteEngaged
	case x.unanswered && slices.Contains(rule.Try, RouteOwner):
		answer.Why = RouteNoAnswer
	default:
		answer.Why = RouteNobody
	}
	return answer, nil
}

// ruleFor returns the rule that names a line, or the one for all others.
func (g *Gateway) ruleFor(rules []RouteRule, line, region string) (rule RouteRule, ok bool) {
	is := g.numbers.parse(cleanText(line), region)
	isNumber := tailOf(is) != "" // of the names of two trunks, the digits may be the same
	for _, r := range rules {
		if len(r.Lines) == 0 {
			rule, ok = r, true
		}
		for _, name := range r.Lines {
			if name == line || isNumber && SameNumber(g.numbers.parse(name, region), is) {
				return r, true
			}
		}
	}
	return rule, ok
}

// routing is one call on its way.
type routing struct {
	gateway    *Gateway
	account    string
	rule       RouteRule
	phone      Number
	found      Found
	unanswered bool
	engaged    bool // somebody was passed over
}

// ask asks the CRM who calls, if a step wants to know; else what it remembers will do.
func (x *routing) ask(ctx context.Context, finder Finder) (Found, error) {
	if !slices.Contains(x.rule.Try, RouteOwner) {
		found, _ := finder.Recall(x.phone)
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, RouteTime-routeMargin)
	defer cancel()
	return finder.Find(ctx, x.phone)
}

// try fills in whom a step names, if it names anybody who can take the call.
func (x *routing) try(step RouteStep, answer *Routed) bool {
	var to []string
	switch step {
	case RouteOwner:
		to = x.extensionOf(x.found.Responsible)
	case RouteLast:
		if last, ok := x.gateway.feed.lastTalk(x.account, x.phone); ok {
			to = []string{last.extension}
			if user, ok := x.gateway.cfg.Directory.ByExtension(x.account, last.extension); !ok || user.ID != last.user {
				to = x.extensionOf(last.user)
			}
		}
	case RouteFixed:
		to = []string{x.rule.Fixed}
	case RouteGroup:
		to = x.rule.Group
	}
	for _, extension := range to {
		user, known := x.gateway.cfg.Directory.ByExtension(x.account, extension)
		if known && !x.free(user) {
			x.engaged = true
			continue
		}
		answer.Extension, answer.User, answer.By = &extension, user.ID, step
		return true
	}
	return false
}

// extensionOf returns a user's first extension.
func (x *routing) extensionOf(user string) []string {
	if u, ok := x.gateway.cfg.Directory.User(x.account, user); ok && len(u.Extensions) > 0 {
		return u.Extensions[:1]
	}
	return nil
}

// free says whether a user's telephone may be rung now.
func (x *routing) free(user User) bool {
	p := x.gateway.presence
	switch {
	case p.leftDesk(x.account, user.Extensions):
		return false
	case !x.rule.Busy && x.gateway.feed.engaged(x.account, user.ID):
		return false
	}
	return x.rule.Offline || p.online(userKey{x.account, user.ID})
}

// leftDesk is anyAway for those who do not hold the lock.
func (p *presence) leftDesk(account string, extensions []string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.anyAway(account, extensions)
}

// engaged says whether a user's telephone rings, talks or holds a call.
func (f *Feed) engaged(account, user string) bool {
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	u := s.users[userKey{account, user}]
	return u != nil && len(u.calls) > 0
}

// talk is who talked with a number last.
type talk struct {
	user, extension string
	at              time.Time
}

type numberTail struct{ account, digits string }

// tailOf is by what the numbers of one line are the same; "": nothing tells it from others.
func tailOf(n Number) string {
	digits := strings.TrimPrefix(n.E164, "+")
	if digits == "" {
		digits = Digits(n.Raw)
	}
	if len(digits) < shortestPublic {
		return ""
	}
	return digits[max(0, len(digits)-matchDigits):]
}

// lastTalk returns who talked with a number last, on any node.
func (f *Feed) lastTalk(account string, phone Number) (talk, bool) {
	tail := tailOf(phone)
	if tail == "" {
		return talk{}, false
	}
	s := f.shard(account)
	s.mu.RLock()
	defer s.mu.RUnlock()
	last, ok := s.talks[numberTail{account, tail}]
	return last, ok && f.now().Sub(last.at) < rememberCalls
}

// talked notes who of the company talked last in a call that is over, if it was one with somebody outside.
func (s *shard) talked(c *Call) {
	if !c.Over() || c.AnsweredAt.IsZero() || c.Direction == Internal {
		return
	}
	tail := tailOf(*c.outside(false))
	var last *Leg
	for i := range c.Legs {
		leg := &c.Legs[i]
		if leg.User != "" && leg.Talked > 0 && (last == nil || !leg.EndedAt.Before(last.EndedAt)) {
			last = leg
		}
	}
	key := numberTail{c.Account, tail}
	was, known := s.talks[key]
	if tail == "" || last == nil || known && was.at.After(last.EndedAt) || !known && len(s.talks) >= maxTalks {
		return
	}
	if s.talks == nil {
		s.talks = map[numberTail]talk{}
	}
	s.talks[key] = talk{last.User, last.Extension, last.EndedAt}
}

// forgetTalks drops what is older than calls are remembered.
func (s *shard) forgetTalks(now time.Time) {
	for key, t := range s.talks {
		if now.Sub(t.at) > rememberCalls {
			delete(s.talks, key)
		}
	}
}
