package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/push"
)

// The defaults of the config file.
const (
	defaultListen     = "127.0.0.1:8080"
	defaultOpsListen  = "127.0.0.1:9090"
	defaultDataDir    = "ringcast-data"
	defaultDurability = durabilityStrict
)

// The values of durability (design §2).
const (
	durabilityStrict = "strict" // on disk before it is acknowledged
	durabilityFast   = "fast"   // a power cut may take the last 250 ms
)

const (
	minSigningKey = 32 // bytes: HMAC-SHA256 gains nothing from more and loses strength with less
	shortSecret   = 16 // bytes: a shorter bearer key is worth a warning
)

// Config is a config file, checked, with its defaults filled in and its secrets read.
type Config struct {
	Listen     string   // host:port of the main listener; port 0 takes a free one
	PublicURL  string   // what the outside sees: scheme, host, port; no slash at the end
	DataDir    string   // where the log, the store and a made session key live
	Durability string   // durabilityStrict or durabilityFast
	OpsListen  string   // host:port for health and metrics
	AGIListen  string   // host:port for dial plans that ask over FastAGI; "": none
	AdminKey   Secret   // "": there is no /admin
	SessionKey Secret   // "": LoadSessionKey makes one
	Origins    []string // exact, or https://*.domain; lower case
	Accounts   []AccountConfig

	TokenKeys    []Secret            // what seals the CRMs' tokens at rest, the current one first; none: the session key does
	Integrations []IntegrationConfig // whose accounts appear by installing

	Recordings RecordingsConfig

	NATS           *NATSConfig    // nil: embedded
	TLS            *TLSConfig     // nil: plain HTTP, as behind a proxy that has the certificate
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed, beside this machine's own
	Limits         push.Limits    // zero where the file says nothing
	DrainTime      time.Duration

	// Warnings are what works and is still better changed, by line.
	Warnings []Problem

	publicURLGiven bool
	pace           pace
}

// AccountConfig is one account: a company's CRM, its telephone systems and its users.
type AccountConfig struct {
	ID         string
	Region     string // ISO 3166 alpha-2; "" if numbers always carry their country code
	BackendKey Secret // "": the account's own server cannot sign tokens
	PBX        []PBXConfig
	Phonet     *PhonetEndpoint // nil: Phonet's clients cannot connect
	AmoCRM     *AmoCRMConfig   // nil: no CRM
	Users      []gateway.User
	Recordings AccountRecordings
}

// LoadConfig reads a config file. Secrets named env: are asked of env, which is os.LookupEnv outside of
// tests; relative paths in the file start at its folder. The error is a *ConfigError with everything
// that is wrong, unless the file could not be read.
func LoadConfig(path string, env func(name string) (string, bool)) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	return parseConfig(path, data, env, os.ReadFile)
}

// loadWithoutSecrets reads a config file for a command that needs no secret: none is asked for, and something else
// stands in the place of each, and of each file's content.
func loadWithoutSecrets(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	unread := strings.Repeat("x", minSigningKey)
	doc := &document{
		env:      func(string) (string, bool) { return unread, true },
		readFile: func(string) ([]byte, error) { return []byte(unread), nil },
		standIns: true,
	}
	return doc.config(path, data)
}

func parseConfig(file string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, error) {
	return (&document{env: env, readFile: readFile}).config(file, data)
}

// config reads the content of a config file.
func (d *document) config(file string, data []byte) (*Config, error) {
	d.dir = filepath.Dir(file)
	c := &Config{}
	if root := d.parse(data); root != nil {
		c.read(root)
	}
	if len(d.problems) > 0 {
		return nil, &ConfigError{File: file, Problems: byLine(d.problems)}
	}
	c.Warnings = byLine(d.warnings)
	return c, nil
}

// GatewayAccounts returns the accounts as package gateway knows them.
func (c *Config) GatewayAccounts() []gateway.Account {
	accounts := make([]gateway.Account, 0, len(c.Accounts))
	for _, a := range c.Accounts {
		accounts = append(accounts, gateway.Account{ID: a.ID, Region: a.Region, Users: a.Users})
	}
	return accounts
}

// Account returns an account by its id.
func (c *Config) Account(id string) (AccountConfig, bool) {
	for _, a := range c.Accounts {
		if a.ID == id {
			return a, true
		}
	}
	return AccountConfig{}, false
}

// ListensOn tells the config which address Listen became. A PublicURL that the file leaves out follows it.
func (c *Config) ListensOn(addr net.Addr) {
	if !c.publicURLGiven {
		c.PublicURL = c.urlOf(addr.String())
	}
}

// urlOf returns the URL of an address that the main listener has.
func (c *Config) urlOf(listen string) string {
	url := urlOf(listen)
	if c.TLS != nil {
		return "https" + strings.TrimPrefix(url, "http")
	}
	return url
}

