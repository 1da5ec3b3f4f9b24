package push

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway"
)

const (
	ticketAudience = "ringcast-ticket"
	ticketLife     = 30 * time.Second

	// ChainLife is how long a value of Config.Chains must last after its last write.
	ChainLife = time.Minute

	ticketsPerMinute = 60 // of a user on one node: a stream needs one when it opens
)

// ticket is what stands in place of a token where only a URL can carry it: a link of a chain that is signed as
// session tokens are, for another audience. Nothing is kept of one that was not used.
type ticket struct {
	jwt.RegisteredClaims        // the user, the chain (jti), and the end of the ticket itself
	Account              string `json:"account"`
	Client               string `json:"client,omitempty"`
	Origin               string `json:"origin,omitempty"` // of the page that asked for it: works from there only
	Run                  string `json:"run,omitempty"`    // of the only node that knows how far the chain was used
	N                    int    `json:"n"`                // its place in the chain, from 1
	TokenIssued          int64  `json:"token_iat,omitempty"`
	TokenExpires         int64  `json:"token_exp"`
}

// identity is that of the token that the chain was got with.
func (t *ticket) identity() identity {
	who := identity{account: t.Account, user: t.Subject, expires: time.Unix(t.TokenExpires, 0)}
	if t.TokenIssued != 0 {
		who.issued = time.Unix(t.TokenIssued, 0)
	}
	return who
}

// chain is how far a chain was used, as Chains keeps it. Times are in seconds of Unix.
type chain struct {
	N    int   `json:"n"`              // the last ticket that was used
	Own  int64 `json:"own"`            // when that one expires
	Next int64 `json:"next,omitempty"` // when its successor does, once that was handed out
	Last bool  `json:"last,omitempty"` // it has none
}

// tickets makes, checks and uses up tickets.
type tickets struct {
	tokens *Tokens
	chains Chains
	run    string // names the memory that chains are kept in; "": all nodes share one
	pace   *throttle
}

func newTickets(tokens *Tokens, chains Chains) *tickets {
	t := &tickets{tokens: tokens, chains: chains, pace: newThrottle("tickets", ticketsPerMinute, time.Minute)}
	if chains == nil {
		t.chains, t.run = &memChains{values: map[string]memChain{}}, rand.Text()
	}
	return t
}

