package sandbox

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:generate go run ./amopage/fetch

//go:embed amopage/index.html amopage/app amopage/third_party
var amoFiles embed.FS

// AmoConfig describes a pretend amoCRM account.
type AmoConfig struct {
	Account   int64  // the account's id, positive
	Subdomain string // such as "acme"
	BaseURL   string // the page's origin, "iss" of its tokens; empty: what the browser asked for
	Lang      string // of the page, where its address has no lang=: "ru" (also when empty) or "en"

	Users    []AmoUser // at least one; the first is signed in where the page's address has no user=
	Contacts []AmoContact

	// The integration that the widget belongs to.
	ClientID     string         // a UUID
	ClientSecret string         // the key of its disposable tokens
	RedirectURI  string         // its scheme and host are "aud" of the tokens
	WidgetZip    []byte         // the archive as it would be uploaded; nil: no widget is installed
	Settings     map[string]any // what an administrator filled in, by the manifest's field codes

	Logger *slog.Logger // nil: slog.Default()
}

// AmoUser is a person who can sign in to the pretend amoCRM.
type AmoUser struct {
	ID    int64
	Name  string
	Admin bool
	Dark  bool // has the dark theme
}

// AmoContact is a contact as it is seeded.
type AmoContact struct {
	ID          int64 // positive, unique
	Name        string
	Phones      []string // as somebody typed them
	Company     string
	Responsible int64 // a user
}

// Amo is a pretend amoCRM: the web page that a widget runs in, and the API behind it, in memory. Everything is
// safe from many goroutines.
//
// It takes whoever is named in the page's address, ?user=88888, for signed in: several users can be shown side by
// side. The page says so again in the header X-Sandbox-User of its requests.
type Amo struct {
	cfg    AmoConfig
	aud    string
	log    *slog.Logger
	widget *amoWidget // nil: none installed
	page   *template.Template
	mux    *http.ServeMux
	start  time.Time

	mu       sync.Mutex
	contacts []amoContact
	notes    []AmoNote
	inbox    []AmoNotification
	lastID   int64
	streams  map[chan amoPush]int64 // an open page each → its user
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
	if cfg.Lang == "" {
		cfg.Lang = "ru"
	}
	redirect, err := url.Parse(cfg.RedirectURI)
	if err != nil {
		return nil, fmt.Errorf("sandbox amoCRM: redirect URI: %w", err)
	}
	page, err := template.ParseFS(amoFiles, "amopage/index.html")
	if err != nil {
		return nil, fmt.Errorf("sandbox amoCRM: %w", err)
	}
	a := &Amo{
		cfg:     cfg,
		aud:     redirect.Scheme + "://" + redirect.Hostname(), // the real ones drop the port
		log:     cfg.Logger,
		page:    page,
		start:   time.Now(),
		lastID:  1_000_000,
		streams: map[chan amoPush]int64{},
	}
	if cfg.WidgetZip != nil {
		if a.widget, err = newAmoWidget(cfg.WidgetZip); err != nil {
			return nil, fmt.Errorf("sandbox amoCRM: the widget's archive: %w", err)
		}
	}
	for _, c := range cfg.Contacts {
		if c.ID <= 0 || slices.ContainsFunc(a.contacts, func(o amoContact) bool { return o.ID == c.ID }) {
			return nil, fmt.Errorf("sandbox amoCRM: contact %q needs a positive id of its own", c.Name)
		}
		a.contacts = append(a.contacts, amoContact{AmoContact: c, updated: a.start})
	}
	a.mux = a.routes()
	return a, nil
}

