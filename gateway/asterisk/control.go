package asterisk

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ringcast/gateway"
)

// HangUp ends the extension's leg of a call: all its telephones stop ringing, or its talk ends.
func (l *Link) HangUp(ctx context.Context, call, extension string) error {
	c, channels := l.find(call, extension)
	if c == nil {
		return gateway.Errorf(gateway.CodePBXOffline, "there is no connection to the PBX just now")
	}
	ended := false
	for _, name := range channels {
		_, err := c.do(ctx, newAction("Hangup", field{"Channel", name}))
		var no *actionError
		switch {
		case err == nil:
			ended = true
		case errors.As(err, &no) && strings.Contains(strings.ToLower(no.message), "no such channel"):
		default:
			return l.refusal(err)
		}
	}
	if !ended {
		return gateway.Errorf(gateway.CodeNotFound, "extension %s has no part in such a call", extension)
	}
	return nil
}

// find returns the names of the extension's channels in a call: those that talk, else those that ring.
func (l *Link) find(call, extension string) (c *client, names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.correlator.calls {
		if k.id != call {
			continue
		}
		talks := slices.ContainsFunc(k.channels, func(ch *channel) bool { return ch.ext == extension && ch.bridge != nil })
		for _, ch := range k.channels {
			if ch.ext == extension && (ch.bridge != nil || !talks) {
				names = append(names, ch.name)
			}
		}
		break
	}
	return l.client, names
}
