package amocrm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"ringcast/gateway"
)

const (
	tokenSpare  = time.Minute // what Access leaves on a token
	renewBefore = time.Hour   // what is left of a token when it is renewed without being asked for

	leaseTime     = 75 * time.Second // a node has to renew a pair: longer than the requests for it can take
	leaseLook     = time.Second      // how often it is looked whether another node's is over
	leastRest     = time.Second      // after a failure; doubled with each
	mostRest      = 5 * time.Minute
	forbiddenRest = 10 * time.Minute // after 403
	youngToken    = 10 * time.Minute // one that is refused at this age was never good
	probeEvery    = time.Hour        // a refused long-lived token is tried again
)

// margins are what is left of a token when it is not given out any more, and when it is renewed.
func (p pair) margins() (spare, renew time.Duration) {
	return min(tokenSpare, p.life()/4), min(renewBefore, p.life()/2)
}

// Access returns an account's access. See Tokens.
func (i *Installs) Access(ctx context.Context, account string) (Access, error) {
	for {
		access, renewal, err := i.have(account)
		if renewal == nil {
			return access, err
		}
		select {
		case <-renewal:
		case <-ctx.Done():
			return Access{}, ctx.Err()
		}
	}
}

// have returns the access that there is, or what to wait for before looking again.
func (i *Installs) have(account string) (_ Access, renewal <-chan struct{}, _ error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held[account]
	if h == nil {
		if h = (&held{}); i.of(account, &h.record) == nil {
			return Access{}, nil, ErrDisconnected
		}
	}
	in := i.of(account, &h.record)
	switch {
	case in == nil:
		return Access{}, nil, ErrDisconnected
	case in.Token != "":
		if h.State == StateDisconnected && h.Refused == in.fingerprint(i.seal) {
			return Access{}, nil, ErrDisconnected
		}
		return i.access(in, h, in.Token), nil, nil
	case !i.renewable(in, h):
		return Access{}, nil, ErrDisconnected
	}
	left := time.Until(h.Expires)
	spare, renew := h.margins()
	if h.State == StateConnected && left > spare && h.Access != h.rejected {
		if left <= renew && i.resting(h) == 0 {
			i.fly(account, h)
		}
		return i.access(in, h, h.Access), nil, nil
	}
	if rest := i.resting(h); rest > 0 && h.flight == nil {
		return Access{}, nil, fmt.Errorf("the tokens could not be renewed, and will be tried again in %v: %s", rest.Round(time.Second), cmp.Or(h.Reason, "the store does not answer"))
	}
	return Access{}, i.fly(account, h), nil
}

// renewable says whether there is a pair that may be asked to be renewed: also one that was refused, when the
// configuration is another now.
func (i *Installs) renewable(in *Integration, h *held) bool {
	if h.Refresh == "" || h.ClientID != in.ClientID {
		return false
	}
	return h.State == StateConnected || h.State == StateDisconnected && h.Refused != in.fingerprint(i.seal)
}

func (i *Installs) resting(h *held) time.Duration {
	return max(time.Until(h.RetryAt), time.Until(h.rest), 0)
}

func (i *Installs) access(in *Integration, h *held, token string) Access {
	return Access{BaseURL: i.baseOf(in, h), Token: token, ClientID: in.ClientID, Integration: in.ClientID}
}

// Rejected says that the CRM answered 401 to a token. See Tokens.
func (i *Installs) Rejected(_ context.Context, account, token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.held[account]
	if h == nil {
		h = &held{news: make(chan struct{})}
	}
	in := i.of(account, &h.record)
	switch {
	case in == nil:
	case in.Token != "" && token == in.Token:
		i.held[account] = h
		if h.State != StateDisconnected && i.resting(h) == 0 {
			i.fly(account, h)
		}
	case token == h.Access && token != "":
		h.rejected = token
	}
}

// fly begins to renew an account's tokens, unless that is under way, and returns what is closed when it has ended. i.mu
// is held.
func (i *Installs) fly(account string, h *held) <-chan struct{} {
	if h.flight != nil {
		return h.flight
	}
	landed := make(chan struct{})
	h.flight = landed
	i.work.Go(func() {
		err := i.renew(i.life, account)
		i.mu.Lock()
		h := i.held[account] // another one since
		h.flight = nil
		if err != nil {
			h.rest = time.Now().Add(leastRest)
		}
		i.mu.Unlock()
		close(landed)
		if err != nil && i.life.Err() == nil {
			i.logger.WarnContext(i.life, "the CRM's tokens were not renewed", "account", account, "err", err)
		}
	})
	return landed
}

