package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"regexp"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
)

// What config says of an Asterisk when it says nothing.
const (
	defaultTechnology  = "PJSIP"
	defaultContext     = "from-internal"
	defaultRingTimeout = 30 * time.Second
	defaultRecordings  = "/var/spool/asterisk/monitor"
)

// AsteriskConfig is an Asterisk, reached over AMI.
type AsteriskConfig struct {
	Address  string // host:port of AMI
	TLS      bool
	Username string
	Secret   Secret
	Key      Secret // with which its dial plan asks where a call goes; "": it cannot

	CA         string // PEM: who signs its certificate, besides the authorities that this machine knows
	ServerName string // whom its certificate is for

	Devices map[string]string // endpoints that are not called like the extension whose they are
	Trunks  []string          // endpoints that lead outside, though they are called like extensions

	Recordings    string // URL at which recordings can be had, with {path} or {file}; "": none, or PBXConfig.Recordings
	RecordingsDir string // where they lie at the PBX: what {path} begins after

	CDR *CDRConfig // past calls; nil: those made while Ringcast is down stay unknown

	// Of click-to-call: how the telephones are connected, the dialplan context it dials in, how long the
	// caller's own telephone rings, how it is asked to pick up by itself, and what else is set on its channel,
	// each NAME=VALUE.
	Technology  string
	Context     string
	RingTimeout time.Duration
	AutoAnswer  asterisk.AutoAnswer
	Variables   []string

	TransferContext string // of the dial plan, where calls are handed on

	Dial gateway.DialRules // how it wants the numbers that it is to call
}

func readAsterisk(s *section, region string) *AsteriskConfig {
	c := &AsteriskConfig{
		Address:  parsed(s.need("address"), "", parseAddress),
		TLS:      s.get("tls").flag(false),
		Username: parsed(s.need("username"), "", parseAMIText),
		Secret:   s.need("secret").secret(0),
		Key:      s.get("key").secret(0),

		CA:         parsed(s.get("ca_file"), "", s.get("ca_file").certificates),
		ServerName: parsed(s.get("server_name"), "", parseHost),

		Devices: readDevices(s.get("devices").section()),

		CDR: readCDR(s.get("cdr")),

		RecordingsDir: parsed(s.get("recordings_dir"), defaultRecordings, parseDir),

		Technology:  parsed(s.get("technology"), defaultTechnology, parseTechnology),
		Context:     parsed(s.get("context"), defaultContext, parseAMIText),
		RingTimeout: parsed(s.get("ring_timeout"), defaultRingTimeout, parseTimeout),
		AutoAnswer:  parsed(s.get("auto_answer"), asterisk.NoAutoAnswer, oneOfAutoAnswers),
		Dial:        readDialRules(s.get("dial").section(), region),
	}
	c.readTrunks(s)
	s.get("key").warnIfShort(c.Key)
	if v := s.get("recordings"); !v.isSection() {
		c.Recordings = parsed(v, "", parseRecordings)
	}
	c.TransferContext = parsed(s.get("transfer_context"), c.Context, parseAMIText)
	for _, v := range s.get("variables").list() {
		c.Variables = append(c.Variables, parsed(v, "", parseVariable))
	}
	if host, _, err := net.SplitHostPort(c.Address); err == nil && c.TLS && c.ServerName == "" {
		c.ServerName = host
	}
	for _, key := range []string{"ca_file", "server_name"} {
		if v := s.get(key); v.given() && !c.TLS {
			v.fail("is of no use without tls: true")
		}
	}
	return c
}

// readDevices reads endpoints and the extension of each.
func readDevices(s *section) map[string]string {
	var devices map[string]string
	for _, endpoint := range s.keys {
		if devices == nil {
			devices = map[string]string{}
		}
		v := s.get(endpoint)
		if _, err := parseEndpoint(endpoint); err != nil {
			v.fail("%v, such as anna-mobile", err)
		}
		devices[endpoint] = parsed(v, "", parseExtension)
	}
	return devices
}

// readTrunks reads the endpoints that are no telephones. Its devices have been read.
func (c *AsteriskConfig) readTrunks(s *section) {
	for _, v := range s.get("trunks").list() {
		endpoint := parsed(v, "", parseEndpoint)
		if ext, ok := c.Devices[endpoint]; ok {
			v.fail("%q: is extension %s by devices", endpoint, ext)
		}
		c.Trunks = append(c.Trunks, endpoint)
	}
}

