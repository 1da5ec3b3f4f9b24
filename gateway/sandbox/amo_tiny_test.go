package sandbox_test

import (
	"archive/zip"
	"bytes"
	"context"
	"net/http/httptest"
	"testing"

	"ringcast/gateway/sandbox"
)

// tinyWidget is a widget that does nothing but tell: what it was asked is in window.told, in order, and
// window.answer is what its onSave returns.
const tinyWidget = `define(['jquery'], function ($) {
  window.told = window.told || [];
  return function Tiny() {
    const self = window.tiny = this;
    const tell = (what, answer) => (...args) => { told.push([what, ...args]); return answer; };
    this.callbacks = {
      render: tell('render', true),
      init() { self.add_action('phone', ({ value, model }) => told.push(['phone', value, model.get('id')])); told.push(['init']); return true; },
      bind_actions: tell('bind', true),
      settings($body, context) { self.$body = $body; told.push(['settings', typeof context]); $body.find('.widget_settings_block__fields').append('<input name="mine" value="1"><input value="nameless">'); },
      onSave(value) { told.push(['save', value]); return 'answer' in window ? window.answer : true; },
      onInstall: tell('install'),
      destroy: tell('destroy'),
      contacts: { selected: () => told.push(['contacts', self.list_selected()]) },
      leads: { selected: () => told.push(['leads', self.list_selected()]) },
    };
    return this;
  };
});`

const tinyManifest = `{"widget":{"name":"widget.name","description":"widget.description","version":"1.0.0","interface_version":2,"init_once":true,"locale":["en","es"],"installation":true},
"locations":["everywhere"],"settings":{"key":{"name":"settings.key","type":"text","required":false},"extensions":{"name":"settings.extensions","type":"users","required":false},
"consent":{"name":"settings.consent","type":"custom","required":true}}}`

const tinyTexts = `{"widget":{"name":"Tiny","description":"For #SUBDOMAIN# at #HOST#","short_description":"Tells","call_action":"Call with Tiny"},
"settings":{"key":"Key","extensions":"Extensions","consent":"Consent"}}`

// newTinyStage makes a stage where that widget is installed instead of Ringcast's. It has no gateway.
func newTinyStage(browser context.Context, t *testing.T, cfg sandbox.AmoConfig) *stage {
	t.Helper()
	files := map[string]string{"manifest.json": tinyManifest, "script.js": tinyWidget, "i18n/en.json": tinyTexts, "i18n/es.json": tinyTexts, "templates/row.twig": "<b>{{ name|e }}</b>"}
	for _, logo := range []string{"logo_main", "logo_medium", "logo", "logo_small", "logo_min"} {
		files["images/"+logo+".png"] = ""
	}
	var archive bytes.Buffer
	zw := zip.NewWriter(&archive)
	for name, content := range files {
		w, err := zw.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.WidgetZip = archive.Bytes()
	amo, err := sandbox.NewAmo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(amo)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return &stage{amo: amo, url: srv.URL, browser: browser}
}
