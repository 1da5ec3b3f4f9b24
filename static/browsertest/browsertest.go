// Package browsertest starts the browser that tests look at pages with.
package browsertest

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// idle is what Chromium does beside showing the page, and what takes as much of a processor as the page does: its own
// toolbar is a page, too, in every window.
var idle = []string{
	"InitialWebUI", "PaintHolding", "PreloadTopChromeWebUI", "Translate", "WebUILocationBar", "WebUIOmniboxPopup", "WebUIReloadButton", "WebUIToolbar",
}

// New starts a headless Chromium with a profile of its own and returns its first tab. It ends with the test, and after
// eight minutes at the latest.
func New(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path(t)), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("force-prefers-reduced-motion", true),
		chromedp.Flag("disable-features", strings.Join(idle, ",")))
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(opts, more...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	return ctx
}

func path(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Fatal("no browser: install Chromium (Debian: apt install chromium-headless-shell) and have it in the PATH")
	return ""
}
