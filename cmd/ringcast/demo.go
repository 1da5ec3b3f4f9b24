package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
	"ringcast/static"
	"ringcast/widget"
)

const demoAccount = "demo"

// The people of the demo, and who may call them.
var ( // fixed
	demoUsers = []gateway.User{
		{ID: "88888", Name: "Anna", Extensions: []string{"101"}},
		{ID: "99999", Name: "Boris", Extensions: []string{"102"}},
	}
	demoContacts = []sandbox.AmoContact{
		{ID: 1003619, Name: "Ivan Petrov", Phones: []string{"+7 900 555-01-11"}, Company: "Petrov & Sons", Leads: []int64{501}, Responsible: 88888},
		{ID: 1003620, Name: "Maria Sokolova", Phones: []string{"+7 (900) 555-01-22"}, Company: "Northern Lights", Leads: []int64{502, 503}, Responsible: 99999},
		{ID: 1003621, Name: "Olga Kim", Phones: []string{"8 900 555 01 33", "+7 495 555-01-33"}, Company: "Kim Studio", Leads: []int64{504}, Responsible: 88888},
		{ID: 1003622, Name: "Pavel Orlov", Phones: []string{"+7 900 555-01-44"}, Company: "Orlov Logistics", Leads: []int64{505}, Responsible: 99999},
		{ID: 1003623, Name: "Elena Vlasova", Phones: []string{"+380 99 555 01 55"}, Company: "Vlasova Design", Responsible: 88888},
		{ID: 1003624, Name: "Timur Akhmetov", Phones: []string{"+7 701 555 01 66"}, Company: "Steppe Energy", Leads: []int64{506}, Responsible: 99999},
	}
	demoLeads = []sandbox.AmoLead{
		{ID: 501, Name: "Oak for the porch", Price: 48000, Status: 101, Responsible: 88888},
		{ID: 502, Name: "Lighting of the hall", Price: 310000, Status: 102, Responsible: 99999},
		{ID: 503, Name: "Lanterns", Price: 26000, Status: sandbox.AmoStatusWon, Responsible: 99999},
		{ID: 504, Name: "Summer catalogue", Price: 95000, Status: 103, Responsible: 88888},
		{ID: 505, Name: "Three lorries a week", Price: 180000, Status: 102, Responsible: 99999},
		{ID: 506, Name: "Pilot plant", Price: 720000, Status: 101, Responsible: 99999},
	}
)

// demo runs the gateway, a pretend PBX and a pretend amoCRM in one process.
func (a *app) demo(ctx context.Context, flags *flag.FlagSet, args []string) error {
	addr := flags.String("listen", "127.0.0.1:8080", "the `address` of the page to open")
	crmAddr := flags.String("listen-crm", "127.0.0.1:0", "the `address` of the pretend CRM, which the page shows in frames")
	level := flags.String("log-level", "warn", "what to log: debug, info, warn or error")
	if err := parse(flags, args); err != nil {
		return err
	}
	logger, err := a.logger(*level)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ringcast-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			logger.Warn("the demo's data are left behind", "dir", dir, "err", err)
		}
	}()
	return a.playDemo(ctx, *addr, *crmAddr, dir, logger)
}

func (a *app) playDemo(ctx context.Context, addr, crmAddr, dir string, logger *slog.Logger) error {
	// Streams to browsers have no end of their own: they end with this, before the servers close.
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	var crm swappable
	crmServer, err := listen(ctx, crmAddr, &crm, logger)
	if err != nil {
		return elsewhere(err, "-listen-crm")
	}
	crmServer.http.BaseContext = func(net.Listener) context.Context { return streams }
	defer func() { _ = crmServer.close() }()

	cfg := demoConfig(addr, dir, "http://"+crmServer.addr().String())
	n, err := openNode(ctx, cfg, logger)
	if err != nil {
		return elsewhere(err, "-listen")
	}
	n.web.http.BaseContext = crmServer.http.BaseContext
	pbx, err := sandbox.NewPBX(sandbox.PBXConfig{AutoAnswer: true, Logger: logger})
	if err != nil {
		return errors.Join(err, n.abandon())
	}
	n.gateway.Attach(demoAccount, "desk", pbx)
	if crm.Handler, err = demoCRM(cfg, logger); err != nil { //nolint:contextcheck // its requests have contexts of their own
		return errors.Join(err, n.abandon())
	}
	n.demoRoutes(pbx, crmServer.addr())
	context.AfterFunc(ctx, endStreams)
	return n.run(ctx, func() {
		crmServer.serve(make(chan error, 1))
		fmt.Fprintf(a.stdout, "Ringcast demo: open http://%s/ in a browser. Ctrl-C ends it.\n", n.web.addr())
		if a.started != nil {
			a.started(n)
		}
	})
}

