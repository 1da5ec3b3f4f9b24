package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"

	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/static/browsertest"
	"ringcast/widget"
	"ringcast/widget/widgettest"
)

const dina = "77777" // an administrator who likes it dark

// settingsGateway is a fakeGateway that answers the settings window, too: it knows the extensions of its PBX, and
// keeps what an administrator saves.
type settingsGateway struct {
	*fakeGateway
	srv    *httptest.Server
	phones map[string]string // extension → state

	mu     sync.Mutex
	fail   func(w http.ResponseWriter) bool // instead of an answer; nil: none
	asked  []settingsQuestion
	kept   map[string]string // user → extensions "101, 102"
	unseen bool              // no page is let in
	empty  bool              // its directory: nobody gets a session
}

type settingsQuestion struct {
	Extensions, Names map[string]string
	Save              bool
}

func (g *settingsGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.empty && r.URL.Path == "/v1/sessions/amocrm" && r.Method == http.MethodPost {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		refuseSettings(w, http.StatusForbidden, object{"code": "revoked"})
		return
	}
	if r.URL.Path != "/v1/settings/amocrm" {
		g.fakeGateway.srv.Config.Handler.ServeHTTP(w, r)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h := w.Header()
	if !g.unseen {
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Allow-Headers", "X-Auth-Token, Content-Type")
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if g.fail != nil && g.fail(w) {
		return
	}
	claims := jwt.MapClaims{}
	if _, err := jwt.ParseWithClaims(r.Header.Get("X-Auth-Token"), claims, func(*jwt.Token) (any, error) { return []byte(g.secret), nil }); err != nil {
		refuseSettings(w, http.StatusUnauthorized, object{"code": "bad_token"})
		return
	}
	var q settingsQuestion
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		refuseSettings(w, http.StatusBadRequest, object{"code": "invalid"})
		return
	}
	g.asked = append(g.asked, q)
	g.answer(w, q, claims["is_admin"] == true)
}

// questions lists what was asked and understood.
func (g *settingsGateway) questions() []settingsQuestion {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

func (g *settingsGateway) answer(w http.ResponseWriter, q settingsQuestion, admin bool) {
	if q.Save && !admin {
		refuseSettings(w, http.StatusForbidden, object{"code": "not_admin"})
		return
	}
	apart := func(text string) []string {
		return append([]string{}, strings.Fields(strings.ReplaceAll(text, ",", " "))...)
	}
	asked, held := maps.Clone(g.kept), maps.Clone(g.kept)
	if asked == nil {
		asked = map[string]string{}
	}
	maps.Copy(asked, q.Extensions)
	same := true
	owner, users := map[string]string{}, []object{}
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		list := []object{}
		same = same && slices.Equal(apart(asked[id]), apart(held[id]))
		for _, ext := range apart(asked[id]) {
			if other := owner[ext]; other != "" {
				refuseSettings(w, http.StatusBadRequest, object{"code": "invalid", "errors": []object{{"field": "extensions." + id, "reason": ext + " is taken"}}})
				return
			}
			owner[ext] = id
			state, ok := g.phones[ext]
			if !ok {
				state = "unknown"
			}
			list = append(list, object{"extension": ext, "state": state})
		}
		if q.Save {
			held = asked
		}
		users = append(users, object{"id": id, "name": q.Names[id], "held": apart(held[id]), "extensions": list})
	}
	if q.Save {
		g.kept = asked
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{
		"account": "acme", "admin": admin, "saved": q.Save, "kept": admin && (same || q.Save), "pbx": []object{{"id": "office", "state": "connected"}}, "users": users,
	})
}

func refuseSettings(w http.ResponseWriter, status int, problem object) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem)
}

func (g *settingsGateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *settingsGateway) has() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.kept)
}

// settingsStage is a stage whose gateway answers the settings window.
type settingsStage struct {
	*stage
	settings *settingsGateway
}

