package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static"
)

// callPage is a small page of somebody's own: a card for each call, a number to click, and in window.seen what
// happened to it. settings.js says where the gateway is.
const callPage = `<!doctype html>
<title>Calls</title>
<p id="state"></p>
<a id="number" href="#">+380 99 123 45 67</a> <span id="dialled"></span>
<div id="cards"></div>
<script src="/settings.js"></script>
<script src="/lib.js"></script>
<script src="/page.js"></script>
`

const callPageJS = `
'use strict';
const $ = (id) => document.getElementById(id);
const seen = window.seen = { states: [], hello: 0, since: 0 };
const options = { url: settings.gateway };

// The page has a token of its own, or, where it can do nothing but load scripts, a server that gets it tickets.
if (settings.token) options.token = () => settings.token;
else options.ticket = (done) => {
  const script = document.createElement('script');
  window.given = (ticket) => done(null, ticket);
  script.onerror = () => done(new Error('no ticket'));
  script.src = '/ticket.js?' + Math.random();
  document.body.append(script);
};
const client = window.client = new (settings.token ? Ringcast : RingcastPoll).Client(options);

client.on('user', () => { seen.hello = seen.hello || performance.now(); });
client.on('state', ({ name, rung, code }) => {
  seen.states.push([name, rung, code].filter(Boolean).join(' '));
  seen.since = performance.now();
  document.body.dataset.name = name;
  document.body.dataset.rung = rung || '';
  $('state').textContent = seen.states.join(', ');
});
client.on('call', ({ call }) => {
  const card = $(call.id) || document.createElement('p');
  card.id = call.id;
  card.className = 'card';
  card.dataset.state = call.state;
  card.dataset.direction = call.direction;
  card.dataset.phone = call.phone;
  card.textContent = [call.direction, call.phone, call.state].join(' ');
  if (call.state === 'ended') card.remove();
  else $('cards').append(card);
});

$('number').onclick = (event) => {
  event.preventDefault();
  const told = (err, reply) => { $('dialled').textContent = err ? 'failed: ' + err.code : reply.call; };
  if (settings.token) client.call('+380991234567').then((reply) => told(null, reply), told);
  else client.call('+380991234567', told);
};
client.start();
`

// site is the server of that page.
type site struct {
	*httptest.Server
	lib      []byte        // client.js or poll.js
	ticket   func() string // what a page gets that may only load scripts; nil: it may do more
	settings struct {
		Gateway string `json:"gateway"`
		Token   string `json:"token,omitempty"`
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{lib: static.ClientJS}
	mux := http.NewServeMux()
	file := func(path, content string, body func() string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", content+"; charset=utf-8")
			w.Header().Set("Cache-Control", "no-store")
			if s.ticket != nil {
				w.Header().Set("Content-Security-Policy", strings.ReplaceAll(scriptsOnly, "GATEWAY", s.settings.Gateway))
				w.Header().Set("Referrer-Policy", "no-referrer")
			}
			_, _ = io.WriteString(w, body())
		})
	}
	file("/{$}", "text/html", func() string { return callPage })
	file("/page.js", "text/javascript", func() string { return callPageJS })
	file("/lib.js", "text/javascript", func() string { return string(s.lib) })
	file("/ticket.js", "text/javascript", func() string { return fmt.Sprintf("given(%q)", s.ticket()) })
	file("/settings.js", "text/javascript", func() string {
		settings, _ := json.Marshal(s.settings)
		return "const settings = " + string(settings)
	})
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// address is where the page is. One that may only load scripts is on another site than the gateway's 127.0.0.1, as
// browsers count sites, and so the more restricted one.
func (s *site) address() string {
	if s.ticket != nil {
		return strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	}
	return s.URL
}

