package sandbox

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

//go:generate go run ./amopage/fetch

//go:embed amopage/index.html amopage/app amopage/third_party
var amoFiles embed.FS

// Amo is a pretend amoCRM: the web page that a widget runs in, and the API behind it, in memory. Everything is
// safe from many goroutines.
//
// It takes whoever is named in the page's address, ?user=88888, for signed in: several users can be shown side by
// side. The page says so again in the header X-Sandbox-User of its requests.
type Amo struct {
	cfg    AmoConfig
	aud    string
	log    *slog.Logger
	widget *amoWidget // nil: none was uploaded
	page   *template.Template
	mux    *http.ServeMux
	start  time.Time

	consent *template.Template
	where   atomic.Pointer[amoPlace]

	mu       sync.Mutex
	entities map[string][]*amoEntity // by kind
	notes    []AmoNote
	tasks    []AmoTask
	inbox    []AmoNotification
	lastID   int64
	streams  map[chan amoPush]int64 // an open page each → its user
	requests []AmoRequest
	budgets  map[string]*amoBudget
	faults   []*amoFault
	tokens   *amoTokens
	calls    []*AmoCall
	unsorted []*amoUnsorted
	events   []AmoEvent
	status   string         // of the widget: install, installed, not_configured
	settings map[string]any // of the widget, as they are saved
}

// NewAmo returns a pretend amoCRM. It fails if the config makes no sense or the widget's archive would not be
// accepted.
func NewAmo(cfg AmoConfig) (*Amo, error) {
	if cfg.Account <= 0 || cfg.Subdomain == "" || len(cfg.Users) == 0 {
		return nil, errors.New("sandbox amoCRM: account, subdomain and at least one user are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Platform = cmp.Or(cfg.Platform, AmoPlatform)
	lang, known := map[string]string{AmoPlatform: "ru", KommoPlatform: "en"}[cfg.Platform]
	cfg.Lang = cmp.Or(cfg.Lang, lang)
	if !known || !slices.Contains(amoLangs, cfg.Lang) {
		return nil, fmt.Errorf("sandbox amoCRM: platform %q or language %q is not known", cfg.Platform, cfg.Lang)
	}
	for _, u := range cfg.Users {
		if u.Lang != "" && !slices.Contains(amoLangs, u.Lang) {
			return nil, fmt.Errorf("sandbox amoCRM: the language %q of %s is not known", u.Lang, u.Name)
		}
	}
	redirect, err := url.Parse(cfg.RedirectURI)
	if err != nil {
		return nil, fmt.Errorf("sandbox amoCRM: redirect URI: %w", err)
	}
	page, pageErr := template.ParseFS(amoFiles, "amopage/index.html")
	consent, consentErr := newAmoConsent()
	tokens, tokensErr := newAmoTokens(cfg)
	if err := errors.Join(pageErr, consentErr, tokensErr); err != nil {
		return nil, fmt.Errorf("sandbox amoCRM: %w", err)
	}
	a := &Amo{
		cfg:      cfg,
		aud:      redirect.Scheme + "://" + redirect.Hostname(), // the real ones drop the port
		log:      cfg.Logger,
		page:     page,
		consent:  consent,
		tokens:   tokens,
		start:    time.Now(),
		entities: map[string][]*amoEntity{},
		lastID:   10_000_000,
		streams:  map[chan amoPush]int64{},
		budgets:  map[string]*amoBudget{},
		status:   amoInstalled,
		settings: maps.Clone(cfg.Settings),
	}
	place := newAmoPlace(cfg.BaseURL, cfg.Domain, cfg.Subdomain)
	a.where.Store(&place)
	if cfg.WidgetZip != nil {
		if a.widget, err = newAmoWidget(cfg.WidgetZip); err != nil {
			return nil, fmt.Errorf("sandbox amoCRM: the widget's archive: %w", err)
		}
	}
	if cfg.NotInstalled {
		a.status = amoInstall
	}
	if err := a.seed(); err != nil {
		return nil, fmt.Errorf("sandbox amoCRM: %w", err)
	}
	a.mux = a.routes()
	return a, nil
}

func (a *Amo) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(pattern string, h amoHandler) { mux.Handle(pattern, a.signedIn(h)) }
	a.pageRoutes(mux, handle)
	a.oauthRoutes(mux)
	a.restRoutes(handle)
	a.widgetRoutes(mux, handle)
	handle("POST /ajax/v1/inbox/add/", a.addToInbox)
	return mux
}

// ServeHTTP serves the page and the API.
func (a *Amo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !recorded(r) {
		if !a.failed(w, r) {
			a.mux.ServeHTTP(w, r)
		}
		return
	}
	answer := &amoAnswer{ResponseWriter: w}
	number := a.record(r)
	defer func() { a.recordStatus(number, answer.status) }()
	w.Header().Set("X-Request-Id", amoUUID())
	if err := a.metered(r); err != nil {
		a.writeError(answer, r, err)
	} else if !a.failed(answer, r) {
		a.mux.ServeHTTP(answer, r)
	}
}

// Notifications returns what is stored in the notification centre, oldest first.
func (a *Amo) Notifications() []AmoNotification {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.inbox)
}

// Notes returns the notes of all entities, oldest first.
func (a *Amo) Notes() []AmoNote {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes)
}

// Tasks returns all tasks, oldest first.
func (a *Amo) Tasks() []AmoTask {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.tasks)
}

// Leads returns all leads, those of the config first.
func (a *Amo) Leads() []AmoLead {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []AmoLead{}
	for _, e := range a.entities[amoLeads] {
		list = append(list, AmoLead{ID: e.ID, Name: e.Name, Price: e.Price, Status: e.Status, Responsible: e.Responsible})
	}
	return list
}

// Contacts returns all contacts, those of the config first.
func (a *Amo) Contacts() []AmoContact {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []AmoContact{}
	for _, e := range a.entities[amoContacts] {
		c := AmoContact{
			ID: e.ID, Name: e.Name, Phones: slices.Clone(e.Phones), Emails: slices.Clone(e.Emails), CompanyID: e.Company,
			Leads: slices.Clone(e.Leads), Customers: slices.Clone(e.Customers), Responsible: e.Responsible,
		}
		if company := a.entity(amoCompanies, e.Company); company != nil {
			c.Company = company.Name
		}
		list = append(list, c)
	}
	return list
}

func (a *Amo) user(id string) (AmoUser, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	i := slices.IndexFunc(a.cfg.Users, func(u AmoUser) bool { return u.ID == n })
	if err != nil || i < 0 {
		return AmoUser{}, false
	}
	return a.cfg.Users[i], true
}

// origin is the page's origin as the browser sees it.
func (a *Amo) origin(r *http.Request) string {
	if at := a.where.Load(); at.base != "" {
		return at.base
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
