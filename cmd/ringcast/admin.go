package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/webhook"
)

const (
	maxAdminBody = 64 << 10
	storeRetry   = time.Second
)

// adminRoutes adds the admin API, and what a PBX may ask about an account. Without an admin key the former is not
// there.
func (n *node) adminRoutes() {
	admin := func(pattern string, fn gateway.HandlerFunc) {
		method, path, _ := strings.Cut(pattern, " ")
		n.mux.Handle(method+" /v1/admin"+path, n.route("admin", func(w http.ResponseWriter, r *http.Request) error {
			if err := n.authorizeAdmin(r); err != nil {
				return err
			}
			return fn(w, r)
		}))
	}
	admin("GET /accounts/{account}/users", n.listUsers)
	admin("PUT /accounts/{account}/users/{user}", n.putUser)
	admin("DELETE /accounts/{account}/users/{user}", n.deleteUser)
	admin("POST /accounts/{account}/users/{user}/revoke", n.revokeUser)
	admin("GET /unshown", n.listUnshown)
	n.journalRoutes(admin)
	n.mux.Handle("/v1/admin/", n.route("admin", func(_ http.ResponseWriter, r *http.Request) error {
		if err := n.authorizeAdmin(r); err != nil {
			return err
		}
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s %s", r.Method, r.URL.Path)
	}))
}

// presenceRoute adds what a PBX may ask: who of an account's users is here.
func (n *node) presenceRoute(hooks *webhook.Handler) {
	n.mux.Handle("GET /v1/accounts/{account}/presence", n.route("presence", func(w http.ResponseWriter, r *http.Request) error {
		account := r.PathValue("account")
		if _, err := hooks.Authorize(account, r.Header.Get("Authorization")); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, map[string]any{"users": n.gateway.Presence(account)})
		return nil
	}))
}

// route makes a handler whose refusals are counted under a name.
func (n *node) route(name string, fn gateway.HandlerFunc) http.Handler {
	return gateway.Handle(n.logger, func(w http.ResponseWriter, r *http.Request) error {
		err := fn(w, r)
		if err != nil {
			n.metrics.refused(name, gateway.CodeOf(err))
		}
		return err
	})
}

