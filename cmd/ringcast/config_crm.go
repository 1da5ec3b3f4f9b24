package main

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

// AmoCRMConfig is an integration in an amoCRM or Kommo account.
type AmoCRMConfig struct {
	Domain        string
	ClientID      string
	ClientSecrets []Secret // the current one first; more than one while it is being changed
	RedirectURI   string
	Token         Secret // a private integration's long-lived one; "": OAuth
	AccountID     int64  // 0: learned when the administrator connects the account
	BaseURL       string // scheme and host of the CRM, no slash at the end

	Admins     []string // user ids whom the gateway takes for administrators, whatever the CRM's token says
	Support    SupportConfig
	PrivacyURL string // the privacy policy; "": none

	CRMCallsConfig
}

// CRMCallsConfig is what an account wants of its CRM when there are calls.
type CRMCallsConfig struct {
	Lookup bool // find the caller from the back end
	Notify bool // tell those who have no tab open
	Route  []gateway.RouteRule
	Log    amocrm.LogRules
}

// SupportConfig is whom the CRM's users ask when the widget does not work; each may be "".
type SupportConfig struct {
	Email string
	Link  string
	Phone string
}

// IntegrationConfig is an integration whose accounts appear by installing.
type IntegrationConfig struct {
	ID            string
	Platform      amocrm.Platform
	ClientID      string
	ClientSecrets []Secret // as of AmoCRMConfig
	RedirectURI   string
	BaseURLs      []string // the only places its accounts may be at; none: the platform's own hosts

	Support    SupportConfig
	PrivacyURL string

	Region string   // of its accounts
	PBX    []string // ids of those that post events, of each of its accounts; their keys are made when it is installed
	CRMCallsConfig
}

// Integration returns an integration by its id.
func (c *Config) Integration(id string) (IntegrationConfig, bool) {
	i := slices.IndexFunc(c.Integrations, func(in IntegrationConfig) bool { return in.ID == id })
	if i < 0 {
		return IntegrationConfig{}, false
	}
	return c.Integrations[i], true
}

func readCRM(s *section) *AmoCRMConfig {
	if kindOf(s, []string{"amocrm"}, []string{"bitrix24"}) != "amocrm" {
		return nil
	}
	crm := &AmoCRMConfig{
		Domain:      parsed(s.need("domain"), "", parseDomain),
		ClientID:    parsed(s.need("client_id"), "", notEmpty),
		RedirectURI: parsed(s.need("redirect_uri"), "", parseRedirect),
		Token:       s.get("token").secret(0),
		AccountID:   parsed(s.get("account_id"), 0, parsePositive),
	}
	crm.BaseURL = parsed(s.get("base_url"), "https://"+crm.Domain, parseBaseURL)
	crm.ClientSecrets = readClientSecrets(s)
	for _, v := range s.get("admins").list() {
		crm.Admins = append(crm.Admins, parsed(v, "", parseAmoUser))
	}
	crm.Support = readSupport(s.get("support").section())
	crm.PrivacyURL = parsed(s.get("privacy_url"), "", parseURL)
	crm.CRMCallsConfig = readCRMCalls(s)
	s.done()
	return crm
}

// readCRMCalls reads the keys that an account's crm has in common with the account of an integration.
func readCRMCalls(s *section) CRMCallsConfig {
	return CRMCallsConfig{
		Lookup: s.get("lookup").flag(true),
		Notify: s.get("notify").flag(true),
		Route:  readRoute(s.get("route")),
		Log:    readCRMLog(s.get("log").section()),
	}
}

func readClientSecrets(s *section) (secrets []Secret) {
	for _, v := range s.need("client_secret").oneOrList() {
		secrets = append(secrets, v.secret(0))
	}
	return secrets
}

func readSupport(s *section) SupportConfig {
	c := SupportConfig{
		Email: parsed(s.get("email"), "", parseEmail),
		Link:  parsed(s.get("link"), "", parseURL),
		Phone: parsed(s.get("phone"), "", parseSupportPhone),
	}
	s.done()
	return c
}