func newSettingsStage(browser context.Context, t *testing.T, change func(*sandbox.AmoConfig)) *settingsStage {
	t.Helper()
	cfg := amoConfig()
	cfg.Users = append(cfg.Users, sandbox.AmoUser{ID: 77777, Name: "Dina Belova", Admin: true, Dark: true})
	cfg.Settings = map[string]any{"consent": "yes", "extensions": `{"88888":"101","99999":"102, 107","77777":""}`}
	g := &settingsGateway{
		fakeGateway: newFakeGateway(t, cfg.ClientSecret), phones: map[string]string{"101": "ok", "102": "ok", "107": "unregistered"},
	}
	g.srv = httptest.NewServer(g)
	t.Cleanup(g.srv.Close)
	if change != nil {
		change(&cfg)
	}
	if text, ok := cfg.Settings["extensions"].(string); ok {
		if err := json.Unmarshal([]byte(text), &g.kept); err != nil {
			t.Fatal(err)
		}
	}
	cfg.WidgetZip = widgettest.Pack(t, widget.Config{URL: g.srv.URL, ClientJS: static.ClientJS, Platform: widget.Platform(cfg.Platform)})
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(amo)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &settingsStage{&stage{amo: amo, gateway: g.fakeGateway, url: srv.URL, browser: browser}, g}
}

