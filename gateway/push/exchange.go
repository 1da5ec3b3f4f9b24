package push

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"ringcast/gateway"
)

// exchangeBackend gives a session token for a JWT that the account's own server has signed.
func (s *Server) exchangeBackend(w http.ResponseWriter, r *http.Request) error {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return gateway.Errorf(gateway.CodeBadToken, "send the token in the header Authorization: Bearer")
	}
	who, err := s.tokens.verifyBackend(strings.TrimSpace(token))
	if err != nil {
		return err
	}
	return s.beginSession(w, who)
}

// exchange gives a session token for a CRM's own proof of identity.
func (s *Server) exchange(e Exchanger) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		account, user, err := e.Exchange(r.Context(), r)
		if err != nil {
			return err
		}
		return s.beginSession(w, identity{account: account, user: user, issued: time.Now()})
	}
}

// beginSession gives a token to somebody who proved who he is, by what was issued then.
func (s *Server) beginSession(w http.ResponseWriter, who identity) error {
	user, err := s.lookUp(who)
	if err != nil {
		return err
	}
	token, expires, err := s.tokens.Mint(who.account, who.user, SessionLife)
	if err != nil {
		return err
	}
	if user.Extensions == nil {
		user.Extensions = []string{}
	}
	body, err := json.Marshal(struct {
		Token     string         `json:"token"`
		ExpiresAt gateway.Millis `json:"expires_at"`
		Account   string         `json:"account"`
		User      gateway.User   `json:"user"`
	}{token, gateway.Millis(expires), who.account, user})
	if err != nil {
		return err
	}
	writeJSON(w, body)
	return nil
}
