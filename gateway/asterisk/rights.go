package asterisk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// finding is something that is not as a link would have it.
type finding struct {
	text   string
	needed bool // else the link does well without
}

// rights says which action needs which right of the manager user, in which module it is ("": always there), and
// what it is needed for. Without its arguments none of them does anything but complain of that. CoreSettings has
// the right of CoreShowChannels, and less to say.
var rights = []struct {
	action, right, module, use string
	needed                     bool
}{
	{"CoreSettings", "write = reporting", "", "see the calls that there are after a reconnect", true},
	{"Originate", "write = originate", "", "dial for a user", true},
	{"Hangup", "write = call", "", "hang up", true},
	{"BlindTransfer", "write = call", "", "transfer", true},
	{"Atxfer", "write = call", "", "consult", true},
	{"Redirect", "write = call", "", "pass calls on", true},
	{"Park", "write = call", "res_parking.so", "park", true},
	{"PJSIPNotify", "write = system", "res_pjsip_notify.so", "answer and hold for a user", false},
	{"MuteAudio", "write = system", "res_mutestream.so", "mute", false},
}

// audit tries what the manager user may do, and learns which Asterisk it is, where it may. That it hears of calls may
// be known already: to try it leaves a line in Asterisk's log. It returns an error only when the connection does not
// live.
func (cfg *Config) audit(ctx context.Context, c *client, heard bool) (found []finding, version string, err error) {
	if c.plain {
		found = append(found, finding{text: "the other end knows no MD5 challenge: the secret was sent as it is"})
	}
	lacking := map[string][]string{} // right: uses
	for _, r := range rights {
		m, err := c.do(ctx, newAction(r.action))
		var no *actionError
		switch {
		case denied(err):
			lacking[r.right] = append(lacking[r.right], r.use)
		case unknown(err) && r.module != "":
			found = append(found, finding{text: fmt.Sprintf("Asterisk has not loaded %s, needed to %s", r.module, r.use)})
		case err != nil && !errors.As(err, &no):
			return nil, "", err
		}
		if v := m.get("AsteriskVersion"); v != "" {
			version = v
		}
	}
	if !heard && lacking["write = originate"] != nil {
		found = append(found, finding{text: fmt.Sprintf("manager user %q lacks write = originate, without which it cannot be tried whether he has read = call, needed to see calls", cfg.Username)})
	} else if !heard {
		hears, err := hears(ctx, c)
		if err != nil {
			return nil, "", err
		}
		if !hears {
			found = append(found, cfg.lacks("read = call", "see calls", true))
		}
	}
	for _, r := range rights {
		if uses := lacking[r.right]; uses != nil {
			found = append(found, cfg.lacks(r.right, enumerate(uses), r.needed))
			delete(lacking, r.right)
		}
	}
	if !c.booted.Load() { // it comes with the login, or when Asterisk has started
		found = append(found, cfg.lacks("read = system", "learn at once that Asterisk stops or has started", false))
	}
	return found, version, nil
}

func (cfg *Config) lacks(right, use string, needed bool) finding {
	return finding{fmt.Sprintf("manager user %q lacks %s, needed to %s", cfg.Username, right, use), needed}
}

// notes says for people what was found.
func notes(found []finding) string {
	var texts []string
	for _, f := range found {
		texts = append(texts, f.text)
	}
	return strings.Join(texts, "; ")
}

func enumerate(items []string) string {
	last := len(items) - 1
	if last == 0 {
		return items[0]
	}
	return strings.Join(items[:last], ", ") + " and " + items[last]
}

// hears says whether events of the class call come. That an attempt to call has failed is one, and by a
// technology that there is not, no telephone and no line is troubled with it.
func hears(ctx context.Context, c *client) (bool, error) {
	id := c.id()
	outcome, stop := c.observe(func(m message) bool {
		return m.get("Event") == "OriginateResponse" && m.get("ActionID") == id
	})
	defer stop()
	var no *actionError
	_, err := c.doAs(ctx, id, newAction("Originate", field{"Channel", "Ringcast/none"},
		field{"Application", "Wait"}, field{"Data", "0"}, field{"Timeout", "1000"}, field{"Async", "true"}))
	if errors.As(err, &no) {
		return true, nil // it cannot be found out
	}
	if err != nil {
		return false, err
	}
	timer := time.NewTimer(failsWithin)
	defer timer.Stop()
	select {
	case <-outcome:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-c.done:
		return false, c.cause()
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// denied says whether Asterisk refused an action because the user may not do such things.
func denied(err error) bool { return refusedWith(err, "permission denied") }

// unknown says whether Asterisk has no such action.
func unknown(err error) bool { return refusedWith(err, "unknown command") }

func refusedWith(err error, words string) bool {
	var no *actionError
	return errors.As(err, &no) && strings.Contains(strings.ToLower(no.message), words)
}
