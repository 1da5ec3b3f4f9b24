package main

import (
	"cmp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ringcast/gateway"
	"ringcast/gateway/push"
)

// metrics are what /metrics shows. They count for one node.
type metrics struct {
	registry *prometheus.Registry

	records  prometheus.Counter
	appends  *prometheus.HistogramVec
	applied  prometheus.Histogram
	delivery *prometheus.HistogramVec
	unknown  *prometheus.CounterVec
	sessions *prometheus.GaugeVec
	opened   *prometheus.CounterVec
	closed   *prometheus.CounterVec
	messages *prometheus.CounterVec
	commands *prometheus.CounterVec
	refusals *prometheus.CounterVec
	tickets  prometheus.Counter
	cards    *prometheus.HistogramVec
	unshown  *prometheus.CounterVec
	putOff   *prometheus.CounterVec
	tookOver prometheus.Histogram
	calls    *prometheus.CounterVec

	journal *journalMetrics

	read atomic.Uint64 // records of the log, for who asks how busy the node is
}

func newMetrics() *metrics {
	latency := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		journal:  newJournalMetrics(),
		records:  prometheus.NewCounter(prometheus.CounterOpts{Name: "ringcast_records_appended_total", Help: "Records made durable in the log."}),
		appends: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringcast_append_seconds", Help: "Time of one append of a group of records.", Buckets: latency}, []string{"result"}),
		applied: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ringcast_apply_seconds", Help: "Time from an entry's append to its arrival in this node's sessions.", Buckets: latency}),
		delivery: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringcast_delivery_seconds", Help: "Time from when an event was taken to when a session handed it to the network, as it happened; what a resume brought is not counted.",
			Buckets: latency}, []string{"rung"}),
		unknown:  counter("ringcast_unknown_extensions_total", "Events for an extension that nobody in the directory has.", "account"),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ringcast_sessions", Help: "Browser sessions; a poll is one while it waits."}, []string{"rung"}),
		opened: counter("ringcast_sessions_opened_total",
			"Sessions that began: resumed, or the reason of the reset.", "rung", "how"),
		closed:   counter("ringcast_sessions_closed_total", "Sessions that ended, by close code; 0: the client left, or a poll was answered; 4001: the outbox was full.", "rung", "code"),
		messages: counter("ringcast_messages_sent_total", "Messages handed to the network.", "rung"),
		calls:    counter("ringcast_events_delivered_total", "Changes of calls handed to the network, those that a resume brought included.", "rung"),
		commands: counter("ringcast_commands_total", "Commands, by the code of their refusal; empty: carried out.", "code"),
		refusals: counter("ringcast_refusals_total", "Requests, handshakes and sessions turned away, by route and code.", "route", "code"),
		tickets:  prometheus.NewCounter(prometheus.CounterOpts{Name: "ringcast_tickets_total", Help: "Tickets given out for a token."}),
		cards: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringcast_ring_to_card_seconds", Help: "Time from when a card's ringing was taken to the receipt that it is on a screen; once per user and call.",
			Buckets: append(latency, 10, 30)}, []string{"rung"}),
		unshown: counter("ringcast_calls_unshown_total",
			"Calls that rang and that no screen showed: offline, nobody whom it rang had a session; unseen, somebody had.", "account", "why"),
		putOff: counter("ringcast_crm_put_off_total",
			"Times that too many calls at once had the CRM asked later who calls (find), or to notify those without a tab (notify).", "account", "what"),
		tookOver: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ringcast_take_over_seconds",
			Help: "Time from when this node could take a partition over to when it took events for it.", Buckets: latency}),
	}
	m.registry.MustRegister(m.records, m.appends, m.applied, m.delivery, m.unknown, m.sessions, m.opened, m.closed, m.messages,
		m.commands, m.refusals, m.tickets, m.cards, m.unshown, m.putOff, m.tookOver, m.calls,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gateway returns the engine's hooks.
func (m *metrics) gateway() gateway.Metrics {
	return gateway.Metrics{
		Appended: func(records int, took time.Duration, err error) {
			result := "ok"
			if err != nil {
				result = "error"
			} else {
				m.records.Add(float64(records))
			}
			m.appends.WithLabelValues(result).Observe(took.Seconds())
		},
		Applied: func(records int, appended time.Time) {
			m.read.Add(uint64(records))
			m.applied.Observe(time.Since(appended).Seconds())
		},
		UnknownExtension: func(account string, extensions []string) {
			m.unknown.WithLabelValues(account).Add(float64(len(extensions)))
		},
		Shown: func(rung string, after time.Duration) {
			m.cards.WithLabelValues(cmp.Or(rung, "unknown")).Observe(after.Seconds())
		},
		Journal:  m.journal.saved,
		Unshown:  func(account, why string) { m.unshown.WithLabelValues(account, why).Inc() },
		PutOff:   func(account, what string) { m.putOff.WithLabelValues(account, what).Inc() },
		TookOver: func(_ int, took time.Duration) { m.tookOver.Observe(took.Seconds()) },
	}
}

// push returns the hooks of the browser sessions.
func (m *metrics) push() push.Metrics {
	// Of each message: to look a label up takes longer than to count.
	sent, calls, delivered := map[string]prometheus.Counter{}, map[string]prometheus.Counter{}, map[string]prometheus.Observer{}
	for _, rung := range []string{"ws", "sse", "poll", "script"} {
		sent[rung], calls[rung], delivered[rung] = m.messages.WithLabelValues(rung), m.calls.WithLabelValues(rung), m.delivery.WithLabelValues(rung)
	}
	return push.Metrics{
		Opened: func(rung, how string) {
			m.sessions.WithLabelValues(rung).Inc()
			m.opened.WithLabelValues(rung, how).Inc()
		},
		Closed: func(rung string, code int) {
			m.sessions.WithLabelValues(rung).Dec()
			m.closed.WithLabelValues(rung, strconv.Itoa(code)).Inc()
		},
		Sent: func(rung string, n, events int) {
			sent[rung].Add(float64(n))
			calls[rung].Add(float64(events))
		},
		Delivered: func(rung string, taken time.Time) { delivered[rung].Observe(time.Since(taken).Seconds()) },
		Command:   func(code gateway.Code) { m.commands.WithLabelValues(string(code)).Inc() },
		Refused:   m.refused,
		Ticket:    m.tickets.Inc,
	}
}

// refused counts a refusal of a route.
func (m *metrics) refused(route string, code gateway.Code) {
	m.refusals.WithLabelValues(route, string(code)).Inc()
}

// watch shows the state of the PBX links as it is when asked.
func (m *metrics) watch(links func() []*gateway.Link) {
	m.registry.MustRegister(linkCollector{links, prometheus.NewDesc(
		"ringcast_pbx_connected", "1 when this node's link to the PBX is up.", []string{"account", "pbx"}, nil)})
}

type linkCollector struct {
	links func() []*gateway.Link
	desc  *prometheus.Desc
}

// Describe sends the one description.
func (c linkCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect sends a gauge a link.
func (c linkCollector) Collect(ch chan<- prometheus.Metric) {
	for _, l := range c.links() {
		up := 0.0
		if l.State().State == "connected" {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, up, l.Account, l.ID)
	}
}