func (a *Amo) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /amopage/", http.FileServerFS(amoFiles))
	for _, path := range []string{"/leads/", "/contacts/list/", "/contacts/detail/{id}", "/contacts/add/"} {
		mux.HandleFunc("GET "+path, a.servePage)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		to := url.URL{Path: "/leads/", RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, to.String(), http.StatusFound)
	})

	// What the page itself asks. The stream is the sandbox's own: an EventSource cannot send headers.
	mux.HandleFunc("GET /sandbox/stream", a.serveStream)
	mux.Handle("POST /ajax/v1/inbox/add/", a.signedIn(a.addToInbox))
	mux.Handle("POST /ajax/widgets/list", a.signedIn(a.listWidgets))
	mux.Handle("GET /ajax/v2/integrations/{client}/disposable_token", a.signedIn(a.disposableToken))
	mux.HandleFunc("GET /widget/{code}/{file...}", a.serveWidgetFile)

	mux.Handle("GET /api/v4/contacts", a.signedIn(a.listContacts))
	mux.Handle("POST /api/v4/contacts", a.signedIn(a.addContacts))
	mux.Handle("GET /api/v4/contacts/{id}", a.signedIn(a.getContact))
	mux.Handle("GET /api/v4/contacts/{id}/notes", a.signedIn(a.listNotes))
	mux.Handle("POST /api/v4/contacts/{id}/notes", a.signedIn(a.addNotes))
	mux.Handle("POST /api/v2/events", a.signedIn(a.addEvents))
	mux.Handle("POST /api/v2/events/{$}", a.signedIn(a.addEvents))
	return mux
}

// ServeHTTP serves the page and the API.
func (a *Amo) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// Notifications returns what is stored in the notification centre, oldest first.
func (a *Amo) Notifications() []AmoNotification {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.inbox)
}

// Notes returns the notes of all contacts, oldest first.
func (a *Amo) Notes() []AmoNote {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.notes)
}

// amoBoot is what the page is told when it is loaded.
type amoBoot struct {
	User    amoBootUser   `json:"user"`
	Users   []amoBootUser `json:"users"`
	Account int64         `json:"account"`
	Sub     string        `json:"subdomain"`
	Lang    string        `json:"lang"`
}

type amoBootUser struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
	Theme int    `json:"theme"` // 1 light, 2 dark
}

func bootUser(u AmoUser) amoBootUser {
	theme := 1
	if u.Dark {
		theme = 2
	}
	return amoBootUser{ID: u.ID, Name: u.Name, Admin: u.Admin, Theme: theme}
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
	boot := amoBoot{User: bootUser(user), Account: a.cfg.Account, Sub: a.cfg.Subdomain, Lang: a.cfg.Lang}
	if lang := r.URL.Query().Get("lang"); lang == "ru" || lang == "en" {
		boot.Lang = lang
	}
	for _, u := range a.cfg.Users {
		boot.Users = append(boot.Users, bootUser(u))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := a.page.Execute(w, boot); err != nil {
		a.log.WarnContext(r.Context(), "sandbox amoCRM: page not written", "err", err)
	}
}

func (a *Amo) user(id string) (AmoUser, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	i := slices.IndexFunc(a.cfg.Users, func(u AmoUser) bool { return u.ID == n })
	if err != nil || i < 0 {
		return AmoUser{}, false
	}
	return a.cfg.Users[i], true
}

// signedIn lets only signed-in users in, and writes the error of h as amoCRM does.
func (a *Amo) signedIn(h func(w http.ResponseWriter, r *http.Request, user AmoUser) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := a.user(r.Header.Get("X-Sandbox-User"))
		if !ok {
			writeAmoProblem(w, amoProblem{Status: http.StatusUnauthorized, Detail: "Unauthorized"})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		err := h(w, r, user)
		var problem amoProblem
		switch {
		case err == nil:
		case errors.As(err, &problem):
			writeAmoProblem(w, problem)
		default:
			a.log.WarnContext(r.Context(), "sandbox amoCRM: request failed", "path", r.URL.Path, "err", err)
			writeAmoProblem(w, amoProblem{Status: http.StatusInternalServerError, Detail: "Internal error"})
		}
	})
}

// origin is the page's origin as the browser sees it.
func (a *Amo) origin(r *http.Request) string {
	if a.cfg.BaseURL != "" {
		return strings.TrimRight(a.cfg.BaseURL, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// nextID returns a new id for an entity. The caller holds the lock.
func (a *Amo) nextID() int64 {
	a.lastID++
	return a.lastID
}
