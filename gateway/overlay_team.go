package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// maxTeam bounds what the store keeps in one value: of users with one extension some 12,000.
const maxTeam = 1 << 20 // bytes

// team is the users of an account that were written together: a value of the store is written whole, or not.
type team struct {
	Users map[string]teamMember `json:"users"`
}

// teamMember is a user, and the revision of the store with which he was written; 0: the value's own. Of most only name
// and extensions are kept, and the rest is the configuration's as it is now; but who was put in or taken out one by one
// before is whole.
type teamMember struct {
	overlaid
	Whole bool   `json:"whole,omitempty"`
	At    uint64 `json:"at,omitempty"`
}

// users are a team's, as the value of a revision has them.
func (t team) users(rev uint64) map[string]overlaid {
	users := make(map[string]overlaid, len(t.Users))
	for id, member := range t.Users {
		user := member.overlaid
		user.over = !member.Whole
		if user.rev = member.At; member.At == 0 {
			user.rev = rev
		}
		users[id] = user
	}
	return users
}

func (o *Overlay) readTeam(v Value) (t team) {
	if err := json.Unmarshal(v.Data, &t); err != nil {
		o.logger.Error("not users of the directory", "key", v.Key, "err", err)
		return team{}
	}
	return t
}

// Update changes users of an account together: all of them, or on an error none. change is given the account as it is
// and returns the users who are to be otherwise, as they are to be then; nobody: nothing is written. No two users may
// have the same extension or address then: change returns an error instead, and so does Update. It may be called again,
// when another node has written meanwhile, and must not use the overlay. Update fails with CodeNotFound when there is no
// such account, and with CodeTooLarge when the store would have too much to keep.
//
// It is about names and extensions: address and number of who is configured stay the configuration's. Who is taken out
// of that later stays, by his name and extensions, until somebody takes them or him away.
func (o *Overlay) Update(ctx context.Context, account string, change func(Account) ([]User, error)) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	for {
		before, rev, err := o.refresh(ctx, account)
		if err != nil {
			return err
		}
		now, ok := o.Account(account)
		if !ok {
			return Errorf(CodeNotFound, "there is no account %q", account)
		}
		users, err := change(now)
		if err != nil || len(users) == 0 {
			return err
		}
		if err := o.writeTeam(ctx, account, o.join(account, before, users), rev); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// refresh reads what the store holds of an account just now, whoever wrote it, and returns its team.
func (o *Overlay) refresh(ctx context.Context, account string) (users map[string]overlaid, rev uint64, err error) {
	key := accountKey(keyDirectory, account)
	var all []Value
	err = o.store.List(ctx, key, func(v Value) error {
		all = append(all, v)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read the directory: %w", err)
	}
	for _, v := range all {
		account, read := o.read(v)
		if v.Key == key {
			users, rev = read, v.Rev
		}
		o.set(account, read)
	}
	return users, rev, nil
}

// join returns a team with users added. Those of it who were written over one by one since are left out.
func (o *Overlay) join(account string, before map[string]overlaid, users []User) team {
	t := team{Users: make(map[string]teamMember, len(before)+len(users))}
	o.mu.Lock()
	for id, user := range before {
		if o.users[account][id].rev == user.rev {
			t.Users[id] = teamMember{user, !user.over, user.rev}
		}
	}
	for _, u := range users {
		member := teamMember{overlaid: laidOver(u)}
		if own, ok := o.users[account][u.ID]; ok && !own.over {
			member.Whole = true
		} else {
			member.Email, member.CallerID = "", ""
		}
		t.Users[u.ID] = member
	}
	o.mu.Unlock()
	return t
}

func (o *Overlay) writeTeam(ctx context.Context, account string, t team, rev uint64) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if len(data) > maxTeam {
		return Errorf(CodeTooLarge, "the users of an account may take %d bytes in the store, these would take %d", maxTeam, len(data))
	}
	if rev, err = o.store.Put(ctx, accountKey(keyDirectory, account), data, rev); err != nil {
		return fmt.Errorf("write the directory: %w", err)
	}
	o.set(account, t.users(rev))
	return nil
}
