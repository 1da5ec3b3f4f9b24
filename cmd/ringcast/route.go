package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/webhook"
)

const maxRouteText = 128 // bytes of a number or a line

// defaultRoute is for accounts whose config says nothing: to whoever is responsible, if his telephone is free.
func defaultRoute() []gateway.RouteRule {
	return []gateway.RouteRule{{Try: []gateway.RouteStep{gateway.RouteOwner}, Offline: true}}
}

// readRoute reads to whom the calls of which lines go.
func readRoute(v value) []gateway.RouteRule {
	if !v.given() {
		return defaultRoute()
	}
	rules := []gateway.RouteRule{}
	lines, others := firsts{}, 0
	for _, v := range v.list() {
		s := v.section()
		rules = append(rules, readRouteRule(s, lines))
		if s.get("lines").given() || s.broken {
			continue
		}
		if others > 0 {
			v.fail("has no lines, and so is for all that are not named; the rule on line %d is that already", others)
		}
		others = cmp.Or(others, v.line)
	}
	return rules
}

func readRouteRule(s *section, taken firsts) gateway.RouteRule {
	r := gateway.RouteRule{
		Off:     s.get("off").flag(false),
		Fixed:   parsed(s.get("fixed"), "", parseExtension),
		Busy:    parsed(s.get("busy"), passedOver, oneOf(passedOver, rung)) == rung,
		Offline: parsed(s.get("offline"), rung, oneOf(passedOver, rung)) == rung,
	}
	if v := s.get("lines"); v.given() {
		for _, v := range v.oneOrList() {
			line := parsed(v, "", parseRouteLine)
			taken.claim(v, "line", line)
			r.Lines = append(r.Lines, line)
		}
	}
	for _, v := range s.get("group").list() {
		r.Group = append(r.Group, parsed(v, "", parseExtension))
	}
	try := s.get("try")
	for _, v := range try.list() {
		step := gateway.RouteStep(parsed(v, "", oneOf(string(gateway.RouteOwner), string(gateway.RouteLast), string(gateway.RouteFixed), string(gateway.RouteGroup))))
		if step != "" && slices.Contains(r.Try, step) {
			v.fail("%q stands there twice", step)
		}
		r.Try = append(r.Try, step)
	}
	switch {
	case r.Off:
		for _, key := range []string{"try", "fixed", "group", "busy", "offline"} {
			if v := s.get(key); v.given() {
				v.fail("is of no use with off: true")
			}
		}
	case !try.given():
		r.Try = []gateway.RouteStep{gateway.RouteOwner}
		if r.Fixed != "" {
			r.Try = append(r.Try, gateway.RouteFixed)
		}
		if len(r.Group) > 0 {
			r.Try = append(r.Try, gateway.RouteGroup)
		}
	case try.nothing():
		try.fail("is empty; to leave the calls of a line alone say off: true")
	default:
		needs(try, slices.Contains(r.Try, gateway.RouteFixed), s.get("fixed"), "fixed")
		needs(try, slices.Contains(r.Try, gateway.RouteGroup), s.get("group"), "group")
	}
	s.done()
	return r
}

// What a rule says of those who are busy, or offline.
const (
	passedOver = "skip"
	rung       = "ring"
)

// needs holds a step and the key that it is about together.
func needs(try value, tried bool, key value, name string) {
	switch {
	case tried && key.nothing():
		try.fail("%s wants the key %s beside it", name, name)
	case !tried && key.given():
		key.fail("is of no use unless try names %s", name)
	}
}

// parseRouteLine takes a line as the PBX names it.
func parseRouteLine(text string) (string, error) {
	if text == "" || len(text) > maxRouteText || strings.ContainsFunc(text, unicode.IsControl) {
		return "", fmt.Errorf("%.32q: wants a number of the company or the name of a trunk, such as \"+74951234567\"", text)
	}
	return text, nil
}

// askingPBXes are the PBXes that may ask where a call goes: those with a key.
func (n *node) askingPBXes() (accounts []string, pbxes []webhook.PBX) {
	for _, a := range n.accounts() {
		accounts = append(accounts, a.ID)
		for _, p := range a.PBX {
			switch {
			case p.Webhook != nil && p.Webhook.Mapping == nil:
				pbxes = append(pbxes, webhook.PBX{Account: a.ID, ID: p.ID, Key: string(p.Webhook.Key)})
			case p.Asterisk != nil:
				pbxes = append(pbxes, webhook.PBX{Account: a.ID, ID: p.ID, Key: string(p.Asterisk.Key)})
			}
		}
	}
	return accounts, pbxes
}

// routing answers PBXes that ask where a call goes.
type routing struct {
	askers  *webhook.Handler // knows their keys
	seconds *prometheus.HistogramVec

	agi      *asterisk.AGI // nil: none asks by FastAGI
	listener net.Listener
	served   chan struct{} // closed when no more of them are let in; nil: they were not yet
}