// window opens the widget's settings in a tab.
func (s *settingsStage) window(t *testing.T, user string) *tab {
	t.Helper()
	b := s.open(t, user, "/settings/widgets/")
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(1180, 1500)); err != nil {
		t.Fatal(err)
	}
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('.ringcast-check .ringcast-check__line') && !document.querySelector('.ringcast-check__line[data-tone=note]:only-child')`)
	return b
}

const (
	checkLines = `[...document.querySelectorAll('.ringcast-check .ringcast-check__line')].map((line) => line.dataset.tone + ' ' + line.textContent).join('\n')`
	checked    = `document.querySelector('.ringcast-check .ringcast-check__line[data-tone="%s"]')`
	saveButton = `document.querySelector('.js-widget-save')`
)

// marks are what stands at a user's input.
func marks(user string) string {
	return `[...document.querySelector('[name="extensions[` + user + `]"]').parentNode.querySelectorAll('.ringcast-marks li')].map((line) => line.dataset.tone + ' ' + line.textContent).join('\n')`
}

// fill types into a field of the CRM's form, instead of what is there.
func (b *tab) fill(name, value string) {
	b.t.Helper()
	b.text(fmt.Sprintf(`require('jquery')('[name="%s"]').val(%q).trigger('input').trigger('change').length`, name, value))
}

func (b *tab) contains(expression string, parts ...string) {
	b.t.Helper()
	got := b.text(expression)
	for _, part := range parts {
		if !strings.Contains(got, part) {
			b.t.Errorf("%s is\n%s\nwithout %q", expression, got, part)
		}
	}
}

func TestWidgetSettings(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range map[string]func(*testing.T, *settingsStage){
		"CheckedWhenItOpens":                   testSettingsChecked,
		"UnreachableAndRefusedOriginAreTold":   testSettingsUnreachable,
		"UnknownAndTakenExtensions":            testSettingsExtensions,
		"WhoIsNoAdministratorSeesHisOwn":       testSettingsNotAdmin,
		"BehaviourIsWritten":                   testSettingsBehaviour,
		"SavedByTheGatewayToo":                 testSettingsSaved,
		"WhatTheGatewayDidNotGetIsTold":        testSettingsPending,
		"WhoLeftTheCRMGivesHisExtensionBack":   testSettingsOthers,
		"GatewayThatFailsDoesNotStopSaving":    testSettingsFailing,
		"GatewayThatHangsDoesNotStopDisabling": testSettingsDisabled,
	} {
		t.Run(name, func(t *testing.T) { run(t, newSettingsStage(browser, t, nil)) })
	}
	for name, here := range map[string]bool{"SwitchesCountAtOnceWhereTheyWereSaved": true, "SwitchesCountAtOnceInAnotherTab": false} {
		t.Run(name, func(t *testing.T) {
			testSettingsSwitched(t, newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) { cfg.Settings["behaviour"] = `{"result":"never","notify":"never"}` }), here)
		})
	}
	t.Run("OldWindow", func(t *testing.T) {
		testSettingsOldWindow(t, newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) { cfg.NotInstalled, cfg.OldWindow, cfg.Settings = true, true, nil }))
	})
	t.Run("WhatTheGatewayHoldsAlreadyStays", func(t *testing.T) {
		testSettingsHeld(t, newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) { cfg.Settings = map[string]any{"consent": "yes"} }))
	})
	t.Run("SpeaksRussianInTheDark", func(t *testing.T) {
		s := newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) { cfg.Lang = "ru" })
		b := s.window(t, dina)
		b.wait(fmt.Sprintf(checked, "good"))
		b.contains(checkLines, "АТС office: подключена.")
		b.want(`[...document.querySelectorAll('.ringcast-settings')].every(({ classList }) => classList.contains('ringcast_dark'))`, "true")
		b.picture("settings-dark-ru")
	})
	t.Run("OldInstallationHasNoneOfTheNewFields", func(t *testing.T) { testSettingsOld(t, newSettingsStage(browser, t, nil)) })
	t.Run("FirstInstallation", func(t *testing.T) {
		testSettingsFirst(t, newSettingsStage(browser, t, func(cfg *sandbox.AmoConfig) { cfg.NotInstalled, cfg.Settings = true, nil }))
	})
}

func testSettingsChecked(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	b.wait(fmt.Sprintf(checked, "good"))
	b.contains(checkLines, "good The gateway 127.0.0.1:", "Account: acme", "good It lets the pages of "+s.url+" in.", "good PBX office: connected.")
	b.want(marks(anna), "good 101: ready.")
	b.want(marks(boris), "good 102: ready.\nwarn 107: no phone is connected. Switch it on or sign in to the softphone.")
	b.want(`document.querySelector('[name=gateway]').placeholder`, s.settings.srv.URL)
	b.want(`document.querySelector('[name=gateway]').value`, "")
	b.want(saveButton+`.disabled`, "true")
	b.contains(`document.querySelector('.ringcast-consent').textContent`, strings.TrimPrefix(s.settings.srv.URL, "http://"))
	b.want(`document.querySelector('.ringcast-consent input').checked`, "true")
	b.picture("settings")
	if n := len(s.settings.questions()); n != 1 {
		t.Errorf("the gateway was asked %d times", n)
	}
}

func testSettingsUnreachable(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	b.fill("gateway", gone.URL)
	b.click(`.ringcast-check__button[data-do="check"]`) // by itself it asks nobody whose address is being typed
	b.wait(fmt.Sprintf(checked, "bad"))
	b.contains(checkLines, "bad Nothing answers at "+gone.URL, s.url+" is missing in “origins”")
	b.want(`document.querySelector('.ringcast-check a').href`, gone.URL+"/client.js")
	b.picture("settings-unreachable")

	s.settings.set(func() { s.settings.unseen = true })
	b.fill("gateway", s.settings.srv.URL+"/")
	b.wait(`/^A server answers/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)
	b.contains(checkLines, "Add "+s.url+" to “origins”")
	b.picture("settings-origin")

	b.fill("gateway", "calls.example.com")
	b.wait(`/^This address cannot be used/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)
	b.fill("gateway", s.url) // the CRM itself: it answers, and is no gateway
	b.click(`.ringcast-check__button[data-do="check"]`)
	b.wait(`/is not a Ringcast gateway|does not let this page in/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)

	s.settings.set(func() { s.settings.unseen = false })
	b.fill("gateway", "")
	b.wait(fmt.Sprintf(checked, "good"))
}

func testSettingsExtensions(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	b.fill("extensions["+anna+"]", "101, 999")
	b.wait(`document.querySelectorAll('.ringcast-marks [data-tone=bad]').length === 1`)
	b.want(marks(anna), "good 101: ready.\nbad 999: the PBX does not know it. Correct it here or create it in the PBX.")
	b.fill("extensions["+dina+"]", "101")
	b.wait(`/also given to Dina Belova/.test(` + marks(anna) + `)`)
	b.want(marks(dina), "bad 101: also given to Anna Orlova. Leave it with one of you.")
	b.contains(checkLines, "bad Some extensions are not accepted")
	b.picture("settings-extensions")
}

