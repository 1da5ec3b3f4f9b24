package gateway

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// DialRules say how a PBX wants the numbers that it is to call, and which it is not to. The zero value
// leaves a number as it is written, without what only people need.
type DialRules struct {
	Format DialFormat
	Region string   // the account's, in which the PBX dials; National needs it
	Prefix string   // for an outside line, before every public number
	Deny   []string // what a public number (as E.164, with its plus) or any number as it is dialled may not begin with
}

// DialFormat is a way to write a number.
type DialFormat string

// The formats. Numbers that cannot be called from anywhere, such as extensions and service codes, stay as
// they are written.
const (
	AsWritten  DialFormat = "as_written" // 8 999 111-22-33 is 89991112233
	DigitsOnly DialFormat = "digits"     // 79991112233
	PlusE164   DialFormat = "e164"       // +79991112233
	National   DialFormat = "national"   // 89991112233; of another country as it is dialled from the region: 8104915112345678, or where carriers differ +4915112345678
)

const maxDialled = 40 // digits; more make no number anywhere

// Dial returns a number as the PBX is to dial it: digits, * and #, and a plus in the format PlusE164. It
// fails with CodeBadNumber for what is no number, or one that may not be called.
func (r DialRules) Dial(n Number) (string, error) {
	dialled, ok := plainDigits(cmp.Or(n.Raw, n.E164))
	if !ok {
		return "", Errorf(CodeBadNumber, "%.64q is not a number that could be dialled", cmp.Or(n.Raw, n.E164))
	}
	if n.E164 != "" {
		switch r.Format {
		case PlusE164:
			dialled = n.E164
		case DigitsOnly:
			dialled = n.E164[1:]
		case National:
			dialled = national(n.E164, r.Region)
		}
	}
	if r.denies(n, dialled) {
		return "", Errorf(CodeBadNumber, "%s may not be called from here", n.Raw)
	}
	if n.E164 != "" {
		dialled = r.Prefix + dialled
	}
	return dialled, nil
}

// Extension returns an extension of the company as the PBX is to dial it: as it is written, since without its hyphen it
// may be somebody else's. It fails with CodeBadNumber for one that may not be called.
func (r DialRules) Extension(n Number) (string, error) {
	digits, _ := plainDigits(n.Raw)
	if r.denies(n, n.Raw) || r.denies(n, digits) {
		return "", Errorf(CodeBadNumber, "%s may not be called from here", n.Raw)
	}
	return n.Raw, nil
}

// denies says whether a number is one that nobody is to call. What is no number anywhere, with a digit too many say, or
// the prefix for an outside line before it, may still get through to one: it is looked at in every way in which it
// could begin.
func (r DialRules) denies(n Number, dialled string) bool {
	outside := r.Dialled(dialled)
	return slices.ContainsFunc(r.Deny, func(prefix string) bool {
		if strings.HasPrefix(dialled, prefix) || strings.HasPrefix(n.E164, prefix) || strings.HasPrefix(outside, prefix) {
			return true
		}
		digits, public := strings.CutPrefix(prefix, "+")
		if !public || n.E164 != "" && (outside == dialled || strings.HasPrefix(n.Raw, "+")) {
			return false
		}
		return slices.ContainsFunc(beginnings(digits), func(begins string) bool {
			return strings.HasPrefix(outside, begins) || strings.HasPrefix(dialled, begins)
		})
	})
}

// beginnings are the ways to dial numbers that begin with these digits in E.164: as they are, after the usual prefixes
// for abroad, and with the trunk prefix of their country in the place of its code.
func beginnings(digits string) []string {
	ways := []string{digits, "00" + digits, "011" + digits, "810" + digits}
	for size := 1; size <= 3 && size < len(digits); size++ {
		code, err := strconv.Atoi(digits[:size])
		if err != nil {
			break
		}
		if region := phonenumbers.GetRegionCodeForCountryCode(code); region != phonenumbers.UNKNOWN_REGION {
			if trunk := phonenumbers.GetNddPrefixForRegion(region, true); trunk != "" {
				ways = append(ways, trunk+digits[size:])
			}
			break
		}
	}
	return ways
}

// Dialled returns a number that a telephone of the PBX has dialled without the prefix for an outside line.
func (r DialRules) Dialled(number string) string {
	if rest, ok := strings.CutPrefix(number, r.Prefix); ok && len(Digits(rest)) >= shortestPublic {
		return rest
	}
	return number
}

// national writes a number as it is dialled in a region. Without its country's code it would be somebody else's in
// another country; so it keeps that where the region is not known, too.
func national(e164, region string) string {
	home := phonenumbers.GetCountryCodeForRegion(region)
	p, err := phonenumbers.Parse(e164, "")
	switch {
	case home == 0:
		return e164[1:]
	case err != nil:
		return e164
	case int(p.GetCountryCode()) == home:
		return Digits(phonenumbers.Format(p, phonenumbers.NATIONAL))
	}
	// "8~10 49 1512 3456789". Where each carrier has a prefix of its own there is none, and a guess could be somebody else's
	// number: the plus is none.
	abroad, _, _ := strings.Cut(phonenumbers.FormatOutOfCountryCallingNumber(p, region), " ")
	if strings.Trim(abroad, "0123456789~") != "" {
		return e164
	}
	return Digits(abroad) + e164[1:]
}

// plainDigits leaves out what is there for people: spaces, brackets, hyphens, the plus of an international
// number. Letters, or anything with which a dial string could be extended, make it no number.
func plainDigits(raw string) (string, bool) {
	var b strings.Builder
	for i, r := range raw {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#':
			b.WriteRune(r)
		case r == '+' && strings.Trim(raw[:i], " (") == "", strings.ContainsRune(" -().\u00a0", r):
		default:
			return "", false
		}
	}
	return b.String(), b.Len() > 0 && b.Len() <= maxDialled
}
