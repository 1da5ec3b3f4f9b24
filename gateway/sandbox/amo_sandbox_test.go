package sandbox_test

import (
	"slices"
	"strings"
	"testing"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// These tests are about the pretend amoCRM itself in a real browser: what it gives to widgets, and what the harness of
// the other tests can do to a page.

func TestTheSandboxPage(t *testing.T) {
	t.Parallel()
	browser := browsertest.New(t)
	for name, run := range map[string]func(*testing.T, *stage){
		"ListsAndTheirMenu":            testSandboxLists,
		"SeveralTelephonies":           testSandboxTelephonies,
		"CardsHaveNumbers":             testSandboxCards,
		"TwigRenders":                  testSandboxTwig,
		"TheSDK":                       testSandboxSDK,
		"NotificationsOfAHiddenTab":    testSandboxHiddenTab,
		"AClosedErrorStaysClosed":      testSandboxClosedError,
		"ProfilesAreStrangers":         testSandboxProfiles,
		"TheListOfWidgetsIsRemembered": testSandboxCache,
		"SettingsWindow":               testSandboxSettings,
		"SettingsAreForAdministrators": testSandboxSettingsAdmin,
		"WidgetThatSaysNo":             testSandboxSettingsRefused,
		"WidgetThatIsSwitchedOff":      testSandboxSettingsOff,
		"EightTabs":                    testSandboxEightTabs,
	} {
		t.Run(name, func(t *testing.T) { run(t, newTinyStage(browser, t, crmConfig())) })
	}
	t.Run("TabsHideFreezeAndGoOffline", func(t *testing.T) { testSandboxTabs(t, newStageOf(browser, t, crmConfig())) })
	t.Run("FirstInstallation", func(t *testing.T) {
		cfg := crmConfig()
		cfg.NotInstalled = true
		testSandboxInstall(t, newTinyStage(browser, t, cfg))
	})
	t.Run("SettingsWindowOf2017", func(t *testing.T) {
		cfg := crmConfig()
		cfg.NotInstalled, cfg.OldWindow = true, true
		testSandboxOldWindow(t, newTinyStage(browser, t, cfg))
	})
	t.Run("Kommo", func(t *testing.T) {
		cfg := crmConfig()
		cfg.Platform, cfg.Lang = sandbox.KommoPlatform, "es"
		cfg.Users = slices.Clone(cfg.Users)
		cfg.Users[0].Free = true
		testSandboxKommo(t, newTinyStage(browser, t, cfg))
	})
}

// plain opens a page and waits for the tiny widget.
func (s *stage) plain(t *testing.T, user, path string) *tab {
	t.Helper()
	b := s.visit(s.browser, t, user, path)
	b.wait(`__sandbox.widgets.running('ringcast')`)
	return b
}

// testSandboxEightTabs: a browser has six connections for all of them, and a tab that held one for its pushes left none
// to the seventh.
func testSandboxEightTabs(t *testing.T, s *stage) {
	tabs := make([]*tab, 8)
	for i := range tabs {
		tabs[i] = s.plain(t, anna, "/leads/")
	}
	tabs[0].text(`APP.notifications.add_error({text: 'for all tabs'})`)
	for _, b := range tabs {
		b.wait(`__sandbox.toasts.some(({text}) => text === 'for all tabs')`)
	}
}

func testSandboxLists(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/contacts/list/")
	b.wait(`document.querySelectorAll('.list__check').length === 3`)
	b.want(`document.querySelector('.bar').hidden`, "true")
	b.pick(1001, 1002)
	b.picture("list")
	b.more("ringcast")
	const last = `told[told.length - 1]`
	b.want(`JSON.stringify(`+last+`[1].selected.map(({id, type, phones}) => [id, type, phones]))`,
		`[[1001,"contact",["+7900 555-01-11"]],[1002,"contact",["8(900) 555-02-22","+7 495 123-00-00 доб. 7"]]]`)
	b.want(`JSON.stringify(`+last+`[1].summary)`, `{"items":2,"emails":0,"phones":3}`)
	const model = `APP.data.current_list.where({id: 1001})[0]`
	b.want(model+`.get('name').url + ' ' + `+model+`.get('element_type') + ' ' + `+model+`.get('company_name').name`, "/contacts/detail/1001 1 Petrov & Sons")
	b.want(`APP.data.current_list.where({id: '1001'}).length`, "0")

	b.navigate("/companies/list/")
	b.pick(2001)
	b.more("ringcast")
	b.want(last+`[0] + ' ' + `+last+`[1].selected[0].type + ' ' + APP.data.current_list.where({id: 2001})[0].get('element_type')`, "contacts company 3")
	b.navigate("/leads/list/")
	b.pick(3001, 3002)
	b.picture("list-leads")
	b.more("ringcast")
	b.want(last+`[0] + ' ' + `+last+`[1].selected.map(({id, type}) => id + type).join()`, "leads 3001lead,3002lead")
	b.navigate("/contacts/detail/1001")
	b.want(`tiny.list_selected() + ' ' + APP.data.current_list`, "false false")
}

func testSandboxTelephonies(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/contacts/list/")
	b.click(`tr[data-id="1002"] .phone`)
	b.want(`JSON.stringify(told[told.length - 1])`, `["phone","8 (900) 555-02-22",1002]`) // one widget: the cell's text
	b.text(`__sandbox.addTelephony('Other')`)
	b.click(`tr[data-id="1002"] .phone`)
	b.want(`[...document.querySelectorAll('.phone-menu button')].map((button) => button.textContent).join()`, "Call with Tiny,Other")
	b.click(`.phone-menu [data-widget="other"]`)
	b.want(`__sandbox.dialled.join()`, "89005550222") // several: digits and plus only
	b.click(`tr[data-id="1002"] a`)
	b.click(".card .phone")
	b.click(`.phone-menu [data-widget="other"]`)
	b.want(`__sandbox.dialled[1]`, "8 (900) 555-02-22") // in a card as it was typed
}

func testSandboxCards(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/leads/detail/3001")
	b.wait(`document.querySelector('.card .phone')`)
	b.want(`document.querySelector('.card .phone').textContent + ' ' + APP.getBaseEntity() + ' ' + APP.data.current_card.id`, "+7 900 555-01-11 leads 3001")
	b.picture("lead")
	b.navigate("/companies/detail/2001")
	b.wait(`document.querySelector('.card .phone') && document.querySelector('.card .phone').textContent === '+7 495 100-20-30'`)
	b.navigate("/customers/detail/4001")
	b.wait(`document.querySelector('.card h2') && document.querySelector('.card h2').textContent.includes('The Petrovs')`)
	b.navigate("/leads/detail/7")
	b.wait(`/no such card/.test(document.querySelector('#page').textContent)`)
	b.navigate("/contacts/add/?phone=%2B79990000009")
	b.wait(`document.querySelector('#phone').value === '+79990000009'`)
	b.enter("#name", "From the form")
	b.click(".save")
	b.wait(`/contacts.detail/.test(location.pathname)`)
	b.navigate("/leads/")
	b.wait(`document.querySelectorAll('.board .lead').length === 1`)
	b.picture("board")
	for _, r := range s.amo.Requests() {
		if strings.HasPrefix(r.Path, "/api/") {
			t.Errorf("the page itself asked the API: %s %s", r.Method, r.Path)
		}
	}
}

func testSandboxTwig(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/leads/")
	b.text(`window.out = {}`)
	b.want(`tiny.render({data: '{% for n in list %}{{ n|upper }},{% endfor %}'}, {list: ['a', 'b']})`, "A,B,")
	b.want(`/value="&lt;b&gt;"/.test(tiny.render({ref: '/tmpl/controls/input.twig'}, {name: 'x', value: '<b>'}))`, "true")
	b.want(`tiny.render({ref: '/tmpl/controls/select.twig'}, {selected: 2, items: [{id: 1, option: 'one'}, {id: 2, option: 'two'}]}).includes('value="2" selected')`, "true")
	b.text(`tiny.render({href: '/templates/row.twig', base_path: tiny.params.path, v: tiny.get_version(), load: (template) => { out.file = template.render({ name: 'A & B' }); }}, {})`)
	b.wait(`out.file === '<b>A &amp; B</b>'`)
	b.text(`tiny.render({href: '/templates/row.twig', base_path: tiny.params.path, promised: true}, { name: 'C' }).then((html) => { out.promised = html; })`)
	b.wait(`out.promised === '<b>C</b>'`)
	b.text(`require(['twigjs', 'underscore', 'lib/components/base/confirm'], (twig, _, Confirm) => {
		out.module = twig({data: '{{ x }}'}).render({x: _.last([1, 2])});
		new Confirm({text: 'Really?', accept: () => { out.answer = 'yes'; }, decline: () => { out.answer = 'no'; }});
	})`)
	b.wait(`out.module === '2' && document.querySelector('.modal-confirm')`)
	b.click(".modal-confirm .js-modal-accept")
	b.wait(`out.answer === 'yes'`)
}

func testSandboxSDK(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/leads/")
	b.wait(`APP.sdk.showUserStatus('online').join() === '88888'`)
	other := s.plain(t, boris, "/leads/")
	b.wait(`APP.sdk.showUserStatus('online').join() === '88888,99999'`)
	b.want(`APP.sdk.showUserStatus(99999) + ' ' + APP.sdk.showUserStatus('nonsense')[88888].online`, "true true")
	other.close()
	b.wait(`APP.sdk.showUserStatus(99999) === false`)
	b.text(`(window.clicks = 0, APP.widgets.notificationsPhone({ns: '.x', click: () => clicks++}), APP.widgets.notificationsPhone({ns: '.x', click: () => clicks++}))`)
	b.click(`.menu__phone[data-ns=".x"]`)
	b.want(`clicks + ' ' + document.querySelectorAll('.menu__phone[data-ns=".x"]').length`, "1 1")
	b.text(`APP.widgets.destroyNotificationsPhone({ns: '.x'})`)
	b.want(`document.querySelectorAll('.menu__phone[data-ns=".x"]').length`, "0")
	b.want(`APP.constant('task_types')[2].name + ' ' + APP.constant('account').users[99999]`, "Meeting Boris Lvov")
}

func testSandboxHiddenTab(t *testing.T, s *stage) {
	front, back := s.plain(t, anna, "/leads/"), s.plain(t, anna, "/leads/")
	back.hide()
	front.wait(`APP.sdk.showUserStatus('online').length`)
	front.text(`(window.done = 0, APP.notifications.add_call({text: '<p>Ivan &amp; Co</p>', header: 'Call', from: 'a', to: 'b', duration: 65, link: 'https://pbx.example/1.mp3'}, {done: () => done++, always: () => done++}))`)
	front.wait(`done === 2 && __sandbox.toasts.length === 1`)
	front.want(`document.querySelector('.toast__meta').textContent`, "a → b · 01:05 Listen")
	back.wait(`__sandbox.desktop.length === 1`)
	back.want(`JSON.stringify(__sandbox.desktop[0]) + __sandbox.toasts.length`, `{"title":"Call","body":"Ivan & Co"}0`)
	if stored := s.amo.Notifications(); len(stored) != 1 || stored[0].Duration != "01:05" {
		t.Errorf("stored: %+v", stored)
	}
}

func testSandboxClosedError(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/leads/")
	b.text(`APP.notifications.show_message_error({header: 'x', text: 'broken'})`)
	b.click(`.toast[data-kind="error"] .toast__close`)
	b.text(`APP.notifications.show_message_error({header: 'x', text: 'broken'})`)
	b.reload()
	b.text(`APP.notifications.show_message_error({header: 'x', text: 'broken'})`)
	b.text(`APP.notifications.show_message_error({header: 'x', text: 'broken otherwise'})`)
	b.want(`__sandbox.toasts.map(({text}) => text).join()`, "broken otherwise")
}

func testSandboxTabs(t *testing.T, s *stage) {
	s.gateway.share()
	a, b := s.open(t, anna, "/leads/"), s.open(t, anna, "/leads/")
	if _, _, opened := s.gateway.seen(); opened != 1 {
		t.Errorf("%d connections for two tabs that share", opened)
	}
	a.hide()
	b.want(`document.visibilityState`, "visible")
	a.text(`(window.ticks = 0, setInterval(() => ticks++, 20))`)
	a.freeze()
	before := a.text(`ticks`)
	b.text(`new Promise((done) => setTimeout(done, 100)).then(() => { window.later = true; })`)
	b.wait(`window.later`)
	a.want(`ticks`, before)
	a.thaw()
	a.show()
	a.wait(`ticks > ` + before)
	b.offline(true)
	b.text(`(window.answer = '', fetch('/leads/').then(() => { answer = 'came'; }, () => { answer = 'failed'; }))`)
	b.wait(`answer === 'failed'`)
	b.offline(false)
	b.text(`fetch('/leads/').then(() => { answer = 'came'; })`)
	b.wait(`answer === 'came'`)
}

func testSandboxProfiles(t *testing.T, s *stage) {
	here, there := s.visit(s.at(t, "Anna's"), t, anna, "/leads/"), s.visit(s.at(t, "Boris's"), t, boris, "/leads/")
	there.text(`(window.heard = '', (window.channel = new BroadcastChannel('x')).onmessage = (e) => { heard = e.data; })`)
	here.text(`(localStorage.setItem('mine', '1'), new BroadcastChannel('x').postMessage('hello'))`)
	second := s.visit(s.at(t, "Anna's"), t, anna, "/leads/")
	second.want(`localStorage.getItem('mine')`, "1")
	there.want(`localStorage.getItem('mine') + heard`, "null")
}

func testSandboxCache(t *testing.T, s *stage) {
	b := s.plain(t, anna, "/leads/")
	lists := func() int {
		return len(slices.DeleteFunc(s.amo.Requests(), func(r sandbox.AmoRequest) bool { return r.Path != "/ajax/widgets/list" }))
	}
	before := lists()
	b.reload()
	b.wait(`__sandbox.widgets.running('ringcast')`)
	if lists() != before {
		t.Error("the list was asked for again at once")
	}
	b.text(`Object.keys(localStorage).filter((key) => key.startsWith('widgets:')).forEach((key) => {
		const kept = JSON.parse(localStorage[key]);
		localStorage[key] = JSON.stringify({...kept, at: kept.at - 1800001});
	})`)
	b.reload()
	b.wait(`__sandbox.widgets.running('ringcast')`)
	if lists() != before+1 {
		t.Errorf("%d lists after half an hour, want %d", lists(), before+1)
	}
}

const saveOff = `document.querySelector('.js-widget-save').disabled`

// put writes into a field of the settings window as its widget does.
func (b *tab) put(name, value string) {
	b.t.Helper()
	b.text(`require('jquery')('[name="` + name + `"]').val('` + value + `').trigger('change').length`)
}

func (s *stage) settings(t *testing.T, user string) *tab {
	t.Helper()
	b := s.visit(s.browser, t, user, "/settings/widgets/")
	b.click(`.tile[data-code="ringcast"]`)
	b.wait(`document.querySelector('.js-widget-save')`)
	return b
}

func testSandboxSettings(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.want(`document.querySelector('.widget_settings_block__descr').textContent`, "For acme at acme.amocrm.ru")
	b.want(`document.querySelector('[name=consent]').closest('.widget_settings_block__item_field').style.display`, "none")
	b.want(saveOff, "true")
	b.put("extensions[88888]", "101")
	b.want(saveOff, "true") // consent is required
	b.put("consent", "yes")
	b.want(saveOff, "false")
	b.picture("settings-window")
	b.click(".js-widget-save")
	b.wait(`__sandbox.saves.length === 1`)
	b.want(`JSON.stringify(__sandbox.saves[0])`,
		`{"active":"Y","fields":{"key":"","extensions":{"88888":"101","99999":""},"consent":"yes","mine":"1"},"result":true}`)
	s.until(t, "the settings to be saved", func() bool { return s.amo.WidgetSettings()["consent"] == "yes" })
	if got := s.amo.WidgetSettings()["extensions"]; got != `{"88888":"101","99999":""}` { // a string
		t.Errorf("extensions are %v", got)
	}
	b.wait(saveOff)
	b.text(`tiny.set_status('error')`)
	b.want(`document.querySelector('.tile').dataset.status + __sandbox.statuses`, "errorerror")
}

func testSandboxSettingsAdmin(t *testing.T, s *stage) {
	b := s.settings(t, boris)
	b.put("consent", "yes")
	b.click(".js-widget-save")
	b.wait(`/Only an administrator/.test(document.querySelector('.widget_settings_block__error').textContent)`)
	if s.amo.WidgetSettings()["consent"] != nil {
		t.Error("somebody who is no administrator changed the settings")
	}
}

func testSandboxSettingsRefused(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.text(`window.answer = false`)
	b.put("consent", "yes")
	b.click(".js-widget-save")
	b.wait(`/not configured/.test(document.querySelector('.widget_settings_block__error').textContent)`)
	if s.amo.WidgetStatus() != "not_configured" || s.amo.WidgetSettings()["consent"] != nil {
		t.Errorf("%s, %v", s.amo.WidgetStatus(), s.amo.WidgetSettings())
	}
	b.text(`window.answer = Promise.resolve(false)`) // on amoCRM a promise is something, whatever it comes to
	b.put("consent", "yes")
	b.click(".js-widget-save")
	s.until(t, "the settings to be saved", func() bool { return s.amo.WidgetStatus() == "installed" })
}

func testSandboxSettingsOff(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.click(".js-widget-uninstall")
	b.wait(`!__sandbox.widgets.running('ringcast')`)
	b.want(`told.slice(-2).map(([what, value]) => what + (value ? value.active : '')).join()`, "saveN,destroy")
	if s.amo.WidgetStatus() != "install" {
		t.Error(s.amo.WidgetStatus())
	}
	b.reload()
	b.wait(`document.querySelector('.tile[data-status="install"] b')`)
	b.want(`__sandbox.widgets.running('ringcast')`, "false")
}

func testSandboxInstall(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.want(`told.map(([what]) => what).join() + tiny.get_install_status()`, "settingsinstall")
	b.put("consent", "yes")
	b.click(".js-widget-install")
	b.wait(`__sandbox.widgets.running('ringcast')`)
	b.want(`told.map(([what]) => what).join()`, "settings,save,install,render,init,bind")
	b.want(`tiny.get_install_status()`, "installed")
}

func testSandboxOldWindow(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.put("key", "x")
	b.click(".js-widget-save") // it asks for what is missing only now
	b.wait(`/Consent/.test(document.querySelector('.widget_settings_block__error').textContent)`)
	b.put("consent", "yes")
	b.click(".js-widget-save")
	b.wait(`!document.querySelector('.modal') && __sandbox.widgets.running('ringcast')`)
	b.want(`__sandbox.saves[0].active`, "N") // there is no switch yet
	b.click(`.tile[data-code="ringcast"]`)
	b.click(`[name="widget_active"]`)
	b.click(".js-widget-save")
	b.wait(`!document.querySelector('.modal') && !__sandbox.widgets.running('ringcast')`)
	if s.amo.WidgetStatus() != "install" {
		t.Error(s.amo.WidgetStatus())
	}
}

func testSandboxKommo(t *testing.T, s *stage) {
	b := s.settings(t, anna)
	b.want(`document.querySelector('.who__host').textContent + ' ' + document.querySelector('.js-widget-save').textContent`, "acme.kommo.com Guardar")
	b.text(`window.answer = new Promise((done) => setTimeout(() => done(true), 50))`)
	b.put("consent", "yes")
	b.click(".js-widget-save")
	b.wait(`__sandbox.saves.length === 1 && __sandbox.saves[0].result === true`)
	b.want(`typeof tiny.system().amouser_id`, "string")
	b.text(`tiny.$authorizedAjax({url: '/leads/', beforeSend: (xhr, {headers}) => { window.token = headers['X-Auth-Token']; }})`)
	b.wait(`window.token`)
	b.want(`'is_admin' in JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')))`, "false")
	b.picture("kommo-settings")
	b.click(".modal-body__close")
	b.navigate("/contacts/list/")
	b.wait(`document.querySelectorAll('.list .phone').length`)
	b.click(`tr[data-id="1003"] .phone`)
	b.want(`told[told.length - 1][1]`, "+7 900 555-66-66")
	b.picture("kommo-contacts")
	b.navigate("/leads/")
	b.wait(`document.querySelector('.lead')`)
	b.want(`document.querySelector('.column h2').textContent`, "Leads entrantes")
	b.picture("kommo-leads")
	b.want(`[APP.constant('user_rights').is_free_user, APP.constant('managers')['88888'].free_user, APP.constant('managers')['99999'].free_user].join()`, "true,Y,N")
	b.text(`(window.codes = '', ['/templates/row.twig', '/script.js'].reduce(async (before, name) => {
		codes = (await before) + (await fetch(tiny.params.cdn_path + name)).status + ' ';
		return codes;
	}, ''))`)
	b.wait(`codes === '200 404 ' && tiny.params.cdn_path !== tiny.params.path`)
}
