package sandbox

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

// The platforms. They are one program with two faces, and with small differences in what they tell a widget.
const (
	AmoPlatform   = "amocrm"
	KommoPlatform = "kommo"
)

var amoLangs = []string{"ru", "en", "uk", "es", "pt"} // fixed: those the page speaks

// pageRoutes are the page itself and what it asks for to show it: none of it is a part of amoCRM's API, and none
// of it counts as a request.
func (a *Amo) pageRoutes(mux *http.ServeMux, handle func(pattern string, h amoHandler)) {
	mux.Handle("GET /amopage/", http.FileServerFS(amoFiles))
	pages := []string{"/leads/", "/leads/list/", "/contacts/list/", "/companies/list/", "/contacts/add/", "/settings/widgets/"}
	for _, kind := range amoKinds {
		pages = append(pages, "/"+kind+"/detail/{id}")
	}
	for _, path := range pages {
		mux.HandleFunc("GET "+path, a.servePage)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: "/leads/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusFound)
	})
	mux.HandleFunc("GET /sandbox/stream", a.serveStream) // a WebSocket cannot send headers
	for _, kind := range amoKinds {
		handle("GET /sandbox/list/"+kind, a.pageList(kind))
		handle("GET /sandbox/card/"+kind+"/{id}", a.pageCard(kind))
	}
	handle("POST /sandbox/contacts", a.addEntities(amoContacts))
}

// amoBoot is what the page is told when it is loaded.
type amoBoot struct {
	User      amoBootUser   `json:"user"`
	Users     []amoBootUser `json:"users"`
	Account   int64         `json:"account"`
	Sub       string        `json:"subdomain"`
	Platform  string        `json:"platform"`
	Host      string        `json:"host"` // as the address of a real account would have it
	Lang      string        `json:"lang"`
	TaskTypes []amoBootType `json:"task_types"`
	OldWindow bool          `json:"old_window"`
}

type amoBootUser struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
	Free  bool   `json:"free"`
	Theme int    `json:"theme"` // 1 light, 2 dark
}

type amoBootType struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

func bootUser(u AmoUser) amoBootUser {
	theme := 1
	if u.Dark {
		theme = 2
	}
	return amoBootUser{ID: u.ID, Name: u.Name, Admin: u.Admin, Free: u.Free, Theme: theme}
}

func (a *Amo) servePage(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("user")
	user, ok := a.user(id)
	if id == "" {
		user, ok = a.cfg.Users[0], true
	}
	if !ok {
		http.Error(w, "There is no user "+id+" in this account.", http.StatusNotFound)
		return
	}
	sub := a.where.Load().subdomain
	boot := amoBoot{
		User: bootUser(user), Account: a.cfg.Account, Sub: sub, Platform: a.cfg.Platform, Lang: cmp.Or(user.Lang, a.cfg.Lang),
		Host: sub + ".amocrm.ru", Users: []amoBootUser{}, TaskTypes: []amoBootType{}, OldWindow: a.cfg.OldWindow,
	}
	if a.cfg.Platform == KommoPlatform {
		boot.Host = sub + ".kommo.com"
	}
	if lang := r.URL.Query().Get("lang"); slices.Contains(amoLangs, lang) {
		boot.Lang = lang
	}
	for _, u := range a.cfg.Users {
		boot.Users = append(boot.Users, bootUser(u))
	}
	for _, t := range a.taskTypes() {
		boot.TaskTypes = append(boot.TaskTypes, amoBootType(t))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := a.page.Execute(w, boot); err != nil {
		a.log.WarnContext(r.Context(), "sandbox amoCRM: page not written", "err", err)
	}
}

// amoRow is an entity as the page shows it in a list and in a card, with what it is linked with.
type amoRow struct {
	ID          int64    `json:"id"`
	Kind        string   `json:"kind"`
	Type        int      `json:"type"` // as the browser's models have it: 1 contact, 2 lead, 3 company, 12 customer
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Phones      []string `json:"phones"`
	Emails      []string `json:"emails"`
	Price       int64    `json:"price"`
	Status      int64    `json:"status"`
	Responsible int64    `json:"responsible"`
	Company     *amoRow  `json:"company,omitempty"`
	Contacts    []amoRow `json:"contacts,omitempty"`
	Leads       []amoRow `json:"leads,omitempty"`
	Customers   []amoRow `json:"customers,omitempty"`
}

func (e *amoEntity) row() amoRow {
	return amoRow{
		ID: e.ID, Kind: e.Kind, Type: map[string]int{amoContacts: 1, amoLeads: 2, amoCompanies: 3, amoCustomers: 12}[e.Kind],
		Name: e.Name, URL: fmt.Sprintf("/%s/detail/%d", e.Kind, e.ID), Phones: append([]string{}, e.Phones...), Emails: append([]string{}, e.Emails...),
		Price: e.Price, Status: e.Status, Responsible: e.Responsible,
	}
}

// linkedRow has what the user may see of the entities that e is linked with. The caller holds the lock.
func (a *Amo) linkedRow(e *amoEntity, user AmoUser) amoRow {
	row := e.row()
	for _, kind := range amoKinds {
		if kind == e.Kind {
			continue
		}
		for _, other := range a.linked(e, kind) {
			if !user.may(user.right(kind).View, other.Responsible) {
				continue
			}
			switch kind {
			case amoContacts:
				row.Contacts = append(row.Contacts, other.row())
			case amoCompanies:
				company := other.row()
				row.Company = &company
			case amoLeads:
				row.Leads = append(row.Leads, other.row())
			case amoCustomers:
				row.Customers = append(row.Customers, other.row())
			}
		}
	}
	return row
}

func (a *Amo) pageList(kind string) amoHandler {
	return func(w http.ResponseWriter, _ *http.Request, user AmoUser) error {
		rows := []amoRow{}
		a.mu.Lock()
		for _, e := range a.find(user, kind, amoQuery{}) {
			rows = append(rows, a.linkedRow(e, user))
		}
		a.mu.Unlock()
		writeAmo(w, http.StatusOK, "application/json", map[string]any{"items": rows})
		return nil
	}
}

func (a *Amo) pageCard(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		e, err := a.visible(user, kind, r.PathValue("id"))
		if err != nil {
			return err
		}
		notes, tasks := []map[string]any{}, []map[string]any{}
		for _, n := range a.notes {
			if n.Kind == kind && n.Entity == e.ID {
				notes = append(notes, n.body())
			}
		}
		for _, t := range a.tasks {
			if t.Kind == kind && t.Entity == e.ID {
				tasks = append(tasks, t.body(a.cfg.Account))
			}
		}
		writeAmo(w, http.StatusOK, "application/json", map[string]any{"item": a.linkedRow(e, user), "notes": notes, "tasks": tasks})
		return nil
	}
}
