package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"ringcast/gateway"
)

// What becomes of requests that a mapping reads, and of the items in them (MappedConfig.Count).
const (
	Taken      = "taken"      // an event
	Ignored    = "ignored"    // a rule says so
	Unmappable = "unmappable" // a request that the mapping cannot read
	Refused    = "refused"    // a request without the right key, signature or address
)

// MappedPBX is a PBX that posts in a format of its own.
type MappedPBX struct {
	Account string
	ID      string
	Mapping *Mapping
}

// MappedConfig is what a Mapped needs.
type MappedConfig struct {
	Emitter    Emitter
	PBXes      []MappedPBX
	ClientAddr func(*http.Request) string // names where a request comes from, "" for this machine
	Logger     *slog.Logger
	Now        func() time.Time
	Count      func(account, pbx, what string, n int) // what: Taken, Ignored, Unmappable or Refused
}

// Mapped answers the requests of PBXes that have a mapping. It may serve any number at once.
type Mapped struct {
	cfg   MappedConfig
	pbxes map[[2]string]*reader
}

// NewMapped returns a handler for PBXes that have mappings.
func NewMapped(c MappedConfig) *Mapped {
	m := &Mapped{cfg: c, pbxes: map[[2]string]*reader{}}
	for _, p := range c.PBXes {
		m.pbxes[[2]string{p.Account, p.ID}] = newReader(p.Mapping)
	}
	return m
}

// ServeEvents serves POST /v1/accounts/{account}/pbx/{pbx}/events, and the same with a {rest} behind it. It is a
// gateway.HandlerFunc.
func (m *Mapped) ServeEvents(w http.ResponseWriter, r *http.Request) error {
	mapping, err := m.find(r)
	if err != nil {
		return err
	}
	return m.serve(w, r, mapping)
}

// ServeGet serves GET on the same URLs: the vendor tries the URL, or sends its events in it.
func (m *Mapped) ServeGet(w http.ResponseWriter, r *http.Request) error {
	mapping, err := m.find(r)
	if err != nil {
		return err
	}
	const longest = 256
	if echo := r.URL.Query().Get(mapping.Echo); mapping.Echo != "" && echo != "" && len(echo) <= longest {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write([]byte(echo)) //nolint:gosec // plain text, and sent as such
		return nil
	}
	if mapping.Encoding != EncodingQuery {
		return gateway.Errorf(gateway.CodeNotFound, "events are posted here")
	}
	return m.serve(w, r, mapping)
}

func (m *Mapped) find(r *http.Request) (*reader, error) {
	account, pbx := r.PathValue("account"), r.PathValue("pbx")
	mapping, ok := m.pbxes[[2]string{account, pbx}]
	if !ok {
		return nil, gateway.Errorf(gateway.CodeNotFound, "account %q has no pbx %q with a mapping", account, pbx)
	}
	return mapping, nil
}

func (m *Mapped) serve(w http.ResponseWriter, r *http.Request, mapping *reader) error {
	account, pbx := r.PathValue("account"), r.PathValue("pbx")
	req, now := requestOf(r), m.cfg.Now()
	var events []gateway.Event
	var ignored int
	known, err := mapping.admit(w, r, req, now, m.cfg.ClientAddr)
	if err == nil {
		events, ignored, err = mapping.events(req, now)
	}
	if err != nil {
		if known && gateway.CodeOf(err) != gateway.CodeUnauthorized {
			m.unmappable(r.Context(), account, pbx, req, err)
		} else {
			m.cfg.Count(account, pbx, Refused, 1)
		}
		return err
	}
	var result gateway.Result
	if len(events) > 0 {
		if result, err = m.cfg.Emitter.Emit(r.Context(), account, pbx, events); err != nil {
			return err
		}
	}
	m.cfg.Count(account, pbx, Taken, len(events))
	m.cfg.Count(account, pbx, Ignored, ignored)
	mapping.Answer.write(w, answerOf(result, nil))
	return nil
}

// admit reads a request stage by stage, and checks at each what can be checked by then: a stranger costs no more than
// that. With an error it says whether something was right already, so that a line in the log is worth it.
func (m *reader) admit(w http.ResponseWriter, r *http.Request, req *request, now time.Time, clientAddr func(*http.Request) string) (known bool, err error) {
	if known, err = m.Auth.knocks(r, clientAddr); err != nil {
		return false, err
	}
	for at := arrived; at <= decoded; at++ {
		if at == received && m.Encoding != EncodingQuery {
			req.raw, err = gateway.ReadBody(w, r, MaxBody)
		} else {
			err = req.decode(at, m.Mapping, r.Header.Get("Content-Type"))
		}
		if err != nil {
			return known, err
		}
		checked, err := m.Auth.check(req, at, now)
		if err != nil {
			return false, err
		}
		known = known || checked
	}
	return known, nil
}

// unmappable notes a request that was refused for what it holds, so that somebody can mend the mapping.
func (m *Mapped) unmappable(ctx context.Context, account, pbx string, req *request, err error) {
	m.cfg.Count(account, pbx, Unmappable, 1)
	fields := []string{}
	for _, f := range gateway.Shown(err).Fields {
		fields = append(fields, f.Field)
	}
	m.cfg.Logger.WarnContext(ctx, "the mapping cannot read a request", "account", account, "pbx", pbx, "path", masked(req.path),
		"shape", shape(req.body), "bytes", len(req.raw), "fields", fields, "code", gateway.CodeOf(err))
}

func (a *Answer) write(w http.ResponseWriter, result answer) {
	if a == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(encode(result)) //nolint:gosec // JSON, and sent as such. The events are in the log, whether it arrives or not
		return
	}
	if a.Body != "" {
		w.Header().Set("Content-Type", a.Type)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write([]byte(a.Body))
}
