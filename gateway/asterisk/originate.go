package asterisk

import (
	"context"
	"errors"
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
	number, err := l.cfg.Numbers.Dial(req.To)
	if err != nil {
		return "", err
	}
	if !plainWord(req.Extension) || !plainWord(req.Key) {
		return "", gateway.Errorf(gateway.CodeBadNumber, "%q is not an extension", req.Extension)
	}
	call := "ringcast-" + req.Key
	a, c, err := l.begin(call, order{extension: req.Extension, number: number})
	if err != nil {
		return "", err
	}
	if c != nil {
		l.conclude(call, a, l.originate(ctx, c, call, number, req))
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return "", gateway.Errorf(gateway.CodeTimeout, "the PBX has not answered yet")
	}
	if a.err != nil {
		return "", a.err
	}
	return call, nil
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
		return nil, nil, gateway.Errorf(gateway.CodePBXOffline, "there is no connection to the PBX just now")
	}
	a := &attempt{done: make(chan struct{})}
	l.dialling[call] = a
	l.correlator.order(call, o)
	return a, l.client, nil
}

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
		{"CallerID", `"` + number + `" <` + number + `>`}, // what the caller's own telephone shows
		{"Timeout", strconv.FormatInt(l.cfg.RingTimeout.Milliseconds(), 10)},
		{"Async", "true"},
	}
	if caller, err := (gateway.DialRules{}).Dial(gateway.Number{Raw: req.CallerID}); err == nil {
		fields = append(fields, field{"Variable", "RINGCAST_CALLERID=" + caller}) // the dial plan's to use
	}
	for _, v := range l.cfg.Variables {
		fields = append(fields, field{"Variable", v})
	}
	id := c.id()
	outcome, forget := c.expect(c.watch, id)
	defer forget()
	fate, forgetFate := c.expect(c.watch, call)
	defer forgetFate()
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
		if m.get("Event") != "Newstate" { // else it rings
			return hungUp(m, req.Extension)
		}
	case <-timer.C:
	case <-ctx.Done(): // Asterisk took the request
	case <-c.done:
		return gateway.Errorf(gateway.CodeTimeout, "the connection to the PBX broke; whether the call was made is not known")
	}
	l.cfg.Logger.Info("call ordered", "call", call, "extension", req.Extension)
	return nil
}

// refusal says what an action's error means to a user.
func (l *Link) refusal(err error) error {
	var no *actionError
	switch {
	case denied(err):
		return &gateway.Error{Code: gateway.CodeNotPermitted, Err: err,
			Message: "the PBX does not let Ringcast do this: manager user " + l.cfg.Username + " needs write = originate,call"}
	case errors.As(err, &no) && strings.Contains(strings.ToLower(no.message), "extension"):
		return &gateway.Error{Code: gateway.CodeBadNumber, Message: "the PBX knows no way to this number", Err: err}
	case errors.As(err, &no):
		return &gateway.Error{Code: gateway.CodeRejected, Message: "the PBX refused: " + no.message, Err: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &gateway.Error{Code: gateway.CodeTimeout, Message: "the PBX did not answer in time", Err: err}
	default:
		return &gateway.Error{Code: gateway.CodePBXOffline, Message: "the connection to the PBX broke", Err: err}
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
			return hungUp(m, extension)
		case <-time.After(tellsWhy):
			return gateway.Errorf(gateway.CodeNotRegistered, "telephone %s is not connected to the PBX", extension)
		}
	default:
		return gateway.Errorf(gateway.CodeRejected, "telephone %s did not take the call (reason %s)", extension, reason)
	}
}

// hungUp reads the end of a telephone's channel.
func hungUp(m message, extension string) error {
	if m.number("Cause") == 17 {
		return gateway.Errorf(gateway.CodeBusy, "telephone %s is busy", extension)
	}
	return gateway.Errorf(gateway.CodeRejected, "telephone %s did not take the call (cause %s)", extension, m.get("Cause"))
}

// plainWord says whether a name can stand in a channel's name and means nothing else there.
func plainWord(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-' && r != '.'
	})
}
