package gateway

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
}

// Directory knows the accounts and who sits behind an extension. All methods may be called from many
// goroutines and must not block: they are asked for every event.
type Directory interface {
	Account(account string) (Account, bool)
	User(account, user string) (User, bool)
	ByExtension(account, extension string) (User, bool)
}

// Accounts is a Directory that does not change: the accounts of a configuration.
type Accounts struct {
	accounts map[string]Account
	users    map[[2]string]User
	byExt    map[[2]string]User
}

var _ Directory = (*Accounts)(nil)

// NewAccounts returns the directory of the given accounts. An extension that two users of an account
// share belongs to the first.
func NewAccounts(accounts ...Account) *Accounts {
	d := &Accounts{accounts: map[string]Account{}, users: map[[2]string]User{}, byExt: map[[2]string]User{}}
	for _, a := range accounts {
		d.accounts[a.ID] = a
		for _, u := range a.Users {
			d.users[[2]string{a.ID, u.ID}] = u
			for _, ext := range u.Extensions {
				if _, taken := d.byExt[[2]string{a.ID, ext}]; !taken {
					d.byExt[[2]string{a.ID, ext}] = u
				}
			}
		}
	}
	return d
}

// Account returns an account by its id.
func (d *Accounts) Account(account string) (Account, bool) {
	a, ok := d.accounts[account]
	return a, ok
}

// User returns a user by the CRM's id.
func (d *Accounts) User(account, user string) (User, bool) {
	u, ok := d.users[[2]string{account, user}]
	return u, ok
}

// ByExtension returns the user behind an extension.
func (d *Accounts) ByExtension(account, extension string) (User, bool) {
	u, ok := d.byExt[[2]string{account, extension}]
	return u, ok
}