func testSettingsNotAdmin(t *testing.T, s *settingsStage) {
	b := s.window(t, boris)
	b.wait(fmt.Sprintf(checked, "good"))
	b.contains(`document.querySelector('.modal').textContent`, "Only an administrator of the CRM can give extensions")
	b.picture("settings-not-admin")
	b.fill("extensions["+boris+"]", "103")
	b.click(".js-widget-save")
	b.wait(`__sandbox.saves.length === 1`)
	b.wait(`/103/.test(` + marks(boris) + `)`) // the check that followed
	for _, q := range s.settings.questions() {
		if q.Save {
			t.Errorf("somebody who is no administrator saved %+v", q)
		}
	}
}

func testSettingsBehaviour(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	b.wait(fmt.Sprintf(checked, "good"))
	b.text(`require('jquery')('[data-setting=result]').val('unknown').trigger('change').length`)
	b.text(`document.querySelector('[data-setting=sound]').click()`)
	b.text(`require('jquery')('[data-setting=interval]').val('1').trigger('change').length`)
	b.want(`document.querySelector('[data-setting=interval]').value`, "10")
	b.want(saveButton+`.disabled`, "false")
	b.click(".js-widget-save")
	b.wait(`__sandbox.saves.length === 1`)
	var saved map[string]any
	if err := json.Unmarshal([]byte(fmt.Sprint(s.amo.WidgetSettings()["behaviour"])), &saved); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"result": "unknown", "notify": "both", "sound": false, "desktop": true, "open": false, "lead": true, "interval": 10.0}
	if !maps.Equal(saved, want) {
		t.Errorf("saved %v, want %v", saved, want)
	}
	n := len(s.settings.questions())
	b.click(".modal-body__close")
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('[data-setting=result]') && document.querySelector('[data-setting=result]').value === 'unknown'`)
	b.want(`document.querySelectorAll('.ringcast-check').length + ' ' + document.querySelector('[data-setting=sound]').checked`, "1 false")
	s.until(t, "the check", func() bool {
		return len(s.settings.questions()) > n
	})
}

// testSettingsSwitched has one talk after the save, and one tab to hear of it.
func testSettingsSwitched(t *testing.T, s *settingsStage, here bool) {
	other := s.open(t, anna, "/leads/")
	b := s.window(t, anna)
	b.text(`require('jquery')('[data-setting=result]').val('always').trigger('change').length`)
	b.text(`require('jquery')('[data-setting=notify]').val('end').trigger('change').length`)
	b.text(`document.querySelector('[data-setting=sound]').click()`)
	b.click(".js-widget-save")
	b.wait(`__sandbox.saves.length === 1`)
	if here {
		other.close()
	} else {
		other.wait(`!document.querySelector('.ringcast-bell [name=sound]').checked`)
		b.close()
		b = other
	}
	s.gateway.tell(anna, "call.bridge", call(object{"state": "talking"}))
	s.gateway.tell(anna, "call.hangup", call(object{"state": "ended", "outcome": "answered", "talk_seconds": 65, "recording": "https://pbx.example/r"}))
	b.wait(`document.querySelector('.ringcast-result')`)
	if stored := s.stored(t, 1); len(stored) != 1 || stored[0].Duration != "01:05" {
		t.Errorf("stored are %+v", stored)
	}
}

func testSettingsSaved(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	b.fill("extensions["+dina+"]", "105")
	b.click(".js-widget-save")
	b.wait(`/^The extensions are saved/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)
	b.picture("settings-saved")
	want := map[string]string{anna: "101", boris: "102, 107", dina: "105"}
	if got := s.settings.has(); !maps.Equal(got, want) {
		t.Errorf("the gateway keeps %v, want %v", got, want)
	}
	b.want(`__sandbox.saves[0].result`, "true")
	b.want(`__sandbox.toasts.length`, "0")
}

