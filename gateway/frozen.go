package gateway

import (
	"encoding/binary"
	"time"
)

// kept is a call as the feed keeps it. One that has ended is frozen: hundreds of thousands are remembered for
// late events, and as bytes one takes a tenth of the room.
type kept struct {
	account, id string
	version     int
	over        bool
	ended       int64  // when it ended, Unix; 0 while it is not over
	call        *Call  // nil: frozen
	frozen      string // the call's events, which it can be made of again
}

// set makes c the call's state. w's room is used again and again.
func (k *kept) set(c *Call, w *ice) {
	k.version, k.over, k.call, k.frozen = c.Version, c.Over(), c, ""
	if k.over && c.Settled == nil {
		k.call, k.frozen = nil, w.freeze(c)
	}
}

func (k *kept) get() *Call {
	if k.call != nil {
		return k.call
	}
	c := &Call{Account: k.account, ID: k.id}
	thaw(k.frozen, c)
	return c
}

// ice writes or reads: the same list of fields does for both. It never leaves the process.
type ice struct {
	reading bool
	in      string
	out     []byte
}

// freeze writes a call that has no settled part.
func (i *ice) freeze(c *Call) string {
	i.out = i.out[:0]
	i.call(c)
	return string(i.out)
}

func thaw(frozen string, c *Call) {
	r := ice{in: frozen, reading: true}
	r.call(c)
	c.Known = Tracker{}.refold(*c)
}

func (i *ice) call(c *Call) {
	i.number(&c.Version)
	i.time(&c.Seen)
	many(i, &c.Events, i.event)
}

func (i *ice) event(e *Event) {
	i.number(&e.Version)
	i.text((*string)(&e.Type))
	i.text(&e.ID)
	i.time(&e.At)
	i.text((*string)(&e.Direction))
	i.text(&e.From.Raw)
	i.text(&e.From.E164)
	i.text(&e.From.Shown)
	i.text(&e.To.Raw)
	i.text(&e.To.E164)
	i.text(&e.To.Shown)
	i.text(&e.Line)
	i.text(&e.Name)
	many(i, &e.Extensions, i.text)
	i.text((*string)(&e.Cause))
	i.text(&e.Target)
	i.text(&e.Into)
	i.text(&e.Recording)
	maybe(i, &e.Contact, i.contact)
	maybe(i, &e.Result, i.result)
	i.text((*string)(&e.Joins))
	many(i, &e.People, i.person)
}

func (i *ice) person(p *Person) {
	i.text(&p.User)
	i.text(&p.Name)
	i.text(&p.Extension)
}

func (i *ice) contact(c *Contact) {
	i.text(&c.ID)
	i.text(&c.Type)
	i.text(&c.Name)
	i.text(&c.URL)
}

func (i *ice) result(r *CallResult) {
	i.text(&r.Text)
	i.text(&r.User)
	maybe(i, &r.Entity, func(e *Entity) {
		i.text(&e.Type)
		i.text(&e.ID)
	})
}

// maybe writes or reads what a pointer points to, if it does.
func maybe[T any](i *ice, value **T, one func(*T)) {
	there := 0
	if *value != nil {
		there = 1
	}
	if i.number(&there); there == 0 {
		return
	}
	if i.reading {
		*value = new(T)
	}
	one(*value)
}

func many[T any](i *ice, values *[]T, one func(*T)) {
	n := len(*values)
	if i.number(&n); i.reading && n > 0 {
		*values = make([]T, n)
	}
	for v := range *values {
		one(&(*values)[v])
	}
}

func (i *ice) text(s *string) {
	n := len(*s)
	i.number(&n)
	if i.reading {
		*s, i.in = i.in[:n], i.in[n:]
	} else {
		i.out = append(i.out, *s...)
	}
}

func (i *ice) number(n *int) {
	if !i.reading {
		if 0 <= *n && *n < 0x80 {
			i.out = append(i.out, byte(*n))
			return
		}
		i.out = binary.AppendUvarint(i.out, uint64(*n))
		return
	}
	var shift, all uint64
	for at := 0; ; at++ {
		b := i.in[at]
		all |= uint64(b&0x7f) << shift
		if shift += 7; b < 0x80 {
			i.in = i.in[at+1:]
			break
		}
	}
	*n = int(all)
}

func (i *ice) time(t *time.Time) {
	seconds, nanos := int(t.Unix()), t.Nanosecond()
	i.number(&seconds)
	i.number(&nanos)
	if i.reading {
		*t = time.Unix(int64(seconds), int64(nanos)).UTC()
	}
}
