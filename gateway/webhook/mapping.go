package webhook

import (
	"net/netip"
	"regexp"
	"slices"
	"time"
)

// Mapping reads the requests of a PBX that has a webhook format of its own. It is made of config, and is not
// changed once a Mapped has it.
type Mapping struct {
	Encoding  Encoding
	JSONField string // of EncodingFormJSON: the field that holds the JSON
	Events    *Path  // a list of events in one body, each of which "@" is then; nil: the body is one event

	Auth   Auth
	Echo   string // the parameter of a GET whose value is answered, by which the vendor tries the URL; "": none
	Answer *Answer

	// Fields are what every rule sets unless it sets the same itself. Without Rules, they are the one rule.
	Fields Fields
	Rules  []Rule
}

// Rule makes an event of the requests, or the items of a list, that meet all its conditions. The first rule
// that does is taken, and after one that says Continue the next that does as well. A request that no rule takes is
// refused, so that nothing is lost unseen.
type Rule struct {
	When     []Condition
	Ignore   bool // taken, and nothing comes of it
	Continue bool
	Set      Fields
}

// Fields are an event's fields by their names in design §4.1, FieldNames, and when it happened.
type Fields struct {
	Values map[string]Value
	At     *Time // nil: on arrival
}

// FieldNames are the fields of an event that a mapping sets, apart from "at".
func FieldNames() []string {
	return []string{"event", "call", "id", "direction", "from", "to", "name", "line", "extension", "extensions", "cause",
		"target", "into", "recording"}
}

// Value says where a field's value comes from. What is done to it is done in this order; what is empty stays empty
// until Values.
type Value struct {
	From  []Text         // the first that is not empty
	Split string         // of extensions: what stands between them
	Match *regexp.Regexp // what its one group finds; "" if it does not match
	Strip []string       // the first of these that it begins with is cut off

	// Values translate it. What is not among them becomes Else, stays as it is with Keep, and refuses the request
	// otherwise; what is empty and not among them becomes Else, or stays empty.
	Values map[string]string
	Else   string
	Keep   bool
}

// How a vendor writes times, apart from a layout of package time.
const (
	TimeRFC3339 = "rfc3339"
	TimeUnix    = "unix"    // seconds since 1970, perhaps with a fraction
	TimeUnixMS  = "unix_ms" // milliseconds
	TimeAgo     = "ago"     // so many seconds before it arrived
)

// Time is a value that is a time.
type Time struct {
	Value  Value
	Format string         // one of the above, or a layout of package time
	Zone   *time.Location // of a layout without one; nil: UTC
	Seq    *Text          // a number that orders the events of a second: so many milliseconds are added, 999 at most
}

// Condition holds when what is at a path, which names one place, is one of Is, or matches, or is there at all.
type Condition struct {
	Path  Path
	Is    []string
	Match *regexp.Regexp
	Given *bool
	Not   bool // holds when it would not
}

func (c Condition) holds(r *request) bool {
	value, given := "", false
	c.Path.find(r, func(v any) bool {
		value = scalar(v)
		_, isText := v.(string)
		given = value != "" || !isText && v != nil
		return false
	})
	var is bool
	switch {
	case c.Given != nil:
		is = given == *c.Given
	case c.Match != nil:
		is = len(value) <= maxText && c.Match.MatchString(value)
	default:
		is = slices.Contains(c.Is, value)
	}
	return is != c.Not
}

func hold(all []Condition, r *request) bool {
	for _, c := range all {
		if !c.holds(r) {
			return false
		}
	}
	return true
}

// Auth says who may post. Everything that is set has to hold, and something has to be set.
type Auth struct {
	Addresses []netip.Prefix // the vendor's; IPv6 no finer than /64
	Key       Secret         // a bearer key
	Keys      []SharedKey
	Signature *Signature
}

// None says whether anybody could post.
func (a Auth) None() bool {
	return len(a.Addresses) == 0 && a.Key == "" && len(a.Keys) == 0 && a.Signature == nil
}

// SharedKey is a key that the vendor sends as it is, in a header or a field.
type SharedKey struct {
	In  Path
	Key Secret
}

// Scheme is how a signature is made.
type Scheme string

// The schemes. The plain hashes have the key in their text, as $key.
const (
	HMACSHA256  Scheme = "hmac-sha256"
	HMACSHA1    Scheme = "hmac-sha1"
	HMACMD5     Scheme = "hmac-md5"
	PlainSHA256 Scheme = "sha256"
	PlainSHA1   Scheme = "sha1"
	PlainMD5    Scheme = "md5"
)

// Schemes are all of them.
func Schemes() []Scheme {
	return []Scheme{HMACSHA256, HMACSHA1, HMACMD5, PlainSHA256, PlainSHA1, PlainMD5}
}

// Plain says whether the scheme hashes the key with the text instead of keying the hash.
func (s Scheme) Plain() bool { return s == PlainSHA256 || s == PlainSHA1 || s == PlainMD5 }

// How a signature is written.
const (
	Hex       = "hex"
	Base64    = "base64"
	Base64Hex = "base64_hex" // base64 of the text in hex, as PHP's base64_encode(hash_hmac(…)) makes it
)

// Signature is how the vendor signs.
type Signature struct {
	Scheme   Scheme
	Key      Secret
	In       Path   // where it stands
	Prefix   string // before it, such as "sha256="
	Encoding string
	Texts    []SignedText // the first whose conditions hold is what is signed; when none does, the request is refused

	// Time is when it was signed, if the vendor signs that, too. It may differ by Window from now.
	Time   *Time
	Window time.Duration
}

// SignedText is what is signed, of the requests that meet the conditions. Missing fields are empty in it.
type SignedText struct {
	When []Condition
	Text Text
}

// Answer is what the vendor wants to hear when a request was taken; without one it is what the generic webhook
// answers.
type Answer struct {
	Status int // 200 to 299
	Type   string
	Body   string
}

// Secret is a key. Printed it shows nothing of itself; string(s) is the key.
type Secret string

// String hides the key.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides the key from %#v.
func (s Secret) GoString() string { return s.String() }
