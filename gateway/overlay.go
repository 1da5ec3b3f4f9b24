package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// keyDirectory is where the store keeps users that differ from the configuration: directory.ACCOUNT.USER. Those who
// were written together are in directory.ACCOUNT; of two that are the same user's the later counts.
const keyDirectory = "directory"

// Overlay is a Directory that changes while it is in use: the accounts of a configuration, and over them the users
// that were put in or taken out since, which the store keeps and all nodes follow. A user who was taken out stays
// out until he is put in again, whatever the configuration says.
//
// All methods may be called from many goroutines; those of Directory take no lock.
type Overlay struct {
	store   Store
	logger  *slog.Logger
	changed func(account string)
	index   atomic.Pointer[Accounts]

	writing sync.Mutex // one change at a time: it looks who has an extension, and then gives it away

	mu    sync.Mutex
	base  map[string]Account
	users map[string]map[string]overlaid // by account and id
}

var _ Directory = (*Overlay)(nil)

// overlaid is a user as the store keeps it.
type overlaid struct {
	Removed    bool     `json:"removed,omitempty"`
	Name       string   `json:"name,omitempty"`
	Extensions []string `json:"extensions,omitempty"`
	Email      string   `json:"email,omitempty"`
	CallerID   string   `json:"caller_id,omitempty"`

	over bool   // of a team: the address and the number are the configuration's
	rev  uint64 // of the store
}

func laidOver(u User) overlaid {
	return overlaid{Name: u.Name, Extensions: u.Extensions, Email: u.Email, CallerID: u.CallerID}
}

// user returns the user whom a configuration has as base, or as nobody.
func (o overlaid) user(id string, base User) User {
	if o.over {
		return User{ID: id, Name: o.Name, Extensions: o.Extensions, Email: base.Email, CallerID: base.CallerID}
	}
	return User{ID: id, Name: o.Name, Extensions: o.Extensions, Email: o.Email, CallerID: o.CallerID}
}

// NewOverlay returns the directory of the given accounts, over which Load lays what the store holds. After that
// changed is called for each account that has changed, by whatever node; it must not block.
func NewOverlay(store Store, logger *slog.Logger, changed func(account string), accounts ...Account) *Overlay {
	o := &Overlay{store: store, logger: logger, changed: changed, users: map[string]map[string]overlaid{}}
	o.setBase(accounts)
	return o
}

// Load reads what the store holds. Nobody should be looked up before.
func (o *Overlay) Load(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.store.List(ctx, keyDirectory, func(v Value) error {
		o.note(o.read(v))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the directory: %w", err)
	}
	o.rebuild()
	return nil
}

// Run follows the store until ctx ends; it returns nil then.
func (o *Overlay) Run(ctx context.Context) error {
	take := func(v Value) { o.set(o.read(v)) }
	follow(ctx, o.store, keyDirectory, o.logger, func() (func(Value), func()) { return take, func() {} })
	return nil
}

// SetAccounts puts other accounts in place of those that the directory was made of: a configuration was read anew.
func (o *Overlay) SetAccounts(accounts ...Account) {
	before := o.index.Load()
	after := o.setBase(accounts)
	ids := maps.Clone(before.accounts)
	maps.Copy(ids, after.accounts)
	for id := range ids {
		was, _ := before.Account(id)
		is, _ := after.Account(id)
		if !reflect.DeepEqual(was, is) {
			o.changed(id)
		}
	}
}

func (o *Overlay) setBase(accounts []Account) *Accounts {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.base = make(map[string]Account, len(accounts))
	for _, a := range accounts {
		o.base[a.ID] = a
	}
	return o.rebuild()
}

// Put adds a user to an account, or changes him. It fails with CodeNotFound when there is no such account and with
// CodeTaken when another of its users has one of the extensions, or the e-mail address in whatever case. When two nodes
// give one away at the same moment, it belongs to the first of the two users.
func (o *Overlay) Put(ctx context.Context, account string, user User) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	a, ok := o.Account(account)
	if !ok {
		return Errorf(CodeNotFound, "there is no account %q", account)
	}
	var taken []FieldError
	for i, ext := range user.Extensions {
		if u, ok := o.ByExtension(account, ext); ok && u.ID != user.ID {
			taken = append(taken, FieldError{Index: i, Field: "extensions", Reason: fmt.Sprintf("%q is the extension of user %q", ext, u.ID)})
		}
	}
	for _, u := range a.Users {
		if u.ID != user.ID && user.Email != "" && strings.EqualFold(u.Email, user.Email) {
			taken = append(taken, FieldError{Field: "email", Reason: fmt.Sprintf("%q is the address of user %q", user.Email, u.ID)})
		}
	}
	if len(taken) > 0 {
		return &Error{Code: CodeTaken, Message: "an extension or e-mail address belongs to one user of an account", Fields: taken}
	}
	return o.write(ctx, userKey{account, user.ID}, laidOver(user))
}

