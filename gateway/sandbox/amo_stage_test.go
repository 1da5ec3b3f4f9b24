package sandbox_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/widget"
	"ringcast/widget/widgettest"
)

const (
	anna  = "88888"
	boris = "99999"
)

// stage is a pretend amoCRM with the widget installed, and the gateway that the widget talks to.
type stage struct {
	amo      *sandbox.Amo
	gateway  *fakeGateway
	url      string
	browser  context.Context
	profiles map[string]profile
}

// profile is a person's browser: what its tabs keep is their own.
type profile struct{ ctx context.Context }

func amoConfig() sandbox.AmoConfig {
	return sandbox.AmoConfig{
		Account: 12345678, Subdomain: "acme", Lang: "en",
		Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna Orlova", Admin: true}, {ID: 99999, Name: "Boris Lvov", Dark: true}},
		Contacts: []sandbox.AmoContact{
			{ID: 1001, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, Responsible: 88888},
			{ID: 1002, Name: "Maria Sidorova", Phones: []string{"8 (900) 555-02-22", "+7 495 123-00-00 доб. 7"}, Responsible: 99999},
			{ID: 1003, Name: `<img src=x onerror="window.hacked=1">`, Phones: []string{"+7 900 555 66 66"}, Responsible: 88888},
		},
		ClientID: "6f0b7b5c-1d0e-4d0a-9d8e-0c7f8a3c1a11", ClientSecret: "a secret of the integration", RedirectURI: "https://gw.example.com:8443/oauth",
	}
}

func newStage(browser context.Context, t *testing.T) *stage {
	t.Helper()
	return newStageOf(browser, t, amoConfig())
}

// newStageOf makes a stage of an account. The widget is packed for its platform.
func newStageOf(browser context.Context, t *testing.T, cfg sandbox.AmoConfig) *stage {
	t.Helper()
	gateway := newFakeGateway(t, cfg.ClientSecret)
	cfg.WidgetZip = widgettest.Pack(t, widget.Config{URL: gateway.srv.URL, ClientJS: static.ClientJS, Platform: widget.Platform(cfg.Platform)})
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(amo)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &stage{amo: amo, gateway: gateway, url: srv.URL, browser: browser}
}

// at returns a profile of the browser, by any name: its tabs share cookies, storage and channels with each other and
// with nobody else, as if it were another person's computer. A profile lives as long as the stage's test.
func (s *stage) at(t *testing.T, name string) context.Context {
	t.Helper()
	if p, ok := s.profiles[name]; ok {
		return p.ctx
	}
	ctx, cancel := chromedp.NewContext(s.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("profile %s: %v", name, err)
	}
	if s.profiles == nil {
		s.profiles = map[string]profile{}
	}
	s.profiles[name] = profile{ctx}
	return ctx
}

// open opens a page in a tab, in a window of its own, and waits until the widget is connected. What goes wrong in the
// page fails the test.
func (s *stage) open(t *testing.T, user, path string) *tab {
	t.Helper()
	return s.openIn(s.browser, t, user, path)
}

// openIn is open in a profile of stage.at.
func (s *stage) openIn(profile context.Context, t *testing.T, user, path string) *tab {
	t.Helper()
	_, _, before := s.gateway.seen()
	shares := s.gateway.shared(user)
	b := s.visit(profile, t, user, path)
	s.until(t, "the widget to connect", func() bool {
		_, _, opened := s.gateway.seen()
		return opened > before || shares && b.text("Boolean(document.querySelector('.ringcast-deck'))") == "true"
	})
	return b
}

// visit opens a page in a tab and waits for the page, not for the widget.
func (s *stage) visit(profile context.Context, t *testing.T, user, path string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(profile)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, cancel: cancel}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1180, 760), chromedp.Navigate(s.url+path+sign(path)+"user="+user)); err != nil {
		t.Fatal(err)
	}
	b.wait("window.__sandbox && window.APP")
	t.Cleanup(func() {
		if b.closed {
			return
		}
		if errs := b.text("window.__sandbox ? __sandbox.errors.join('; ') : 'the page is gone'"); errs != "" {
			t.Errorf("the page complains: %s", errs)
		}
	})
	return b
}

// until polls what cannot be waited for in the page.
func (s *stage) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	eventually(t, what, done)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); !done(); {
		select {
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		case <-tick.C:
		}
	}
}
