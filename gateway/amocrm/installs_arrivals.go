package amocrm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ringcast/gateway"
)

const (
	codeLife    = 20 * time.Minute // a code of the CRM is good for
	pairLife    = 24 * time.Hour   // and the pair that came for it, until it is known whose it is
	arrivalTurn = time.Minute      // a node has to make something of a code before another may
	linkLife    = time.Hour        // a link to connect an account is good for
	keepTime    = 2 * time.Second  // to keep a code: the CRM's server waits for three

	// The CRM's server calls once, so a code is kept first; one that no link of ours led to waits for its turn to be
	// exchanged. No more are kept than have theirs while they are good, and few of one address in the CRM: somebody who
	// makes up codes for it keeps nobody else out.
	arrivalBurst  = 3
	arrivalPace   = 1   // a second
	maxArrivals   = 512 // codes at once
	maxArrivalsAt = 8
)

// arrival is a code, or the pair that came for it, until it is known whose it is.
type arrival struct {
	Integration string    `json:"integration"`
	Account     string    `json:"account,omitempty"` // whom the operator's link was for
	BaseURL     string    `json:"base_url"`
	At          time.Time `json:"at"`
	Until       time.Time `json:"until"`  // when another node may take over
	Sealed      []byte    `json:"sealed"` // arrivalSecret
}

type arrivalSecret struct {
	Code string `json:"code,omitempty"`
	Pair pair   `json:"pair,omitzero"`
}

// arrivals bounds what strangers can make this node do.
type arrivals struct {
	pace *rate.Limiter

	mu   sync.Mutex
	busy map[string]string // by key of the store: where in the CRM
}

func newArrivals() *arrivals {
	return &arrivals{pace: rate.NewLimiter(arrivalPace, arrivalBurst), busy: map[string]string{}}
}

// begin says whether this node may begin with an arrival, and by when it will have had its turn. ours: a link of ours led
// to it.
func (a *arrivals) begin(key, base string, ours bool) (until time.Time, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.busy[key]; ok || !ours && (len(a.busy) >= maxArrivals || a.at(base) >= maxArrivalsAt) {
		return time.Time{}, false
	}
	a.busy[key] = base
	until = now().Add(arrivalTurn)
	if !ours {
		until = until.Add(time.Duration(len(a.busy)) * time.Second / arrivalPace)
	}
	return until, true
}

// turn takes a place in the line of what is exchanged: only for what is kept, or those who go away at once would fill it.
func (a *arrivals) turn(ours bool) time.Duration {
	if ours {
		return 0
	}
	return a.pace.Reserve().Delay()
}

// at returns how many codes of an address there are. The caller holds the lock.
func (a *arrivals) at(base string) (n int) {
	for _, other := range a.busy {
		if other == base {
			n++
		}
	}
	return n
}

func (a *arrivals) finish(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.busy, key)
}

// arrived is what became of an arrival.
type arrived struct {
	account string
	err     error
}

// arrive keeps a code and begins to exchange it. ours: a link of ours led to it. Of the channel one value comes.
func (i *Installs) arrive(ctx context.Context, in *Integration, account, base, code string, ours bool) (<-chan arrived, error) {
	sum := sha256.Sum256([]byte(in.ClientID + "\x00" + code))
	key := keyArrivals + "." + hex.EncodeToString(sum[:16])
	until, ok := i.arrivals.begin(key, base, ours)
	if !ok {
		return nil, gateway.Errorf(gateway.CodeTooMany, "this code is under way, or too many are")
	}
	a := arrival{Integration: in.ID, Account: account, BaseURL: base, At: now(), Until: until}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime) // whoever goes away at once leaves nothing half done
	defer cancel()
	rev, err := i.keep(keeping, key, &a, arrivalSecret{Code: code}, 0)
	if err != nil {
		i.arrivals.finish(key)
		if errors.Is(err, gateway.ErrConflict) {
			return nil, gateway.Errorf(gateway.CodeTooMany, "this code is under way")
		}
		return nil, &gateway.Error{Code: gateway.CodeUnavailable, Message: "the store does not answer now: install again", RetryAfter: time.Second, Err: err}
	}
	done := make(chan arrived, 1)
	i.work.Go(func() {
		defer i.arrivals.finish(key)
		done <- i.admit(i.life, i.arrivals.turn(ours), key, rev, a, arrivalSecret{Code: code})
	})
	return done, nil
}

func (i *Installs) keep(ctx context.Context, key string, a *arrival, s arrivalSecret, rev uint64) (uint64, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	a.Sealed = i.seal.Seal(plain, key)
	data, err := json.Marshal(a)
	if err != nil {
		return 0, err
	}
	return i.store.Put(ctx, key, data, rev)
}

