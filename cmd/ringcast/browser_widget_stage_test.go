package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/widget"
	"ringcast/widget/widgettest"
)

// workplace is a company whose people work in a pretend amoCRM or Kommo, where the archive of a real gateway's widget
// is installed.
type workplace struct {
	t      *testing.T // of what goes wrong
	whole  *testing.T // what is opened lives as long
	amo    *sandbox.Amo
	url    string // the CRM's
	domain string
	cfg    sandbox.AmoConfig
	pages  swappable
	people []string // of the gateway's config, in YAML
}

// newWorkplace opens one for Anna, who has the light theme, and Boris, who has the dark one. Its CRM answers from install
// on; tune may be nil.
func newWorkplace(t *testing.T, tune func(*sandbox.AmoConfig)) *workplace {
	t.Helper()
	w := &workplace{t: t, whole: t, domain: "acme.amocrm.ru"}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.pages.ServeHTTP(rw, r) }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	w.url = server.URL
	w.cfg = sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", BaseURL: w.url, Lang: "en", Platform: sandbox.AmoPlatform,
		Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna Orlova", Admin: true}, {ID: 99999, Name: "Boris Lvov", Dark: true}},
		Contacts: []sandbox.AmoContact{
			{ID: 1001, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, Company: "Petrov & Sons", Leads: []int64{3001}, Responsible: 88888},
			{ID: 1002, Name: "Maria Sokolova", Phones: []string{"8 (900) 555-01-22"}, Responsible: 99999},
		},
		Leads:    []sandbox.AmoLead{{ID: 3001, Name: "Oak for the porch", Price: 48000, Responsible: 88888}},
		ClientID: integration, ClientSecret: officeKey, RedirectURI: redirectURI,
	}
	if tune != nil {
		tune(&w.cfg)
	}
	if w.cfg.Platform == sandbox.KommoPlatform {
		w.domain = "acme.kommo.com"
	}
	w.people = []string{`{id: "88888", name: Anna, extensions: ["101"]}`, `{id: "99999", name: Boris, extensions: ["102"]}`}
	return w
}

// config writes the config of the company's gateway. public is where browsers find it, "" where it listens.
func (w *workplace) config(listen, ops, public string) (file string) {
	w.t.Helper()
	if public != "" {
		public = "public_url: " + public
	}
	return configFile(w.t, fmt.Sprintf(`
listen: %s
ops_listen: %s
%s
data_dir: data
durability: fast
origins: [%q]
accounts:
  - id: acme
    region: RU
    backend_key: %s
    pbx: [{id: main, kind: webhook, key: %s}]
    crm: {kind: amocrm, domain: %s, account_id: 12345678, client_id: %s, client_secret: %q, redirect_uri: %q, base_url: %q}
    users: [%s]
`, listen, ops, public, w.url, acmeBackendKey, acmePBXKey, w.domain, integration, officeKey, redirectURI, w.url, strings.Join(w.people, ", ")))
}

// install puts the widget for a gateway into the CRM, as `ringcast widget` packs it.
func (w *workplace) install(gateway string) {
	w.t.Helper()
	cfg := widgetConfig(gateway, widget.Version)
	cfg.Platform = widget.PlatformOf(w.domain)
	w.cfg.WidgetZip = widgettest.Pack(w.t, cfg)
	var err error
	if w.amo, err = sandbox.NewAmo(w.cfg); err != nil {
		w.t.Fatal(err)
	}
	w.pages.Handler = w.amo
}

// serve runs the company's gateway in this process, with a pretend telephone system, and installs its widget.
func (w *workplace) serve() (*program, *sandbox.PBX) {
	w.t.Helper()
	cfg, err := LoadConfig(w.config("127.0.0.1:0", "127.0.0.1:0", ""), noEnv)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &program{t: w.t, stdout: &transcript{}, stderr: &transcript{}, client: &http.Client{Transport: &http.Transport{}}, code: make(chan int, 1)}
	logger, err := (&app{stderr: p.stderr}).logger("info")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	if p.node, err = openNode(ctx, cfg, logger); err != nil {
		w.t.Fatal(err)
	}
	pbx, err := sandbox.NewPBX(sandbox.PBXConfig{AutoAnswer: true, OutsideAnswers: -1, RingTimeout: patience})
	if err != nil {
		w.t.Fatal(err)
	}
	p.node.gateway.Attach("acme", "desk", pbx)
	started := make(chan struct{})
	go func() {
		defer close(p.code)
		if err := p.node.run(ctx, func() { close(started) }); err != nil {
			fmt.Fprintln(p.stderr, err)
			p.code <- 1
		}
	}()
	w.t.Cleanup(func() {
		p.client.CloseIdleConnections()
		p.stop()
	})
	select {
	case <-started:
	case <-time.After(patience):
		w.t.Fatalf("it does not serve:\n%s", p.stderr)
	}
	p.web, p.ops = p.node.cfg.PublicURL, "http://"+p.node.ops.addr().String()
	w.install(p.web)
	return p, pbx
}

