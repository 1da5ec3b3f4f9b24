package gateway

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// encoder writes records, calls and views as JSON. It writes what encoding/json would, byte for byte, which takes
// most of the time that an event has: FuzzEncode holds the two together, and reading is left to encoding/json.
type encoder struct {
	data []byte
	err  error // the first value that has no form in JSON
}

// record writes a record. What a call adds up to is left out: decodeEntry adds up its events again. The other
// records are few, and encoding/json's.
func (e *encoder) record(r *Record) {
	if r.Call == nil {
		data, err := json.Marshal(r)
		e.data = append(e.data, data...)
		e.fail(err)
		return
	}
	e.open()
	e.text("account", r.Account)
	e.time("at", r.At)
	e.someText("event", string(r.Event))
	e.someText("event_id", r.EventID)
	e.someTexts("users", r.Users)
	e.key("call")
	e.open()
	e.text("id", r.Call.ID)
	e.number("version", r.Call.Version)
	e.history(r.Call)
	e.close()
	e.close()
}

func (e *encoder) call(c *Call) {
	e.open()
	e.text("account", c.Account)
	e.text("id", c.ID)
	e.number("version", c.Version)
	e.known(&c.Known)
	e.history(c)
	e.close()
}

func (e *encoder) history(c *Call) {
	e.key("events")
	e.events(c.Events)
	if c.Settled != nil {
		e.key("settled")
		e.open()
		e.known(c.Settled)
		e.close()
	}
	e.someTime("seen", c.Seen)
}

func (e *encoder) known(k *Known) {
	e.someText("direction", string(k.Direction))
	e.someNumber("from", k.From)
	e.someNumber("to", k.To)
	e.someText("line", k.Line)
	e.someText("name", k.Name)
	e.someTime("started_at", k.StartedAt)
	e.someTime("answered_at", k.AnsweredAt)
	e.somePerson("answered_by", k.AnsweredBy)
	e.someTime("ended_at", k.EndedAt)
	e.someText("into", k.Into)
	e.someText("recording", k.Recording)
	e.someContact(k.Contact)
	e.someResult(k.Result)
	if len(k.Legs) > 0 {
		e.key("legs")
		e.begin()
		for i := range k.Legs {
			e.leg(&k.Legs[i])
		}
		e.end()
	}
}

func (e *encoder) leg(l *Leg) {
	e.open()
	e.personMembers(&l.Person)
	e.someTrue("caller", l.Caller)
	e.someTime("rang_at", l.RangAt)
	e.someTime("answered_at", l.AnsweredAt)
	e.someTime("talking_since", l.TalkingSince)
	if l.Talked != 0 {
		e.number("talked", int(l.Talked))
	}
	e.someTrue("held", l.Held)
	e.someTrue("consults", l.Consults)
	e.someTime("ended_at", l.EndedAt)
	e.someText("outcome", string(l.Outcome))
	e.somePerson("taken_by", l.TakenBy)
	e.close()
}

func (e *encoder) events(events []Event) {
	if events == nil {
		e.null()
		return
	}
	e.begin()
	for i := range events {
		e.event(&events[i])
	}
	e.end()
}

func (e *encoder) event(v *Event) {
	e.open()
	e.text("event", string(v.Type))
	e.someText("id", v.ID)
	e.someTime("at", v.At)
	e.someText("direction", string(v.Direction))
	e.someNumber("from", v.From)
	e.someNumber("to", v.To)
	e.someText("line", v.Line)
	e.someText("name", v.Name)
	e.someTexts("extensions", v.Extensions)
	e.someText("cause", string(v.Cause))
	e.someText("target", v.Target)
	e.someText("into", v.Into)
	e.someText("recording", v.Recording)
	e.someContact(v.Contact)
	e.someResult(v.Result)
	e.someText("joins", string(v.Joins))
	if v.Version != 0 {
		e.number("version", v.Version)
	}
	if len(v.People) > 0 {
		e.key("people")
		e.begin()
		for i := range v.People {
			e.open()
			e.personMembers(&v.People[i])
			e.close()
		}
		e.end()
	}
	e.close()
}

func (e *encoder) personMembers(p *Person) {
	e.text("user", p.User)
	e.text("name", p.Name)
	e.text("extension", p.Extension)
}

func (e *encoder) somePerson(name string, p *Person) {
	if p != nil {
		e.person(name, p)
	}
}

func (e *encoder) someNumber(name string, n Number) {
	if n == (Number{}) {
		return
	}
	e.key(name)
	e.open()
	e.someText("raw", n.Raw)
	e.someText("e164", n.E164)
	e.someText("shown", n.Shown)
	e.close()
}

// view writes a call as a user sees it. Its members are all there, null when they are nothing, as the wire
// wants it.
func (e *encoder) view(v *View) {
	e.open()
	e.text("id", v.ID)
	e.number("version", v.Version)
	e.text("direction", string(v.Direction))
	e.textOrNull("phone", v.Phone)
	e.text("phone_raw", v.PhoneRaw)
	e.text("phone_display", v.PhoneDisplay)
	e.someText("name", v.Name)
	e.text("line", v.Line)
	e.text("extension", v.Extension)
	e.someTrue("outgoing", v.Outgoing)
	e.text("state", string(v.State))
	e.textOrNull("outcome", (*string)(v.Outcome))
	e.person("answered_by", v.AnsweredBy)
	e.person("peer", v.Peer)
	e.millis("started_at", &v.StartedAt)
	e.millis("answered_at", v.AnsweredAt)
	e.millis("ended_at", v.EndedAt)
	e.number("talk_seconds", v.Talk)
	e.contact("contact", v.Contact)
	e.textOrNull("recording", v.Recording)
	e.close()
}