func readTokenKeys(v value) (keys []Secret) {
	if !v.given() {
		return nil
	}
	for _, key := range v.oneOrList() {
		keys = append(keys, key.secret(minSigningKey))
	}
	return keys
}

// readIntegrations reads the integrations. The ids of accounts are taken: a widget is made for either.
func readIntegrations(v value, ids firsts) (all []IntegrationConfig) {
	clients := firsts{}
	for _, v := range v.list() {
		s := v.section()
		in := readIntegration(s)
		ids.claim(s.get("id"), "account or integration id", in.ID)
		clients.claim(s.get("client_id"), "client_id", in.ClientID)
		all = append(all, in)
	}
	return all
}

func readIntegration(s *section) IntegrationConfig {
	in := IntegrationConfig{
		ID:       parsed(s.need("id"), "", parseName),
		Platform: amocrm.Platform(parsed(s.need("kind"), "", oneOf(string(amocrm.PlatformAmoCRM), string(amocrm.PlatformKommo)))),

		ClientID:      parsed(s.need("client_id"), "", notEmpty),
		ClientSecrets: readClientSecrets(s),
		RedirectURI:   parsed(s.need("redirect_uri"), "", parseRedirect),
		Support:       readSupport(s.get("support").section()),
		PrivacyURL:    parsed(s.get("privacy_url"), "", parseURL),
	}
	if base := s.get("base_url"); base.given() {
		for _, v := range base.oneOrList() {
			in.BaseURLs = append(in.BaseURLs, parsed(v, "", parseBaseURL))
		}
	}
	account := s.get("account").section()
	in.Region = parsed(account.get("region"), "", parseRegion)
	in.PBX = readInstalledPBX(account.get("pbx"))
	in.CRMCallsConfig = readCRMCalls(account)
	account.done()
	s.done()
	return in
}

// defaultInstalledPBX is what an installed account's PBX is called when the config does not say.
const defaultInstalledPBX = "main"

// readInstalledPBX reads the telephone systems of accounts that are not known yet: such as post their events.
func readInstalledPBX(v value) (all []string) {
	ids := firsts{}
	for _, v := range v.list() {
		s := v.section()
		id := parsed(s.need("id"), "", parseName)
		parsed(s.need("kind"), "", func(kind string) (string, error) {
			if kind != "webhook" {
				return "", fmt.Errorf("%q: an account that appears by installing has a PBX of kind webhook; one with another stands under accounts", kind)
			}
			return kind, nil
		})
		ids.claim(s.get("id"), "pbx id", id)
		s.done()
		all = append(all, id)
	}
	if len(all) == 0 {
		all = []string{defaultInstalledPBX}
	}
	return all
}

// gatewayPaths are where the gateway serves something else than what a redirect_uri may name.
var gatewayPaths = regexp.MustCompile(`^/(v1|admin|live|rest|demo)(/|$)|^/(client\.js|client\.d\.ts|poll\.js)$|[{}]`) // fixed

// installPath is where the redirects to a checked redirect_uri arrive.
func installPath(redirectURI string) (string, error) {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return "", err
	}
	at := u.Path
	if at == "" {
		at = "/"
	}
	switch {
	case u.RawQuery != "":
		return "", errors.New("is without a query: the CRM adds its own")
	case strings.HasPrefix(at, amoPath):
	case gatewayPaths.MatchString(at):
		return "", fmt.Errorf("its path %s is the gateway's own: take another, such as %soauth", at, amoPath)
	}
	if clean := path.Clean(at); clean != at && clean+"/" != at {
		return "", fmt.Errorf("its path %s is not a plain one", at)
	}
	if at == amoPath+uninstallName {
		return "", fmt.Errorf("its path %s is where the CRM says that the integration was removed", at)
	}
	return at, nil
}

// parseRedirect takes the address that the CRM sends an administrator back to.
func parseRedirect(text string) (string, error) {
	text, err := parseURL(text)
	if err == nil {
		_, err = installPath(text)
	}
	return text, err
}
