package gateway

import (
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// Numbers shorter than this are extensions and service codes: they mean nothing outside the company.
const shortestPublic = 7

// ParseNumber reads a telephone number as a PBX writes it, with the account's region for those without
// a country code. What cannot be called from anywhere keeps only its raw form.
func ParseNumber(raw, region string) Number {
	raw = strings.TrimSpace(raw)
	n := Number{Raw: raw}
	digits := Digits(raw)
	if len(digits) < shortestPublic {
		return n
	}
	// Providers often leave out the plus of an international number; the region does not tell.
	for _, form := range []string{raw, "+" + digits} {
		p, err := phonenumbers.Parse(form, region)
		if err == nil && phonenumbers.IsValidNumber(p) {
			n.E164 = phonenumbers.Format(p, phonenumbers.E164)
			return n
		}
	}
	if strings.HasPrefix(raw, "+") && len(digits) <= 15 { // E.164 allows 15; new ranges come before new tables
		n.E164 = "+" + digits
	}
	return n
}

// numbers remembers the numbers it has parsed: a company's own come with every call, and parsing one takes
// longer than all else that is done with its event.
type numbers struct {
	mu    sync.Mutex
	known map[numberKey]Number
}

type numberKey struct{ raw, region string }

const maxNumbers = 4096

func (n *numbers) parse(raw, region string) Number {
	if raw == "" { // most events have none
		return Number{}
	}
	key := numberKey{raw, region}
	n.mu.Lock()
	parsed, ok := n.known[key]
	n.mu.Unlock()
	if ok {
		return parsed
	}
	parsed = ParseNumber(raw, region)
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxNumbers || n.known == nil {
		n.known = map[numberKey]Number{}
	}
	n.known[key] = parsed
	return parsed
}

// Digits returns the digits of a number and nothing else.
func Digits(number string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
}
