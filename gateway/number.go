package gateway

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// Numbers shorter than this are extensions and service codes: they mean nothing outside the company.
const shortestPublic = 7

// ParseNumber reads a telephone number as a PBX writes it, with the account's region (ISO 3166 alpha-2) for those
// without a country code. Of a SIP or tel URI it is the part that names the party. What cannot be called from anywhere
// keeps only its raw form; a number that is withheld has none.
func ParseNumber(raw, region string) Number {
	raw = Party(raw)
	n := Number{Raw: raw}
	digits := Digits(raw)
	if len(digits) < shortestPublic {
		return n
	}
	if p, ok := parsePublic(raw, region); ok {
		n.E164, n.Shown = phonenumbers.Format(p, phonenumbers.E164), shown(p, region)
	} else if strings.HasPrefix(raw, "+") && len(digits) <= 15 { // E.164 allows 15; new ranges come before new tables
		n.E164 = "+" + digits
	}
	return n
}

// Party returns what names the party in a number as a PBX writes it, perhaps as a SIP or tel URI: "" when it is withheld.
func Party(raw string) string {
	if raw = uriUser(strings.TrimSpace(raw)); withheld(raw) {
		return ""
	}
	return raw
}

// parsePublic reads a number that can be called from anywhere. Providers often leave out the plus of an
// international one, their own country's too, or put 00 in its place where that is not dialled.
func parsePublic(text, region string) (*phonenumbers.PhoneNumber, bool) {
	forms := []string{text}
	if digits := Digits(text); !strings.Contains(text, "+") {
		forms = append(forms, "+"+strings.TrimPrefix(digits, "00"))
		if code := phonenumbers.GetCountryCodeForRegion(region); code != 0 && strings.HasPrefix(digits, strconv.Itoa(code)) {
			slices.Reverse(forms)
		}
	}
	for _, form := range forms {
		if p, err := phonenumbers.Parse(form, region); err == nil && phonenumbers.IsValidNumber(p) {
			return p, true
		}
	}
	return nil, false
}

// shown writes a number as people in a region do: their own country's without its code.
func shown(p *phonenumbers.PhoneNumber, region string) string {
	p.Extension = nil
	if int(p.GetCountryCode()) == phonenumbers.GetCountryCodeForRegion(region) {
		return phonenumbers.Format(p, phonenumbers.NATIONAL)
	}
	return phonenumbers.Format(p, phonenumbers.INTERNATIONAL)
}

// uriUser returns whom a SIP or tel URI names, or an address with a name before it, and any other text as it is:
// "sip:+79991112233@pbx;user=phone", "\"Ivan\" <sip:101@pbx>", "Ivan <101>", "tel:+7-999-111-22-33;ext=5".
func uriUser(text string) string {
	uri := text
	if _, rest, ok := strings.Cut(text, "<"); ok {
		uri, _, _ = strings.Cut(rest, ">")
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	switch {
	case ok && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")):
		rest, _, _ = strings.Cut(rest, "@")
	case ok && strings.EqualFold(scheme, "tel"):
	case strings.Contains(uri, "@"):
		rest, _, _ = strings.Cut(uri, "@")
	default:
		return strings.TrimSpace(uri)
	}
	rest, _, _ = strings.Cut(rest, ";")
	if plain, err := url.PathUnescape(rest); err == nil {
		rest = plain
	}
	return strings.TrimSpace(rest)
}

// withheld says whether a text stands where a number would and says that there is none. The words are those of
// SIP (RFC 3323), of Asterisk and of the providers' switches.
func withheld(text string) bool {
	switch strings.ToLower(strings.Trim(text, `+"<>`)) {
	case "anonymous", "restricted", "private", "unavailable", "withheld", "unknown", "asterisk", "blocked", "hidden", "no number", "none", "null":
		return true
	default:
		return false
	}
}

// SameNumber says whether two numbers, written in whatever way, are the same line: by E.164 where both have that, else
// by their last ten digits. Extensions and service codes have to be the same altogether.
func SameNumber(a, b Number) bool {
	if a.E164 != "" && b.E164 != "" {
		return a.E164 == b.E164
	}
	x, y := cmp.Or(a.E164, uriUser(a.Raw)), cmp.Or(b.E164, uriUser(b.Raw))
	if strings.ContainsAny(x+y, "*#") {
		return x == y
	}
	x, y = Digits(x), Digits(y)
	common := min(len(x), len(y), matchDigits)
	if common < shortestPublic {
		return x == y && x != ""
	}
	return x[len(x)-common:] == y[len(y)-common:]
}

// matchDigits is how many digits at the end tell one line from another: what comes before them, a country code, a
// trunk prefix, a prefix for an outside line, is written in many ways.
const matchDigits = 10

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
