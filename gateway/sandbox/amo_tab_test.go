package sandbox_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must happen; only a failing one waits so long.
const patience = 30 * time.Second

// tab is an open page of a user.
type tab struct {
	t      *testing.T
	ctx    context.Context
	cancel context.CancelFunc
	closed bool
}

// sign is what stands before one more parameter of an address.
func sign(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}

// wait polls from outside: the page's own timers are slow where it is hidden, and stand still where it is frozen.
func (b *tab) wait(condition string) {
	b.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	var failure error
	for deadline := time.After(patience); ; {
		var done bool
		done, failure = chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		if failure == nil && done {
			return
		}
		select {
		case <-deadline:
			b.t.Fatalf("waited in vain for %s: %v\nerrors: %s", condition, failure, b.text("window.__sandbox && __sandbox.errors.join('; ')"))
		case <-b.ctx.Done():
			b.t.Fatalf("waited in vain for %s: %v", condition, b.ctx.Err())
		case <-tick.C: // what is not there yet, and a page that is being reloaded, are errors that pass
		}
	}
}

func (b *tab) text(expression string) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return s
}

func (b *tab) want(expression, want string) {
	b.t.Helper()
	if got := b.text(expression); got != want {
		b.t.Errorf("%s is %q, want %q", expression, got, want)
	}
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// enter writes into a field what a person types there, after what was there is gone.
func (b *tab) enter(selector, text string) {
	b.t.Helper()
	b.do("clear "+selector, chromedp.Clear(chromedp.CSS(selector), chromedp.NodeVisible))
	b.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

func (b *tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// picture leaves a picture of the page in the folder that SCREENSHOTS names.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "amo-"+name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// navigate goes to another page without a reload, as a click on a link does.
func (b *tab) navigate(path string) {
	b.t.Helper()
	b.text("APP.router.navigate('" + path + "', {trigger: true})")
}

// reload loads the page anew.
func (b *tab) reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
	b.wait("window.__sandbox && window.APP")
}

// close closes the tab: its sockets, timers and locks end.
func (b *tab) close() {
	b.t.Helper()
	b.closed = true
	b.cancel()
}

// pick ticks rows of the list that the page shows.
func (b *tab) pick(ids ...int) {
	b.t.Helper()
	for _, id := range ids {
		b.wait("document.querySelector('.list__check[value=\"" + strconv.Itoa(id) + "\"]')")
		b.click(`.list__check[value="` + strconv.Itoa(id) + `"]`)
	}
}

// more chooses a widget in the menu of what is ticked.
func (b *tab) more(code string) {
	b.t.Helper()
	b.click(".more__button")
	b.click(`.more__item[data-widget="` + code + `"]`)
}

// hide puts the tab's window away: document.visibilityState is hidden, timers slow down, nothing has the focus. show
// brings it back. Both wait until the page knows.
func (b *tab) hide() {
	b.t.Helper()
	b.window(browser.WindowStateMinimized)
	b.wait("document.visibilityState === 'hidden'")
}

func (b *tab) show() {
	b.t.Helper()
	b.window(browser.WindowStateNormal)
	b.wait("document.visibilityState === 'visible'")
}

func (b *tab) window(state browser.WindowState) {
	b.t.Helper()
	b.do("the window "+string(state), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		w, err := cdp.Call(ctx, target, browser.GetWindowForTarget, browser.GetWindowForTargetParams{})
		if err != nil {
			return err
		}
		_, err = cdp.Call(ctx, target, browser.SetWindowBounds, browser.SetWindowBoundsParams{WindowID: w.WindowID, Bounds: &browser.Bounds{WindowState: state}})
		return err
	}))
}

// freeze stops the page's timers and events, as a machine that sleeps does; what is asked from outside is answered.
// thaw wakes it. A sleeping machine loses its connections, too: fakeGateway.cut.
func (b *tab) freeze() {
	b.t.Helper()
	b.lifecycle("frozen")
}

func (b *tab) thaw() {
	b.t.Helper()
	b.lifecycle("active")
}

func (b *tab) lifecycle(state page.SetWebLifecycleStateState) {
	b.t.Helper()
	b.do("the page "+string(state), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
		return err
	}))
}

// offline takes the tab's network away, or gives it back: requests fail and navigator.onLine says so. Sockets that are
// open stay: fakeGateway.cut.
func (b *tab) offline(off bool) {
	b.t.Helper()
	b.do("the network", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		rule := &network.Conditions{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}
		rules := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{rule}}
		if _, err := cdp.Call(ctx, target, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		if _, err := cdp.Call(ctx, target, network.EmulateNetworkConditionsByRule, rules); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, target, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: off, DownloadThroughput: -1, UploadThroughput: -1})
		return err
	}))
	b.wait("navigator.onLine === " + strconv.FormatBool(!off))
}
