package static_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/static/browsertest"
)

// nobody is a sink that takes everything.
type nobody struct{}

func (nobody) Emit(context.Context, []gateway.Event) error     { return nil }
func (nobody) Live(context.Context, []string, time.Time) error { return nil }

// newDemo serves the demo page with a telephone system of its own and placeholders for the CRM pages.
func newDemo(t *testing.T, cfg sandbox.PBXConfig) (url string, pbx *sandbox.PBX) {
	t.Helper()
	pbx, err := sandbox.NewPBX(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- pbx.Run(ctx, nobody{}) }()
	mux := http.NewServeMux()
	mux.Handle("/demo/", http.FileServerFS(static.Demo))
	mux.Handle("/demo/pbx/", http.StripPrefix("/demo/pbx", pbx.Handler()))
	mux.HandleFunc("/demo/config.json", func(w http.ResponseWriter, r *http.Request) {
		type object map[string]any
		_ = json.NewEncoder(w).Encode(object{
			"pbx": "/demo/pbx",
			"users": []object{
				{"id": "88888", "name": "Anna", "extension": "101", "crm": "http://" + r.Host + "/crm/?user=88888"},
				{"id": "99999", "name": "Boris", "extension": "102", "crm": "http://" + r.Host + "/crm/?user=99999"},
			},
			"callers": []object{
				{"number": "+7 900 555-01-11", "name": "Ivan Petrov", "known": true},
				{"number": "+7 900 555-09-99", "known": false},
			},
		})
	})
	mux.HandleFunc("/crm/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `<!doctype html><title>CRM</title><p>The CRM of user %q<script>
			parent.postMessage({path: '/contacts/list/'}, '*')
			parent.postMessage({people: [{name: 'Elena Vlasova', phones: ['+380 99 555 01 55']}]}, '*')</script>`, r.URL.Query().Get("user"))
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL + "/demo/", pbx
}

// newTab opens a headless browser. What the page complains of in its console fails the test, unless it was
// announced in allowed.
func newTab(t *testing.T, width, height int64, allowed ...string) context.Context {
	t.Helper()
	ctx := browsertest.New(t)
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	const end = "the test is over"
	messages := chromedp.Console(ctx)
	t.Cleanup(func() {
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void]("console.log('"+end+"')")); err != nil {
			t.Errorf("the page is gone: %v", err)
		}
		for m, err := range messages {
			if err != nil {
				t.Errorf("reading the console: %v", err)
			}
			if err != nil || m.Text == end {
				break
			}
			if (m.IsException() || m.Type == "error" || m.Type == "warning") && !slices.Contains(allowed, m.Text) {
				t.Errorf("the page complains: %s", m)
			}
		}
	})
	return ctx
}

// play does one step after another, up to 30 s each, and says which failed.
func play(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, step := range steps {
		limited, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := chromedp.Do(limited, step)
		cancel()
		if err != nil {
			page, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
			t.Fatalf("step %d: %v; the page reads\n%s", i+1, err, page)
		}
	}
}

func click(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.Click(chromedp.CSS(selector))
}

// shows waits until an element is there.
func shows(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

// key presses a key of a desk telephone; it waits until it can be pressed.
func key(extension, kind string) chromedp.Action[chromedp.Void] {
	return click(fmt.Sprintf(`[data-phone="%s"] [data-key=%s]:enabled`, extension, kind))
}

// phone waits until a desk telephone is in a state.
func phone(extension, state string) chromedp.Action[chromedp.Void] {
	return shows(fmt.Sprintf(`[data-phone="%s"][data-state=%s]`, extension, state))
}

// types writes into the number field of a desk telephone.
func types(extension, text string) chromedp.Action[chromedp.Void] {
	return chromedp.SendKeys(chromedp.CSS(fmt.Sprintf(`[data-phone="%s"] input`, extension)), text)
}

// reads waits until an element reads so.
func reads(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.PollFunction[chromedp.Void](
		`(selector, text) => document.querySelector(selector)?.innerText.trim() === text`, chromedp.WithPollingArgs(selector, text))
}

func ring(extensions string) chromedp.Action[chromedp.Void] {
	return click(fmt.Sprintf(`[data-ring="%s"]`, extensions))
}

const newest = ".story li:first-child span"

func TestDemoRingBothAnswerHangUp(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{})
	ctx := newTab(t, 1440, 900)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"), phone("102", "idle"),
		reads(".linkstate", "PBX link up"),

		ring("101 102"),
		phone("101", "ringing"), phone("102", "ringing"),
		reads(`[data-phone="101"] .name`, "Ivan Petrov"),
		reads(`[data-phone="101"] .number`, "+7 900 555-01-11"),
		reads(`[data-window="102"] .chip`, "Ringing"),
		shows(`.mobile [data-state=calling]`),
		reads(newest, "Ivan Petrov rings Anna and Boris"),

		key("101", "green"),
		phone("101", "talking"), phone("102", "idle"),
		shows(`.mobile [data-state=talking]`),
		reads(`.story li:nth-child(2) span`, "Anna answers"),
		reads(newest, "Boris’s telephone stops ringing"),
		chromedp.PollFunction[chromedp.Void](`() => /^\d+:(?!00)\d\d$/.test(document.querySelector('[data-phone="101"] .time')?.innerText)`),

		key("101", "amber"),
		phone("101", "held"),
		key("101", "amber"),
		phone("101", "talking"),

		key("101", "red"),
		phone("101", "idle"),
		reads(newest, "The call is over"),
		chromedp.WaitNotPresent(chromedp.CSS(`.mobile .call`)),
		shows(`.step:nth-child(3).done`),
	)
}

func TestDemoCallsFromADesk(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{OutsideAnswers: -1})
	ctx := newTab(t, 1440, 900)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("102", "idle"),
		types("102", "+79005550999\r"),
		phone("102", "calling"),
		click(`.mobile .round.green`),
		phone("102", "talking"),
		click(`.mobile .round.red`),
		phone("102", "idle"),
		types("102", "101"),
		key("102", "green"),
		phone("101", "ringing"),
		key("101", "red"),
		phone("102", "idle"),
		reads(newest, "Declined"),
	)
}

func TestDemoShowsAClickedCall(t *testing.T) {
	t.Parallel()
	url, pbx := newDemo(t, sandbox.PBXConfig{OutsideAnswers: time.Millisecond})
	ctx := newTab(t, 1440, 900)
	play(ctx, t, chromedp.Navigate(url), phone("101", "idle"))
	to := gateway.Number{Raw: "+79005550111"}
	if _, err := pbx.Dial(ctx, gateway.DialRequest{Key: "k", Extension: "101", To: to}); err != nil {
		t.Fatal(err)
	}
	play(ctx, t,
		reads(`[data-phone="101"] .line`, "Pick up to call"),
		shows(`.step:nth-child(4).done`),
		key("101", "green"),
		phone("101", "talking"),
		reads(newest, "Ivan Petrov answers Anna"),
	)
}

func TestDemoCutsAndRestoresTheLink(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{})
	ctx := newTab(t, 1440, 900)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"),
		ring("101"),
		phone("101", "ringing"),
		click(".cut"),
		reads(".linkstate", "PBX link cut"),
		reads(`[data-window="101"] .stale b`, "The link to the telephone system is cut."),
		key("101", "red"),
		phone("101", "idle"),
		shows(`.story .unheard`),
		click(".cut"),
		reads(".linkstate", "PBX link up"),
		chromedp.WaitNotVisible(chromedp.CSS(`.stale`)),
	)
}

// step clicks a step of the guide.
func step(n int) chromedp.Action[chromedp.Void] {
	return click(fmt.Sprintf(".step:nth-child(%d) button", n))
}

// next waits until the guide stands at a step.
func next(n int) chromedp.Action[chromedp.Void] {
	return shows(fmt.Sprintf(".step:nth-child(%d)[aria-current]", n))
}

func TestDemoStepsCanBeClicked(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{})
	ctx := newTab(t, 1280, 720)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"),
		next(1), step(1), phone("101", "ringing"), phone("102", "ringing"),
		next(2), step(2), phone("101", "talking"),
		next(3), step(3), phone("101", "idle"),
		next(4), step(5), phone("101", "ringing"), // a link is cut in a talk
		step(5), phone("101", "talking"),
		step(5), reads(".linkstate", "PBX link cut"),
		step(5), reads(".linkstate", "PBX link up"),
		shows(`.step:nth-child(5).done`),
	)
}

func TestDemoGuideGoesBackWhenNobodyAnswers(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{RingTimeout: 5 * time.Second})
	ctx := newTab(t, 1440, 900)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"),
		ring("101 102"),
		next(2),
		reads(newest, "Nobody answered"),
		next(1),
	)
}

func TestDemoKnowsWhoIsInTheCRM(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{OutsideAnswers: -1})
	ctx := newTab(t, 1440, 900)
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"),
		chromedp.PollFunction[chromedp.Void](`() => document.querySelector('.address').innerText === location.host + '/contacts/list/'`),
		types("101", "+380995550155\r"),
		reads(newest, "Anna calls Elena Vlasova"),
		reads(`[data-phone="101"] .number`, "+380 99 555 01 55"),
	)
}

func TestDemoSaysWhatWasRefused(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{})
	ctx := newTab(t, 1440, 900, "Failed to load resource: the server responded with a status of 400 (Bad Request)")
	play(ctx, t,
		chromedp.Navigate(url),
		phone("101", "idle"),
		types("101", "199\r"),
		reads(".notice", "this PBX has no extension 199"),
	)
}

func TestDemoFitsTheWindow(t *testing.T) {
	t.Parallel()
	url, _ := newDemo(t, sandbox.PBXConfig{})
	for _, size := range [][2]int64{{1440, 900}, {1440, 757}, {1280, 800}, {1280, 720}, {1920, 1080}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			ctx := newTab(t, size[0], size[1])
			play(ctx, t, chromedp.Navigate(url), phone("101", "idle"))
			outside, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](`
				[...document.querySelectorAll('button, iframe, li, label')].filter(e => {
					const box = e.getBoundingClientRect()
					return box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight
				}).map(e => e.tagName + ' ' + e.innerText)`))
			if err != nil {
				t.Fatal(err)
			}
			if len(outside) > 0 {
				t.Errorf("out of the window: %q", outside)
			}
		})
	}
}
