package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// AmoConfig describes a pretend amoCRM account.
type AmoConfig struct {
	Account   int64  // the account's id, positive
	Subdomain string // such as "acme"
	Platform  string // AmoPlatform (also when empty) or KommoPlatform
	BaseURL   string // the page's origin, "iss" of its tokens; empty: what the browser asked for
	Domain    string // what integrations are told as "referer", such as acme.amocrm.ru; empty: the host of BaseURL
	Lang      string // of the page, where its address has no lang=: ru, en, uk, es or pt; empty: the platform's own

	Users     []AmoUser // at least one; the first is signed in where the page's address has no user=
	Contacts  []AmoContact
	Companies []AmoCompany
	Leads     []AmoLead
	Customers []AmoCustomer
	TaskTypes []AmoTaskType // nil: amoCRM's own two; empty and not nil: the page knows none

	// RateLimit is how many requests a second the API takes from an integration, and from the pages of a user. 0:
	// seven, as documented for an integration; a browser that asks for one thing after another stays below it. With
	// Kommo's it is for all integrations of an address. AccountLimit is for all integrations of the account together,
	// 0: fifty. Negative: no limit.
	RateLimit    int
	AccountLimit int

	// Second is how long a second of the limits lasts, and their bans by it; 0: a second. For tests that have no time.
	Second time.Duration

	// Clock is what the lives of codes and tokens of integrations are measured by; nil: time.Now.
	Clock func() time.Time

	// NoFilter is an account whose API filter is not enabled: it says so, and takes no notice of filter[…] in lists.
	NoFilter bool

	NoUnsorted bool // the account's unsorted stage is switched off

	// RefuseDoubles lets unsorted refuse what was added before. The documentation says that it does, and not by what it
	// tells; here it is by source_uid and uniq. Without it what is sent twice is there twice, for tests to see.
	RefuseDoubles bool

	// The integration that the widget belongs to.
	ClientID     string         // a UUID
	ClientSecret string         // the key of its disposable tokens
	RedirectURI  string         // its scheme and host are "aud" of the tokens
	WidgetZip    []byte         // the archive as it would be uploaded; nil: there is no widget
	NotInstalled bool           // the widget waits in the settings for an administrator to install it
	Settings     map[string]any // what an administrator filled in, by the manifest's field codes
	OldWindow    bool           // the settings window is that of 2017: see the page's app/settings.js
	UninstallURI string         // as AmoIntegration has it, and so the next ones
	Private      bool
	Scopes       []string
	Hooks        bool // who installs or switches off in the settings window makes the CRM call the integration

	Integrations []AmoIntegration // other integrations of the account

	Logger *slog.Logger // nil: slog.Default()
}

// AmoUser is a person who can sign in to the pretend amoCRM.
type AmoUser struct {
	ID     int64
	Name   string
	Admin  bool                 // may do everything, whatever Rights says
	Free   bool                 // has no paid seat
	Dark   bool                 // has the dark theme
	Lang   string               // his own, as AmoConfig.Lang; empty: that
	Rights map[string]AmoRights // by kind: contacts, companies, leads, customers, tasks; a missing kind: everything
}

// AmoRights says what a user may do with entities of one kind, in amoCRM's letters: "A" (also when empty) all of
// them, "M" those that he is responsible for, "D" none. What he may not view does not exist for him.
type AmoRights struct {
	View, Add, Edit string
}

// AmoContact is a contact of the account.
type AmoContact struct {
	ID          int64    // positive, unique among contacts
	Name        string   //
	Phones      []string // as somebody typed them
	Emails      []string
	Company     string // the name of its company, which is made if there is none of that name
	CompanyID   int64  // its company by id; 0: by Company
	Leads       []int64
	Customers   []int64
	Responsible int64 // a user
}

// AmoCompany is a company of the account.
type AmoCompany struct {
	ID          int64
	Name        string
	Phones      []string
	Emails      []string
	Leads       []int64 // those of the company itself
	Customers   []int64
	Responsible int64
}

// The statuses of a lead that is closed, in every pipeline.
const (
	AmoStatusWon  = 142
	AmoStatusLost = 143
)

// AmoLead is a lead, also called a deal.
type AmoLead struct {
	ID          int64
	Name        string
	Price       int64
	Status      int64 // 0 or 101: the first of the pipeline; 102, 103: the next ones; AmoStatusWon, AmoStatusLost: closed
	Responsible int64
}

