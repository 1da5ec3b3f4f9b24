package main

import (
	"errors"
	"strings"
	"time"

	"ringcast/gateway"
)

// What config says of an Asterisk when it says nothing.
const (
	defaultTechnology  = "PJSIP"
	defaultContext     = "from-internal"
	defaultRingTimeout = 30 * time.Second
)

// AsteriskConfig is an Asterisk, reached over AMI.
type AsteriskConfig struct {
	Address  string // host:port of AMI
	TLS      bool
	Username string
	Secret   Secret

	// Of click-to-call: how the telephones are connected, the dialplan context it dials in, how long the
	// caller's own telephone rings, and what is set on its channel, each NAME=VALUE.
	Technology  string
	Context     string
	RingTimeout time.Duration
	Variables   []string

	Dial gateway.DialRules // how it wants the numbers that it is to call
}

func readAsterisk(s *section) *AsteriskConfig {
	c := &AsteriskConfig{
		Address:  parsed(s.need("address"), "", parseAddress),
		TLS:      s.get("tls").flag(false),
		Username: parsed(s.need("username"), "", parseAMIText),
		Secret:   s.need("secret").secret(0),

		Technology:  parsed(s.get("technology"), defaultTechnology, parseTechnology),
		Context:     parsed(s.get("context"), defaultContext, parseAMIText),
		RingTimeout: parsed(s.get("ring_timeout"), defaultRingTimeout, parseTimeout),
		Dial:        readDialRules(s.get("dial").section()),
	}
	for _, v := range s.get("variables").list() {
		c.Variables = append(c.Variables, parsed(v, "", parseVariable))
	}
	return c
}

// readDialRules reads the dial section that every PBX which places calls may have.
func readDialRules(s *section) gateway.DialRules {
	r := gateway.DialRules{
		Format: parsed(s.get("format"), gateway.AsWritten, oneOfFormats),
		Prefix: parsed(s.get("prefix"), "", parseDialPrefix),
	}
	for _, v := range s.get("deny").list() {
		r.Deny = append(r.Deny, parsed(v, "", parseDialPrefix))
	}
	s.done()
	return r
}

func oneOfFormats(text string) (gateway.DialFormat, error) {
	format, err := oneOf(string(gateway.AsWritten), string(gateway.DigitsOnly), string(gateway.PlusE164), string(gateway.National))(text)
	return gateway.DialFormat(format), err
}

// parseDialPrefix takes the beginning of a number: digits, * and #, perhaps after a plus.
func parseDialPrefix(text string) (string, error) {
	if rest := strings.TrimPrefix(text, "+"); rest == "" || len(text) > 15 || strings.Trim(rest, "0123456789*#") != "" {
		return "", errors.New("wants digits, * and #, such as \"9\" or \"+7809\", in quotes")
	}
	return text, nil
}