func (c *Config) read(s *section) {
	c.Listen = parsed(s.get("listen"), defaultListen, parseListen)
	c.OpsListen = parsed(s.get("ops_listen"), defaultOpsListen, parseListen)
	if c.OpsListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		s.get("ops_listen").fail("%s is the address of listen, too", c.Listen)
	}
	c.AGIListen = readAGIListen(s.get("agi_listen"), c.Listen, c.OpsListen)
	c.TLS = readTLS(s.get("tls").section())
	c.publicURLGiven = s.get("public_url").given()
	c.PublicURL = parsed(s.get("public_url"), c.urlOf(c.Listen), parseBaseURL)
	if strings.HasPrefix(c.PublicURL, "http:") && !isLoopback(c.PublicURL) {
		if c.TLS != nil {
			s.get("public_url").warn("with tls set, the outside sees https")
		} else if c.publicURLGiven {
			s.get("public_url").warn("without https, pages on https (every CRM's) cannot connect")
		}
	}
	c.DataDir = s.doc.resolve(parsed(s.get("data_dir"), defaultDataDir, notEmpty))
	c.Durability = parsed(s.get("durability"), defaultDurability, oneOf(durabilityStrict, durabilityFast))
	c.AdminKey = s.get("admin_key").secret(0)
	s.get("admin_key").warnIfShort(c.AdminKey)
	c.SessionKey = s.get("session_key").secret(minSigningKey)
	c.TokenKeys = readTokenKeys(s.get("token_key"))
	for _, v := range s.get("origins").list() {
		c.Origins = append(c.Origins, parsed(v, "", parseOrigin))
	}

	if c.NATS = readNATS(s.get("nats").section()); c.NATS != nil && !s.get("session_key").given() {
		s.get("session_key").fail("is missing: the nodes of a cluster sign tokens with the same key")
	}
	for _, v := range s.get("trusted_proxies").list() {
		c.TrustedProxies = append(c.TrustedProxies, parsed(v, netip.Prefix{}, parseProxy))
	}
	c.Limits, c.DrainTime = readLimits(s.get("limits").section())

	c.Recordings = readRecordings(s.get("recordings").section())

	ids, domains := firsts{}, firsts{}
	for _, v := range s.get("accounts").list() {
		s := v.section()
		account := readAccount(s, domains)
		ids.claim(s.get("id"), "account id", account.ID)
		c.Accounts = append(c.Accounts, account)
	}
	c.Integrations = readIntegrations(s.get("integrations"), ids)
	s.done()
}

// readAccount reads an account. The domains for Phonet's clients so far are taken.
func readAccount(s *section, domains firsts) AccountConfig {
	a := AccountConfig{
		ID:         parsed(s.need("id"), "", parseAccountID),
		Region:     parsed(s.get("region"), "", parseRegion),
		BackendKey: s.get("backend_key").secret(minSigningKey),
	}

	pbxIDs := firsts{}
	for _, v := range s.get("pbx").list() {
		s := v.section()
		pbx := readPBX(s, a.Region)
		pbxIDs.claim(s.get("id"), "pbx id", pbx.ID)
		a.PBX = append(a.PBX, pbx)
	}

	a.Recordings = readAccountRecordings(s.get("recordings").section())
	a.Phonet = readPhonetEndpoint(s.get("phonet").section(), domains)
	if s.get("crm").given() {
		a.AmoCRM = readCRM(s.get("crm").section())
	}

	userIDs, extensions, emails := firsts{}, firsts{}, firsts{}
	for _, v := range s.get("users").list() {
		s := v.section()
		user := readUser(s, extensions)
		emails.claim(s.get("email"), "e-mail address", strings.ToLower(user.Email))
		userIDs.claim(s.get("id"), "user id", user.ID)
		if a.AmoCRM != nil && !amoUserForm.MatchString(user.ID) {
			s.get("id").warn("amoCRM's user ids are numbers: nobody there has this one")
		}
		a.Users = append(a.Users, user)
	}
	s.done()
	return a
}

// readUser reads a user of an account whose extensions so far are taken.
func readUser(s *section, taken firsts) gateway.User {
	u := gateway.User{ID: parsed(s.need("id"), "", parseUserID)}
	u.Name = parsed(s.get("name"), u.ID, notEmpty)
	for _, v := range s.get("extensions").list() {
		ext := parsed(v, "", parseExtension)
		taken.claim(v, "extension", ext)
		u.Extensions = append(u.Extensions, ext)
	}
	u.Email = parsed(s.get("email"), "", parseEmail)
	u.CallerID = parsed(s.get("caller_id"), "", parseCallerID)
	s.done()
	return u
}

// kindOf returns the section's kind if it is one of those known, and "" after saying what is wrong. The
// keys of an unknown kind are not known either, so they are let be.
func kindOf(s *section, known, later []string) string {
	return parsed(s.need("kind"), "", func(kind string) (string, error) {
		for _, k := range later {
			if k == kind {
				return "", fmt.Errorf("%q is not in this version yet: wants %s", kind, listed(known))
			}
		}
		return oneOf(known...)(kind)
	})
}
