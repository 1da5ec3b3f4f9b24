package gateway

import "maps"

// Account is one company's CRM account: the tenant.
type Account struct {
	ID     string
	Region string // ISO 3166 alpha-2, for numbers without a country code
	Users  []User
}

// User is a person of an account, by the CRM's id.
type User struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Extensions []string `json:"extensions"`
	Email      string   `json:"email,omitempty"`     // another name for him, as Phonet's clients use
	CallerID   string   `json:"caller_id,omitempty"` // what those he calls see; "": what the PBX sets
}

// Directory knows the accounts and who sits behind an extension. All methods may be called from many
// goroutines and must not block: they are asked for every event.
type Directory interface {
	Account(account string) (Account, bool)
	User(account, user string) (User, bool)
	ByExtension(account, extension string) (User, bool)
}

// Accounts is a Directory that does not change.
type Accounts struct{ accounts map[string]*tenant }

// tenant is an account and where its users are found.
type tenant struct {
	Account
	users map[string]User
	byExt map[string]User
}

var _ Directory = (*Accounts)(nil)

// NewAccounts returns the directory of the given accounts. An extension that two users of an account
// share belongs to the first.
func NewAccounts(accounts ...Account) *Accounts {
	d := &Accounts{accounts: make(map[string]*tenant, len(accounts))}
	for _, a := range accounts {
		d.accounts[a.ID] = newTenant(a)
	}
	return d
}

func newTenant(a Account) *tenant {
	t := &tenant{Account: a, users: make(map[string]User, len(a.Users)), byExt: make(map[string]User, len(a.Users))}
	for _, u := range a.Users {
		t.users[u.ID] = u
		for _, ext := range u.Extensions {
			if _, taken := t.byExt[ext]; !taken {
				t.byExt[ext] = u
			}
		}
	}
	return t
}

// with returns the directory with one account changed.
func (d *Accounts) with(t *tenant) *Accounts {
	accounts := maps.Clone(d.accounts)
	accounts[t.ID] = t
	return &Accounts{accounts}
}

// Account returns an account by its id.
func (d *Accounts) Account(account string) (Account, bool) {
	if t, ok := d.accounts[account]; ok {
		return t.Account, true
	}
	return Account{}, false
}

// User returns a user by the CRM's id.
func (d *Accounts) User(account, user string) (User, bool) {
	if t, ok := d.accounts[account]; ok {
		u, ok := t.users[user]
		return u, ok
	}
	return User{}, false
}

// ByExtension returns the user behind an extension.
func (d *Accounts) ByExtension(account, extension string) (User, bool) {
	if t, ok := d.accounts[account]; ok {
		u, ok := t.byExt[extension]
		return u, ok
	}
	return User{}, false
}