// authorizeAdmin compares the key in constant time.
func (n *node) authorizeAdmin(r *http.Request) error {
	if n.cfg.AdminKey == "" {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s: the configuration sets no admin_key, without which there is no admin API", r.URL.Path)
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	is, want := sha256.Sum256([]byte(strings.TrimSpace(key))), sha256.Sum256([]byte(n.cfg.AdminKey))
	if subtle.ConstantTimeCompare(is[:], want[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
		return gateway.Errorf(gateway.CodeUnauthorized, `send "Authorization: Bearer KEY" with the admin_key of the configuration`)
	}
	return nil
}

func (n *node) listUsers(w http.ResponseWriter, r *http.Request) error {
	account, ok := n.directory.Account(r.PathValue("account"))
	if !ok {
		return gateway.Errorf(gateway.CodeNotFound, "there is no account %q", r.PathValue("account"))
	}
	users := make([]gateway.User, len(account.Users))
	for i, u := range account.Users {
		users[i] = shownUser(u)
	}
	writeJSON(w, http.StatusOK, map[string]any{"users": users})
	return nil
}

func (n *node) putUser(w http.ResponseWriter, r *http.Request) error {
	user, err := readAdminUser(w, r)
	if err != nil {
		return err
	}
	if err := n.directory.Put(r.Context(), r.PathValue("account"), user); err != nil {
		return adminFailure(err)
	}
	n.logger.Info("user put into the directory", "account", r.PathValue("account"), "user", user.ID, "extensions", user.Extensions)
	writeJSON(w, http.StatusOK, shownUser(user))
	return nil
}

func (n *node) deleteUser(w http.ResponseWriter, r *http.Request) error {
	account, user := r.PathValue("account"), r.PathValue("user")
	if err := n.directory.Remove(r.Context(), account, user); err != nil {
		return adminFailure(err)
	}
	n.logger.Info("user taken out of the directory", "account", account, "user", user)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// revokeUser takes any user of an account: one who is out of the directory now may be back tomorrow.
func (n *node) revokeUser(w http.ResponseWriter, r *http.Request) error {
	account, user := r.PathValue("account"), r.PathValue("user")
	if _, ok := n.directory.Account(account); !ok {
		return gateway.Errorf(gateway.CodeNotFound, "there is no account %q", account)
	}
	if _, err := parseUserID(user); err != nil {
		return gateway.Errorf(gateway.CodeInvalid, "user %w", err)
	}
	if err := n.revoked.Revoke(r.Context(), account, user); err != nil {
		return adminFailure(err)
	}
	n.logger.Info("tokens revoked", "account", account, "user", user)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (n *node) listUnshown(w http.ResponseWriter, r *http.Request) error {
	calls, err := n.gateway.Unshown(r.Context())
	if err != nil {
		return adminFailure(err)
	}
	if calls == nil {
		calls = []gateway.UnshownCall{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"calls": calls})
	return nil
}

// decodeWhole decodes a body that is one JSON value without unknown fields; else the error says what it is not.
func decodeWhole(body []byte, into any, not string) error {
	in := json.NewDecoder(bytes.NewReader(body))
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil {
		return gateway.Errorf(gateway.CodeInvalid, "%s: %w", not, err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return gateway.Errorf(gateway.CodeInvalid, "the body goes on after its end")
	}
	return nil
}

// readAdminUser reads a user as the configuration would take it, and names every field that it would not.
func readAdminUser(w http.ResponseWriter, r *http.Request) (gateway.User, error) {
	body, err := gateway.ReadBody(w, r, maxAdminBody)
	if err != nil {
		return gateway.User{}, err
	}
	user := gateway.User{ID: r.PathValue("user")}
	var fields struct {
		Name       string   `json:"name"`
		Extensions []string `json:"extensions"`
		Email      string   `json:"email"`
		CallerID   string   `json:"caller_id"`
	}
	if err := decodeWhole(body, &fields, `the body is not {"name":"…","extensions":["…"],"email":"…","caller_id":"…"}`); err != nil {
		return user, err
	}
	var bad []gateway.FieldError
	refuse := func(index int, field string, reason string) {
		bad = append(bad, gateway.FieldError{Index: index, Field: field, Reason: reason})
	}
	if _, err := parseUserID(user.ID); err != nil {
		refuse(0, "user", err.Error())
	}
	if user.Name = fields.Name; user.Name == "" {
		user.Name = user.ID
	}
	if err := checkUserName(user.Name); err != nil {
		refuse(0, "name", err.Error())
	}
	checkUserExtensions(fields.Extensions, func(i int, reason string) { refuse(i, "extensions", reason) })
	if user.Email = fields.Email; user.Email != "" {
		if _, err := parseEmail(user.Email); err != nil {
			refuse(0, "email", err.Error())
		}
	}
	if user.CallerID = fields.CallerID; user.CallerID != "" {
		if _, err := parseCallerID(user.CallerID); err != nil {
			refuse(0, "caller_id", err.Error())
		}
	}
	if len(bad) > 0 {
		return user, &gateway.Error{Code: gateway.CodeInvalid, Message: "nothing was changed", Fields: bad}
	}
	user.Extensions = fields.Extensions
	return user, nil
}

// adminFailure is an error of the store, as an answer: it may be there again soon.
func adminFailure(err error) error {
	if gateway.CodeOf(err) == gateway.CodeInternal {
		return &gateway.Error{Code: gateway.CodeUnavailable, Message: "the store does not answer now: try again", RetryAfter: storeRetry, Err: err}
	}
	return err
}

// shownUser is a user without a null.
func shownUser(u gateway.User) gateway.User {
	if u.Extensions == nil {
		u.Extensions = []string{}
	}
	return u
}
