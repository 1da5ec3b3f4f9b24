package webhook

import "bytes"

// scan reads a body as PBXes write them: one event or an array of them, objects of known members whose values are
// strings without escapes, or arrays of such. It takes a tenth of encoding/json's time. What else it meets it
// does not judge but returns false: the body is encoding/json's then. FuzzParse holds that the two agree.
func scan(body []byte) ([]wireEvent, bool) {
	const space = " \t\r\n"
	if bytes.IndexByte(body, '\\') >= 0 {
		return nil, false
	}
	if body[0] != '[' {
		events := make([]wireEvent, 1)
		return events, scanEvent(body, &events[0])
	}
	events := make([]wireEvent, 0, min(MaxEvents, bytes.Count(body, []byte{'{'})))
	for before := byte('['); len(events) < MaxEvents && body[0] == before; before = ',' {
		end := bytes.IndexByte(body, '}') + 1
		if end == 0 {
			break
		}
		events = append(events, wireEvent{})
		if !scanEvent(bytes.TrimLeft(body[1:end], space), &events[len(events)-1]) {
			break
		}
		if body = bytes.TrimLeft(body[end:], space); len(body) == 0 {
			break
		}
		if body[0] == ']' {
			return events, len(body) == 1
		}
	}
	return nil, false
}

// scanEvent reads an object. The strings of the event are parts of one: they come and go together.
func scanEvent(object []byte, w *wireEvent) bool {
	s := scanner{text: string(object)}
	return s.event(w) && s.next() == 0 && s.at == len(s.text)
}

type scanner struct {
	text string
	at   int
}

// next returns the next byte that is not space, without passing it; 0 at the end.
func (s *scanner) next() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// pass passes c if it is next.
func (s *scanner) pass(c byte) bool {
	if s.next() != c {
		return false
	}
	s.at++
	return true
}

// string reads a string.
func (s *scanner) string(to *string) bool {
	if !s.pass('"') {
		return false
	}
	for begin := s.at; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			*to = s.text[begin:s.at]
			s.at++
			return true
		case c < ' ':
			return false
		}
	}
	return false
}

// strings reads an array of strings, one at least.
func (s *scanner) strings(to *[]string) bool {
	*to = nil
	for before := byte('['); s.pass(before); before = ',' {
		var one string
		if !s.string(&one) {
			return false
		}
		*to = append(*to, one)
		if s.pass(']') {
			return true
		}
	}
	return false
}

func (s *scanner) event(w *wireEvent) bool {
	if !s.pass('{') {
		return false
	}
	for {
		var name string
		if !s.string(&name) || !s.pass(':') || !s.member(w, name) {
			return false
		}
		if !s.pass(',') {
			return s.pass('}')
		}
	}
}

func (s *scanner) member(w *wireEvent, name string) bool {
	switch name {
	case "event":
		return s.string((*string)(&w.Event))
	case "call":
		return s.string(&w.Call)
	case "id":
		return s.string(&w.ID)
	case "direction":
		return s.string((*string)(&w.Direction))
	case "from":
		w.From = new(string)
		return s.string(w.From)
	case "to":
		w.To = new(string)
		return s.string(w.To)
	case "name":
		return s.string(&w.Name)
	case "extension":
		return s.string(&w.Extension)
	case "extensions":
		return s.strings(&w.Extensions)
	case "line":
		return s.string(&w.Line)
	case "at":
		return s.string(&w.At)
	case "cause":
		return s.string((*string)(&w.Cause))
	case "target":
		return s.string(&w.Target)
	case "into":
		return s.string(&w.Into)
	case "recording":
		return s.string(&w.Recording)
	default:
		return false
	}
}