func parseEndpoint(text string) (string, error) {
	if !endpointForm.MatchString(text) {
		return "", fmt.Errorf("%q: wants what stands between / and - in the names of its channels", text)
	}
	return text, nil
}

var endpointForm = regexp.MustCompile(`^[^\s/;]{1,80}$`)

// parseRecordings takes the URL of recordings, with a placeholder.
func parseRecordings(text string) (string, error) {
	filled := strings.NewReplacer("{path}", "2026/in-1.wav", "{file}", "in-1.wav").Replace(text)
	if _, err := parseURL(filled); err != nil || filled == text {
		return "", fmt.Errorf("%q: wants a URL with {path} or {file} in it, such as https://pbx.example.com/rec/{path}", text)
	}
	return text, nil
}

// parseDir takes a folder of the PBX's.
func parseDir(text string) (string, error) {
	if !path.IsAbs(text) {
		return "", fmt.Errorf("%q: wants a folder at the PBX, such as %s", text, defaultRecordings)
	}
	return path.Clean(text), nil
}

// certificates reads a file of certificates.
func (v value) certificates(path string) (string, error) {
	if v.doc.standIns {
		return "", nil
	}
	pem, err := v.doc.reveal("file:" + path)
	if err != nil {
		return "", err
	}
	if _, err := asterisk.ClientTLS("", []byte(pem)); err != nil {
		return "", fmt.Errorf("the file %q %w", v.doc.resolve(path), err)
	}
	return pem, nil
}

func parseHost(text string) (string, error) {
	if !isHost(text) {
		return "", fmt.Errorf("%q: wants a host name in small letters, or an IP address", text)
	}
	return text, nil
}

// asteriskConfig is what the link to an Asterisk is told.
func asteriskConfig(account string, pbx PBXConfig, directory gateway.Directory, logger *slog.Logger) asterisk.Config {
	ami := pbx.Asterisk
	cfg := asterisk.Config{
		ID: pbx.ID, Address: ami.Address, Username: ami.Username, Secret: string(ami.Secret),
		Technology: ami.Technology, Context: ami.Context, RingTimeout: ami.RingTimeout, AutoAnswer: ami.AutoAnswer, Variables: ami.Variables,
		Numbers: ami.Dial, TransferContext: ami.TransferContext,
		Devices: ami.Devices, Trunks: ami.Trunks, Recordings: ami.Recordings, RecordingsDir: ami.RecordingsDir, CDR: ami.CDR.cdr(),
		IsExtension: func(endpoint string) bool {
			_, ok := directory.ByExtension(account, endpoint)
			return ok
		},
		Logger: logger.With("account", account),
	}
	if ami.TLS {
		cfg.TLS, _ = asterisk.ClientTLS(ami.ServerName, []byte(ami.CA)) // reading the config has tried it
	}
	return cfg
}

// readDialRules reads the dial section that every PBX which places calls may have, of an account in a region.
func readDialRules(s *section, region string) gateway.DialRules {
	r := gateway.DialRules{
		Format: parsed(s.get("format"), gateway.AsWritten, oneOfFormats),
		Region: region,
		Prefix: parsed(s.get("prefix"), "", parseDialPrefix),
	}
	for _, v := range s.get("deny").list() {
		r.Deny = append(r.Deny, parsed(v, "", parseDialPrefix))
	}
	if r.Format == gateway.National && region == "" {
		s.get("format").fail("national is of no use without the account's region: whose numbers are national?")
	}
	s.done()
	return r
}

func oneOfFormats(text string) (gateway.DialFormat, error) {
	format, err := oneOf(string(gateway.AsWritten), string(gateway.DigitsOnly), string(gateway.PlusE164), string(gateway.National))(text)
	return gateway.DialFormat(format), err
}

func oneOfAutoAnswers(text string) (asterisk.AutoAnswer, error) {
	way, err := oneOf(string(asterisk.NoAutoAnswer), string(asterisk.ByCallInfo), string(asterisk.ByAlertInfo))(text)
	return asterisk.AutoAnswer(way), err
}

// parseDialPrefix takes the beginning of a number: digits, * and #, perhaps after a plus.
func parseDialPrefix(text string) (string, error) {
	if rest := strings.TrimPrefix(text, "+"); rest == "" || len(text) > 15 || strings.Trim(rest, "0123456789*#") != "" {
		return "", errors.New("wants digits, * and #, such as \"9\" or \"+7809\", in quotes")
	}
	return text, nil
}