// elsewhere adds to a failure to listen which flag takes another address.
func elsewhere(err error, flag string) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w with %s, such as %s 127.0.0.1:8090", err, flag, flag)
	}
	return err
}

// swappable is a handler that is set after its server has an address.
type swappable struct{ http.Handler }

func demoConfig(addr, dir, crmURL string) *Config {
	return &Config{
		Listen: addr, OpsListen: "127.0.0.1:0", DataDir: dir, Durability: durabilityFast, Origins: []string{crmURL}, DrainTime: 2 * time.Second,
		Accounts: []AccountConfig{{
			ID: demoAccount, Region: "RU", Users: demoUsers,
			AmoCRM: &AmoCRMConfig{
				Domain: "demo.amocrm.ru", ClientID: "6f3f2e0a-0c7d-4f0e-9c55-0d5b1f0f7a11",
				ClientSecrets: []Secret{Secret(rand.Text() + rand.Text())}, RedirectURI: "http://127.0.0.1/oauth", BaseURL: crmURL,
			},
		}},
	}
}

func demoCRM(cfg *Config, logger *slog.Logger) (http.Handler, error) {
	archive, err := buildWidget(cfg.PublicURL, widget.Version)
	if err != nil {
		return nil, err
	}
	crm := cfg.Accounts[0].AmoCRM
	amo := sandbox.AmoConfig{
		Account: 12345678, Subdomain: "demo", BaseURL: crm.BaseURL, Lang: "en", Contacts: demoContacts, Leads: demoLeads,
		ClientID: crm.ClientID, ClientSecret: string(crm.ClientSecrets[0]), RedirectURI: crm.RedirectURI, WidgetZip: archive, Logger: logger,
	}
	extensions := map[string]string{}
	amo.Settings = map[string]any{"consent": "yes", "extensions": extensions}
	for _, u := range demoUsers {
		extensions[u.ID] = u.Extensions[0]
		id, err := strconv.ParseInt(u.ID, 10, 64)
		if err != nil {
			return nil, err
		}
		amo.Users = append(amo.Users, sandbox.AmoUser{ID: id, Name: u.Name, Admin: u.ID == "88888"})
	}
	return sandbox.NewAmo(amo)
}

// demoRoutes adds the demo's page and what it asks for.
func (n *node) demoRoutes(pbx *sandbox.PBX, crm net.Addr) {
	type user struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Extension string `json:"extension"`
		CRM       string `json:"crm"`
	}
	type caller struct {
		Number string `json:"number"`
		Name   string `json:"name,omitempty"`
		Known  bool   `json:"known"`
	}
	page := struct {
		PBX     string   `json:"pbx"`
		Users   []user   `json:"users"`
		Callers []caller `json:"callers"`
	}{PBX: "/demo/pbx", Callers: []caller{
		{demoContacts[0].Phones[0], demoContacts[0].Name, true},
		{demoContacts[1].Phones[0], demoContacts[1].Name, true},
		{"+7 900 555-09-99", "", false},
	}}
	for _, u := range demoUsers {
		at := url.URL{Scheme: "http", Host: crm.String(), Path: "/contacts/list/", RawQuery: url.Values{"user": {u.ID}}.Encode()}
		page.Users = append(page.Users, user{u.ID, u.Name, u.Extensions[0], at.String()})
	}
	n.mux.Handle("GET /{$}", http.RedirectHandler("/demo/", http.StatusFound))
	n.mux.Handle("/demo/", http.FileServerFS(static.Demo))
	n.mux.HandleFunc("/demo/config.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, page) })
	n.mux.Handle("/demo/pbx/", http.StripPrefix("/demo/pbx", pbx.Handler()))
}
