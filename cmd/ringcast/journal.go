package main

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringcast/gateway"
)

// journalQueue is the work queue of ended calls.
const journalQueue = "crm"

// openJournal returns what brings ended calls into the CRMs: nothing where no account can have one.
func (n *node) openJournal(ctx context.Context) (gateway.JournalConfig, error) {
	has := func(a AccountConfig) bool { return a.AmoCRM != nil }
	if len(n.cfg.Integrations) == 0 && !slices.ContainsFunc(n.cfg.Accounts, has) {
		return gateway.JournalConfig{}, nil
	}
	queue, err := n.db.Queue(ctx, journalQueue)
	journal := n.cfg.pace.journal
	journal.Queue, journal.CRMs, journal.Recorded = queue, n.cfg.pace.around(n.callers.log), n.recorded
	journal.Keep = n.remembered()
	return journal, err
}

// remembered is how long a call that was saved has to be known: a day longer than any PBX is asked for past calls.
func (n *node) remembered() time.Duration {
	days := defaultCDRDays
	for _, a := range n.cfg.Accounts {
		for _, p := range a.PBX {
			if p.Asterisk != nil && p.Asterisk.CDR != nil {
				days = max(days, p.Asterisk.CDR.Days)
			}
		}
	}
	return time.Duration(days+1) * 24 * time.Hour
}

// recorded says whether a recording of an answered call is worth waiting for.
func (n *node) recorded(account, pbx string) bool {
	a, _ := n.account(account)
	for _, p := range a.PBX {
		if p.ID == pbx {
			return p.Recordings != nil || p.Asterisk != nil && p.Asterisk.Recordings != ""
		}
	}
	return false
}

// journalRoutes adds what an operator sees of the journal, and does about it.
func (n *node) journalRoutes(admin func(pattern string, fn gateway.HandlerFunc)) {
	admin("GET /journal", n.showJournal)
	admin("POST /journal/{id}/release", n.releaseParked)
	admin("POST /journal/{id}/drop", n.dropParked)
}

func (n *node) showJournal(w http.ResponseWriter, r *http.Request) error {
	account := r.URL.Query().Get("account")
	if _, ok := n.directory.Account(account); !ok && account != "" {
		return gateway.Errorf(gateway.CodeNotFound, "there is no account %q", account)
	}
	accounts, err := n.gateway.Journal(r.Context(), account)
	if err != nil {
		return adminFailure(err)
	}
	parked, err := n.gateway.Parked(r.Context(), account)
	if err != nil {
		return adminFailure(err)
	}
	if parked == nil {
		parked = []gateway.ParkedCall{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"accounts": accounts, "parked": parked})
	return nil
}

// releaseParked sends a parked call again, as its body mends it: gateway.CallMend, or nothing.
func (n *node) releaseParked(w http.ResponseWriter, r *http.Request) error {
	body, err := gateway.ReadBody(w, r, maxAdminBody)
	if err != nil {
		return err
	}
	var mend gateway.CallMend
	if len(bytes.TrimSpace(body)) > 0 {
		const form = `the body is not {"number":"…","entity":{"type":"…","id":"…"},"text":"…"}, each of them or none`
		if err := decodeWhole(body, &mend, form); err != nil {
			return err
		}
	}
	id := r.PathValue("id")
	if err := n.gateway.ReleaseParked(r.Context(), id, mend); err != nil {
		return adminFailure(err)
	}
	n.logger.Info("parked call released", "parked", id, "mended", mend != gateway.CallMend{})
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (n *node) dropParked(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if err := n.gateway.DropParked(r.Context(), id); err != nil {
		return adminFailure(err)
	}
	n.logger.Info("parked call dropped", "parked", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// journalMetrics are the journal's, of the accounts whose calls this node saves.
type journalMetrics struct {
	saves *prometheus.CounterVec

	accounts                        func(ctx context.Context) ([]gateway.JournalAccount, error)
	waiting, oldest, parked, refuse *prometheus.Desc
}

// journalTime is what a look at the queue has, while metrics are read.
const journalTime = 2 * time.Second

func newJournalMetrics() *journalMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"account"}, nil)
	}
	return &journalMetrics{
		saves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ringcast_journal_saves_total", Help: "Tries to save an ended call in the CRM, by what became of them: saved, failed, parked.",
		}, []string{"account", "result"}),
		waiting: desc("ringcast_journal_waiting", "Ended calls that wait to be saved in the CRM."),
		oldest:  desc("ringcast_journal_oldest_seconds", "How long the first of an account's waiting calls has waited."),
		parked:  desc("ringcast_journal_parked", "Calls that were not saved and wait for a person."),
		refuse:  desc("ringcast_journal_crm_refuses", "1 while the account's CRM takes no calls."),
	}
}

// watch has the queue looked at whenever metrics are read.
func (m *journalMetrics) watch(registry *prometheus.Registry, accounts func(ctx context.Context) ([]gateway.JournalAccount, error)) {
	m.accounts = accounts
	registry.MustRegister(m.saves, m)
}

// saved counts a try to save a call.
func (m *journalMetrics) saved(account, result string) {
	m.saves.WithLabelValues(account, result).Inc()
}

// Describe sends the descriptions.
func (m *journalMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.waiting, m.oldest, m.parked, m.refuse} {
		ch <- d
	}
}

// Collect sends the gauges of each account that has something to show.
func (m *journalMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), journalTime)
	defer cancel()
	accounts, err := m.accounts(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(m.waiting, err)
		return
	}
	for _, a := range accounts {
		gauge := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, a.Account)
		}
		gauge(m.waiting, float64(a.Waiting))
		gauge(m.parked, float64(a.Parked))
		since := cmp.Or(a.Oldest, (*gateway.Millis)(new(time.Now())))
		gauge(m.oldest, time.Since(time.Time(*since)).Seconds())
		refuses := 0.0
		if a.Trouble != nil {
			refuses = 1
		}
		gauge(m.refuse, refuses)
	}
}
