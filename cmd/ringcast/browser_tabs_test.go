package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"ringcast/gateway"
	"ringcast/static/browsertest"
)

// tabsPage is a page of somebody's own, as each of a user's tabs has it: it notes what it hears and when, shows
// its cards, and after a talk opens one result window in one of the tabs.
const tabsPage = `<!doctype html>
<title>Calls</title>
<script src="%[1]s/client.js"></script>
<script>
'use strict';
window.heard = [];
const query = new URLSearchParams(location.search);
const tab = query.get('tab');
const without = Object.fromEntries(query.getAll('without').map((name) => [name, null]));
const client = window.client = new Ringcast.Client({ url: '%[1]s', token: () => '%[2]s', ...without });
client.on('call', ({ event, call, live }) => {
  heard.push({ event, state: call.state, live, at: Date.now() });
  if (call.state === 'ringing') client.shown(call.id);
  if (live && call.outcome === 'answered') {
    client.once('result ' + call.id, async () => {
      await client.claim(call.id, 'result');
      await fetch('/window?tab=' + tab, { method: 'POST' });
      await client.claim(call.id, 'result', { done: true });
    }).then((mine) => { window.mine = mine; }, (err) => { window.mine = String(err); });
  }
});
client.start();
</script>
`

// tabsServer serves tabsPage and notes which tabs opened a window.
type tabsServer struct {
	*httptest.Server
	page string

	asked, answer chan struct{} // of /slow, which a page may wait for

	mu      sync.Mutex
	windows []string
}

func newTabsServer(t *testing.T) *tabsServer {
	s := &tabsServer{asked: make(chan struct{}, 1), answer: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(s.page))
	})
	mux.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) {
		s.asked <- struct{}{}
		select {
		case <-s.answer:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /window", func(_ http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.windows = append(s.windows, r.FormValue("tab"))
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *tabsServer) opened() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.windows...)
}

// openTabs opens pages that may go without a word: nobody asks them for their console at the end.
func openTabs(browser context.Context, t *testing.T, url string, n int, query string) []*page {
	t.Helper()
	var tabs []*page
	for i := range n {
		ctx, cancel := chromedp.NewContext(browser)
		t.Cleanup(cancel)
		if err := chromedp.Do(ctx, chromedp.Navigate(fmt.Sprintf("%s/?tab=%d%s", url, i, query))); err != nil {
			t.Fatal(err)
		}
		tab := &page{t: t, ctx: ctx, name: fmt.Sprintf("tab %d", i)}
		tab.wait(`client.state.name === 'live' && client.user`)
		tabs = append(tabs, tab)
	}
	return tabs
}

// crash kills a tab's renderer, as the system does when memory is short.
func crash(p *page) {
	ctx, cancel := context.WithTimeout(p.ctx, atOnce)
	defer cancel()
	_ = chromedp.Do(ctx, func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, cdppage.Crash, cdp.Empty{})
		return chromedp.Void{}, err
	}) // nobody is left to answer
}

// desk is a gateway, and the tabs that one user has open.
type desk struct {
	*program
	server *tabsServer
	tabs   []*page
}

// newDesk opens the tabs; query tells them what they have to do without.
func newDesk(t *testing.T, tabs int, query string) *desk {
	s := newTabsServer(t)
	p := start(t, "serve", "-config", configFile(t, strings.Replace(twoAccounts, goodOrigin, s.URL, 1)))
	s.page = fmt.Sprintf(tabsPage, p.web, tokenOf(t, "acme", "88888"))
	return &desk{p, s, openTabs(browsertest.New(t), t, s.URL, tabs, query)}
}

// lead tells who holds the connection, and who does not.
func (d *desk) lead() (leader *page, rest []*page) {
	d.t.Helper()
	for _, tab := range d.tabs {
		if tab.text(`client.state.leader`) == "true" {
			leader = tab
		} else {
			rest = append(rest, tab)
		}
	}
	if leader == nil || len(rest) != len(d.tabs)-1 {
		d.t.Fatalf("%d of %d tabs follow", len(rest), len(d.tabs))
	}
	return leader, rest
}

