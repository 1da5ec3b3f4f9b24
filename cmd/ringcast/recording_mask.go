package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// mask hides what a recording should not give away. What it puts in the place of something is the same wherever that
// stands, so that what belonged together still does.
type mask struct {
	key      []byte            // under which all is replaced; made for each recording and then forgotten
	literals *strings.Replacer // secrets that are known; nil: none are
	values   []*regexp.Regexp  // whole values that are short ones, in the second group
	short    map[string]string // what is put in their place
	people   bool              // telephone numbers, names and e-mail addresses, too
}

// minLiteral is how long a secret must be to be looked for wherever it stands: a shorter one is part of much else, and
// hidden where it is all of a value.
const minLiteral = 6

// newMask returns a mask that hides the secrets given, in whatever way they are written, and what looks like one.
func newMask(key []byte, secrets []string, people bool) *mask {
	m := &mask{key: key, people: people, short: map[string]string{}}
	var pairs, short []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		inJSON, _ := json.Marshal(s) // fails never
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(inJSON), `"`)} {
			if len(s) >= minLiteral {
				pairs = append(pairs, form, m.secret(s))
			} else {
				short = append(short, regexp.QuoteMeta(form))
				m.short[form] = m.secret(s)
			}
		}
	}
	if pairs != nil {
		m.literals = strings.NewReplacer(pairs...)
	}
	if short != nil {
		m.values = valuesOf(strings.Join(short, "|"))
	}
	return m
}

// valuesOf returns where texts stand as whole values: of a line, in quotation marks, in queries and forms, and as
// numbers of JSON's.
func valuesOf(texts string) []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?m)(^(?:[^\s:]+:[ \t]*)?)(` + texts + `)(\r?$)`),
		regexp.MustCompile(`(\\?"|%22)(` + texts + `)(\\?"|%22)`),
		regexp.MustCompile(`(?m)(=)(` + texts + `)([&\s,;"']|$)`),
		regexp.MustCompile(`("\s*:\s*)(` + texts + `)(\s*[,}\]])`),
	}
}

// hideShort hides the short secrets.
func (m *mask) hideShort(text string) string {
	for _, form := range m.values {
		text = form.ReplaceAllStringFunc(text, func(found string) string {
			parts := form.FindStringSubmatch(found)
			before, other := parts[1], m.short[parts[2]]
			if before == "" || strings.HasPrefix(before, `"`) && strings.Contains(before, ":") { // perhaps a number of JSON's
				other = `"` + other + `"`
			}
			return before + other + parts[3]
		})
	}
	return text
}

// form is a way in which something to be hidden is written: in the second group, with its name in the first.
type form struct {
	hints []string // one of which is in every text that has it, in small letters: most texts have none
	*regexp.Regexp
}

const (
	secretNames = `(?:secret|passw(?:or)?d|api[_-]?key|auth(?:orization|key)?|token|md5key)`
	inQuotes    = `("(?:[^"\\]|\\.)*")`
	percented   = `((?:%5C%22|[^&%]|%(?:[013-9A-F].|2[013-9A-F]))+)` // as a JSON string is in a form
	percentedIs = `%22(?:%20|\+)*%3A(?:%20|\+)*%22`
	ofPart      = `"[^\r\n]*(?:\r?\n[^\r\n]+)*\r?\n\r?\n)([^\r\n]+)` // of multipart/form-data
)

var secretHints = []string{"secret", "passw", "api", "auth", "token", "md5key"}

// What is called like a secret, in all the ways in which it may be written.
var secretForms = []form{
	{secretHints, regexp.MustCompile(`(?i)("[\w-]*` + secretNames + `"\s*:\s*)` + inQuotes)},
	{secretHints, regexp.MustCompile(`(?i)("[\w-]*` + secretNames + `"\s*:\s*)([0-9]+)\b`)},
	{secretHints, regexp.MustCompile(`(?i)(%22[\w-]*` + secretNames + percentedIs + `)` + percented)},
	{secretHints, regexp.MustCompile(`(?im)(^[\w-]*` + secretNames + `:[ \t]*(?:(?:bearer|basic|digest) )?)([^\s][^\r\n]*)`)}, // a header, or a line of AMI
	{secretHints, regexp.MustCompile(`(?im)(^Variable: [^\r\n]*(?:secret|passw|api_?key|token)[^\r\n]*\r?\nValue: )([^\r\n]+)`)},
	{secretHints, regexp.MustCompile(`(?i)(name="[^"\r\n]*` + secretNames + ofPart)},
	{secretHints, regexp.MustCompile(`(?i)(` + secretNames + `[ \t]*[:=][ \t]*(?:(?:bearer|basic|digest) )?)([^\s"'&,;}]+)`)}, // queries, forms, and text
	{[]string{"key="}, regexp.MustCompile(`(?im)((?:^|[?&])key=)([^&\s"']{8,})`)},
}