// Remove takes a user out of an account. It fails with CodeNotFound when he is not in it.
func (o *Overlay) Remove(ctx context.Context, account, user string) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if _, ok := o.User(account, user); !ok {
		return Errorf(CodeNotFound, "there is no user %q in account %q", user, account)
	}
	return o.write(ctx, userKey{account, user}, overlaid{Removed: true})
}

func (o *Overlay) write(ctx context.Context, key userKey, user overlaid) error {
	data, err := json.Marshal(user)
	if err != nil {
		return err
	}
	if user.rev, err = o.store.Put(ctx, key.in(keyDirectory), data, AnyRevision); err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	o.set(key.account, map[string]overlaid{key.user: user})
	return nil
}

// Overlaid says where an account is not as configured: whose entries in the configuration count for nothing, or for no
// more than address and number; and who is in the directory without any. Both by id.
func (o *Overlay) Overlaid(account string) (configured, added []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	over := maps.Clone(o.users[account])
	for _, u := range o.base[account].Users {
		if _, ok := over[u.ID]; ok {
			configured = append(configured, u.ID)
			delete(over, u.ID)
		}
	}
	for id, own := range over {
		if !own.Removed {
			added = append(added, id)
		}
	}
	slices.Sort(configured)
	slices.Sort(added)
	return configured, added
}

// Account returns an account by its id: its users in the order of the configuration, then those added, by id.
func (o *Overlay) Account(account string) (Account, bool) { return o.index.Load().Account(account) }

// User returns a user by the CRM's id.
func (o *Overlay) User(account, user string) (User, bool) { return o.index.Load().User(account, user) }

// ByExtension returns the user behind an extension.
func (o *Overlay) ByExtension(account, extension string) (User, bool) {
	return o.index.Load().ByExtension(account, extension)
}

// read takes a value of the store apart, into users of an account. A key that was deleted by hand says nothing: its
// users stay as they are until the next start.
func (o *Overlay) read(v Value) (account string, users map[string]overlaid) {
	if v.Data == nil {
		return "", nil
	}
	if account, ok := accountAt(keyDirectory, v.Key); ok {
		return account, o.readTeam(v).users(v.Rev)
	}
	var user overlaid
	key, ok := userBelow(keyDirectory, v.Key)
	if err := json.Unmarshal(v.Data, &user); err != nil || !ok {
		o.logger.Error("not a user of the directory", "key", v.Key, "err", err)
		return "", nil
	}
	user.rev = v.Rev
	return key.account, map[string]overlaid{key.user: user}
}

// set lays users over the configuration and says so, but for those known already, or written over since.
func (o *Overlay) set(account string, users map[string]overlaid) {
	o.mu.Lock()
	news := o.note(account, users)
	if base, ok := o.base[account]; ok && news {
		o.index.Store(o.index.Load().with(newTenant(o.overlay(base))))
	}
	o.mu.Unlock()
	if news {
		o.changed(account)
	}
}

// note says whether there was any news. o.mu is held.
func (o *Overlay) note(account string, users map[string]overlaid) (news bool) {
	for id, user := range users {
		if user.rev <= o.users[account][id].rev {
			continue
		}
		if o.users[account] == nil {
			o.users[account] = map[string]overlaid{}
		}
		o.users[account][id] = user
		news = true
	}
	return news
}

func (o *Overlay) rebuild() *Accounts {
	accounts := make([]Account, 0, len(o.base))
	for _, a := range o.base {
		accounts = append(accounts, o.overlay(a))
	}
	index := NewAccounts(accounts...)
	o.index.Store(index)
	return index
}

// overlay returns an account with its users as they are now. All nodes come to the same order.
func (o *Overlay) overlay(a Account) Account {
	over := maps.Clone(o.users[a.ID])
	users := make([]User, 0, len(a.Users)+len(over))
	for _, u := range a.Users {
		own, ok := over[u.ID]
		delete(over, u.ID)
		switch {
		case !ok:
			users = append(users, u)
		case !own.Removed:
			users = append(users, own.user(u.ID, u))
		}
	}
	configured := len(users)
	for id, own := range over {
		if !own.Removed {
			users = append(users, own.user(id, User{}))
		}
	}
	slices.SortFunc(users[configured:], func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	a.Users = users
	return a
}