// late is how long after a moment a tab heard its nth event.
func late(p *page, n int, since time.Time) time.Duration {
	p.t.Helper()
	ms, err := strconv.ParseInt(p.text(fmt.Sprintf(`heard[%d].at`, n)), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return time.UnixMilli(ms).Sub(since)
}

// TestBrowserTabsOutliveTheirLeader: five tabs have one connection; the one that holds it is killed while a telephone
// rings, and when the talk is over one result window opens.
func TestBrowserTabsOutliveTheirLeader(t *testing.T) {
	t.Parallel()
	outliveTheirLeader(t, patience)
}

// TestFiguresOfALeadersEnd: the others have the connection within a second.
func TestFiguresOfALeadersEnd(t *testing.T) { outliveTheirLeader(t, time.Second) }

func outliveTheirLeader(t *testing.T, within time.Duration) {
	t.Helper()
	for name, kill := range map[string]func(*page){
		"a crash":    crash,
		"its window": func(p *page) { _ = chromedp.Cancel(p.ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 5, "")
			d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
			d.emit(inboundDial("1", `"101"`))
			for _, tab := range d.tabs {
				tab.wait(`heard.length === 1 && heard[0].state === 'ringing' && heard[0].live`)
			}
			leader, rest := d.lead()
			d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)

			killed := time.Now()
			go kill(leader)
			d.untilMetric(`ringcast_sessions_closed_total{code="0",rung="ws"}`, 1)
			d.emit(event("bridge", "1", `"extension":"101"`))
			for _, tab := range rest {
				tab.wait(`heard.length === 2 && heard[1].state === 'talking' && heard[1].live`)
				took := late(tab, 1, killed)
				t.Logf("%s: %v", tab.name, took)
				if took > within {
					t.Errorf("%s heard of the answer %v after the leader's end", tab.name, took)
				}
			}
			d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)

			d.emit(event("hangup", "1", ""))
			mine := 0
			for _, tab := range rest {
				tab.wait(`heard.length === 3 && 'mine' in window`)
				if tab.text(`mine`) == "true" {
					mine++
				}
			}
			if got := d.server.opened(); len(got) != 1 || mine != 1 {
				t.Errorf("result windows in the tabs %q, and %d tabs say that they opened it; want one", got, mine)
			}
		})
	}
}

// TestBrowserTabsReplaceALeaderThatHangs: the lock of a tab that answers nobody is taken from it, and when it goes on
// it follows, and has missed nothing.
func TestBrowserTabsReplaceALeaderThatHangs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, 3, "")
	leader, rest := d.lead()
	_ = chromedp.Do(leader.ctx, func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		return chromedp.Evaluate[chromedp.Void](`setTimeout(() => {
			const request = new XMLHttpRequest();
			request.open('GET', '/slow', false);
			request.send();
		}); undefined`)(ctx, target)
	})
	<-d.server.asked
	d.emit(inboundDial("1", `"101"`))
	for _, tab := range rest {
		tab.wait(`heard.length === 1 && heard[0].state === 'ringing' && heard[0].live`)
	}
	close(d.server.answer)
	d.emit(event("bridge", "1", `"extension":"101"`))
	for _, tab := range d.tabs {
		tab.wait(`heard.length === 2 && heard[0].state === 'ringing' && heard[1].state === 'talking' && heard[1].live`)
	}
	leader.wait(`client.state.leader === false`)
	d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
}

// TestBrowserTabsWithoutLocks: on a page without https there are no Web Locks, in an old browser no BroadcastChannel
// either; localStorage does for both.
func TestBrowserTabsWithoutLocks(t *testing.T) {
	t.Parallel()
	for name, query := range map[string]string{"channel": "&without=locks", "storage": "&without=locks&without=BroadcastChannel"} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 3, query)
			d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
			d.emit(inboundDial("1", `"101"`))
			for _, tab := range d.tabs {
				tab.wait(`heard.length === 1 && heard[0].state === 'ringing' && heard[0].live`)
			}
			leader, rest := d.lead()
			leader.wait(`location.replace('about:blank'), true`)
			left := time.Now()
			d.untilMetric(`ringcast_sessions_closed_total{code="0",rung="ws"}`, 1)
			d.emit(event("bridge", "1", `"extension":"101"`))
			for _, tab := range rest {
				tab.wait(`heard.length === 2 && heard[1].state === 'talking' && heard[1].live`)
				t.Logf("%s: %v", tab.name, late(tab, 1, left))
			}
			d.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
			d.emit(event("hangup", "1", ""))
			for _, tab := range rest {
				tab.wait(`heard.length === 3 && 'mine' in window`)
			}
			if got := d.server.opened(); len(got) != 1 {
				t.Errorf("result windows in the tabs %q, want one", got)
			}
			rest[0].want(`Object.keys(localStorage).filter((key) => !key.startsWith('ringcast.')).join()`, "")
		})
	}
}

