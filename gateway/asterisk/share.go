package asterisk

import (
	"slices"

	"ringcast/gateway"
)

// line is a channel as it was when somebody asked for something.
type line struct {
	id, name string
	endpoint string
	outside  bool // no telephone of the company
	ringing  bool // Asterisk calls it, and it has not picked up
	up       bool // it was answered
	talks    bool // it is in a bridge
}

// share is an extension's part in a call at a moment. Whatever a user asks for touches no channel but these.
type share struct {
	c       *client
	lines   []line // the extension's own: those in a bridge, else those that ring or call
	others  []line // the parties who hear them
	waiting []line // the parties who are in a bridge of their own and hear nobody: a consultation is under way
	beside  []line // what else is in the bridges of the lines: parties, or halves of Local channels on the way to them
	held    bool   // the extension holds the others
	divided bool   // a telephone of the extension takes part in another call, too
}

// share looks at an extension's part in a call.
func (l *Link) share(call, extension string) (*share, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		return nil, errNoLink
	}
	for _, k := range l.correlator.calls {
		if k.id != call {
			continue
		}
		if s := l.correlator.share(k, extension); len(s.lines) > 0 {
			s.c = l.client
			return s, nil
		}
		break
	}
	return nil, gateway.Errorf(gateway.CodeNotFound, "extension %s has no part in such a call", extension)
}

// share describes an extension's part in a call. What is in a conference with it and belongs to other calls is not
// part of that.
func (c *correlator) share(k *call, extension string) *share {
	s := &share{}
	var own []*channel
	for _, ch := range k.channels {
		if ch.ext == extension {
			own = append(own, ch)
		}
	}
	if slices.ContainsFunc(own, (*channel).bridged) {
		own = slices.DeleteFunc(own, func(ch *channel) bool { return !ch.bridged() })
	}
	var heard []*channel
	for _, ch := range own {
		s.lines = append(s.lines, lineOf(k, ch))
		heard = append(heard, c.company(ch)...)
		for _, x := range k.channels {
			if x.ext != extension && ch.bridged() && x.bridge == ch.bridge && !slices.ContainsFunc(s.beside, func(b line) bool { return b.id == x.id }) {
				s.beside = append(s.beside, lineOf(k, x))
			}
		}
	}
	for _, ch := range k.channels {
		switch {
		case !ch.party() || ch.ext == extension:
		case slices.Contains(heard, ch):
			s.others = append(s.others, lineOf(k, ch))
		case ch.bridged() && !ch.bridge.apart && len(c.company(ch)) == 1:
			s.waiting = append(s.waiting, lineOf(k, ch))
		}
	}
	if l := k.leg(extension); l != nil {
		s.held = l.held
	}
	for _, ch := range c.channels {
		s.divided = s.divided || ch.ext == extension && ch.call != k
	}
	return s
}

func (ch *channel) bridged() bool { return ch.bridge != nil }

func lineOf(k *call, ch *channel) line {
	return line{
		id: ch.id, name: ch.name, endpoint: ch.endpoint, outside: ch.ext == "",
		ringing: k.called(ch) && ch.state < stateUp, up: ch.state == stateUp, talks: ch.bridged(),
	}
}

// consults says whether the extension talks with, or calls, somebody to announce those who wait for it.
func (s *share) consults() bool {
	return len(s.lines) == 1 && s.lines[0].talks && len(s.waiting) > 0 && len(s.beside) > 0
}

// talks says what is wrong when the extension is to do something with the others and cannot.
func (s *share) talks() error {
	switch {
	case !s.lines[0].talks:
		return gateway.Errorf(gateway.CodeRejected, "nobody has answered this call yet")
	case len(s.waiting) > 0:
		return gateway.Errorf(gateway.CodeRejected, "a consultation is under way: complete or cancel it first")
	case len(s.others) == 0:
		return gateway.Errorf(gateway.CodeRejected, "there is nobody on the other side just now")
	}
	return nil
}
