package asterisk

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ringcast/gateway"
)

// Transfer hands the other side to a number, through the dial plan's context for that, and ends the extension's leg.
func (l *Link) Transfer(ctx context.Context, call, extension string, to gateway.Number) error {
	return l.alone(ctx, call, func(ctx context.Context) error {
		s, number, err := l.handOn(call, extension, to)
		if err != nil {
			return err
		}
		if err := l.leads(ctx, s.c, number); err != nil {
			return err
		}
		if s, err = l.talk(call, extension); err != nil { // meanwhile it may have ended, or somebody come
			return err
		}
		if len(s.lines) == 1 && len(s.beside) == 1 {
			err := l.do(ctx, s.c, newAction("BlindTransfer", field{"Channel", s.lines[0].name},
				field{"Context", l.cfg.TransferContext}, field{"Exten", number}))
			if gateway.CodeOf(err) != gateway.CodeRejected {
				return err
			}
			if s, err = l.talk(call, extension); err != nil {
				return err
			}
		}
		return l.redirect(ctx, s, number)
	})
}

// talk looks at an extension's part in a call in which it talks.
func (l *Link) talk(call, extension string) (*share, error) {
	s, err := l.share(call, extension)
	if err != nil {
		return nil, err
	}
	return s, s.talks()
}

// handOn looks whether the other side can be handed on to a number, and returns it as it is dialled.
func (l *Link) handOn(call, extension string, to gateway.Number) (*share, string, error) {
	number, err := l.cfg.exten(to)
	if err != nil {
		return nil, "", err
	}
	s, err := l.talk(call, extension)
	return s, number, err
}

// redirect sends the other side into the dial plan: the customer, where colleagues are in the talk as well. There is
// no event that tells of such a transfer.
func (l *Link) redirect(ctx context.Context, s *share, number string) error {
	others := s.others
	if slices.ContainsFunc(others, func(x line) bool { return x.outside }) {
		others = slices.DeleteFunc(slices.Clone(others), func(x line) bool { return !x.outside })
	}
	for _, x := range others {
		err := l.do(ctx, s.c, newAction("Redirect", field{"Channel", x.name},
			field{"Context", l.cfg.TransferContext}, field{"Exten", number}, field{"Priority", "1"}))
		if err != nil {
			return err
		}
	}
	return l.leave(ctx, s)
}

// leave ends the extension's leg after the other side has gone. Asterisk may have done so itself.
func (l *Link) leave(ctx context.Context, s *share) error {
	if err := l.hangUp(ctx, s); gateway.CodeOf(err) != gateway.CodeNotFound {
		return err
	}
	return nil
}

// Park leaves the other side waiting in the PBX's parking lot. When nobody takes it in time, Asterisk calls the
// extension again, as the lot is configured.
func (l *Link) Park(ctx context.Context, call, extension string) (slot string, err error) {
	parked := make(chan string, 1)
	err = l.alone(ctx, call, func(ctx context.Context) error {
		s, err := l.talk(call, extension)
		if err != nil {
			return err
		}
		if len(s.others) > 1 {
			return gateway.Errorf(gateway.CodeRejected, "there are several on the other side: only one can be parked")
		}
		slot, err := l.park(ctx, s)
		parked <- slot
		return err
	})
	if err != nil {
		return "", err
	}
	return <-parked, nil
}

func (l *Link) park(ctx context.Context, s *share) (string, error) {
	other := s.others[0]
	seen, stop := s.c.observe(func(m message) bool {
		return m.get("Event") == "ParkedCall" && m.get("ParkeeUniqueid") == other.id
	})
	defer stop()
	err := l.do(ctx, s.c, newAction("Park", field{"Channel", other.name}, field{"TimeoutChannel", s.lines[0].name}))
	if err != nil {
		return "", err
	}
	m, err := s.c.next(ctx, seen)
	if err != nil {
		return "", l.refusal(err)
	}
	return m.get("ParkingSpace"), l.leave(ctx, s)
}

// badNumber is the context in which FreePBX catches the numbers that lead nowhere.
const badNumber = "bad-number"

// leads says, with CodeBadNumber, whether the dial plan knows no way to a number: Asterisk would hand a caller on to
// nowhere and call that a success.
func (l *Link) leads(ctx context.Context, c *client, number string) error {
	id := c.id()
	seen, stop := c.observe(func(m message) bool {
		return m.get("ActionID") == id && (m.get("Event") == "ListDialplan" && m.get("Context") != badNumber ||
			m.get("Event") == "ShowDialPlanComplete")
	})
	defer stop()
	_, err := c.doAs(ctx, id, newAction("ShowDialPlan", field{"Context", l.cfg.TransferContext}, field{"Extension", number}))
	var no *actionError
	switch {
	case errors.As(err, &no) && strings.Contains(strings.ToLower(no.message), "not find"):
		return l.leadsAtAll(ctx, c, number)
	case errors.As(err, &no): // it may not be asked
		return nil
	case err != nil:
		return l.refusal(err)
	}
	m, err := c.next(ctx, seen)
	switch {
	case err != nil:
		return l.refusal(err)
	case m.get("Event") == "ShowDialPlanComplete": // and nothing before it
		return gateway.Errorf(gateway.CodeBadNumber, "the PBX knows no way to %s", number)
	default:
		return nil
	}
}

// leadsAtAll asks once more whether there is a way to a number: a dial plan in a database, or in Lua, is not listed.
// Before Asterisk tries a call it looks for the number, and this call comes to nothing.
func (l *Link) leadsAtAll(ctx context.Context, c *client, number string) error {
	err := l.do(ctx, c, newAction("Originate", field{"Channel", l.cfg.Technology + "/" + nowhere}, field{"Context", l.cfg.TransferContext},
		field{"Exten", number}, field{"Priority", "1"}, field{"Timeout", "1000"}, field{"Async", "true"}))
	if gateway.CodeOf(err) == gateway.CodeBadNumber {
		return gateway.Errorf(gateway.CodeBadNumber, "the PBX knows no way to %s", number)
	}
	return nil
}

// nowhere is a telephone that there is not.
const nowhere = "ringcast-check"