// routeRoute adds what a PBX asks before it rings anybody: to whom a call should go.
func (n *node) routeRoute() {
	accounts, pbxes := n.askingPBXes()
	n.routing.askers = webhook.New(n.gateway, accounts, pbxes, time.Now)
	n.routing.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ringcast_route_seconds", Help: "How long a PBX waited to hear where a call goes, by what decided.",
		Buckets: []float64{.001, .002, .005, .01, .025, .05, .1, .2, .3, .4, .5, 1},
	}, []string{"by"})
	n.metrics.registry.MustRegister(n.routing.seconds)
	n.mux.Handle("GET /v1/accounts/{account}/route", n.route("route", n.serveRoute))
}

func (n *node) serveRoute(w http.ResponseWriter, r *http.Request) error {
	account, key := r.PathValue("account"), r.Header.Get("Authorization")
	if _, password, ok := r.BasicAuth(); ok { // all that Asterisk's CURL() can do in every version
		key = "Bearer " + password
	}
	if _, err := n.routing.askers.Authorize(account, key); err != nil {
		return err
	}
	query := r.URL.Query()
	phone, line := askedNumber(query.Get("phone")), askedNumber(query.Get("line"))
	if !query.Has("phone") || len(phone) > maxRouteText || len(line) > maxRouteText {
		return gateway.Errorf(gateway.CodeInvalid, "send ?phone=, the caller's number as the PBX has it, with %%2B for a plus (empty when it is withheld), "+
			"and perhaps &line=, each of at most %d bytes", maxRouteText)
	}
	answer, err := n.decide(r.Context(), account, phone, line)
	if err != nil {
		return err
	}
	if query.Get("format") != "text" {
		writeJSON(w, http.StatusOK, answer)
		return nil
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if answer.Extension != nil {
		_, _ = io.WriteString(w, *answer.Extension) // who asked went: nobody to tell
	}
	return nil
}

// askedNumber gives a number its plus back, which arrives as a space when it was not written as %2B.
func askedNumber(text string) string {
	if rest, ok := strings.CutPrefix(text, " "); ok {
		return "+" + rest
	}
	return text
}

// decide says where a call goes, and counts it.
func (n *node) decide(ctx context.Context, account, phone, line string) (gateway.Routed, error) {
	began := time.Now()
	answer, err := n.routeCall(ctx, account, phone, line)
	if err == nil {
		n.routing.seconds.WithLabelValues(cmp.Or(string(answer.By), answer.Why)).Observe(time.Since(began).Seconds())
	}
	return answer, err
}

// openAGI listens for Asterisks that ask by FastAGI, if the config says so.
func (n *node) openAGI(ctx context.Context) error {
	if n.cfg.AGIListen == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", n.cfg.AGIListen)
	if err != nil {
		return fmt.Errorf("agi_listen: %w: is it in use by another program? Choose another address", err)
	}
	n.routing.listener = l
	n.routing.agi = asterisk.NewAGI(asterisk.AGIConfig{Logger: n.logger, Route: func(ctx context.Context, ask asterisk.AGIRequest) (gateway.Routed, error) {
		if _, err := n.routing.askers.Authorize(ask.Account, "Bearer "+ask.Key); err != nil {
			n.metrics.refused("agi", gateway.CodeOf(err))
			return gateway.Routed{}, err
		}
		return n.decide(ctx, ask.Account, ask.Phone, ask.Line)
	}})
	return nil
}

// serveAGI answers them until the listener is closed.
func (n *node) serveAGI(failed chan<- error) {
	r := &n.routing
	if r.agi == nil {
		return
	}
	r.served = make(chan struct{})
	go func() {
		defer close(r.served)
		if err := r.agi.Serve(r.listener); !errors.Is(err, net.ErrClosed) {
			failed <- err
		}
	}()
}

func (n *node) closeAGI() error {
	r := n.routing
	if r.agi == nil {
		return nil
	}
	err := r.listener.Close()
	if r.served != nil {
		<-r.served
	}
	r.agi.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// readAGIListen reads where dial plans ask over FastAGI.
func readAGIListen(v value, others ...string) string {
	address := parsed(v, "", parseListen)
	if address == "" {
		return ""
	}
	if slices.Contains(others, address) && !strings.HasSuffix(address, ":0") {
		v.fail("%s is the address of listen or ops_listen, too", address)
	}
	if host, _, err := net.SplitHostPort(address); err == nil && !isLoopback("http://"+net.JoinHostPort(host, "1")) { // "" is every interface
		v.warn("FastAGI has no encryption: the PBX's key and the callers' numbers cross the network as they are")
	}
	return address
}