// renewDue renews what expires soon. Who is idle is renewed as well, so no refresh token grows old.
func (i *Installs) renewDue() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, in := range i.integrations {
		if in.Token != "" && i.held[in.Account] == nil { // one that nobody has tried
			i.held[in.Account] = &held{news: make(chan struct{})}
		}
	}
	for account, h := range i.held {
		in := i.of(account, &h.record)
		if in == nil || i.resting(h) > 0 && (h.Refused == "" || h.Refused == in.fingerprint(i.seal)) {
			continue
		}
		_, renew := h.margins()
		untried := in.Token != "" && (h.AccountID == 0 || h.State != StateConnected || h.ClientID != in.ClientID)
		if untried || in.Token == "" && i.renewable(in, h) && (h.State != StateConnected || time.Until(h.Expires) <= renew) {
			i.fly(account, h)
		}
	}
}

// renew gets an account a new pair, or finds that another node has. The error is one that the store could not be told.
func (i *Installs) renew(ctx context.Context, account string) error {
	select {
	case i.gate <- struct{}{}:
		defer func() { <-i.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		h, err := i.read(ctx, account)
		if err != nil {
			return err
		}
		in := i.of(account, &h.record)
		switch {
		case in != nil && in.Token != "":
			return i.tryToken(ctx, account, in)
		case in == nil || !i.renewable(in, &h) || i.resting(&h) > 0 || i.isFresh(&h):
			return nil
		case h.Access == h.rejected && h.Rejections > 0 && time.Since(h.Issued) < youngToken:
			return i.lose(ctx, account, in, h.Refresh, "the CRM refuses the tokens that it has just given: the integration is switched off, or its rights were taken")
		case h.Lease != nil && h.Lease.Node != i.node && time.Now().Before(h.Lease.Until):
			i.awaitNews(ctx, account, h.rev)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		r := h.record
		r.Lease = &lease{i.node, time.Now().Add(leaseTime)}
		switch _, err = i.write(ctx, keyInstalls+"."+account, r, h.secrets, h.rev); {
		case errors.Is(err, gateway.ErrConflict):
			continue
		case err != nil:
			return err
		}
		return i.exchangeRefresh(ctx, account, in, h)
	}
}

// isFresh says that there is nothing to renew any more.
func (i *Installs) isFresh(h *held) bool {
	_, renew := h.margins()
	return h.State == StateConnected && h.Access != h.rejected && time.Until(h.Expires) > renew
}

// awaitNews waits until another node has written, or may have died.
func (i *Installs) awaitNews(ctx context.Context, account string, rev uint64) {
	i.mu.Lock()
	h := i.held[account]
	news, newer := h.news, h.rev != rev
	i.mu.Unlock()
	if newer {
		return
	}
	look := time.NewTimer(leaseLook)
	defer look.Stop()
	select {
	case <-news:
	case <-look.C:
	case <-ctx.Done():
	}
}

// exchangeRefresh asks the CRM for the next pair, and writes what came of it.
func (i *Installs) exchangeRefresh(ctx context.Context, account string, in *Integration, h held) error {
	base := i.baseOf(in, &h)
	next, base, err := i.nextPair(ctx, in, h.secrets, base)
	switch {
	case err == nil:
		rejections := 0
		if h.Access == h.rejected {
			rejections = 1
			if time.Since(h.Issued) < youngToken {
				rejections = h.Rejections + 1
			}
		}
		return i.settle(ctx, account, h.Refresh, func(r *record, s *secrets) {
			if r.State != StateConnected {
				r.State, r.Since = StateConnected, now()
			}
			s.Previous, s.pair = s.Refresh, next
			r.BaseURL, r.Reason, r.Refused, r.Rejections = base, "", "", rejections
			r.Failures, r.RetryAt = 0, time.Time{}
		})
	case refused(err):
		return i.lose(ctx, account, in, h.Refresh, err.Error())
	}
	if ctx.Err() != nil { // this node goes down: the next one tries
		return ctx.Err()
	}
	rest := restAfter(h.Failures, err)
	if h.Failures == 0 {
		i.logger.WarnContext(ctx, "the CRM's tokens could not be renewed, and will be tried again", "account", account, "err", err)
	}
	return i.settle(ctx, account, h.Refresh, func(r *record, _ *secrets) {
		r.Reason, r.Failures, r.RetryAt = err.Error(), r.Failures+1, now().Add(rest)
	})
}

// nextPair asks for a pair, at another address if the account has moved. A refused token is followed once by the one
// before it, which is good until the newer has been used.
func (i *Installs) nextPair(ctx context.Context, in *Integration, s secrets, base string) (pair, string, error) {
	next, err := i.door.byRefresh(ctx, in, base, s.Refresh)
	if status := answerStatus(err); status == http.StatusUnauthorized || status == http.StatusNotFound {
		moved, merr := i.door.moved(ctx, in, s.pair)
		switch {
		case merr == nil && moved != "" && moved != base:
			base = moved
			next, err = i.door.byRefresh(ctx, in, base, s.Refresh)
		case merr != nil && !refused(merr):
			return pair{}, base, merr // it may have moved
		}
	}
	if refused(err) && s.Previous != "" {
		if older, oerr := i.door.byRefresh(ctx, in, base, s.Previous); oerr == nil || !refused(oerr) {
			return older, base, oerr
		}
	}
	return next, base, err
}

// restAfter is how long the CRM is left alone after a failure, when there were others before it.
func restAfter(before int, err error) time.Duration {
	rest := min(leastRest<<min(before, 16), mostRest)
	var answer *Error
	switch {
	case errors.As(err, &answer) && answer.RetryAfter > 0:
		rest = answer.RetryAfter
	case answerStatus(err) == http.StatusForbidden:
		rest = forbiddenRest
	}
	return rest + rand.N(rest/4+1)
}

// lose writes that an account's access is lost, and tells it.
func (i *Installs) lose(ctx context.Context, account string, in *Integration, refresh, reason string) error {
	lost := false
	err := i.settle(ctx, account, refresh, func(r *record, _ *secrets) {
		lost = r.State != StateDisconnected
		r.State, r.Reason, r.Since, r.Refused = StateDisconnected, reason, now(), in.fingerprint(i.seal)
		r.Rejections, r.Failures, r.RetryAt = 0, 0, time.Time{}
	})
	if err == nil && lost {
		i.tellLost(account, reason)
	}
	return err
}

func (i *Installs) tellLost(account, reason string) {
	i.logger.Error("the CRM does not let the integration in any more: an administrator has to install it again; GET /v1/admin/installs has the link",
		"account", account, "reason", reason)
}

// settle writes what came of a renewal, unless the pair is another since: the account was installed anew, or removed.
func (i *Installs) settle(ctx context.Context, account, refresh string, fn func(r *record, s *secrets)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grantTime)
	defer cancel()
	for rest := 100 * time.Millisecond; ; rest = min(2*rest, leastRest) {
		err := i.update(ctx, account, func(r *record, s *secrets) (bool, error) {
			if s.Refresh != refresh || r.State == StateUninstalled {
				return false, nil
			}
			r.Lease = nil
			fn(r, s)
			return true, nil
		})
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause := time.NewTimer(rest) // a pair that is not in the store is lost with this process
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// tryToken finds out whether a long-lived token is good, and whose it is.
func (i *Installs) tryToken(ctx context.Context, account string, in *Integration) error {
	info, err := i.door.account(ctx, Access{BaseURL: in.BaseURLs[0], Token: in.Token, Integration: in.ClientID})
	if err == nil {
		err = in.owns(info, AccountInfo{ID: in.AccountID})
	}
	bad := err != nil && (answerStatus(err) == http.StatusUnauthorized || errors.Is(err, errOtherAccount))
	lost := false
	werr := i.update(ctx, account, func(r *record, _ *secrets) (bool, error) {
		switch {
		case err == nil:
			if r.State != StateConnected || r.ClientID != in.ClientID {
				r.Since = now()
			}
			*r = record{
				Integration: in.ID, ClientID: in.ClientID, BaseURL: in.BaseURLs[0], AccountID: info.ID, Admin: info.User,
				State: StateConnected, Since: r.Since,
			}
		case bad:
			if lost = r.State != StateDisconnected; lost {
				r.Since = now()
			}
			r.Integration, r.ClientID, r.State, r.Refused = in.ID, in.ClientID, StateDisconnected, in.fingerprint(i.seal)
			r.Reason, r.RetryAt = "its long-lived token: "+err.Error(), now().Add(probeEvery)
		default:
			r.Integration, r.ClientID, r.State = in.ID, in.ClientID, cmp.Or(r.State, StateWaiting)
			r.Reason, r.RetryAt, r.Failures = err.Error(), now().Add(restAfter(r.Failures, err)), r.Failures+1
		}
		return true, nil
	})
	if werr == nil && lost {
		i.logger.ErrorContext(ctx, "the CRM does not take the long-lived token: make a new one on the integration's page and put it into the configuration",
			"account", account, "err", err)
	}
	return werr
}

// now is in UTC, and without the monotonic clock that a store does not keep.
func now() time.Time { return time.Now().UTC().Round(0) }
