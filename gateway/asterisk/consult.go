package asterisk

import (
	"context"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	startsWithin = 2500 * time.Millisecond // for how long Consult waits until Asterisk begins
	failsAtOnce  = 400 * time.Millisecond  // and then whether the number can be reached at all
	tone         = 500 * time.Millisecond  // which Asterisk plays to whom comes back, and hears no other wish meanwhile
)

// Consult begins an attended transfer: Asterisk holds the other side and calls the number for the extension. It is
// Asterisk's own feature, which the dial plan has to allow: option t of Dial and Queue for who is called, T for who
// calls.
func (l *Link) Consult(ctx context.Context, call, extension string, to gateway.Number) error {
	return l.alone(ctx, call, func(ctx context.Context) error {
		s, number, err := l.handOn(call, extension, to)
		switch {
		case err != nil:
			return err
		case len(s.lines) > 1:
			return gateway.Errorf(gateway.CodeRejected, "two telephones of %s are in this call: announce it at one of them", extension)
		case strings.Trim(number, "+*0123456789") != "": // "#" ends the number that Asterisk reads; no telephone has other keys
			return gateway.Errorf(gateway.CodeBadNumber, "%s cannot be called to announce somebody: hand the call on without", number)
		}
		number = strings.ReplaceAll(number, "+", "") // nor has it this one
		if err := l.leads(ctx, s.c, number); err != nil {
			return err
		}
		if s, err = l.talk(call, extension); err != nil {
			return err
		}
		return l.consult(ctx, s, number)
	})
}

func (l *Link) consult(ctx context.Context, s *share, number string) error {
	own := s.lines[0]
	seen, stop := s.c.observe(func(m message) bool { return m.of(own.id, "Hold", "Unhold", "BridgeEnter", "Hangup") })
	defer stop()
	// Asterisk types the number for the telephone, and without an end to it would wait some seconds for more.
	err := l.do(ctx, s.c, newAction("Atxfer", field{"Channel", own.name},
		field{"Exten", number + "#"}, field{"Context", l.cfg.TransferContext}))
	if err != nil {
		return err
	}
	for patience, calls := startsWithin, false; ; {
		m, err := s.c.nextWithin(ctx, seen, patience)
		switch {
		case err != nil:
			return l.refusal(err)
		case m == nil && calls:
			return nil
		case m == nil:
			return gateway.Errorf(gateway.CodeNotPermitted, "the PBX does not let this call be announced: "+
				"its dial plan needs option t or T in Dial or Queue, and features.conf atxfer")
		}
		switch m.get("Event") {
		case "Hold":
			patience = answersWithin
		case "BridgeEnter":
			patience, calls = failsAtOnce, true
		case "Unhold":
			l.hearOut(ctx, s, own)
			return gateway.Errorf(gateway.CodeRejected, "%s cannot be reached", number)
		case "Hangup":
			return errGone
		}
	}
}

// Complete joins the two sides of a consultation. Whom it calls and who has not answered is called anew, by the other
// side.
func (l *Link) Complete(ctx context.Context, call, extension string) error {
	return l.alone(ctx, call, func(ctx context.Context) error {
		s, err := l.consultation(call, extension)
		if err != nil {
			return err
		}
		return l.complete(ctx, s)
	})
}

func (l *Link) complete(ctx context.Context, s *share) error {
	own := s.lines[0]
	if i := slices.IndexFunc(s.beside, func(x line) bool { return !x.up }); i >= 0 {
		return l.completeUnanswered(ctx, s, s.beside[i])
	}
	seen, stop := s.c.observe(func(m message) bool {
		return m.get("Event") == "AttendedTransfer" && m.get("OrigTransfererUniqueid") == own.id || m.of(own.id, "Hangup")
	})
	defer stop()
	if err := l.hangUp(ctx, s); err != nil { // Asterisk's sign to join them
		return err
	}
	m, err := s.c.next(ctx, seen)
	switch {
	case err != nil:
		return l.refusal(err)
	case m.get("Event") == "AttendedTransfer" && m.get("Result") != "Success":
		return gateway.Errorf(gateway.CodeRejected, "the PBX did not join them: %s", m.get("Result"))
	}
	return nil
}

// completeUnanswered ends the call of the consultation and hands the other side on without it. Asterisk would let the
// telephone ring on when its user leaves; but when it is answered in just that moment, Asterisk 22 crashes.
func (l *Link) completeUnanswered(ctx context.Context, s *share, called line) error {
	local, _ := strings.CutPrefix(called.name, "Local/") // Local/NUMBER@CONTEXT-…;1
	at := strings.LastIndexByte(local, '@')
	if at <= 0 {
		return gateway.Errorf(gateway.CodeRejected, "nobody has answered yet")
	}
	if err := l.cancel(ctx, s); err != nil {
		return err
	}
	return l.do(ctx, s.c, newAction("BlindTransfer", field{"Channel", s.lines[0].name},
		field{"Context", l.cfg.TransferContext}, field{"Exten", local[:at]}))
}

// Cancel ends the call of a consultation, whether it was answered or not, and goes back to the other side.
func (l *Link) Cancel(ctx context.Context, call, extension string) error {
	return l.alone(ctx, call, func(ctx context.Context) error {
		s, err := l.consultation(call, extension)
		if err != nil {
			return err
		}
		if err := l.cancel(ctx, s); err != nil {
			return err
		}
		l.hearOut(ctx, s, s.lines[0])
		return nil
	})
}

// hearOut waits until Asterisk has played its tone to whom comes back from a consultation: his display changes then.
func (l *Link) hearOut(ctx context.Context, s *share, own line) {
	seen, stop := s.c.observe(func(m message) bool { return m.of(own.id, "NewConnectedLine", "Hangup") })
	defer stop()
	_, _ = s.c.nextWithin(ctx, seen, tone) // it may have changed already
}

func (l *Link) cancel(ctx context.Context, s *share) error {
	own := s.lines[0]
	seen, stop := s.c.observe(func(m message) bool { return m.of(own.id, "BridgeEnter", "Hangup") })
	defer stop()
	for _, x := range s.beside {
		err := l.do(ctx, s.c, newAction("Hangup", field{"Channel", x.name}))
		if err != nil && gateway.CodeOf(err) != gateway.CodeNotFound {
			return err
		}
	}
	m, err := s.c.next(ctx, seen)
	switch {
	case err != nil:
		return l.refusal(err)
	case m.get("Event") == "Hangup":
		return errGone
	}
	return nil
}

// consultation looks at the extension's part in a consultation.
func (l *Link) consultation(call, extension string) (*share, error) {
	s, err := l.share(call, extension)
	if err != nil {
		return nil, err
	}
	if !s.consults() {
		return nil, gateway.Errorf(gateway.CodeRejected, "there is no consultation in this call")
	}
	return s, nil
}
