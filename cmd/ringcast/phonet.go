package main

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/phonet"
	"ringcast/gateway/push"
)

// rungPhonet is what the metrics call the sockets of Phonet's clients.
const rungPhonet = "phonet"

// openPhonet makes the server of Phonet's clients. It has the limits of browser sessions, as far as they apply.
func (n *node) openPhonet() error {
	limits := n.cfg.Limits
	var err error
	n.phonet, err = phonet.NewServer(phonet.ServerConfig{
		Gateway: n.gateway, Presence: n.gateway, Directory: n.directory, Endpoints: n.phonetEndpoints(), Logger: n.logger, Metrics: n.metrics.phonet(),
		Limits: phonet.ServerLimits{
			Sessions:  max(cmp.Or(limits.Sessions, push.DefaultSessions)/10, 1), // there are fewer of them
			WriteWait: limits.WriteWait, PingEvery: limits.PingEvery, PerUser: limits.PerUser, DrainRate: limits.DrainRate,
			SocketsPerIP: limits.SocketsPerIP, HandshakesPerIP: limits.HandshakesPerIP, HandshakeBurst: limits.HandshakeBurst,
		},
		AllowOrigin: n.origins.Allowed, ClientAddr: push.ClientAddr(n.cfg.TrustedProxies), Revoked: n.revoked.Revoked,
	})
	return err
}

func (n *node) phonetEndpoints() (all []phonet.Endpoint) {
	for _, a := range n.cfg.Accounts {
		if p := a.Phonet; p != nil {
			all = append(all, phonet.Endpoint{Account: a.ID, Domain: p.Domain, APIKey: string(p.APIKey), OnConnect: p.OnConnect})
		}
	}
	return all
}

// phonetRoute adds the routes of Phonet's clients when some account has an endpoint.
func (n *node) phonetRoute() {
	if len(n.phonetEndpoints()) > 0 {
		n.mux.Handle(phonet.Path, n.phonet.Handler())
		n.mux.Handle(phonet.RESTPath, n.phonet.Handler())
	}
}

// recheck ends the sessions of those who may not have one any more; see push.Server.
func (n *node) recheck(account, user string) {
	n.push.Recheck(account, user)
	n.phonet.Recheck(account, user)
}

// drain sends all sessions away.
func (n *node) drain(ctx context.Context) error {
	phones := make(chan error, 1)
	go func() { phones <- n.phonet.Drain(ctx) }()
	return errors.Join(n.push.Drain(ctx), <-phones)
}

// phonet returns the hooks of the sockets of Phonet's clients.
func (m *metrics) phonet() phonet.ServerMetrics {
	sent, calls, delivered := m.messages.WithLabelValues(rungPhonet), m.calls.WithLabelValues(rungPhonet), m.delivery.WithLabelValues(rungPhonet)
	return phonet.ServerMetrics{
		Opened: func() {
			m.sessions.WithLabelValues(rungPhonet).Inc()
			m.opened.WithLabelValues(rungPhonet, "new").Inc()
		},
		Closed: func(code int) {
			m.sessions.WithLabelValues(rungPhonet).Dec()
			m.closed.WithLabelValues(rungPhonet, strconv.Itoa(code)).Inc()
		},
		Sent: func(taken time.Time) {
			sent.Inc()
			calls.Inc()
			if !taken.IsZero() {
				delivered.Observe(time.Since(taken).Seconds())
			}
		},
		Command: func(code gateway.Code) { m.commands.WithLabelValues(string(code)).Inc() },
		Refused: func(code gateway.Code) { m.refused(rungPhonet, code) },
	}
}