func (e *encoder) textOrNull(name string, value *string) {
	if e.key(name); value == nil {
		e.null()
		return
	}
	e.quote(*value)
}

func (e *encoder) person(name string, p *Person) {
	if e.key(name); p == nil {
		e.null()
		return
	}
	e.open()
	e.personMembers(p)
	e.close()
}

func (e *encoder) contact(name string, c *Contact) {
	if e.key(name); c == nil {
		e.null()
		return
	}
	e.open()
	e.text("id", c.ID)
	e.text("type", c.Type)
	e.text("name", c.Name)
	e.text("url", c.URL)
	e.close()
}

func (e *encoder) someContact(c *Contact) {
	if c != nil {
		e.contact("contact", c)
	}
}

func (e *encoder) someResult(r *CallResult) {
	if r == nil {
		return
	}
	e.key("result")
	e.open()
	e.someText("text", r.Text)
	if r.Entity != nil {
		e.key("entity")
		e.open()
		e.text("type", r.Entity.Type)
		e.text("id", r.Entity.ID)
		e.close()
	}
	e.text("user", r.User)
	e.close()
}

func (e *encoder) millis(name string, m *Millis) {
	if e.key(name); m == nil {
		e.null()
		return
	}
	e.data = m.append(e.data)
}

// The members of an object. Those called some are left out when they are empty.

func (e *encoder) text(name, value string) {
	e.key(name)
	e.quote(value)
}

func (e *encoder) someText(name, value string) {
	if value != "" {
		e.text(name, value)
	}
}

func (e *encoder) someTexts(name string, values []string) {
	if len(values) == 0 {
		return
	}
	e.key(name)
	e.begin()
	for _, value := range values {
		e.comma()
		e.quote(value)
	}
	e.end()
}

func (e *encoder) number(name string, value int) {
	e.key(name)
	e.data = strconv.AppendInt(e.data, int64(value), 10)
}

func (e *encoder) someTrue(name string, value bool) {
	if value {
		e.key(name)
		e.data = append(e.data, "true"...)
	}
}

func (e *encoder) time(name string, t time.Time) {
	e.key(name)
	e.data = append(e.data, '"')
	if year := t.Year(); t.Location() != time.UTC || year < 0 || year > 9999 {
		var err error
		e.data, err = t.AppendText(e.data)
		e.fail(err)
	} else {
		e.data = appendSeconds(e.data, t)
		if fraction := t.Nanosecond(); fraction > 0 {
			e.data = bytes.TrimRight(appendDigits(append(e.data, '.'), fraction, 9), "0")
		}
		e.data = append(e.data, 'Z')
	}
	e.data = append(e.data, '"')
}

// appendSeconds writes a time of the years 0 to 9999 as RFC 3339 begins. Package time takes several times as long.
func appendSeconds(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = append(appendDigits(b, year, 4), '-')
	b = append(appendDigits(b, int(month), 2), '-')
	b = append(appendDigits(b, day, 2), 'T')
	b = append(appendDigits(b, hour, 2), ':')
	b = append(appendDigits(b, minute, 2), ':')
	return appendDigits(b, second, 2)
}

// appendDigits writes the last digits of n.
func appendDigits(b []byte, n, digits int) []byte {
	b = append(b, "000000000"[:digits]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

func (e *encoder) someTime(name string, t time.Time) {
	if !t.IsZero() {
		e.time(name, t)
	}
}

// The grammar.

func (e *encoder) open() {
	e.comma()
	e.data = append(e.data, '{')
}

func (e *encoder) close() { e.data = append(e.data, '}') }
func (e *encoder) begin() { e.data = append(e.data, '[') }
func (e *encoder) end()   { e.data = append(e.data, ']') }
func (e *encoder) null()  { e.data = append(e.data, "null"...) }

func (e *encoder) key(name string) {
	e.comma()
	e.data = append(e.data, '"')
	e.data = append(e.data, name...)
	e.data = append(e.data, '"', ':')
}

// comma parts what follows from a member or an element before it.
func (e *encoder) comma() {
	if n := len(e.data); n > 0 {
		switch e.data[n-1] {
		case '{', '[', ':', '\n':
		default:
			e.data = append(e.data, ',')
		}
	}
}

// quote writes a string. What needs escaping is left to encoding/json.
func (e *encoder) quote(s string) {
	for i := range len(s) {
		if !plain[s[i]] {
			quoted, err := json.Marshal(s)
			e.data = append(e.data, quoted...)
			e.fail(err)
			return
		}
	}
	e.data = append(e.data, '"')
	e.data = append(e.data, s...)
	e.data = append(e.data, '"')
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (is [256]bool) {
	for c := ' '; c <= '~'; c++ {
		is[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return is
}()

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}
