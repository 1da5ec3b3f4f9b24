package phonet

import (
	"sync"

	"ringcast/gateway"
)

// Presence knows who of an account's users is away from his telephone: gateway.Gateway does. Both methods may be called
// from many goroutines, and are as package gateway describes them.
type Presence interface {
	Presence(account string) []gateway.UserPresence
	WatchPresence(account string, fn func([]gateway.UserPresence)) (stop func())
}

var _ Presence = (*gateway.Gateway)(nil)

// serverAway is who is away, in the accounts of a server.
type serverAway struct {
	stop []func()

	mu    sync.Mutex
	users map[serverUser]bool
}

// watch follows an account's users. changed is told of each who goes away or comes back; it must not block.
func (a *serverAway) watch(source Presence, account string, changed func(u serverUser, away bool)) {
	a.stop = append(a.stop, source.WatchPresence(account, func(users []gateway.UserPresence) {
		for _, u := range users {
			if key := (serverUser{account, u.User}); a.set(key, u.Away) {
				changed(key, u.Away)
			}
		}
	}))
	now := source.Presence(account) // not with the lock held: it has one of its own, and holds that when it tells
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range now {
		key := serverUser{account, u.User}
		if _, newer := a.users[key]; !newer {
			a.users[key] = u.Away
		}
	}
}

// set notes how a user is, and says whether he was not.
func (a *serverAway) set(key serverUser, away bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.users[key]
	a.users[key] = away
	return was != away
}

func (a *serverAway) is(key serverUser) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.users[key]
}

// close ends it.
func (a *serverAway) close() {
	for _, stop := range a.stop {
		stop()
	}
}

// presence says that the user went away or came back. Phonet's page names the two directions and no event for them; in
// a call.hangup of no call they do no harm to a client that has not heard of them.
func (t *teller) presence(ext string, away bool) callMessage {
	user, _ := t.directory.User(t.account, t.user)
	if ext == "" && len(user.Extensions) > 0 {
		ext = user.Extensions[0]
	}
	now := t.now()
	m := callMessage{
		Event: eventHangup, UUID: text("presence-" + t.user), LgDirection: dirPresent, Leg: employee(gateway.Person{User: t.user, Name: user.Name, Extension: ext}),
		DialAt: millisOf(now), ServerTime: sentAt(millisOf(now)),
	}
	if away {
		m.LgDirection = dirAway
	}
	return m
}
