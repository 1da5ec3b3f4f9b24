package main

import (
	"log/slog"
	"strings"

	"ringcast/gateway"
	"ringcast/gateway/phonet"
)

// PhonetConfig is a Phonet PBX.
type PhonetConfig struct {
	Domain      string // the PBX's own
	APIKey      Secret
	BaseURL     string   // where it is, if not at its domain; for tests
	Subscribers []string // extensions and e-mail addresses of whose calls it is to tell; none: of all users

	Dial gateway.DialRules // without a format: as Phonet wants numbers
}

func readPhonet(s *section, region string) *PhonetConfig {
	dial := s.get("dial").section()
	c := &PhonetConfig{
		Domain: parsed(s.need("domain"), "", parseDomain),
		APIKey: s.need("api_key").secret(0),
		Dial:   readDialRules(dial, region),
	}
	c.BaseURL = parsed(s.get("base_url"), "https://"+c.Domain, parseBaseURL)
	if !dial.get("format").given() {
		c.Dial.Format = ""
	}
	for _, v := range s.get("subscribers").list() {
		c.Subscribers = append(c.Subscribers, parsed(v, "", parseSubscriber))
	}
	return c
}

// parseSubscriber takes an extension or an e-mail address.
func parseSubscriber(text string) (string, error) {
	if strings.Contains(text, "@") {
		return parseEmail(text)
	}
	return parseExtension(text)
}

// phonetConfig is what the link to a Phonet PBX is told.
func phonetConfig(account string, pbx PBXConfig, directory gateway.Directory, logger *slog.Logger) phonet.Config {
	return phonet.Config{
		ID: pbx.ID, Domain: pbx.Phonet.Domain, APIKey: string(pbx.Phonet.APIKey), BaseURL: pbx.Phonet.BaseURL, Numbers: pbx.Phonet.Dial,
		Subscribers: func() []phonet.Subscriber {
			known, _ := directory.Account(account)
			return phonetSubscribers(known.Users, pbx.Phonet.Subscribers)
		},
		Logger: logger.With("account", account),
	}
}

// phonetSubscribers returns those named; or all users, by their extensions. Who has none would be shown nothing of
// what a socket of his tells: it is an extension by which a call finds its user.
func phonetSubscribers(users []gateway.User, names []string) []phonet.Subscriber {
	var subscribers []phonet.Subscriber
	for _, name := range names {
		s := phonet.Subscriber{Name: name}
		for _, u := range users {
			if strings.EqualFold(u.Email, name) && len(u.Extensions) > 0 {
				s.Extension = u.Extensions[0]
			}
		}
		subscribers = append(subscribers, s)
	}
	if len(names) > 0 {
		return subscribers
	}
	for _, u := range users {
		for _, ext := range u.Extensions {
			subscribers = append(subscribers, phonet.Subscriber{Name: ext})
		}
	}
	return subscribers
}

// phonetNotes says whom of the users a Phonet PBX cannot serve.
func phonetNotes(users []gateway.User) (notes []string) {
	for _, u := range users {
		if len(u.Extensions) == 0 {
			notes = append(notes, "user "+u.ID+" has no extension: no calls of the PBX are shown to this user, and clicks are refused; give the inner number")
		}
	}
	return notes
}

// PhonetEndpoint lets clients that were written for Phonet connect to an account.
type PhonetEndpoint struct {
	Domain    string // what they call the PBX: in the place of Phonet's own, and unique
	APIKey    Secret
	OnConnect phonet.OnConnect // of which calls they are told as soon as they connect
}

// readPhonetEndpoint reads the phonet section of an account, whose domain no other has taken. It returns nil when the
// section says nothing.
func readPhonetEndpoint(s *section, taken firsts) *PhonetEndpoint {
	domain, key, onConnect := s.get("domain"), s.get("api_key"), s.get("on_connect")
	s.done()
	if domain.nothing() && key.nothing() && !onConnect.given() {
		return nil
	}
	s.need("domain")
	s.need("api_key")
	e := &PhonetEndpoint{
		Domain: parsed(domain, "", parseDomain),
		APIKey: key.secret(0),
		OnConnect: phonet.OnConnect(parsed(onConnect, string(phonet.TellRinging),
			oneOf(string(phonet.TellRinging), string(phonet.TellLive), string(phonet.TellNothing)))),
	}
	taken.claim(domain, "phonet domain", e.Domain)
	key.warnIfShort(e.APIKey)
	return e
}
