package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringcast/gateway"
	"ringcast/static"
)

// routes assembles the main listener.
func (n *node) routes() {
	n.hooks = n.webhooks()
	n.mux.Handle("POST /v1/accounts/{account}/events", n.route("events", n.hooks.ServeEvents))
	n.mux.Handle("/v1/accounts/{account}/events", n.route("events", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", http.MethodPost)
		return gateway.Errorf(gateway.CodeMethod, "POST here: events are sent to this address, not fetched from it")
	}))
	n.mappedRoutes()
	n.presenceRoute(n.hooks)
	n.routeRoute()
	n.installRoutes()
	n.adminRoutes()
	n.settingsRoute()
	n.recordingRoutes()
	n.mux.Handle("/v1/", n.push.Handler())
	n.phonetRoute()
	for name, file := range map[string][]byte{"client.js": static.ClientJS, "client.d.ts": static.ClientTypes, "poll.js": static.PollJS} {
		n.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-cache")
			if path.Ext(name) == ".ts" { // which is video otherwise
				w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			}
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file))
		})
	}
	n.mux.Handle("/", gateway.Handle(n.logger, func(_ http.ResponseWriter, r *http.Request) error {
		return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s", r.URL.Path)
	}))
}

// opsHandler is the operator's side (design §4.4).
func (n *node) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", n.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}

type readiness struct {
	Ready bool       `json:"ready"`
	Log   string     `json:"log"`
	Store string     `json:"store"`
	PBX   []pbxState `json:"pbx"`
	CRM   []crmState `json:"crm,omitempty"`

	Node       string      `json:"node,omitempty"` // of a cluster
	Partitions []partition `json:"partitions,omitempty"`
}

// partition is one of a cluster's partitions, as this node sees it.
type partition struct {
	ID    int    `json:"id"`
	Owner string `json:"owner"` // the node; "": none
	Mine  bool   `json:"mine"`
}

type pbxState struct {
	Account string         `json:"account"`
	ID      string         `json:"id"`
	State   string         `json:"state"`
	Since   gateway.Millis `json:"since"`
	Reason  string         `json:"reason,omitempty"`
	Version string         `json:"version,omitempty"`
}

// readyz: a PBX that is down shows, and does not make the node unready.
func (n *node) readyz(w http.ResponseWriter, r *http.Request) {
	answer := readiness{Log: "ok", Store: "ok", PBX: []pbxState{}}
	select {
	case <-n.gateway.Ready():
		answer.Ready = !n.draining.Load()
	default:
		answer.Log = "starting"
	}
	if err := n.db.Healthy(r.Context()); err != nil {
		answer.Ready, answer.Log, answer.Store = false, err.Error(), err.Error()
	}
	for _, l := range n.gateway.Links() {
		s := l.State()
		answer.PBX = append(answer.PBX, pbxState{l.Account, l.ID, s.State, gateway.Millis(s.Since), s.Reason, s.Version})
	}
	answer.CRM = n.crmStates()
	if n.cfg.NATS != nil {
		answer.Node = n.db.Peers().Node()
		for _, p := range n.gateway.Partitions() {
			answer.Partitions = append(answer.Partitions, partition{p.Partition, p.Owner, p.Mine})
		}
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client went: nobody to tell
}