func testSettingsFailing(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	s.settings.set(func() {
		s.settings.fail = func(w http.ResponseWriter) bool {
			refuseSettings(w, http.StatusServiceUnavailable, object{"code": "unavailable"})
			return true
		}
	})
	b.fill("extensions["+dina+"]", "105")
	b.click(".js-widget-save")
	b.wait(`__sandbox.toasts.length === 1`)
	b.want(`__sandbox.saves[0].result`, "true")
	b.contains(`__sandbox.toasts[0].text`, "did not save the extensions", "Try again in a minute", "Ask your telephony administrator", "press “Save at the gateway”")
	b.contains(checkLines, "bad The gateway did not save the extensions.")
	b.picture("settings-unsaved")
	if got := fmt.Sprint(s.amo.WidgetSettings()["extensions"]); !strings.Contains(got, "105") {
		t.Errorf("the CRM keeps %s", got)
	}
	// The CRM has nothing to save any more, also when the window is opened again.
	b.click(".modal-body__close")
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('[data-do=repeat]:not([hidden])')`)
	s.settings.set(func() { s.settings.fail = nil })
	b.click("[data-do=repeat]")
	s.until(t, "the second save", func() bool { return s.settings.has()[dina] == "105" })
	b.wait(`document.querySelector('[data-do=repeat]').hidden`)
}

// The gateway did not get it, and the page was loaded anew since: nothing else would tell.
func testSettingsPending(t *testing.T, s *settingsStage) {
	s.settings.set(func() { s.settings.kept[boris] = "107" })
	b := s.window(t, anna)
	b.wait(fmt.Sprintf(checked, "warn"))
	b.contains(checkLines, "warn Not saved at the gateway yet", "press “Save at the gateway”")
	b.want(saveButton+`.disabled`, "true")
	b.contains(marks(boris), "good 102: ready.", "warn At the gateway: 107.")
	b.picture("settings-pending")
	b.click("[data-do=repeat]")
	b.wait(`/^The extensions are saved/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)
	b.want(`document.querySelector('[data-do=repeat]').hidden`, "true")
	if got := s.settings.has()[boris]; got != "102, 107" {
		t.Errorf("the gateway keeps %q", got)
	}
	b.fill("extensions["+boris+"]", "102") // not pressed yet: the CRM's own button will do
	b.wait(`/102: ready\.$/.test(` + marks(boris) + `)`)
	b.want(`document.querySelector('[data-do=repeat]').hidden`, "true")
}

// An operator gave the extensions, and the CRM's fields are empty: a switch of the sound takes nothing away.
func testSettingsHeld(t *testing.T, s *settingsStage) {
	s.settings.set(func() { s.settings.kept = map[string]string{anna: "101", boris: "102, 107"} })
	b := s.window(t, anna)
	b.wait(fmt.Sprintf(checked, "good"))
	b.want(`document.querySelector('[name="extensions[`+boris+`]"]').value`, "102, 107")
	b.want(marks(anna), "good 101: ready.")
	b.want(`document.querySelector('[data-do=repeat]').hidden`, "true")
	b.click("[data-setting=sound]")
	b.click(".js-widget-save")
	b.wait(`/^The extensions are saved/.test(document.querySelector('.ringcast-check .ringcast-check__line').textContent)`)
	asked := s.settings.questions()
	if last := asked[len(asked)-1]; !last.Save || len(last.Extensions) > 0 {
		t.Errorf("told to save %+v", last)
	}
	b.fill("extensions["+boris+"]", "")
	b.click(".js-widget-save")
	s.until(t, "what was emptied", func() bool { return s.settings.has()[boris] == "" })
	if got := s.settings.has()[anna]; got != "101" {
		t.Errorf("Anna has %q", got)
	}
	b.wait(`document.querySelector('[name="extensions[` + boris + `]"]').value === '' && !document.querySelector('.ringcast-check__line[data-tone=bad]')`)
}

