package main

import (
	"strconv"
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
	delivery prometheus.Histogram
	unknown  *prometheus.CounterVec
	sessions *prometheus.GaugeVec
	closed   *prometheus.CounterVec
	messages *prometheus.CounterVec
	commands *prometheus.CounterVec
	refusals *prometheus.CounterVec
}

var _ push.Metrics = (*metrics)(nil)

func newMetrics() *metrics {
	latency := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		records:  prometheus.NewCounter(prometheus.CounterOpts{Name: "ringcast_records_appended_total", Help: "Records made durable in the log."}),
		appends: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ringcast_append_seconds", Help: "Time of one append of a group of records.", Buckets: latency}, []string{"result"}),
		delivery: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ringcast_delivery_seconds", Help: "Time from an entry's append to its delivery to this node's sessions.", Buckets: latency}),
		unknown:  counter("ringcast_unknown_extensions_total", "Events for an extension that nobody in the directory has.", "account"),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ringcast_sessions", Help: "Browser sessions."}, []string{"rung"}),
		closed:   counter("ringcast_sessions_closed_total", "Sessions that ended, by close code; 0: the client left.", "rung", "code"),
		messages: counter("ringcast_messages_sent_total", "Messages handed to the network.", "rung"),
		commands: counter("ringcast_commands_total", "Commands, by the code of their refusal; empty: carried out.", "code"),
		refusals: counter("ringcast_refusals_total", "Requests and handshakes turned away, by code.", "code"),
	}
	m.registry.MustRegister(m.records, m.appends, m.delivery, m.unknown, m.sessions, m.closed, m.messages, m.commands, m.refusals,
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
		Applied: func(_ int, appended time.Time) { m.delivery.Observe(time.Since(appended).Seconds()) },
		UnknownExtension: func(account string, extensions []string) {
			m.unknown.WithLabelValues(account).Add(float64(len(extensions)))
		},
	}
}

// SessionOpened counts a session.
func (m *metrics) SessionOpened(rung string) { m.sessions.WithLabelValues(rung).Inc() }

// SessionClosed counts a session off.
func (m *metrics) SessionClosed(rung string, code int) {
	m.sessions.WithLabelValues(rung).Dec()
	m.closed.WithLabelValues(rung, strconv.Itoa(code)).Inc()
}

// MessagesSent counts messages.
func (m *metrics) MessagesSent(rung string, n int) { m.messages.WithLabelValues(rung).Add(float64(n)) }

// CommandDone counts a command.
func (m *metrics) CommandDone(code gateway.Code) { m.commands.WithLabelValues(string(code)).Inc() }

// Refused counts a refusal.
func (m *metrics) Refused(code gateway.Code) { m.refusals.WithLabelValues(string(code)).Inc() }

// watch shows the state of the PBX links as it is when asked.
func (m *metrics) watch(links func() []*gateway.Link) {
	m.registry.MustRegister(linkCollector{links, prometheus.NewDesc(
		"ringcast_pbx_connected", "1 when the link to the PBX is up.", []string{"account", "pbx"}, nil)})
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
		if l.PBX.State().State == "connected" {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, up, l.Account, l.ID)
	}
}
