package sandbox

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

func unauthorized() amoProblem {
	return amoProblem{Status: http.StatusUnauthorized, Detail: "Unauthorized"}
}

func bearerOf(r *http.Request) (string, bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// accessPair returns the pair whose access token a request bears, and nil if that is not good. The caller holds
// the lock.
func (a *Amo) accessPair(r *http.Request) *amoPair {
	token, ok := bearerOf(r)
	p := a.tokens.access[token]
	if !ok || p == nil || p.grant.dead || a.now().After(p.accessUntil) {
		return nil
	}
	return p
}

// admit finds out for whom a request of the API speaks: the user of a browser's session, or the one whose consent an
// integration's token comes from. An administrator's consent is worth all rights there are.
func (a *Amo) admit(r *http.Request) (*http.Request, AmoUser, error) {
	if _, ok := bearerOf(r); !ok || !strings.HasPrefix(r.URL.Path, "/api/") {
		user, ok := a.user(r.Header.Get("X-Sandbox-User"))
		if !ok {
			return r, user, unauthorized()
		}
		return r, user, nil
	}
	if a.hasLeft(r.Host) {
		return r, AmoUser{}, amoProblem{Status: http.StatusUnauthorized, Detail: "Account not found"}
	}
	a.mu.Lock()
	p := a.accessPair(r)
	if p != nil {
		p.used()
	}
	a.mu.Unlock()
	if p == nil {
		return r, AmoUser{}, unauthorized()
	}
	client, user := p.grant.client, p.grant.user
	scope := "crm"
	if strings.HasPrefix(r.URL.Path, "/api/v2/events") {
		scope = "notifications"
	}
	if !slices.Contains(client.Scopes, scope) {
		return r, user, amoProblem{Status: http.StatusForbidden, Detail: "The integration has not got the scope " + scope}
	}
	if id := r.Header.Get("X-Context-User-ID"); id != "" {
		as, ok := a.user(id)
		if !ok {
			return r, user, amoProblem{Status: http.StatusForbidden, Detail: "There is no user " + id}
		}
		user = as
	}
	return r.WithContext(context.WithValue(r.Context(), amoClientKey{}, client)), user, nil
}
