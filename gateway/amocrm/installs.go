package amocrm

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

const (
	keyInstalls = "amocrm.installs" // amocrm.installs.ACCOUNT: an install
	keyArrivals = "amocrm.arrivals" // amocrm.arrivals.HASH: a code that is not exchanged yet

	rewatch   = time.Second     // how long a watch that failed rests before it begins again
	tickEvery = time.Minute     // how often it is looked what is due
	closeTime = 5 * time.Second // what is under way gets to end
)

// State is how it stands with an account's access.
type State string

// The states of an install.
const (
	StateWaiting      State = "waiting"      // nobody has let the integration in yet
	StateConnected    State = "connected"    // there are tokens, and none was refused
	StateDisconnected State = "disconnected" // the CRM does not take the tokens any more
	StateUninstalled  State = "uninstalled"  // an administrator removed the integration
)

// Installation is an account and how it stands with its access.
type Installation struct {
	Account     string
	Integration string // that it was installed by; "": the account's own
	Platform    Platform
	ClientID    string
	BaseURL     string
	AccountID   int64  // the CRM's; 0: not known
	Admin       string // who let the integration in, by the CRM's id; "": not known
	State       State
	Since       time.Time // of the state
	Reason      string    // why it is not connected, or what went wrong last; "": nothing
	Renewed     time.Time // when the tokens were given; zero: there are none, or they are not ours to renew
	Removed     bool      // its integration is not in the configuration any more, or its name is an account's there
}

// InstallsConfig is what Installs work with.
type InstallsConfig struct {
	Store        gateway.Store
	Sealer       *Sealer
	Integrations []Integration
	Taken        func(account string) bool // whether an account has a name already, beside those installed; called under locks
	Changed      func()                    // called after accounts came, went or were connected or not, by whatever node; must not block
	Client       *http.Client              // nil: one with the system's defaults
	Limiter      *Limiter                  // the one of the Client; nil: one of its own, of the documented figures
	Logger       *slog.Logger
}

// Installs are the accounts that integrations have access to: who they are, their tokens, and what becomes of either. The
// store keeps them and all nodes follow it; the secrets in it are sealed. All methods may be called from many goroutines.
//
// A pair of tokens is renewed by one node at a time, before it expires, and is in the store before it is used.
type Installs struct {
	store        gateway.Store
	seal         *Sealer
	door         *door
	integrations map[string]*Integration
	taken        func(string) bool
	changed      func()
	logger       *slog.Logger
	node         string // names this node in leases
	arrivals     *arrivals
	gate         chan struct{} // as many requests for tokens as may be under way

	life context.Context // of what is done in the background
	end  context.CancelFunc
	work sync.WaitGroup

	mu   sync.Mutex
	held map[string]*held // by account
}

var _ Tokens = (*Installs)(nil)

// record is an account as the store keeps it.
type record struct {
	Integration string    `json:"integration"`
	ClientID    string    `json:"client_id"`
	BaseURL     string    `json:"base_url"`
	AccountID   int64     `json:"account_id,omitempty"`
	Admin       int64     `json:"admin,omitempty"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"`
	Reason      string    `json:"reason,omitempty"`
	Sealed      []byte    `json:"sealed,omitempty"` // secrets

	Lease      *lease    `json:"lease,omitempty"`      // who renews the tokens just now
	Failures   int       `json:"failures,omitempty"`   // to renew them, one after another
	RetryAt    time.Time `json:"retry_at,omitzero"`    // not before
	Rejections int       `json:"rejections,omitempty"` // of tokens that were new, one after another
	Refused    string    `json:"refused,omitempty"`    // the fingerprint of the configuration that was
}

// lease is a node's right to renew an account's tokens.
type lease struct {
	Node  string    `json:"node"`
	Until time.Time `json:"until"`
}

// secrets are what a record seals.
type secrets struct {
	pair

	Previous string `json:"previous,omitempty"` // the refresh token before
	PBX      []byte `json:"pbx,omitempty"`      // what the keys of the account's PBXes are made of
}

// held is an account in memory.
type held struct {
	record
	secrets

	rev      uint64
	unopened error         // why the secrets cannot be read
	rejected string        // the access token that the CRM answers 401 to
	rest     time.Time     // not to try before, where the store could not be told
	moveRest time.Time     // not to look into another address before
	flight   chan struct{} // closed when the renewal under way has ended; nil: there is none
	news     chan struct{} // closed at the next change
}

