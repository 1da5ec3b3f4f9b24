package main

import (
	"fmt"
	"net/url"
	"strings"
)

// doubts are what works on one machine, to try things, and most likely not in earnest. Only a check tells them.
func (c *Config) doubts() (all []string) {
	doubt := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, a := range c.Accounts {
		crm := a.AmoCRM
		if crm == nil {
			continue
		}
		if c.publicURLGiven {
			ours, theirs := hostIn(c.PublicURL), hostIn(crm.RedirectURI)
			if ours != theirs {
				doubt("account %s: redirect_uri is on %s, and public_url on %s: the CRM would send people there", a.ID, theirs, ours)
			}
		} else {
			doubt("account %s: public_url is not set: its widget needs it, such as https://calls.example.com", a.ID)
		}
		if strings.HasPrefix(crm.RedirectURI, "http:") {
			doubt("account %s: redirect_uri begins with http: make it https, here and in the integration's settings", a.ID)
		}
		for _, secret := range crm.ClientSecrets {
			if len(secret) < shortSecret {
				doubt("account %s: client_secret is shorter than %d characters: is it the whole secret key of the integration?", a.ID, shortSecret)
			}
		}
	}
	return all
}

// hostIn is the host of a checked URL, with its port if that is not the usual one.
func hostIn(checked string) string {
	u, err := url.Parse(checked)
	if err != nil {
		return checked
	}
	return u.Host
}