// serveTicket gives a ticket for a token.
func (s *Server) serveTicket(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token  string `json:"token"`
		Client string `json:"client"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if err := checkClient(in.Client); err != nil {
		return err
	}
	who, _, err := s.authorize(in.Token)
	if err != nil {
		return err
	}
	if s.hub.draining() {
		return errDraining()
	}
	text, expires, err := s.tickets.first(who, in.Client, strings.ToLower(r.Header.Get("Origin")))
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Ticket    string         `json:"ticket"`
		ExpiresAt gateway.Millis `json:"expires_at"`
	}{text, gateway.Millis(expires)})
	if err != nil {
		return err
	}
	s.metrics.Ticket()
	writeJSON(w, body)
	return nil
}

// admit takes the ticket in a request's URL in place of a token. Last: no successor will be asked for.
func (s *Server) admit(r *http.Request, last bool) (*ticket, gateway.User, error) {
	t, err := s.tickets.verify(r.URL.Query().Get("ticket"))
	if err != nil {
		return nil, gateway.User{}, err
	}
	if page := pageOf(r); t.Origin != "" && page != "" && page != t.Origin {
		return nil, gateway.User{}, gateway.Errorf(gateway.CodeOrigin, "the ticket was given to a page of another origin")
	}
	user, err := s.lookUp(t.identity())
	if err != nil {
		return nil, gateway.User{}, err
	}
	if s.hub.draining() {
		return nil, gateway.User{}, errDraining()
	}
	return t, user, s.tickets.use(r.Context(), t, last)
}

// pageOf is the origin of the page that a request comes from, "" when it does not say.
func pageOf(r *http.Request) string {
	if origin := r.Header.Get("Origin"); origin != "" {
		return strings.ToLower(origin)
	}
	referer := r.Header.Get("Referer")
	if referer == "" {
		return ""
	}
	u, err := url.Parse(referer)
	if err != nil || u.Host == "" {
		return "null" // as a browser calls what is no page of the web
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// first makes the first ticket of a new chain.
func (t *tickets) first(who identity, client, origin string) (string, time.Time, error) {
	if err := t.pace.take(userKey{who.account, who.user}); err != nil {
		return "", time.Time{}, err
	}
	expires := t.tokens.now().Add(ticketLife).Truncate(time.Second)
	text, err := t.sign(t.chain(who, client, origin), 1, expires.Unix())
	return text, expires, err
}

// chain is what the tickets of a new chain have in common.
func (t *tickets) chain(who identity, client, origin string) *ticket {
	all := &ticket{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: sessionIssuer, Audience: jwt.ClaimStrings{ticketAudience}, Subject: who.user, ID: rand.Text(),
		},
		Account: who.account, Client: client, Origin: origin, Run: t.run, TokenExpires: who.expires.Unix(),
	}
	if !who.issued.IsZero() {
		all.TokenIssued = who.issued.Unix()
	}
	return all
}

// sign makes the ticket of a chain with that number: the same text for the same expiry.
func (t *tickets) sign(of *ticket, n int, expires int64) (string, error) {
	claims := *of
	claims.N, claims.ExpiresAt = n, jwt.NewNumericDate(time.Unix(expires, 0))
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, &claims).SignedString(t.tokens.cfg.SessionKey)
	if err != nil {
		return "", fmt.Errorf("signing a ticket: %w", err)
	}
	return text, nil
}

// verify checks all of a ticket but whether it was used.
func (t *tickets) verify(text string) (*ticket, error) {
	if text == "" || len(text) > maxTokenSize {
		return nil, errBadTicket(fmt.Errorf("it has %d bytes", len(text)))
	}
	claims := &ticket{}
	_, err := t.tokens.parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return t.tokens.cfg.SessionKey, nil })
	now := t.tokens.now()
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, errTicketUsed()
	case err != nil:
		return nil, errBadTicket(err)
	case claims.Issuer != sessionIssuer || !slices.Equal(claims.Audience, jwt.ClaimStrings{ticketAudience}) ||
		claims.Account == "" || claims.Subject == "" || claims.ID == "" || claims.N < 1:
		return nil, errBadTicket(errors.New("not a ticket"))
	case claims.Run != t.run: // whether it was used has been forgotten with that run
		return nil, errTicketUsed()
	case now.After(claims.ExpiresAt.Time): // the parser has allowed for other people's clocks
		return nil, errTicketUsed()
	case now.After(claims.identity().expires.Add(tokenLeeway)):
		return nil, &gateway.Error{Code: gateway.CodeTokenExpired, Message: "the token that the ticket was got with has expired: renew it and get another"}
	}
	return claims, nil
}

// use notes that a ticket was used. A ticket that is not the last of its chain may be used again until its
// successor was.
func (t *tickets) use(ctx context.Context, ticket *ticket, last bool) error {
	return t.change(ctx, ticket, func(c *chain) (bool, error) {
		if ticket.N == c.N && !c.Last && !last {
			return false, nil
		}
		if ticket.N != c.N+1 || c.Last {
			return false, errTicketUsed()
		}
		*c = chain{N: ticket.N, Own: ticket.ExpiresAt.Unix(), Last: last}
		return true, nil
	})
}

// next returns the successor of a ticket that was used: the same to everybody who asks.
func (t *tickets) next(ctx context.Context, ticket *ticket) (string, error) {
	var expires int64
	err := t.change(ctx, ticket, func(c *chain) (bool, error) {
		switch {
		case ticket.N == c.N-1: // it was used meanwhile
			expires = c.Own
			return false, nil
		case ticket.N != c.N || c.Last:
			return false, errTicketUsed()
		case c.Next != 0:
			expires = c.Next
			return false, nil
		}
		expires = t.tokens.now().Add(ticketLife).Unix()
		c.Next = expires
		return true, nil
	})
	if err != nil {
		return "", err
	}
	return t.sign(ticket, ticket.N+1, expires)
}

// change applies fn to the state of a ticket's chain, again when another node was faster. The first ticket of a
// chain finds it new; the state of a chain that nobody knows any more is that of one which is over.
func (t *tickets) change(ctx context.Context, ticket *ticket, fn func(*chain) (changed bool, err error)) error {
	for range 10 {
		value, err := t.chains.Get(ctx, ticket.ID)
		state := chain{}
		switch {
		case errors.Is(err, gateway.ErrNotFound):
		case err != nil:
			return errChains(err)
		default:
			if err := json.Unmarshal(value.Data, &state); err != nil {
				return errChains(err)
			}
		}
		changed, err := fn(&state)
		if err != nil || !changed {
			return err
		}
		data, err := json.Marshal(state)
		if err != nil {
			return errChains(err)
		}
		if _, err = t.chains.Put(ctx, ticket.ID, data, value.Rev); !errors.Is(err, gateway.ErrConflict) {
			return errChains(err)
		}
	}
	return errChains(gateway.ErrConflict)
}

// tick forgets the users who have not asked for a while, and the chains that are over.
func (t *tickets) tick(now time.Time) {
	t.pace.tick(now)
	if chains, ok := t.chains.(*memChains); ok {
		chains.tick(now)
	}
}

// errTicketUsed is also for a ticket that is too old: the remedy is the same.
func errTicketUsed() error {
	return &gateway.Error{Code: gateway.CodeTicketUsed, Message: "the ticket was used, or is older than 30 s: get another"}
}

func errBadTicket(cause error) error {
	return &gateway.Error{Code: gateway.CodeBadToken, Message: "the ticket is not valid here: get one by POST /v1/tickets", Err: cause}
}

func errChains(err error) error {
	if err == nil {
		return nil
	}
	return &gateway.Error{Code: gateway.CodeUnavailable, Message: "tickets cannot be checked now", RetryAfter: retryAfter, Err: err}
}

// maxChains bounds the memory of memChains: far more than a node's sessions need.
const maxChains = 1 << 17

// memChains is the Chains of a node that is alone.
type memChains struct {
	mu     sync.Mutex
	values map[string]memChain
	rev    uint64
}

type memChain struct {
	gateway.Value
	until time.Time
}

// Get returns a chain.
func (m *memChains) Get(_ context.Context, key string) (gateway.Value, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	if !ok {
		return gateway.Value{}, gateway.ErrNotFound
	}
	return v.Value, nil
}

// Put writes a chain if nobody has meanwhile.
func (m *memChains) Put(_ context.Context, key string, data []byte, rev uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, ok := m.values[key]
	switch {
	case was.Rev != rev:
		return 0, gateway.ErrConflict
	case !ok && len(m.values) >= maxChains:
		return 0, errors.New("too many tickets are in use")
	}
	m.rev++
	m.values[key] = memChain{gateway.Value{Key: key, Data: data, Rev: m.rev}, time.Now().Add(ChainLife)}
	return m.rev, nil
}

func (m *memChains) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, v := range m.values {
		if now.After(v.until) {
			delete(m.values, key)
		}
	}
}