// TestBrowserTabsOfTheWidget: five tabs of the CRM, one connection, a card in each, the CRM's notification and the
// result window in one.
func TestBrowserTabsOfTheWidget(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-listen", "127.0.0.1:0")
	var demo demoConfigJSON
	p.request(http.MethodGet, p.web+"/demo/config.json", "").decode(t, http.StatusOK, &demo)
	browser := browsertest.New(t)
	var tabs []*page
	for i := range 5 {
		tab := openPage(browser, t, fmt.Sprintf("crm-%d", i), demo.Users[0].CRM, 1100, 800)
		tab.wait(hasWidget)
		tabs = append(tabs, tab)
	}
	p.play(demo.PBX, `{"action":"ring","extensions":["101"],"number":"`+demo.Callers[0].Number+`"}`)
	for _, tab := range tabs {
		tab.wait(cardIs(demo.Callers[0].Name, "ringing"))
	}
	p.untilMetric(`ringcast_sessions{rung="ws"}`, 1)
	p.play(demo.PBX, `{"action":"answer","extension":"101"}`)
	for _, tab := range tabs {
		tab.wait(inACall)
	}
	p.play(demo.PBX, `{"action":"hangup","extension":"101"}`)
	windows := 0
	for _, tab := range tabs {
		tab.wait(noCard)
		n, err := strconv.Atoi(tab.text(results))
		if err != nil {
			t.Fatal(err)
		}
		windows += n
		tab.want(pageErrors, "")
	}
	if windows != 1 {
		t.Errorf("%d result windows, want one", windows)
	}
}

// TestBrowserExamplePage does what examples/page says of itself.
func TestBrowserExamplePage(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.FileServer(http.Dir("../../examples/page")))
	t.Cleanup(files.Close)
	p := start(t, "serve", "-config", configFile(t, strings.Replace(twoAccounts, goodOrigin, files.URL, 1)))
	browser := browsertest.New(t)
	boris := p.open(tokenOf(t, "acme", "99999"), "", nil)

	mine := openPage(browser, t, "example", files.URL+"/#gateway="+p.web, 760, 900)
	enter := fmt.Sprintf(`(() => { const form = document.querySelector('#setup'); form.token.value = %q; form.requestSubmit(); return true; })()`,
		tokenOf(t, "acme", "88888"))
	mine.wait(enter)
	mine.wait(`document.querySelector('#state').dataset.name === 'live' && document.querySelector('#name').textContent === 'Anna'`)
	mine.wait(`document.querySelector('#state').title === 'By WebSocket.'`)
	mine.wait(`document.querySelector('#colleagues .online')?.textContent === 'Boris (102)'`)

	second := openPage(browser, t, "example-second", files.URL+"/#gateway="+p.web, 760, 900)
	second.wait(enter)
	second.wait(`document.querySelector('#state').title === 'By WebSocket, through another tab.'`)
	second.wait(`document.querySelector('#colleagues .online')?.textContent === 'Boris (102)'`)

	p.emit(inboundDial("1", `"101","102"`))
	boris.call(gateway.EventDial, gateway.Ringing)
	p.emit(event("bridge", "1", `"extension":"102"`))
	for _, tab := range []*page{mine, second} {
		tab.wait(`document.querySelector('.call[data-state=ended] .what')?.textContent.includes('Taken by Boris')`)
		tab.wait(`document.querySelector('#colleagues .busy')?.textContent === 'Boris (102)'`)
	}
	mine.picture("busy-colleague")
}