func testSettingsOthers(t *testing.T, s *settingsStage) {
	s.settings.set(func() { s.settings.kept["55555"] = "105" })
	b := s.window(t, anna)
	b.wait(`/55555.*: 105/.test(document.querySelector('.ringcast-others').textContent)`)
	b.fill("extensions["+dina+"]", "105")
	b.wait(fmt.Sprintf(checked, "bad"))
	b.contains(marks(dina), "bad 105: also given to 55555")
	b.picture("settings-others")
	b.click(`[data-take="55555"]`)
	b.wait(`!document.querySelector('[data-take]') && ` + fmt.Sprintf(checked, "good"))
	b.click(".js-widget-save")
	s.until(t, "Dina's extension", func() bool { return s.settings.has()[dina] == "105" })
}

func testSettingsDisabled(t *testing.T, s *settingsStage) {
	b := s.window(t, anna)
	release := make(chan struct{})
	s.settings.set(func() {
		s.settings.fail = func(http.ResponseWriter) bool { <-release; return false }
	})
	defer close(release)
	b.click("[data-do=check]")
	b.click(".js-widget-uninstall")
	b.wait(`__sandbox.saves.length === 1 && __sandbox.saves[0].result === true`)
	b.wait(`!document.querySelector('.ringcast-deck')`)
	b.want(`document.querySelectorAll('[data-ringcast]').length`, "0")
	s.until(t, "the socket to close", func() bool {
		s.gateway.mu.Lock()
		defer s.gateway.mu.Unlock()
		return len(s.gateway.socks) == 0
	})
}

func testSettingsOld(t *testing.T, s *settingsStage) {
	s.settings.set(func() { s.settings.kept = nil })
	b := s.open(t, anna, "/leads/")
	b.text(`document.body.insertAdjacentHTML('beforeend', '<div class="modal" style="background:#fff"><div id="old"><input type="hidden" name="consent" value="yes"><button>Save</button></div></div>')`)
	b.text(`__sandbox.widgets.openSettings('ringcast', require('jquery')('#old'))`)
	b.wait(fmt.Sprintf(checked, "good"))
	b.contains(checkLines, "warn Nobody has an extension yet")
	b.want(`document.querySelectorAll('[data-setting]').length + ' ' + document.querySelector('.ringcast-consent input').checked`, "0 true")
}

func testSettingsFirst(t *testing.T, s *settingsStage) {
	ctx, cancel := chromedp.NewContext(s.browser)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1180, 1500), chromedp.Navigate(s.url+"/settings/widgets/?user="+anna)); err != nil {
		t.Fatal(err)
	}
	b.wait(`window.__sandbox && document.querySelector('.tile[data-code="ringcast"]')`)
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('.ringcast-consent input')`)
	b.fill("extensions["+anna+"]", "101")
	b.want(saveButton+`.disabled`, "true") // nobody installs it without agreeing
	b.click(".ringcast-consent input")
	b.want(saveButton+`.disabled`, "false")
	b.wait(`document.querySelector('.ringcast-check__line:not([data-tone="note"])')`) // the form does not grow any more
	b.click(".js-widget-save")
	s.until(t, "the map of extensions", func() bool { return s.settings.has()[anna] == "101" })
	s.until(t, "the widget to connect", func() bool {
		_, _, opened := s.gateway.seen()
		return opened == 1
	})
	b.want(`__sandbox.errors.join()`, "")
}

// The window as it was: "active" is N at the first installation, too; and it closes once the CRM has saved.
func testSettingsOldWindow(t *testing.T, s *settingsStage) {
	b := s.visit(s.browser, t, anna, "/settings/widgets/")
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('.ringcast-consent input')`)
	b.fill("extensions["+anna+"]", "101")
	b.click(".ringcast-consent input")
	b.click(".js-widget-save")
	b.wait(`!document.querySelector('.modal') && __sandbox.saves.length === 1`)
	b.want(`__sandbox.saves[0].active`, "N")
	s.until(t, "the map of extensions", func() bool { return s.settings.has()[anna] == "101" })

	s.settings.set(func() { s.settings.unseen = true })
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(fmt.Sprintf(checked, "bad"))
	b.fill("extensions["+anna+"]", "102")
	b.click(".js-widget-save")
	b.wait(`!document.querySelector('.modal') && __sandbox.toasts.length === 1`)
	b.contains(`__sandbox.toasts[0].text`, "did not save the extensions", "does not let this page in")
	b.picture("settings-closed")
}
