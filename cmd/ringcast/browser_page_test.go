package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// page is an open page of a browser, or a frame of one.
type page struct {
	t     *testing.T
	ctx   context.Context
	name  string // of its pictures
	frame string // the CSS selector of the frame that is meant; "" is the page itself
}

// openPage opens a page in a tab of its own. Whatever it complains of in its console fails the test.
func openPage(browser context.Context, t *testing.T, name, url string, width, height int64) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("no tab for %s: %v", url, err)
	}
	const end = "the test is over"
	console := chromedp.Console(ctx)
	t.Cleanup(func() {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void]("console.log('"+end+"')")); err != nil {
			t.Errorf("%s: the page is gone: %v", name, err)
			return
		}
		for m, err := range console {
			if err != nil {
				t.Errorf("%s: reading the console: %v", name, err)
			}
			if err != nil || m.Text == end {
				break
			}
			if m.IsException() || m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning {
				t.Errorf("%s: the page complains of %s:%d: %s", name, m.URL, m.Line, m)
			}
		}
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return &page{t: t, ctx: ctx, name: name}
}

// in is a frame of the page. The frame may be loading still.
func (p *page) in(selector string) *page {
	frame := *p
	frame.frame = selector
	return &frame
}

// wait waits until an expression is truthy, through navigations of the page.
func (p *page) wait(condition string) {
	p.t.Helper()
	if _, err := evaluate[chromedp.Void](p, condition, patience); err != nil {
		p.t.Fatalf("%s %s: waited in vain for %s: %v\nthe page reads: %s", p.name, p.frame, condition, err, p.reads())
	}
}

// text is the value of an expression, as a string.
func (p *page) text(expression string) string {
	p.t.Helper()
	got, err := evaluate[[]string](p, "[String("+expression+")]", patience)
	if err != nil {
		p.t.Fatalf("%s %s: %s: %v", p.name, p.frame, expression, err)
	}
	return got[0]
}

func (p *page) want(expression, want string) {
	p.t.Helper()
	if got := p.text(expression); got != want {
		p.t.Errorf("%s %s: %s is %q, want %q", p.name, p.frame, expression, got, want)
	}
}

// reads is the text that a person sees and what the pretend CRM found wrong, to say what a test stumbled over.
func (p *page) reads() string {
	const all = "[document.body.innerText.replace(/\\s+/g, ' ') + (window.__sandbox ? '; errors: ' + __sandbox.errors : '')]"
	got, err := evaluate[[]string](p, all, time.Second)
	if err != nil {
		return err.Error()
	}
	return got[0]
}

// evaluate polls an expression until it is truthy. A frame that navigates takes the polling with it, which
// is therefore begun anew now and then, in what is loaded by then.
func evaluate[T any](p *page, expression string, within time.Duration) (value T, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, within)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		opts := []chromedp.PollOption{chromedp.WithPollingInterval(20 * time.Millisecond), chromedp.WithPollingTimeout(time.Second)}
		if p.frame != "" {
			var frames []*chromedp.Node
			if frames, err = chromedp.Run(ctx, chromedp.Nodes(chromedp.CSS(p.frame), chromedp.NodeReady)); err != nil {
				return value, err
			}
			opts = append(opts, chromedp.WithPollingInFrame(frames[0]))
		}
		value, err = chromedp.Run(ctx, chromedp.Poll[T](expression, opts...))
		var thrown *chromedp.ExceptionError
		if err == nil || ctx.Err() != nil || errors.As(err, &thrown) {
			return value, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return value, err
		}
	}
}

// click clicks with the mouse, once the element is there and can be clicked.
func (p *page) click(selector string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	opts := []chromedp.QueryOption{chromedp.NodeVisible}
	if p.frame != "" {
		frames, err := chromedp.Run(ctx, chromedp.Nodes(chromedp.CSS(p.frame), chromedp.NodeReady))
		if err != nil {
			p.t.Fatalf("%s: no frame %s: %v", p.name, p.frame, err)
		}
		opts = append(opts, chromedp.FromNode(frames[0]))
	}
	if err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector), opts...)); err != nil {
		p.t.Fatalf("%s %s: click %s: %v\nthe page reads: %s", p.name, p.frame, selector, err, p.reads())
	}
}

// picture writes a screenshot of the whole page to the test's artefacts: to the folder that ARTIFACTS
// names, else to where go test -artifacts keeps them.
func (p *page) picture(step string) {
	p.t.Helper()
	dir := os.Getenv("ARTIFACTS")
	if dir == "" {
		dir = p.t.ArtifactDir()
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, p.name+"-"+step+".png"), png, 0o644))
	}
	if err != nil {
		p.t.Error(err)
	}
}

// What the widget shows, and what it tells the CRM.
const (
	card       = `document.querySelector('.ringcast-card')`
	cardName   = `document.querySelector('.ringcast-card__name')?.textContent`
	noCard     = `!document.querySelector('.ringcast-card')`
	inACall    = `APP.sdk.getCallingStatus()`
	results    = `document.querySelectorAll('.ringcast-result').length`
	hasWidget  = `window.__sandbox && document.querySelector('.ringcast-deck')`
	pageErrors = `__sandbox.errors.join('; ')`
)

// cardIs is a single card of that name, in that state.
func cardIs(name, state string) string {
	return fmt.Sprintf(`document.querySelectorAll('.ringcast-card').length === 1 && %s === %q && %s?.dataset.state === %q`, cardName, name, card, state)
}

// eventually polls what neither a page nor a telephone tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !is(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