// takeOver goes on with what a node has left behind that is no more, and forgets what is too old.
func (i *Installs) takeOver(ctx context.Context) {
	var left []gateway.Value
	err := i.store.List(ctx, keyArrivals, func(v gateway.Value) error {
		left = append(left, v)
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			i.logger.WarnContext(ctx, "codes of the CRM that were left behind could not be read", "err", err)
		}
		return
	}
	for _, v := range left {
		var a arrival
		var s arrivalSecret
		err := json.Unmarshal(v.Data, &a)
		if err == nil && time.Now().Before(a.Until) {
			continue
		}
		var plain []byte
		if err == nil {
			plain, err = i.seal.Open(a.Sealed, v.Key)
		}
		if err == nil {
			err = json.Unmarshal(plain, &s)
		}
		if err != nil || i.integrations[a.Integration] == nil {
			i.drop(ctx, v.Key, v.Rev)
			continue
		}
		until, ok := i.arrivals.begin(v.Key, a.BaseURL, false)
		if !ok {
			continue
		}
		a.Until = until
		rev, err := i.keep(ctx, v.Key, &a, s, v.Rev)
		if err != nil { // another node was faster
			i.arrivals.finish(v.Key)
			continue
		}
		i.work.Go(func() {
			defer i.arrivals.finish(v.Key)
			i.admit(i.life, i.arrivals.turn(false), v.Key, rev, a, s)
		})
	}
}

func (i *Installs) drop(ctx context.Context, key string, rev uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grantTime)
	defer cancel()
	if err := i.store.Delete(ctx, key, rev); err != nil && !errors.Is(err, gateway.ErrConflict) {
		i.logger.DebugContext(ctx, "a code of the CRM stays in the store for now", "err", err)
	}
}

// admit makes an account's access of an arrival when its turn comes. What fails for now it tries again, as long as the code
// is good.
func (i *Installs) admit(ctx context.Context, turn time.Duration, key string, rev uint64, a arrival, s arrivalSecret) arrived {
	if err := sleep(ctx, turn); err != nil {
		return arrived{err: err} // the next node takes over
	}
	in := i.integrations[a.Integration]
	for failures := 0; ; failures++ {
		account, err := i.admitOnce(ctx, key, &rev, &a, &s, in)
		if ctx.Err() != nil {
			return arrived{err: ctx.Err()} // the next node takes over
		}
		if err == nil {
			i.drop(ctx, key, rev)
			return arrived{account: account}
		}
		rest := restAfter(failures, err)
		life := codeLife
		if s.Pair.Access != "" {
			life = pairLife
		}
		switch {
		case errors.Is(err, gateway.ErrConflict): // another node has taken over
			return arrived{err: err}
		case permanent(err) || time.Since(a.At)+rest > life:
			i.drop(ctx, key, rev)
			i.logger.WarnContext(ctx, "an installation in the CRM came to nothing: it has to be repeated", "integration", a.Integration, "crm", a.BaseURL, "err", err)
			return arrived{err: err}
		}
		pause := time.NewTimer(rest)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return arrived{err: ctx.Err()}
		}
	}
}

func permanent(err error) bool {
	return refused(err) || errors.Is(err, errOtherAccount) || errors.Is(err, errNoScope)
}

// admitOnce goes as far as it comes. The pair is kept as soon as it is there: the code is worth nothing any more then.
func (i *Installs) admitOnce(ctx context.Context, key string, rev *uint64, a *arrival, s *arrivalSecret, in *Integration) (account string, err error) {
	a.Until = now().Add(arrivalTurn)
	if s.Pair.Access == "" {
		if *rev, err = i.keep(ctx, key, a, *s, *rev); err != nil {
			return "", err
		}
		if s.Pair, err = i.door.byCode(ctx, in, a.BaseURL, s.Code); err != nil {
			s.Pair = pair{}
			return "", err
		}
	}
	if *rev, err = i.keep(ctx, key, a, *s, *rev); err != nil {
		return "", err
	}
	info, err := i.door.account(ctx, Access{BaseURL: a.BaseURL, Token: s.Pair.Access, Integration: in.ClientID})
	if lacksScope(err) {
		err = fmt.Errorf("%w (%w)", errNoScope, err)
	}
	if err != nil {
		return "", err
	}
	return i.connect(ctx, in, a, info, s.Pair)
}

var (
	errOtherAccount = errors.New("the tokens are for another account of the CRM")
	errNoScope      = errors.New("the integration has not got the right to the account's data: give it the scope crm on its page")
)

// owns says whether an account of the CRM is the integration's own one, as far as it has one; or the one that it was.
func (in *Integration) owns(info, was AccountInfo) error {
	switch host, _ := in.ownHost(); {
	case was.ID != 0 && was.ID != info.ID:
		return fmt.Errorf("%w: number %d, not %d", errOtherAccount, info.ID, was.ID)
	case was.ID == 0 && in.Account != "" && info.Subdomain != "" && in.Platform.subdomainAt(host) != "" && in.Platform.subdomainAt(host) != info.Subdomain:
		return fmt.Errorf("%w: %s, not %s", errOtherAccount, info.Subdomain, host)
	}
	return nil
}

func (in *Integration) ownHost() (host string, ok bool) {
	if in.Account == "" {
		return "", false
	}
	_, host, ok = strings.Cut(in.BaseURLs[0], "://")
	return host, ok
}