// personNames are names of fields that hold a person's, or a company's: "queueName" or "event_name" do not.
const personNames = `(?i:(?:caller|callee|called|client|contact|customer|user|employee|agent|operator|member|company|display|otherLeg|first|last|full|middle|sur)?[_-]?(?:id[_-]?)?name|company|organization)`

// Names of people, likewise.
var nameForms = []form{
	{[]string{`name"`, `company"`, `organization"`}, regexp.MustCompile(`("` + personNames + `"\s*:\s*)` + inQuotes)},
	{[]string{"name=", "company=", "organization="}, regexp.MustCompile(`(?m)((?:^|[?&])` + personNames + `=)([^&\s]+)`)},
	{[]string{"name%22", "company%22", "organization%22"}, regexp.MustCompile(`(%22` + personNames + percentedIs + `)` + percented)},
	{[]string{`name="`}, regexp.MustCompile(`(name="` + personNames + ofPart)},
	{[]string{"calleridname: "}, regexp.MustCompile(`(CallerIDName: )([^\r\n]+)`)},
	{[]string{"connectedlinename: "}, regexp.MustCompile(`(ConnectedLineName: )([^\r\n]+)`)},
	{[]string{"membername: "}, regexp.MustCompile(`(MemberName: )([^\r\n]+)`)},
	{[]string{"(name"}, regexp.MustCompile(`(?im)(^Variable: (?:CALLERID|CONNECTEDLINE)\(name[^\r\n]*\r?\nValue: )([^\r\n]+)`)},
	{[]string{"cidname", "calleridname", "membername"}, regexp.MustCompile(`(?im)(^Variable: \w*(?:CID|CALLERID|MEMBER)NAME\w*\r?\nValue: )([^\r\n]+)`)},
	{[]string{"(name"}, regexp.MustCompile(`(?i)((?:CALLERID|CONNECTEDLINE)\(name[^)]*\)=)([^\r\n,&]+)`)},
	{[]string{`" <`, `"<`}, regexp.MustCompile(`()("[^"\r\n<>:{}]+")[ \t]*<[^>\r\n]*>`)}, // before a caller's number
}

var (
	emailForm = regexp.MustCompile(`(?i)(?:sips?:)?[\p{L}0-9._+-]+(?:@|%40)(?:[a-z0-9-]+\.)+[a-z]{2,}`)

	// Numbers in one piece, and as people write them.
	numberForm = regexp.MustCompile(`^(?:(?:\+|%2[Bb])[0-9]{10,15}` +
		`|(?:\+|%2[Bb])[0-9](?:(?:[ ()+-]|%20|%28|%29)*[0-9]){6,14}` +
		`|[0-9]{0,4}(?: |%20|\+|-)?(?:\(|%28)[0-9]{2,5}(?:\)|%29)(?:(?:[ +-]|%20)*[0-9]){5,9}` +
		`|[0-9][ -][0-9]{3}[ -][0-9]{3}[ -][0-9]{2}[ -]?[0-9]{2}\b` +
		`|[0-9]{7,})`)

	identifierForm = regexp.MustCompile(`^[a-z]+([._:-][a-z0-9]+)+$`) // "call.start" is nobody's name
)

const masked = "***"

// apply hides what a message that came at a time should not give away.
func (m *mask) apply(text string, at time.Time) string {
	if text == "" {
		return ""
	}
	if m.literals != nil {
		text = m.literals.Replace(text)
	}
	text = m.hideShort(text)
	text = replaceAll(secretForms, text, m.secret)
	if !m.people {
		return text
	}
	text = replaceAll(nameForms, text, m.name)
	if strings.Contains(text, "@") || strings.Contains(text, "%40") {
		text = emailForm.ReplaceAllStringFunc(text, m.email)
	}
	return m.numbers(text, at)
}

// replaceAll puts something else in the place of what stands in one of the forms: within quotation marks if it has
// some, or if it is a number of JSON's.
func replaceAll(forms []form, text string, other func(string) string) string {
	small := strings.ToLower(text)
	for _, form := range forms {
		if !slices.ContainsFunc(form.hints, func(hint string) bool { return strings.Contains(small, hint) }) {
			continue
		}
		var b strings.Builder
		end := 0
		for _, at := range form.FindAllStringSubmatchIndex(text, -1) {
			found := text[at[4]:at[5]]
			if strings.HasPrefix(found, `"`) || strings.HasPrefix(text[at[2]:at[3]], `"`) {
				found = `"` + other(strings.Trim(found, `"`)) + `"`
			} else {
				found = other(found)
			}
			b.WriteString(text[end:at[4]] + found)
			end = at[5]
		}
		text = b.String() + text[end:]
	}
	return text
}

