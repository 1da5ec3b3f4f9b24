package asterisk

import (
	"context"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	failsWithin = 2 * time.Second        // for how long Dial waits for a failure that comes at once
	tellsWhy    = 200 * time.Millisecond // and then for its cause
)

// attempt is a click under way. Whoever clicks the same meanwhile waits for its outcome.
type attempt struct {
	done chan struct{}
	err  error
}

// Dial makes Asterisk call the extension's telephone and, when that is picked up, the number. The call's
// id is made of req.Key, and is the id of its first channel in Asterisk.
func (l *Link) Dial(ctx context.Context, req gateway.DialRequest) (string, error) {
	number, err := l.cfg.exten(req.To)
	if err != nil {
		return "", err
	}
	if !plainWord(req.Extension) || !plainWord(req.Key) {
		return "", gateway.Errorf(gateway.CodeBadNumber, "%q is not an extension", req.Extension)
	}
	call := "ringcast-" + req.Key
	err = inTime(ctx, func(ctx context.Context) error {
		a, c, err := l.begin(call, order{extension: req.Extension, number: l.cfg.Numbers.Dialled(number)})
		if err != nil {
			return err
		}
		if c != nil {
			l.conclude(call, a, l.originate(ctx, c, call, number, req))
		}
		select {
		case <-a.done:
			return a.err
		case <-ctx.Done():
			return gateway.Errorf(gateway.CodeTimeout, "the PBX has not answered yet")
		}
	})
	if err != nil {
		return "", err
	}
	return call, nil
}

// exten writes a number as Asterisk is to dial it, an extension of the company as the directory has it.
func (cfg *Config) exten(to gateway.Number) (string, error) {
	if plainWord(to.Raw) && cfg.IsExtension(to.Raw) {
		return cfg.Numbers.Extension(to)
	}
	return cfg.Numbers.Dial(to)
}

// begin makes an attempt to order the call over a connection; or, without one, finds the attempt that
// somebody else makes, or has made when the call lives.
func (l *Link) begin(call string, o order) (*attempt, *client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.dialling[call]; a != nil {
		return a, nil, nil
	}
	if l.correlator.knows(call) {
		return madeBefore, nil, nil
	}
	if l.client == nil {
		return nil, nil, errNoLink
	}
	a := &attempt{done: make(chan struct{})}
	l.dialling[call] = a
	l.correlator.order(call, o)
	return a, l.client, nil
}

var errNoLink = gateway.Errorf(gateway.CodePBXOffline, "there is no connection to the PBX just now")

// madeBefore is the attempt of a call that lives.
var madeBefore = func() *attempt {
	a := &attempt{done: make(chan struct{})}
	close(a.done)
	return a
}()

func (l *Link) conclude(call string, a *attempt, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.dialling, call)
	if err != nil {
		l.correlator.cancelOrder(call)
	}
	a.err = err
	close(a.done)
}

func (l *Link) originate(ctx context.Context, c *client, call, number string, req gateway.DialRequest) error {
	fields := []field{
		{"Channel", l.cfg.Technology + "/" + req.Extension},
		{"ChannelId", call},
		{"Context", l.cfg.Context},
		{"Exten", number},
		{"Priority", "1"},
		{"Timeout", strconv.FormatInt(l.cfg.RingTimeout.Milliseconds(), 10)},
		{"Async", "true"},
	}
	for _, v := range l.cfg.dialVariables(number, req) {
		fields = append(fields, field{"Variable", v})
	}
	id := c.id()
	outcome, stop := c.observe(func(m message) bool { return m.get("Event") == "OriginateResponse" && m.get("ActionID") == id })
	defer stop()
	fate, stopFate := c.observe(func(m message) bool { return m.of(call, "Newstate", "HangupRequest", "Hangup") })
	defer stopFate()
	if _, err := c.doAs(ctx, id, newAction("Originate", fields...)); err != nil {
		return l.refusal(err)
	}
	timer := time.NewTimer(failsWithin)
	defer timer.Stop()
	select {
	case m := <-outcome:
		if m.get("Response") != "Success" {
			return failure(m, fate, req.Extension)
		}
	case m := <-fate:
		if m.get("Event") != "Newstate" {
			return hungUp(m, fate, req.Extension)
		}
		l.callBy(ctx, c, m, req.Extension) // it rings
	case <-timer.C:
	case <-ctx.Done(): // Asterisk took the request
	case <-c.done:
		return gateway.Errorf(gateway.CodeTimeout, "the connection to the PBX broke; whether the call was made is not known")
	}
	l.cfg.Logger.Info("call ordered", "call", call, "extension", req.Extension)
	return nil
}

// callBy gives the channel to the caller's telephone, of which an event tells, its extension for a caller id, when
// it has none: the PBX has none for that telephone, and would take it from a call that is dialled there.
func (l *Link) callBy(ctx context.Context, c *client, m message, extension string) {
	if m.get("CallerIDNum") != "" {
		return
	}
	if err := l.do(ctx, c, newAction("Setvar", field{"Channel", m.get("Channel")},
		field{"Variable", "CALLERID(num)"}, field{"Value", extension})); err != nil {
		l.cfg.Logger.Warn("the call has no caller id", "call", m.get("Uniqueid"), "err", err)
	}
}

// failure reads an OriginateResponse. Its Reason is 0 for a telephone that is not there and for one that
// refused at once; the latter has a channel, whose end gives the cause.
func failure(m message, fate <-chan message, extension string) error {
	switch reason := m.get("Reason"); reason {
	case "5":
		return gateway.Errorf(gateway.CodeBusy, "telephone %s is busy", extension)
	case "0":
		select {
		case m := <-fate:
			return hungUp(m, fate, extension)
		case <-time.After(tellsWhy):
			return gateway.Errorf(gateway.CodeNotRegistered, "telephone %s is not connected to the PBX", extension)
		}
	default:
		return gateway.Errorf(gateway.CodeRejected, "telephone %s did not take the call (reason %s)", extension, reason)
	}
}

// hungUp reads the end of a telephone's channel. What asks for it may tell no cause: then the end itself does.
func hungUp(m message, fate <-chan message, extension string) error {
	timer := time.NewTimer(tellsWhy)
	defer timer.Stop()
	for late := false; !late && m.get("Event") != "Hangup" && m.get("Cause") == ""; {
		select {
		case m = <-fate:
		case <-timer.C:
			late = true
		}
	}
	if m.number("Cause") == 17 {
		return gateway.Errorf(gateway.CodeBusy, "telephone %s is busy", extension)
	}
	return gateway.Errorf(gateway.CodeRejected, "telephone %s did not take the call (cause %q: %s)", extension, m.get("Cause"), m.get("Cause-txt"))
}

// plainWord says whether a name can stand in a channel's name, or be dialled, and means nothing else there.
func plainWord(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && r != '.'
	})
}