// connect writes an account's new access, over whatever there was, and returns the account's name.
func (i *Installs) connect(ctx context.Context, in *Integration, a *arrival, info AccountInfo, p pair) (string, error) {
	names := []string{in.Account}
	if in.Account == "" {
		var err error
		if names, err = i.names(in, a.Account, info); err != nil {
			return "", err
		}
	}
	for _, name := range names {
		taken := false
		err := i.update(ctx, name, func(r *record, s *secrets) (bool, error) {
			same := r.ClientID == in.ClientID
			if in.Account == "" && r.ClientID != "" && (!same || r.AccountID != info.ID) {
				taken = true
				return false, nil
			}
			was := AccountInfo{ID: in.AccountID}
			if was.ID == 0 && same {
				was.ID = r.AccountID
			}
			if err := in.owns(info, was); err != nil {
				return false, err
			}
			if len(s.PBX) == 0 {
				s.PBX = make([]byte, 32)
				_, _ = rand.Read(s.PBX) // never fails
			}
			s.pair, s.Previous = p, ""
			*r = record{Integration: in.ID, ClientID: in.ClientID, BaseURL: a.BaseURL, AccountID: info.ID, Admin: info.User, State: StateConnected, Since: now()}
			return true, nil
		})
		if taken {
			continue
		}
		if err != nil {
			return "", err
		}
		i.logger.InfoContext(ctx, "connected to the CRM", "account", name, "integration", in.ID, "crm", a.BaseURL, "crm_account", info.ID)
		return name, nil
	}
	return "", fmt.Errorf("%w: there is no name for account %d at %s", errOtherAccount, info.ID, a.BaseURL)
}

// accountForm is what an account may be called.
var accountForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// names are what an account that an integration is installed in may be called: as it was, or else the first of some that
// nobody has. wanted is whom the operator's link was for, if it was for somebody.
func (i *Installs) names(in *Integration, wanted string, info AccountInfo) ([]string, error) {
	for _, known := range i.All() {
		if known.ClientID == in.ClientID && known.AccountID == info.ID && known.Integration != "" && !i.taken(known.Account) {
			if wanted != "" && wanted != known.Account {
				return nil, fmt.Errorf("%w: this is %s, and the link was for %s", errOtherAccount, known.Account, wanted)
			}
			return []string{known.Account}, nil
		}
	}
	if wanted != "" {
		return nil, fmt.Errorf("%w: the link was for %s", errOtherAccount, wanted)
	}
	number := string(in.Platform) + "-" + strconv.FormatInt(info.ID, 10)
	if in.Platform == PlatformAmoCRM {
		number = "amo-" + strconv.FormatInt(info.ID, 10)
	}
	var names []string
	for _, name := range []string{info.Subdomain, number, number + "-" + in.ID} {
		if accountForm.MatchString(name) && name != "ringcast" && i.integrations[name] == nil && !i.taken(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Link returns where an administrator lets an integration in: of an account, or of an integration to install it in another.
// It is good for an hour, and for this alone. ok: there is such an account or integration, and OAuth is its way.
func (i *Installs) Link(id string) (link string, ok bool) {
	in := i.integrations[id]
	if in == nil {
		i.mu.Lock()
		if h := i.held[id]; h != nil {
			in = i.of(id, &h.record)
		}
		i.mu.Unlock()
	}
	if in == nil || in.Token != "" {
		return "", false
	}
	return in.authorizeURL(i.state(id, time.Now())), true
}

// state is what a link takes along: whom it is for and until when, signed.
func (i *Installs) state(id string, at time.Time) string {
	text := strings.Join([]string{id, strconv.FormatInt(at.Add(linkLife).Unix(), 10), newNonce()}, ".")
	return text + "." + base64.RawURLEncoding.EncodeToString(i.seal.sign(text))
}

// begun returns whom a state is for.
func (i *Installs) begun(state string) (in *Integration, account string, err error) {
	bad := gateway.Errorf(gateway.CodeBadToken, "this link was not made here, or more than an hour ago: take a new one from GET /v1/admin/installs")
	at := strings.LastIndexByte(state, '.')
	if at < 0 || len(state) > 512 {
		return nil, "", bad
	}
	signature, err := base64.RawURLEncoding.DecodeString(state[at+1:])
	parts := strings.Split(state[:at], ".")
	if err != nil || !i.seal.signed(state[:at], signature) || len(parts) != 3 {
		return nil, "", bad
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || time.Now().Unix() > until {
		return nil, "", bad
	}
	if in = i.integrations[parts[0]]; in != nil {
		return in, "", nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if h := i.held[parts[0]]; h != nil {
		if in = i.of(parts[0], &h.record); in != nil {
			return in, parts[0], nil
		}
	}
	return nil, "", bad
}

func newNonce() string { return rand.Text()[:16] }

// redirectPath is the path of an integration's redirect_uri.
func (in *Integration) redirectPath() string {
	u, err := url.Parse(in.RedirectURI)
	if err != nil || u.Path == "" {
		return "/"
	}
	return u.Path
}