// AmoCustomer is a customer: somebody who buys again and again.
type AmoCustomer struct {
	ID          int64
	Name        string
	Responsible int64
}

// AmoTaskType is a kind of task.
type AmoTaskType struct {
	ID   int64
	Name string
}

// AmoNote is a note in the card of an entity.
type AmoNote struct {
	ID        int64
	Kind      string // of the entity: contacts, companies, leads, customers
	Entity    int64
	Author    int64  // a user; 0: the robot
	Type      string // common, call_in, call_out
	Text      string // of a call: its result
	CreatedAt time.Time
	Call      *AmoCall // of call_in and call_out

	updated time.Time
}

// AmoTask is something that a user has to do.
type AmoTask struct {
	ID          int64
	Text        string
	Type        int64 // 1 follow-up, 2 meeting
	Till        time.Time
	Kind        string // of the entity, as in AmoNote; empty: the task stands alone
	Entity      int64
	Responsible int64
	Author      int64
	CreatedAt   time.Time
}

// The kinds of entities, as the API's paths name them.
const (
	amoContacts  = "contacts"
	amoCompanies = "companies"
	amoLeads     = "leads"
	amoCustomers = "customers"
)

var amoKinds = []string{amoContacts, amoCompanies, amoLeads, amoCustomers} // fixed

// seed takes the config's entities over, and refuses links that lead nowhere.
func (a *Amo) seed() error {
	for _, c := range a.cfg.Contacts {
		a.entities[amoContacts] = append(a.entities[amoContacts], &amoEntity{
			ID: c.ID, Name: c.Name, Phones: c.Phones, Emails: c.Emails, Company: c.CompanyID, Leads: c.Leads, Customers: c.Customers, Responsible: c.Responsible,
		})
	}
	for _, c := range a.cfg.Companies {
		a.entities[amoCompanies] = append(a.entities[amoCompanies], &amoEntity{
			ID: c.ID, Name: c.Name, Phones: c.Phones, Emails: c.Emails, Leads: c.Leads, Customers: c.Customers, Responsible: c.Responsible,
		})
	}
	for _, l := range a.cfg.Leads {
		a.entities[amoLeads] = append(a.entities[amoLeads], &amoEntity{ID: l.ID, Name: l.Name, Price: l.Price, Status: l.Status, Responsible: l.Responsible})
	}
	for _, c := range a.cfg.Customers {
		a.entities[amoCustomers] = append(a.entities[amoCustomers], &amoEntity{ID: c.ID, Name: c.Name, Responsible: c.Responsible})
	}
	for i, c := range a.cfg.Contacts {
		if c.Company != "" && c.CompanyID == 0 {
			a.entities[amoContacts][i].Company = a.companyNamed(c.Company, c.Responsible)
		}
	}
	for _, kind := range amoKinds {
		seen := map[int64]bool{}
		for _, e := range a.entities[kind] {
			if e.ID <= 0 || seen[e.ID] {
				return fmt.Errorf("one of the %s, %q, needs a positive id of its own", kind, e.Name)
			}
			seen[e.ID] = true
			e.Kind, e.created, e.updated = kind, a.start, a.start
			if kind == amoLeads && e.Status == 0 {
				e.Status = amoFirstStatus
			}
		}
	}
	var errs []error
	for _, kind := range amoKinds {
		for _, e := range a.entities[kind] {
			errs = append(errs, a.checkLinks(e))
		}
	}
	return errors.Join(errs...)
}

func (a *Amo) companyNamed(name string, responsible int64) int64 {
	i := slices.IndexFunc(a.entities[amoCompanies], func(e *amoEntity) bool { return e.Name == name })
	if i >= 0 {
		return a.entities[amoCompanies][i].ID
	}
	e := &amoEntity{ID: a.nextID(), Name: name, Responsible: responsible}
	a.entities[amoCompanies] = append(a.entities[amoCompanies], e)
	return e.ID
}

func (a *Amo) checkLinks(e *amoEntity) error {
	links := map[string][]int64{amoLeads: e.Leads, amoCustomers: e.Customers}
	if e.Company != 0 {
		links[amoCompanies] = []int64{e.Company}
	}
	for kind, ids := range links {
		for _, id := range ids {
			if a.entity(kind, id) == nil {
				return fmt.Errorf("%s %d is linked with %s %d, which does not exist", e.Kind, e.ID, kind, id)
			}
		}
	}
	return nil
}
