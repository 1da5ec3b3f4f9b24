// Package webhook takes call events by HTTP POST, for any PBX or script that can make a request
// (design §4.1).
//
// # Contract
//
// POST /v1/accounts/{account}/events with one event or an array of up to 500 in at most 1 MiB of JSON,
// authorised by the PBX's key. The answer 202 is sent when every event is in the log; anything malformed
// refuses the whole request and names each bad field. Names that no field has are no fault; the answer lists them as
// unknown_fields, beside unknown_extensions. A Handler may serve any number of requests at once.
//
// # Mappings
//
// A PBX that posts in a format of its own, at POST /v1/accounts/{account}/pbx/{pbx}/events, is read by a Mapping, which
// a Mapped serves: the sender is checked first (address, keys, signature), then the first rule that takes the request
// makes an event of it, which has to pass the same checks as any other. A request is taken whole or not at all; what is
// not understood is refused, logged by its shape and counted.
//
// A request is read no further than the next check of its sender needs, and then up to limits: 50,000 values of JSON or
// 1,000 fields of a form, 500 events, 4 KiB of each text that goes into one. So memory is in proportion to the body and to
// the number of rules and fields, not to the body times the number of events in it.
//
// # Dependencies
//
// Package gateway and the standard library.
package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ringcast/gateway"
)

// What one request may carry.
const (
	MaxBody   = 1 << 20 // bytes
	MaxEvents = 500
)

// Emitter makes events durable, all or none; gateway.Gateway does.
type Emitter interface {
	Emit(ctx context.Context, account, pbx string, events []gateway.Event) (gateway.Result, error)
}

// PBX is one PBX that may post events, known by its key.
type PBX struct {
	Account string
	ID      string
	Key     string
}

// Handler answers event posts.
type Handler struct {
	emitter  Emitter
	accounts atomic.Pointer[map[string][]keyed]
	now      func() time.Time
}

type keyed struct {
	id  string
	key [sha256.Size]byte
}

// New returns a handler for the given PBXes. accounts are those that exist, with or without such a PBX.
func New(emitter Emitter, accounts []string, pbxes []PBX, now func() time.Time) *Handler {
	h := &Handler{emitter: emitter, now: now}
	h.Set(accounts, pbxes)
	return h
}

// Set puts other accounts and PBXes in place of those that there are, at once for every request that comes after. A PBX
// without a key cannot post.
func (h *Handler) Set(accounts []string, pbxes []PBX) {
	known := make(map[string][]keyed, len(accounts))
	for _, a := range accounts {
		known[a] = nil
	}
	for _, p := range pbxes {
		if p.Key != "" {
			known[p.Account] = append(known[p.Account], keyed{p.ID, sha256.Sum256([]byte(p.Key))})
		}
	}
	h.accounts.Store(&known)
}

// answer of a request whose events are all in the log.
type answer struct {
	Accepted   int      `json:"accepted"`
	Duplicates int      `json:"duplicates"`
	Unknown    []string `json:"unknown_extensions,omitempty"`
	Fields     []string `json:"unknown_fields,omitempty"` // a slip of the pen, perhaps
}

func answerOf(r gateway.Result, unknownFields []string) answer {
	return answer{Accepted: r.Accepted, Duplicates: r.Duplicates, Unknown: r.Unknown, Fields: unknownFields}
}

func encode(a answer) []byte {
	if len(a.Unknown)+len(a.Fields) > 0 {
		data, _ := json.Marshal(a) //nolint:errchkjson // strings and numbers only
		return append(data, '\n')
	}
	data := make([]byte, 0, 48)
	data = strconv.AppendInt(append(data, `{"accepted":`...), int64(a.Accepted), 10)
	data = strconv.AppendInt(append(data, `,"duplicates":`...), int64(a.Duplicates), 10)
	return append(data, "}\n"...)
}

// ServeEvents serves POST /v1/accounts/{account}/events. It is a gateway.HandlerFunc.
func (h *Handler) ServeEvents(w http.ResponseWriter, r *http.Request) error {
	account := r.PathValue("account")
	pbx, err := h.Authorize(account, r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	body, err := gateway.ReadBody(w, r, MaxBody)
	if err != nil {
		return err
	}
	events, unknown, err := Parse(body, h.now())
	if err != nil {
		return err
	}
	result, err := h.emitter.Emit(r.Context(), account, pbx, events)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(encode(answerOf(result, unknown))) //nolint:gosec // JSON, and sent as such. The events are in the log, whether it arrives or not
	return nil
}

// Authorize finds the PBX of an account by the key in an Authorization header. Every key of the account is compared,
// each in constant time. It fails with CodeNotFound when there is no such account, and with CodeUnauthorized.
func (h *Handler) Authorize(account, header string) (pbx string, err error) {
	keys, ok := (*h.accounts.Load())[account]
	if !ok {
		return "", gateway.Errorf(gateway.CodeNotFound, "there is no account %q", account)
	}
	scheme, key, _ := strings.Cut(header, " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(key)))
	found := false
	for _, k := range keys {
		if subtle.ConstantTimeCompare(sum[:], k.key[:]) == 1 {
			pbx, found = k.id, true
		}
	}
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", gateway.Errorf(gateway.CodeUnauthorized, `send "Authorization: Bearer KEY" with the key of a PBX of this account`)
	}
	return pbx, nil
}