// NewInstalls returns what the store holds once Load has returned.
func NewInstalls(cfg InstallsConfig) (*Installs, error) {
	i := &Installs{
		store: cfg.Store, seal: cfg.Sealer, door: newDoor(cfg.Client, cfg.Limiter), integrations: map[string]*Integration{},
		taken: cfg.Taken, changed: cfg.Changed, logger: cfg.Logger, node: newNonce(), arrivals: newArrivals(),
		gate: make(chan struct{}, 16), held: map[string]*held{},
	}
	i.life, i.end = context.WithCancel(context.Background())
	for _, in := range cfg.Integrations {
		if i.integrations[in.ID] != nil {
			return nil, fmt.Errorf("amocrm: two integrations are called %q", in.ID)
		}
		if in.Token != "" && in.Account == "" || in.Account != "" && len(in.BaseURLs) != 1 || len(in.Secrets) == 0 {
			return nil, fmt.Errorf("amocrm: integration %q is not complete", in.ID)
		}
		i.integrations[in.ID] = &in
	}
	return i, nil
}

// Load reads what the store holds. Nobody should be looked up before.
func (i *Installs) Load(ctx context.Context) error {
	err := i.store.List(ctx, keyInstalls, func(v gateway.Value) error {
		i.note(v)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the installs: %w", err)
	}
	return nil
}

// Run follows the store, renews tokens in time and exchanges codes that another node left behind, until ctx ends; it
// returns nil then. Close must be called after it.
func (i *Installs) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { i.follow(ctx) })
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		i.renewDue()
		i.takeOver(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends what is under way, after a while.
func (i *Installs) Close() {
	late := time.AfterFunc(closeTime, i.end)
	i.work.Wait()
	late.Stop()
	i.end()
}

func (i *Installs) follow(ctx context.Context) {
	for {
		err := i.store.Watch(ctx, keyInstalls, func(v gateway.Value) error {
			if i.note(v) {
				i.changed()
			}
			return nil
		}, func() {})
		if ctx.Err() != nil {
			return
		}
		i.logger.WarnContext(ctx, "watch the installs again", "err", err)
		select {
		case <-time.After(rewatch):
		case <-ctx.Done():
			return
		}
	}
}

// note takes what the store holds into memory. It says whether that is other than before in what Installations tell,
// beside the age of the tokens. What was deleted by hand stays until the next start.
func (i *Installs) note(v gateway.Value) (news bool) {
	account, ok := strings.CutPrefix(v.Key, keyInstalls+".")
	if !ok || v.Data == nil {
		return false
	}
	next := &held{rev: v.Rev, news: make(chan struct{})}
	if err := json.Unmarshal(v.Data, &next.record); err != nil {
		i.logger.Error("not an install", "key", v.Key, "err", err)
		return false
	}
	if len(next.Sealed) > 0 {
		plain, err := i.seal.Open(next.Sealed, v.Key)
		if err == nil {
			err = json.Unmarshal(plain, &next.secrets)
		}
		next.unopened = err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	was := i.held[account]
	if was == nil {
		was = &held{news: make(chan struct{})}
	}
	if v.Rev <= was.rev {
		return false
	}
	before, after := i.installation(account, was), i.installation(account, next)
	next.rejected, next.rest, next.moveRest, next.flight = was.rejected, was.rest, was.moveRest, was.flight
	i.held[account] = next
	close(was.news)
	before.Renewed, after.Renewed = time.Time{}, time.Time{}
	return before != after || was.rev == 0
}

// of returns the integration of an account, nil if the configuration has none, or an account of its own with that name:
// whoever installed an integration under it before must not be taken for that one. i.mu may be held or not.
func (i *Installs) of(account string, r *record) *Integration {
	if in := i.integrations[account]; in != nil && in.Account == account {
		return in
	}
	if in := i.integrations[r.Integration]; in != nil && in.Account == "" && in.ClientID == r.ClientID && !i.taken(account) {
		return in
	}
	return nil
}

// installation describes an account.
func (i *Installs) installation(account string, h *held) Installation {
	out := Installation{
		Account: account, Integration: h.Integration, ClientID: h.ClientID, BaseURL: h.BaseURL, AccountID: h.AccountID,
		State: cmp.Or(h.State, StateWaiting), Since: h.Since, Reason: h.Reason, Renewed: h.Issued,
	}
	if h.Admin > 0 {
		out.Admin = fmt.Sprint(h.Admin)
	}
	in := i.of(account, &h.record)
	if in == nil {
		out.Removed = true
		return out
	}
	out.Platform = in.Platform
	if in.Account != "" {
		out.Integration, out.BaseURL = "", i.baseOf(in, h)
		out.AccountID = cmp.Or(in.AccountID, out.AccountID)
		if h.ClientID != in.ClientID {
			out.ClientID, out.State, out.Renewed = in.ClientID, StateWaiting, time.Time{}
		}
	}
	if in.Token != "" && out.State == StateWaiting {
		out.State, out.Reason = StateConnected, ""
	}
	if h.unopened != nil && out.State == StateConnected && in.Token == "" {
		out.State, out.Reason = StateDisconnected, h.unopened.Error()
	}
	if out.State == StateWaiting && out.Reason == "" {
		out.Reason = "no administrator of the CRM's account has let the integration in yet"
	}
	return out
}

// baseOf returns where an account is: of one that the configuration names as it says, unless it has moved since.
func (i *Installs) baseOf(in *Integration, h *held) string {
	if in.Account != "" && (h.BaseURL == "" || h.ClientID != in.ClientID || in.pinned()) {
		return in.BaseURLs[0]
	}
	return h.BaseURL
}

// All returns every account, also those that wait to be connected, by name.
func (i *Installs) All() []Installation {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := map[string]Installation{}
	for _, in := range i.integrations {
		if in.Account != "" {
			all[in.Account] = i.installation(in.Account, &held{})
		}
	}
	for account, h := range i.held {
		all[account] = i.installation(account, h)
	}
	return slices.SortedFunc(maps.Values(all), func(a, b Installation) int { return cmp.Compare(a.Account, b.Account) })
}

// Verifiable returns whose disposable tokens are to be believed: not of who has removed the integration.
func (i *Installs) Verifiable() (installs []Install) {
	for _, a := range i.All() {
		in := i.of(a.Account, &record{Integration: a.Integration, ClientID: a.ClientID})
		if in == nil || a.State == StateUninstalled {
			continue
		}
		installs = append(installs, Install{
			Account: a.Account, BaseURL: a.BaseURL, AccountID: a.AccountID, ClientID: in.ClientID, Secrets: in.Secrets, RedirectURI: in.RedirectURI,
		})
	}
	return installs
}

// PBXKey returns the key of a PBX of an account that was installed, "" if there is no such account. It stays the same.
func (i *Installs) PBXKey(account, pbx string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held[account]
	if h == nil || len(h.PBX) == 0 {
		return ""
	}
	return hex.EncodeToString(macOf(h.PBX, "pbx "+pbx)[:20])
}

// update changes what the store holds of an account: fn is given it as it is and says whether it is to be otherwise. It may
// be called again, when another node has written meanwhile. An account that is not there is new.
func (i *Installs) update(ctx context.Context, account string, fn func(r *record, s *secrets) (bool, error)) error {
	key := keyInstalls + "." + account
	for {
		h, err := i.read(ctx, account)
		if err != nil {
			return err
		}
		r, s := h.record, h.secrets
		if write, err := fn(&r, &s); err != nil || !write {
			return err
		}
		if _, err := i.write(ctx, key, r, s, h.rev); !errors.Is(err, gateway.ErrConflict) {
			return err
		}
	}
}

// read returns an account as the store has it just now; an empty one if it has none.
func (i *Installs) read(ctx context.Context, account string) (held, error) {
	v, err := i.store.Get(ctx, keyInstalls+"."+account)
	if errors.Is(err, gateway.ErrNotFound) {
		return held{}, nil
	}
	if err != nil {
		return held{}, fmt.Errorf("read the install: %w", err)
	}
	if i.note(v) {
		i.changed()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held[account]
	if h == nil {
		return held{}, fmt.Errorf("what is kept at %s is no install", v.Key)
	}
	return *h, nil
}

// write puts a record into the store, and into memory.
func (i *Installs) write(ctx context.Context, key string, r record, s secrets, rev uint64) (uint64, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	r.Sealed = i.seal.Seal(plain, key)
	data, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	if rev, err = i.store.Put(ctx, key, data, rev); err != nil {
		return 0, fmt.Errorf("write the install: %w", err)
	}
	if i.note(gateway.Value{Key: key, Data: data, Rev: rev}) {
		i.changed()
	}
	return rev, nil
}
