package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
	"ringcast/gateway/push"
)

var update = flag.Bool("update", false, "write what the cases of testdata/config say now")

// noEnv is an environment in which nothing is set.
func noEnv(string) (string, bool) { return "", false }

// TestConfigCases runs testdata/config: each case is a file of parts that begin with "-- name --". The
// config is ringcast.yaml, env has NAME=value lines, says is what LoadConfig says (its error, or its
// warnings), and any other part is a file beside the config.
func TestConfigCases(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/config/*.txt")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir, env, want := t.TempDir(), map[string]string{}, ""
			for name, text := range parts(string(data)) {
				switch name {
				case "says":
					want = text
				case "env":
					for line := range strings.Lines(text) {
						key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
						env[key] = value
					}
				default:
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}

			config, err := LoadConfig(filepath.Join(dir, "ringcast.yaml"), func(name string) (string, bool) {
				value, ok := env[name]
				return value, ok
			})
			got := ""
			if err != nil {
				got = err.Error() + "\n"
			} else {
				for _, w := range config.Warnings {
					got += fmt.Sprintf("warning:%s\n", w)
				}
			}
			got = strings.NewReplacer(dir+string(filepath.Separator), "", dir, ".").Replace(got)
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("%s\nsays:\n%swant:\n%s", path, got, want)
			}
			body, _, _ := strings.Cut(string(data), "-- says --\n")
			if err := os.WriteFile(path, []byte(body+"-- says --\n"+got), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// parts cuts a case at its "-- name --" lines. What stands before the first is a comment.
func parts(text string) map[string]string {
	result, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if m := regexp.MustCompile(`^-- (\S+) --\n$`).FindStringSubmatch(line); m != nil {
			name = m[1]
			result[name] = ""
		} else if name != "" {
			result[name] += line
		}
	}
	return result
}

func TestConfigOfTheDesign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "ringcast.yaml")
	write(t, filepath.Join(dir, "session"), strings.Repeat("s", 32)+"\n")
	write(t, file, `
listen: 127.0.0.1:8080
public_url: https://calls.example.com/
data_dir: ./data
durability: fast
ops_listen: 127.0.0.1:9090
admin_key: env:RINGCAST_ADMIN_KEY
session_key: file:session
nats: {url: ""}
tls: {domains: [], email: ""}
origins: ["https://*.amocrm.ru", "https://crm.example.com:8443"]
trusted_proxies: [10.1.2.3/8, 192.0.2.7]
limits: {ping_every: 10s, queue_messages: 64, handshakes_per_address: 50, drain_time: 1m}
accounts:
  - id: acme
    region: RU
    backend_key: env:ACME_KEY
    pbx:
      - {id: main, kind: webhook, key: env:ACME_PBX_KEY}
      - {id: office, kind: asterisk, address: "127.0.0.1:5038", username: ringcast, secret: env:AMI_SECRET}
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: c1, client_secret: ["env:NEW", old], redirect_uri: "https://calls.example.com/oauth", account_id: 12}
    users:
      - {id: 88888, name: Anna, extensions: [101, 0102]}
      - {id: "99999"}
`)
	env := map[string]string{
		"RINGCAST_ADMIN_KEY": "admin-admin-admin", "ACME_KEY": strings.Repeat("b", 32),
		"ACME_PBX_KEY": "pbx-pbx-pbx-pbx-", "AMI_SECRET": "ami", "NEW": "new",
	}
	got, err := LoadConfig(file, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listen: "127.0.0.1:8080", PublicURL: "https://calls.example.com", publicURLGiven: true,
		DataDir: filepath.Join(dir, "data"), Durability: "fast", OpsListen: "127.0.0.1:9090",
		AdminKey: "admin-admin-admin", SessionKey: Secret(strings.Repeat("s", 32)),
		Origins:        []string{"https://*.amocrm.ru", "https://crm.example.com:8443"},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")},
		Limits:         push.Limits{PingEvery: 10 * time.Second, QueueMessages: 64, HandshakesPerIP: 50}, DrainTime: time.Minute,
		Recordings: RecordingsConfig{Streams: 200, AccountStreams: 50},
		Accounts: []AccountConfig{{
			ID: "acme", Region: "RU", BackendKey: Secret(strings.Repeat("b", 32)),
			PBX: []PBXConfig{
				{ID: "main", Webhook: &WebhookConfig{Key: "pbx-pbx-pbx-pbx-"}},
				{ID: "office", Asterisk: &AsteriskConfig{Address: "127.0.0.1:5038", Username: "ringcast", Secret: "ami",
					Technology: "PJSIP", Context: "from-internal", RingTimeout: 30 * time.Second, RecordingsDir: "/var/spool/asterisk/monitor", Dial: gateway.DialRules{Format: gateway.AsWritten, Region: "RU"},
					AutoAnswer: "none", TransferContext: "from-internal"}},
			},
			AmoCRM: &AmoCRMConfig{
				Domain: "acme.amocrm.ru", ClientID: "c1", ClientSecrets: []Secret{"new", "old"},
				RedirectURI: "https://calls.example.com/oauth", AccountID: 12, BaseURL: "https://acme.amocrm.ru",
				CRMCallsConfig: CRMCallsConfig{Lookup: true, Notify: true, Route: defaultRoute(), Log: amocrm.LogRules{
					Source: "Ringcast", As: amocrm.FormCalls, Unknown: amocrm.Unknown{Answered: amocrm.FateUnsorted, Missed: amocrm.FateUnsorted, Outbound: amocrm.FateNone},
				}},
			},
			Users: []gateway.User{
				{ID: "88888", Name: "Anna", Extensions: []string{"101", "0102"}},
				{ID: "99999", Name: "99999"},
			},
			Recordings: AccountRecordings{Wait: 5 * time.Second},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	accounts := got.GatewayAccounts()
	if len(accounts) != 1 || accounts[0].ID != "acme" || accounts[0].Region != "RU" || len(accounts[0].Users) != 2 {
		t.Errorf("accounts of the gateway: %+v", accounts)
	}
	if a, ok := got.Account("acme"); !ok || a.AmoCRM == nil {
		t.Errorf("account acme: %+v, %v", a, ok)
	}
	if _, ok := got.Account("other"); ok {
		t.Error("there is no account other")
	}
}

// TestSampleIsTheManual holds that the sample loads as it is, that it loads with every key set, and that
// the values it shows for keys left out are the defaults.
func TestSampleIsTheManual(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return strings.Repeat(name, 32), true }
	file := filepath.Join(t.TempDir(), "ringcast.yaml")
	write(t, filepath.Join(filepath.Dir(file), "session.key"), strings.Repeat("k", 32))
	newCertificate(t, filepath.Dir(file), 1)
	if err := os.Rename(filepath.Join(filepath.Dir(file), "cert.pem"), filepath.Join(filepath.Dir(file), "pbx-ca.pem")); err != nil {
		t.Fatal(err)
	}

	bare, err := parseConfig(file, data, env, os.ReadFile)
	if err != nil {
		t.Fatalf("as it is:\n%v", err)
	}
	full, err := parseConfig(file, regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAll(data, []byte("$1$2")), env, os.ReadFile)
	if err != nil {
		t.Fatalf("with every key set:\n%v", err)
	}
	if len(bare.Warnings)+len(full.Warnings) > 0 {
		t.Errorf("warnings: %v %v", bare.Warnings, full.Warnings)
	}
	for _, c := range []*Config{bare, full} {
		if c.Listen != defaultListen || c.OpsListen != defaultOpsListen || c.PublicURL != "http://"+defaultListen ||
			c.DataDir != filepath.Join(filepath.Dir(file), defaultDataDir) || c.Durability != defaultDurability {
			t.Errorf("not the defaults: %+v", c)
		}
	}
	assertAllSet(t, "", reflect.ValueOf(*full))
}

// assertAllSet fails for each exported field below v that the config leaves zero, flags aside.
func assertAllSet(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		name, field := path+"."+v.Type().Field(i).Name, v.Field(i)
		switch {
		case !v.Type().Field(i).IsExported() || name == ".Warnings":
		case name == ".Accounts.PBX.Webhook.Mapping": // TestSampleIsTheManualOfMappings
		case name == ".Accounts.PBX.Recordings": // one of several ways
		case name == ".Accounts.PBX.Asterisk.CDR": // one of two ways
		case field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct && !field.IsZero():
			for j := range field.Len() {
				assertAllSet(t, name, field.Index(j))
			}
		case field.Kind() == reflect.Pointer && !field.IsNil():
			assertAllSet(t, name, field.Elem())
		case field.Kind() == reflect.Pointer && path == ".Accounts.PBX": // of another kind
		case name == ".Integrations.CRMCallsConfig": // as of an account
		case name == ".TLS.Cert" || name == ".TLS.Key": // instead of the domains
		case field.Kind() == reflect.Struct:
			assertAllSet(t, name, field)
		case field.IsZero() && field.Kind() != reflect.Bool:
			t.Errorf("the sample does not show %s", name)
		}
	}
}

func TestConfigThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, err := LoadConfig(filepath.Join(t.TempDir(), "ringcast.yaml"), noEnv)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "ringcast.yaml") {
		t.Errorf("%v", err)
	}
}

func TestPublicURLFollowsTheListener(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ yaml, before, after string }{
		{"listen: 127.0.0.1:0", "http://127.0.0.1:0", "http://127.0.0.1:4711"},
		{"listen: :8080", "http://127.0.0.1:8080", "http://127.0.0.1:4711"},
		{"listen: '[::1]:8080'", "http://[::1]:8080", "http://127.0.0.1:4711"},
		{"listen: 127.0.0.1:0\npublic_url: http://localhost:1", "http://localhost:1", "http://localhost:1"},
	} {
		c, err := parseConfig("ringcast.yaml", []byte(test.yaml), noEnv, os.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		if c.PublicURL != test.before {
			t.Errorf("%q: %s, want %s", test.yaml, c.PublicURL, test.before)
		}
		c.ListensOn(tcpAddr("0.0.0.0:4711"))
		if c.PublicURL != test.after {
			t.Errorf("%q: after listening %s, want %s", test.yaml, c.PublicURL, test.after)
		}
	}
}

type tcpAddr string

func (a tcpAddr) Network() string { return "tcp" }
func (a tcpAddr) String() string  { return string(a) }

// FuzzConfig holds that no file makes LoadConfig panic, that a refusal names a line of the file for each
// problem, in order and on one line each, and that what is taken is safe to use.
func FuzzConfig(f *testing.F) {
	cases, err := filepath.Glob("testdata/config/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(cases, "sample.yaml") {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if text, ok := parts(string(data))["ringcast.yaml"]; ok {
			data = []byte(text)
		}
		f.Add(data)
	}
	env := func(name string) (string, bool) { return name, len(name)%2 == 0 }
	readFile := func(path string) ([]byte, error) { return []byte(path + "\n"), nil }
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig("ringcast.yaml", data, env, readFile)
		if err == nil {
			for _, a := range c.Accounts {
				if a.ID == "" || a.ID == "ringcast" || (a.BackendKey != "" && len(a.BackendKey) < minSigningKey) {
					t.Errorf("taken: %+v", a)
				}
				for _, p := range a.PBX {
					kinds := 0
					for _, is := range []bool{p.Webhook != nil, p.Asterisk != nil, p.Phonet != nil} {
						if is {
							kinds++
						}
					}
					open := p.Webhook != nil && p.Webhook.Key == "" && (p.Webhook.Mapping == nil || p.Webhook.Mapping.Auth.None())
					if kinds != 1 || open {
						t.Errorf("taken: %+v", p)
					}
				}
			}
			return
		}
		refusal := (*ConfigError)(nil)
		if !errors.As(err, &refusal) || len(refusal.Problems) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		line := 1
		for _, p := range refusal.Problems {
			if p.Line < line || p.Line > strings.Count(string(data), "\n")+strings.Count(string(data), "\r")+2 ||
				p.Reason == "" || strings.ContainsAny(p.String(), "\r\n") {
				t.Errorf("problem %q on line %d", p.String(), p.Line)
			}
			line = p.Line
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
