package asterisk

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"ringcast/gateway"
)

var (
	_ gateway.TalkControl = (*Link)(nil)
	_ gateway.Transferrer = (*Link)(nil)
)

// answersWithin is how long anything that a user asks for may take, whatever Asterisk does.
const (
	answersWithin = 4700 * time.Millisecond
	lastWord      = 100 * time.Millisecond // to say how far it came
)

// causeRejected (Q.850) ends the ringing of a telephone as if it had been declined there.
const causeRejected = "21"

// HangUp ends the extension's leg of a call: all its telephones stop ringing, or its talk ends. Others who ring go
// on ringing. While a consultation is under way it completes that, as hanging up at the telephone does.
func (l *Link) HangUp(ctx context.Context, call, extension string) error {
	s, err := l.share(call, extension)
	if err != nil {
		return err
	}
	return inTime(ctx, func(ctx context.Context) error {
		if s.consults() {
			return l.complete(ctx, s)
		}
		return l.hangUp(ctx, s)
	})
}

// hangUp ends all lines of a share. It fails with CodeNotFound when none was left.
func (l *Link) hangUp(ctx context.Context, s *share) error {
	ended := false
	for _, own := range s.lines {
		a := newAction("Hangup", field{"Channel", own.name})
		if own.ringing {
			a = append(a, field{"Cause", causeRejected})
		}
		switch err := l.do(ctx, s.c, a); gateway.CodeOf(err) {
		case "":
			ended = true
		case gateway.CodeNotFound: // it was quicker
		default:
			return err
		}
	}
	if !ended {
		return errGone
	}
	return nil
}

// errGone is a channel that ended meanwhile.
var errGone = gateway.Errorf(gateway.CodeNotFound, "the call is over")

// inTime does something that has to be answered in time, also when Asterisk does not read what is sent to it.
func inTime(ctx context.Context, do func(context.Context) error) error {
	if ctx.Err() != nil {
		return gateway.Errorf(gateway.CodeTimeout, "it came too late and was not begun")
	}
	ctx, cancel := context.WithTimeout(ctx, answersWithin)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // nobody further up would see it
				done <- fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		done <- do(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(lastWord):
		return gateway.Errorf(gateway.CodeTimeout, "the PBX did not answer in time; whether it was done is not known")
	}
}

// alone is inTime for what moves a call: one such thing at a time, or a double click would move it twice.
func (l *Link) alone(ctx context.Context, call string, do func(context.Context) error) error {
	return inTime(ctx, func(ctx context.Context) error {
		l.mu.Lock()
		moves := l.moving[call]
		l.moving[call] = true
		l.mu.Unlock()
		if moves {
			return gateway.Errorf(gateway.CodeRejected, "this call is being handed on or parked just now")
		}
		defer func() {
			l.mu.Lock()
			delete(l.moving, call)
			l.mu.Unlock()
		}()
		return do(ctx)
	})
}

// do carries out an action; its error is one for users.
func (l *Link) do(ctx context.Context, c *client, a action) error {
	if _, err := c.do(ctx, a); err != nil {
		return l.refusal(err)
	}
	return nil
}

// refusal says what an action's error means to a user.
func (l *Link) refusal(err error) error {
	var no *actionError
	switch {
	case errors.As(err, &no):
		return l.refused(no)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &gateway.Error{Code: gateway.CodeTimeout, Message: "the PBX did not answer in time", Err: err}
	default:
		return &gateway.Error{Code: gateway.CodePBXOffline, Message: "the connection to the PBX broke", Err: err}
	}
}

func (l *Link) refused(no *actionError) error {
	e := &gateway.Error{Code: gateway.CodeRejected, Message: "the PBX refused: " + no.message, Err: no}
	right, module := needs(no.action)
	said := strings.ToLower(no.message)
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(said, word) {
				return true
			}
		}
		return false
	}
	switch {
	case denied(no):
		e.Code = gateway.CodeNotPermitted
		e.Message = "the PBX does not let Ringcast do this: manager user " + l.cfg.Username + " needs " + right
	case unknown(no):
		e.Code = gateway.CodeNotPermitted
		e.Message = "the PBX cannot do this: Asterisk has not loaded " + module
	case has("channel") && has("no such", "not exist", "not found"):
		e.Code, e.Message = gateway.CodeNotFound, errGone.Message
	case has("extension"):
		e.Code, e.Message = gateway.CodeBadNumber, "the PBX knows no way to this number"
	}
	return e
}

// needs returns which right an action needs, and its module.
func needs(action string) (right, module string) {
	if action == "SIPnotify" {
		action = "PJSIPNotify"
	}
	for _, r := range rights {
		if r.action == action {
			return r.right, r.module
		}
	}
	return "write = call", "the module of " + action
}