// use tells the page where its gateway is, and what it may do there.
func (s *site) use(p *program, gateway string, scriptsOnly bool) {
	s.settings.Gateway = gateway
	token := tokenOf(p.t, "acme", "88888")
	if !scriptsOnly {
		s.settings.Token = token
		return
	}
	s.lib = static.PollJS
	s.ticket = func() string { // straight from server to server
		var got struct{ Ticket string }
		a, err := p.try(http.MethodPost, p.web+"/v1/tickets", strings.NewReader(`{"token":"`+token+`"}`), "Content-Type", "text/plain")
		if err != nil || a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &got) != nil {
			p.t.Errorf("no ticket: %+v, %v", a, err)
		}
		return got.Ticket
	}
}

// startWithPBX is start for a ringcast that serves with a pretend telephone system in account acme. config may add to
// the config file, and name the cert.pem and key.pem beside it.
func startWithPBX(t *testing.T, s *site, config string) (*program, *sandbox.PBX) {
	t.Helper()
	origins := fmt.Sprintf("%q, %q", s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
	file := configFile(t, strings.Replace(twoAccounts, `"`+goodOrigin+`"`, origins, 1)+config)
	newCertificate(t, filepath.Dir(file), 1)
	cfg, err := LoadConfig(file, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Durability = durabilityFast
	p := &program{t: t, stdout: &transcript{}, stderr: &transcript{}, code: make(chan int, 1)}
	p.client = &http.Client{Transport: &http.Transport{}}
	logger, err := (&app{stderr: p.stderr}).logger("info")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	if p.node, err = openNode(ctx, cfg, logger); err != nil {
		t.Fatal(err)
	}
	pbx, err := sandbox.NewPBX(sandbox.PBXConfig{AutoAnswer: true, OutsideAnswers: -1})
	if err != nil {
		t.Fatal(err)
	}
	p.node.gateway.Attach("acme", "desk", pbx)
	started := make(chan struct{})
	go func() {
		code := 0
		if err := p.node.run(ctx, func() { close(started) }); err != nil {
			fmt.Fprintln(p.stderr, err)
			code = 1
		}
		p.code <- code
		close(p.code)
	}()
	t.Cleanup(func() {
		p.client.CloseIdleConnections()
		p.stop()
	})
	select {
	case <-started:
	case <-time.After(patience):
		t.Fatalf("it does not serve:\n%s", p.stderr)
	}
	p.web, p.ops = p.node.cfg.PublicURL, "http://"+p.node.ops.addr().String()
	return p, pbx
}

// openBehind opens a page in a browser profile of its own, whose forward proxy, if there is one, is between it and the
// gateway, not before the page. Its
// console may tell of broken connections; an exception fails the test.
func openBehind(browser context.Context, t *testing.T, s *site, forward string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(func(p *target.CreateBrowserContextParams) {
		if forward != "" {
			p.ProxyServer = "http://" + forward
			p.ProxyBypassList = "<-loopback>;" + s.Listener.Addr().String() // as a rule nothing of this machine goes through it
		}
	}))
	t.Cleanup(cancel)
	err := chromedp.Do(ctx, chromedp.EmulateViewport(800, 600))
	if err == nil { // a certificate that signs itself will do
		_, err = chromedp.Call(ctx, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
	}
	if err != nil {
		t.Fatalf("no tab for %s: %v", s.address(), err)
	}
	const end = "the test is over"
	console := chromedp.Console(ctx)
	t.Cleanup(func() {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void]("console.log('"+end+"')")); err != nil {
			t.Errorf("the page is gone: %v", err)
			return
		}
		for m, err := range console {
			if err != nil {
				t.Errorf("reading the console: %v", err)
			}
			if err != nil || m.Text == end {
				break
			}
			if m.IsException() {
				t.Errorf("the page threw at %s:%d: %s", m.URL, m.Line, m)
			} else if testing.Verbose() {
				t.Logf("console: %s", m.Text)
			}
		}
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(s.address())); err != nil {
		t.Fatalf("%s: %v", s.address(), err)
	}
	return &page{t: t, ctx: ctx, name: "page"}
}