func (m *mask) secret(text string) string {
	if text == "" || strings.HasPrefix(text, masked) {
		return text
	}
	return fmt.Sprintf("%s%04d", masked, m.other(text)%10000)
}

func (m *mask) name(text string) string {
	if text == "" || strings.EqualFold(text, "<unknown>") || identifierForm.MatchString(text) {
		return text
	}
	if plain, err := url.QueryUnescape(text); err == nil && utf8.ValidString(plain) {
		text = plain // "Ivan%20Petrov" is "Ivan Petrov"
	}
	return fmt.Sprintf("Name%04d", m.other(text)%10000)
}

// email makes another of an address, but not of a telephone's at a PBX.
func (m *mask) email(text string) string {
	local, _, _ := strings.Cut(strings.ReplaceAll(text, "%40", "@"), "@")
	if strings.HasPrefix(strings.ToLower(text), "sip") && strings.Contains(text, ":") || strings.Trim(local, "0123456789+") == "" {
		return text
	}
	return fmt.Sprintf("mail%04d@example.com", m.other(strings.ToLower(text))%10000)
}

// numbers makes others of all numbers in a text. Escapes with digits in them stay whole.
func (m *mask) numbers(text string, at time.Time) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		rest := text[i:]
		plus := strings.HasPrefix(rest, "%2B") || strings.HasPrefix(rest, "%2b") || strings.HasPrefix(rest, "%28")
		length := 1
		switch c := rest[0]; {
		case c >= '0' && c <= '9' || c == '+' || c == '(' || plus:
			if span := spanOf(rest); span != "" {
				if found := numberForm.FindString(span); found != "" {
					b.WriteString(m.number(found, at))
					i += len(found)
					continue
				}
			}
			if plus {
				length = len("%2B")
			}
			length = max(length, len(rest)-len(strings.TrimLeft(rest, "0123456789")))
		case c == '%':
			length = len("%20")
		case strings.HasPrefix(rest, `\u`):
			length = len(`\u0418`)
		}
		length = min(length, len(rest))
		b.WriteString(rest[:length])
		i += length
	}
	return b.String()
}

// spanOf is the beginning of a text that may be a number, as far as that goes; "" when it is none.
func spanOf(text string) string {
	end, digits := 0, 0
	for ; end < len(text) && strings.IndexByte("0123456789 ()+-%Bb", text[end]) >= 0; end++ {
		if text[end] >= '0' && text[end] <= '9' {
			digits++
		}
	}
	if digits < 7 {
		return ""
	}
	return text[:end]
}

// number makes another of a number: the same of the same, however it is written, since what comes before the last
// ten digits stays. Ids that look like numbers become others too, everywhere the same; times do not.
func (m *mask) number(text string, at time.Time) string {
	if isTime(text, at) {
		return text
	}
	var digits []byte
	var places []int
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '%':
			i += 2
		case text[i] >= '0' && text[i] <= '9':
			digits, places = append(digits, text[i]), append(places, i)
		}
	}
	keep := max(len(digits)-10, 0)
	tail := string(digits[keep:])
	written := []byte(text)
	for i, digit := range fmt.Sprintf("%0*d", len(tail), m.other(tail)%pow10(len(tail))) {
		if i > 0 || digit != '0' { // a number of JSON's does not begin with it
			written[places[keep+i]] = byte(digit)
		}
	}
	return string(written)
}

// nearby is how far times of which a message tells may be from its own.
const nearby = 2 * 24 * time.Hour

// isTime says whether digits are a time about that of a message: since 1970, in seconds or a fraction of them, or a
// date, perhaps with the time of day.
func isTime(digits string, at time.Time) bool {
	near := func(t time.Time) bool { return at.Sub(t).Abs() <= nearby }
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		switch len(digits) {
		case 10:
			return near(time.Unix(n, 0))
		case 13:
			return near(time.UnixMilli(n))
		case 16:
			return near(time.UnixMicro(n))
		}
	}
	if len(digits) != len("20060102") && len(digits) != len("20060102150405") {
		return false
	}
	date, err := time.Parse("20060102", digits[:8])
	return err == nil && near(date)
}

func pow10(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

func (m *mask) other(text string) uint64 {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(text))
	return binary.BigEndian.Uint64(h.Sum(nil))
}
