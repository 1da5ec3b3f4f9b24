package main

import (
	"context"
	"fmt"
	"strings"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
)

// extensionCheck finds out which extensions of an account its PBXes know.
type extensionCheck struct {
	account string
	users   []gateway.User
	told    bool // some PBX was asked and said something
	states  map[string]gateway.TelephoneState
	notes   []string
}

// newExtensionCheck begins with the PBXes that cannot tell.
func newExtensionCheck(account AccountConfig, directory gateway.Directory) *extensionCheck {
	known, _ := directory.Account(account.ID)
	c := &extensionCheck{account: account.ID, users: known.Users, states: map[string]gateway.TelephoneState{}}
	for _, pbx := range account.PBX {
		if pbx.Asterisk == nil {
			c.add(nil)
		}
	}
	return c
}

// ask asks an Asterisk.
func (c *extensionCheck) ask(ctx context.Context, link asterisk.Config) {
	states, err := asterisk.AskTelephones(ctx, link, c.extensions())
	if err != nil {
		c.notes = append(c.notes, fmt.Sprintf("pbx %s does not say which extensions it knows: %s", link.ID, strings.ReplaceAll(err.Error(), "\n", "; ")))
	}
	c.told = c.told || len(states) > 0
	c.add(states)
}

// add joins what a PBX says of each extension with what is known already; nil: it could not be asked.
func (c *extensionCheck) add(states map[string]gateway.TelephoneState) {
	for _, ext := range c.extensions() {
		c.states[ext] = c.states[ext].Or(states[ext].Or(""))
	}
}

func (c *extensionCheck) extensions() (all []string) {
	for _, u := range c.users {
		all = append(all, u.Extensions...)
	}
	return all
}

// extensions says which extensions a PBX knows. One that is not known is a note: the telephone may be called otherwise
// there, and calls of it still be shown.
func (r *report) extensions(c *extensionCheck) {
	if c.told {
		all, known := c.extensions(), 0
		for _, ext := range all {
			if s := c.states[ext]; s == gateway.TelephoneOK || s == gateway.TelephoneUnregistered {
				known++
			}
		}
		r.say(fmt.Sprintf("account %s: its PBX knows %d of %d extensions", c.account, known, len(all)), nil)
		for _, u := range c.users {
			for _, ext := range u.Extensions {
				c.note(u, ext)
			}
		}
	}
	r.notes(c.notes)
}

// note says what is to be done about an extension.
func (c *extensionCheck) note(u gateway.User, ext string) {
	what := map[gateway.TelephoneState]string{
		gateway.TelephoneUnknown:      "the PBX has no telephone of that name: mend the number, or name its telephone under devices",
		gateway.TelephoneUnregistered: "no telephone is connected as it now: he cannot dial from the CRM until one is",
		gateway.TelephoneUnchecked:    "whether there is such a telephone could not be found out",
	}[c.states[ext]]
	if what != "" {
		c.notes = append(c.notes, fmt.Sprintf("extension %s of %s (user %s): %s", ext, u.Name, u.ID, what))
	}
}