// calls returns the stored notifications of a user's calls.
func (w *workplace) calls(user int64) (calls []sandbox.AmoNotification) {
	for _, n := range w.amo.Notifications() {
		if n.User == user && n.Type == "call" {
			calls = append(calls, n)
		}
	}
	return calls
}

// searches counts how often a user's pages have looked for a number among the contacts.
func (w *workplace) searches(user int64) (n int) {
	for _, r := range w.amo.Requests() {
		if r.User == user && r.Path == "/api/v4/contacts" && strings.Contains(r.Query, "query=") {
			n++
		}
	}
	return n
}

// seat is where a person works: his browser, which shares nothing with another's, and the tabs he has open.
type seat struct {
	*workplace
	user   string
	ctx    context.Context
	tabs   []*crmTab
	opened int
}

// seat opens tabs of a user, in a browser profile of his own.
func (w *workplace) seat(browser context.Context, user string, paths ...string) *seat {
	w.t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	w.t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		w.t.Fatalf("no profile for %s: %v", user, err)
	}
	s := &seat{workplace: w, user: user, ctx: ctx}
	for _, path := range paths {
		s.open(path)
	}
	return s
}

// watching notes what cards a page has shown: window.cards is what they were, one after another, and window.cleared when
// the last of them went.
const watching = `
window.cards = [];
window.cleared = 0;
new MutationObserver(() => {
  const now = [...document.querySelectorAll('.ringcast-card')].map((card) => card.dataset.state).join('+');
  if (now === (cards[cards.length - 1] || '')) return;
  cards.push(now);
  if (!now) cleared = Date.now();
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
`

// open opens one more tab that is watched, and waits until the widget runs there. before are scripts that run before
// those of the page.
func (s *seat) open(path string, before ...string) *crmTab {
	s.t.Helper()
	return s.visit(path, append([]string{watching}, before...)...)
}

// visit is open for a tab that nobody watches.
func (s *seat) visit(path string, before ...string) *crmTab {
	s.t.Helper()
	ctx, cancel := chromedp.NewContext(s.ctx)
	s.whole.Cleanup(cancel)
	s.opened++
	name := fmt.Sprintf("widget-%s-%d", s.user, s.opened)
	tab := &crmTab{page: &page{t: s.t, ctx: ctx, name: name}}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1180, 760)); err != nil { // with ctx itself, by which the tab lives
		s.t.Fatal(err)
	}
	for _, script := range before {
		if _, err := chromedp.Call(ctx, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
			s.t.Fatal(err)
		}
	}
	at := s.url + path
	if strings.Contains(path, "?") {
		at += "&user=" + s.user
	} else {
		at += "?user=" + s.user
	}
	tab.do("navigate", chromedp.Navigate(at))
	tab.wait(hasWidget)
	s.whole.Cleanup(func() {
		if !tab.closed {
			tab.t = s.whole
			tab.want(pageErrors, "")
		}
	})
	s.tabs = append(s.tabs, tab)
	return tab
}

// wait waits until all tabs are so.
func (s *seat) wait(condition string) {
	s.t.Helper()
	for _, tab := range s.tabs {
		tab.wait(condition)
	}
}

// want looks whether all tabs are so now.
func (s *seat) want(expression, want string) {
	s.t.Helper()
	for _, tab := range s.tabs {
		tab.want(expression, want)
	}
}

// windows counts the result windows of all tabs.
func (s *seat) windows() (n int) {
	s.t.Helper()
	for _, tab := range s.tabs {
		n += tab.number(results)
	}
	return n
}

