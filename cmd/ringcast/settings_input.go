package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"ringcast/gateway"
)

const (
	maxSettingsUsers  = 10_000 // of an account
	maxSettingsErrors = 100    // are told at once
)

// settingsInput is what the widget's settings are, or are to be.
type settingsInput struct {
	Extensions map[string]string // by the CRM's user id: "101, 102"; "" takes all away
	Names      map[string]string // likewise; "" or left out: as it was
	Save       bool
}

// applied returns an account's users as the settings would have them, and those of them who are otherwise now. Users
// whom the settings do not name stay as they are; a name of nobody's is passed over, and one that is too long or has
// control characters is made fit: it is no reason to refuse an extension. It fails with CodeInvalid and a field
// "extensions.88888" for each thing that is wrong.
func (in settingsInput) applied(now []gateway.User) (users, changes []gateway.User, err error) {
	bad := &settingsFaults{}
	users = slices.Clone(now)
	at := make(map[string]int, len(users))
	for i, u := range users {
		at[u.ID] = i
	}
	for _, id := range slices.Sorted(maps.Keys(in.Extensions)) { // by id, as the directory has those it adds
		i, known := at[id]
		if !known && !bad.newUser(id) {
			continue
		}
		extensions := bad.extensions(id, in.Extensions[id])
		if !known && len(extensions) == 0 {
			continue
		}
		if !known {
			i = len(users)
			users = append(users, gateway.User{ID: id, Name: id})
		}
		before, after := users[i], users[i]
		after.Name, after.Extensions = cmp.Or(fitUserName(in.Names[id]), before.Name), extensions
		users[i] = after
		if !known || after.Name != before.Name || !slices.Equal(after.Extensions, before.Extensions) {
			changes = append(changes, after)
		}
	}
	in.checkOwners(users, bad)
	if len(bad.fields) > 0 {
		return nil, nil, settingsProblem(bad.fields)
	}
	if len(users) > max(maxSettingsUsers, len(now)) {
		return nil, nil, gateway.Errorf(gateway.CodeTooLarge, "an account may have %d users here, these would be %d", maxSettingsUsers, len(users))
	}
	return users, changes, nil
}

// checkOwners finds the extensions that two users would have, one of whom at least is in question.
func (in settingsInput) checkOwners(users []gateway.User, bad *settingsFaults) {
	owners := map[string][]gateway.User{}
	for _, u := range users {
		for _, ext := range u.Extensions {
			owners[ext] = append(owners[ext], u)
		}
	}
	for _, u := range users {
		if _, ok := in.Extensions[u.ID]; !ok {
			continue
		}
		for i, ext := range u.Extensions {
			for _, other := range owners[ext] {
				if other.ID != u.ID {
					bad.add(u.ID, i, fmt.Sprintf("%s is the extension of %s (user %s), too: give it to one of the two", ext, other.Name, other.ID))
					break
				}
			}
		}
	}
}

// settingsFaults collects what is wrong.
type settingsFaults struct{ fields []gateway.FieldError }

// add notes what is wrong with a user's extensions, and with which of them.
func (f *settingsFaults) add(user string, index int, reason string) {
	f.fields = append(f.fields, gateway.FieldError{Index: index, Field: fmt.Sprintf("extensions.%.64s", user), Reason: reason})
}

// newUser says whether somebody of that id may be added. (Who is there may have another: one of the configuration.)
func (f *settingsFaults) newUser(id string) bool {
	for _, parse := range []func(string) (string, error){parseUserID, parseAmoUser} {
		if _, err := parse(id); err != nil {
			f.add(id, 0, err.Error())
			return false
		}
	}
	return true
}

// extensions takes a user's value apart and holds it to what may be written about one.
func (f *settingsFaults) extensions(id, value string) []string {
	before := len(f.fields)
	extensions := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) })
	checkUserExtensions(extensions, func(i int, reason string) { f.add(id, i, reason) })
	if len(f.fields) > before { // enough is said of them
		return nil
	}
	return extensions
}
