package asterisk

import (
	"context"
	"errors"
	"strings"
	"time"

	"ringcast/gateway"
)

// obeysWithin is how long a telephone may take to do what it is told.
const obeysWithin = 2500 * time.Millisecond

// Answer makes the extension's telephone pick up. Of several that ring, one that obeys.
func (l *Link) Answer(ctx context.Context, call, extension string) error {
	s, err := l.share(call, extension)
	if err != nil {
		return err
	}
	return inTime(ctx, func(ctx context.Context) error {
		err := error(gateway.Errorf(gateway.CodeRejected, "telephone %s does not ring", extension))
		for _, own := range s.lines {
			if !own.ringing {
				continue
			}
			if err = l.tell(ctx, s, own, "talk", "answer", up); gateway.CodeOf(err) != gateway.CodeRejected {
				return err
			}
		}
		return err
	})
}

// up says whether an event tells that a channel was answered.
func up(m message) bool { return m.get("Event") == "Newstate" && m.number("ChannelState") == stateUp }

// Hold makes the extension's telephone hold the other side, or take it back.
func (l *Link) Hold(ctx context.Context, call, extension string, on bool) error {
	s, err := l.share(call, extension)
	if err != nil {
		return err
	}
	if err := s.talks(); err != nil {
		return err
	}
	if s.held == on {
		return nil
	}
	event, words, done := "hold", "hold the call", "Hold"
	if !on {
		event, words, done = "talk", "take the call back", "Unhold"
	}
	return inTime(ctx, func(ctx context.Context) error {
		for _, own := range s.lines {
			if err := l.tell(ctx, s, own, event, words, func(m message) bool { return m.get("Event") == done }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Mute keeps Asterisk from passing on what comes from the extension's telephones, or (on false) lets it.
func (l *Link) Mute(ctx context.Context, call, extension string, on bool) error {
	s, err := l.share(call, extension)
	if err != nil {
		return err
	}
	if !s.lines[0].talks {
		return gateway.Errorf(gateway.CodeRejected, "nobody has answered this call yet")
	}
	state := "off"
	if on {
		state = "on"
	}
	return inTime(ctx, func(ctx context.Context) error {
		for _, own := range s.lines {
			a := newAction("MuteAudio", field{"Channel", own.name}, field{"Direction", "in"}, field{"State", state})
			if err := l.do(ctx, s.c, a); err != nil {
				return err
			}
		}
		return nil
	})
}

// tell has a telephone do something, and waits until it has: words name it for people, done knows the event that
// tells it.
func (l *Link) tell(ctx context.Context, s *share, own line, event, words string, done func(message) bool) error {
	seen, stop := s.c.observe(func(m message) bool {
		return m.get("Uniqueid") == own.id && (done(m) || m.get("Event") == "Hangup")
	})
	defer stop()
	if err := l.notify(ctx, s, own, event); err != nil {
		return err
	}
	m, err := s.c.nextWithin(ctx, seen, obeysWithin/time.Duration(len(s.lines)))
	switch {
	case err != nil:
		return l.refusal(err)
	case m == nil:
		return gateway.Errorf(gateway.CodeRejected, "telephone %s did not %s: do it there", own.endpoint, words)
	case !done(m):
		return errGone
	}
	return nil
}

// notify sends the telephone a NOTIFY within the call, as those with remote control obey it.
func (l *Link) notify(ctx context.Context, s *share, own line, event string) error {
	what := field{"Variable", "Event=" + event}
	technology, _, _ := strings.Cut(own.name, "/")
	switch strings.ToUpper(technology) {
	case "PJSIP":
		_, err := s.c.do(ctx, newAction("PJSIPNotify", field{"Channel", own.name}, what))
		var no *actionError
		if errors.As(err, &no) && strings.Contains(no.message, "requires an endpoint") { // it is too old to know of channels
			return l.notifyAtAll(ctx, s, newAction("PJSIPNotify", field{"Endpoint", own.endpoint}, what))
		}
		if err != nil {
			return l.refusal(err)
		}
		return nil
	case "SIP":
		a := newAction("SIPnotify", field{"Channel", own.endpoint}, what)
		m, err := s.c.do(ctx, newAction("Getvar", field{"Channel", own.name}, field{"Variable", "SIPCALLID"}))
		if err == nil && m.get("Value") != "" {
			return l.do(ctx, s.c, append(a, field{"Call-ID", m.get("Value")}))
		}
		return l.notifyAtAll(ctx, s, a)
	default:
		return gateway.Errorf(gateway.CodeNotPermitted, "a telephone on %s cannot be told what to do: do it there", technology)
	}
}

// notifyAtAll sends a NOTIFY that does not say which of the telephone's calls it is about.
func (l *Link) notifyAtAll(ctx context.Context, s *share, a action) error {
	if s.divided || len(s.lines) > 1 {
		return gateway.Errorf(gateway.CodeNotPermitted, "this PBX cannot tell the telephone which of its calls is meant: do it there")
	}
	return l.do(ctx, s.c, a)
}