// leader is the tab that holds the connection for all.
func (s *seat) leader() int {
	s.t.Helper()
	const leads = `navigator.locks.request('probe', async () => {
		const { held } = await navigator.locks.query();
		const { clientId } = held.find(({ name }) => name === 'probe');
		return held.some((lock) => lock.clientId === clientId && /^ringcast:.*\]$/.test(lock.name));
	})`
	for i, tab := range s.tabs {
		is, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](leads, chromedp.EvalAwaitPromise))
		if err != nil {
			s.t.Fatal(err)
		}
		if is {
			return i
		}
	}
	s.t.Fatalf("none of %s's tabs leads", s.user)
	return 0
}

// close closes a tab, as a person does.
func (s *seat) close(i int) {
	s.t.Helper()
	tab := s.tabs[i]
	s.tabs = append(s.tabs[:i:i], s.tabs[i+1:]...)
	tab.closed = true
	if err := chromedp.Cancel(tab.ctx); err != nil {
		s.t.Fatal(err)
	}
}

// crmTab is a page of the CRM. It is asked from outside, since a page that is hidden is slow to answer by timers of its
// own, and one that is frozen does not.
type crmTab struct {
	*page
	closed bool
}

func (b *crmTab) wait(condition string) {
	b.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	var failure error
	for deadline := time.After(patience); ; {
		var is bool
		if is, failure = chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")")); failure == nil && is {
			return
		}
		select {
		case <-tick.C: // what is not there yet, and a page that is being loaded, are errors that pass
		case <-b.ctx.Done():
			b.t.Fatalf("%s: %v", b.name, b.ctx.Err())
		case <-deadline:
			b.t.Fatalf("%s: waited in vain for %s: %v\nthe page reads: %.4000q", b.name, condition, failure,
				b.text(`'errors: ' + (window.__sandbox && __sandbox.errors) + '; ' + [...document.querySelectorAll('.ringcast, .toast, body')].map((el) => el.innerText.replace(/\s+/g, ' ').slice(0, 900)).join(' | ')`))
		}
	}
}

func (b *crmTab) text(expression string) string {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %s: %v", b.name, expression, err)
	}
	return got
}

func (b *crmTab) number(expression string) int {
	b.t.Helper()
	n, err := strconv.Atoi(b.text(expression))
	if err != nil {
		b.t.Fatalf("%s: %s: %v", b.name, expression, err)
	}
	return n
}

func (b *crmTab) want(expression, want string) {
	b.t.Helper()
	if got := b.text(expression); got != want {
		b.t.Errorf("%s: %s is %q, want %q", b.name, expression, got, want)
	}
}

func (b *crmTab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %s: %v", b.name, what, err)
	}
}

// reload loads the page anew, and waits for the widget.
func (b *crmTab) reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
	b.wait(hasWidget)
}

// hide puts the tab's window away.
func (b *crmTab) hide() {
	b.t.Helper()
	w, err := chromedp.Call(b.ctx, browser.GetWindowForTarget, browser.GetWindowForTargetParams{})
	if err == nil {
		away := &browser.Bounds{WindowState: browser.WindowStateMinimized}
		_, err = chromedp.Call(b.ctx, browser.SetWindowBounds, browser.SetWindowBoundsParams{WindowID: w.WindowID, Bounds: away})
	}
	if err != nil {
		b.t.Fatalf("%s: the window does not go away: %v", b.name, err)
	}
	b.wait("document.visibilityState === 'hidden'")
}

// freeze stops the page's timers and events, as a machine that sleeps does; thaw lets it go on.
func (b *crmTab) freeze() {
	b.t.Helper()
	b.lifecycle("frozen")
}

func (b *crmTab) thaw() {
	b.t.Helper()
	b.lifecycle("active")
}

func (b *crmTab) lifecycle(state cdppage.SetWebLifecycleStateState) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cdppage.SetWebLifecycleState, cdppage.SetWebLifecycleStateParams{State: state}); err != nil {
		b.t.Fatalf("%s: the page %s: %v", b.name, state, err)
	}
}

// seconds is the clock of the tab's card.
func (b *crmTab) seconds() int {
	b.t.Helper()
	return b.number(`document.querySelector('.ringcast-card__clock').textContent.split(':').reduce((sum, part) => 60 * sum + Number(part), 0)`)
}
