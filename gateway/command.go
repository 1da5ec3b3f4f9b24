package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
	"unicode/utf8"
)

// A command is answered within this, whatever the PBX does.
const commandTimeout = 5 * time.Second

// pbxTime is what of that the PBX has. The rest is for the way to the owner and back, and for the log.
const pbxTime = 4500 * time.Millisecond

const (
	maxCommandID   = 64  // characters
	maxCommandText = 256 // bytes of every other text
)

// ClientGone says that a client's last session on this node ended: what it claimed and did not carry out comes
// free after claimGrace, unless it is back by then, here or on another node.
func (g *Gateway) ClientGone(account, user, client string) {
	g.claims.gone(clientKey{account, user, client}, g.cfg.Now())
}

// ClientHere says that a client has a session on this node, again or for the first time.
func (g *Gateway) ClientHere(account, user, client string) {
	g.claims.here(clientKey{account, user, client})
}

// Command carries out what a user's client asks for and answers within 5 s. A command repeated with its
// id gets the same reply and does nothing.
func (g *Gateway) Command(ctx context.Context, cmd Command) Reply {
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, Errorf(CodeTimeout, "the PBX did not answer in time"))
	defer cancel()
	if err := cmd.Check(); err != nil {
		return refuse(cmd, err)
	}
	if err := g.serving(); err != nil {
		return refuse(cmd, err)
	}
	if o := g.seats[g.partition(cmd.Account)].owner.Load(); o != nil {
		reply, err := g.command(ctx, o, cmd)
		switch {
		case err == nil:
			return reply
		case !errors.Is(err, errElsewhere):
			return refuse(cmd, err)
		}
	}
	reply, err := g.commandElsewhere(ctx, cmd)
	if err != nil {
		return refuse(cmd, err)
	}
	return reply
}

// linkPatience is how long a command looks for who holds the PBX's link.
const linkPatience = 500 * time.Millisecond

// commandElsewhere has the owner of the account carry out a command. It does so once, however often it is asked.
func (g *Gateway) commandElsewhere(ctx context.Context, cmd Command) (reply Reply, err error) {
	r := route{patience: linkPatience, repeat: true}
	needsLink := cmd.Action != "claim" && cmd.Action != "result"
	if !needsLink {
		r.patience = routeTime
	}
	data, err := json.Marshal(cmd)
	if err != nil {
		return Reply{}, err
	}
	answer, err := g.askOwner(ctx, cmd.Account, r, kindCommand, data)
	switch {
	case errors.Is(err, errElsewhere) && !needsLink:
		return Reply{}, unavailable(err)
	case errors.Is(err, errElsewhere):
		return Reply{}, Errorf(CodePBXOffline, "nobody holds the link to the PBX at the moment: try again")
	case CodeOf(err) == CodeUnavailable:
		return Reply{}, Errorf(CodeTimeout, "the node that should do it did not answer in time: %w", err)
	case err != nil:
		return Reply{}, err
	}
	return reply, json.Unmarshal(answer, &reply)
}

// answerCommand carries out a command that another node got.
func (g *Gateway) answerCommand(ctx context.Context, o *owner, data []byte) ([]byte, error) {
	var cmd Command
	if err := json.Unmarshal(data, &cmd); err != nil {
		return nil, err
	}
	reply, err := g.command(ctx, o, cmd)
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

// command carries out a command at the owner. errElsewhere: it is not any more, and nothing was done.
func (g *Gateway) command(ctx context.Context, o *owner, cmd Command) (Reply, error) {
	if o.over() {
		return Reply{}, errElsewhere
	}
	key := commandKey{cmd.Account, cmd.User, cmd.ID}
	return g.replies.do(ctx, key, g.cfg.Now, func() (Reply, error) {
		if done, ok := g.feed.command(key); ok {
			if done.reply != nil {
				return *done.reply, nil
			}
			return refuse(cmd, Errorf(CodeTimeout, "it was begun before a restart; look at the telephone to see what became of it")), nil
		}
		reply, err := g.carryOut(ctx, o, cmd)
		if errors.Is(err, errElsewhere) {
			return Reply{}, err
		}
		level := slog.LevelInfo
		if CodeOf(err) == CodeInternal {
			level = slog.LevelError
		}
		g.cfg.Logger.Log(ctx, level, "command", "account", cmd.Account, "user", cmd.User, "action", cmd.Action, "command", cmd.ID,
			"call", cmp.Or(reply.Call, cmd.Call), "to", cmd.To, "attended", cmd.Attended, "err", err)
		return replyTo(cmd, reply, err), nil
	})
}

// Check says what is wrong with the form of a command: its id is missing, or a text is longer than any of its kind.
func (cmd Command) Check() error {
	if n := utf8.RuneCountInString(cmd.ID); n < 1 || n > maxCommandID {
		return Errorf(CodeInvalid, "a command needs an id of 1 to %d characters", maxCommandID)
	}
	for _, field := range [...]struct{ name, text string }{
		{"action", cmd.Action}, {"to", cmd.To}, {"from", cmd.From}, {"call", cmd.Call}, {"what", cmd.What},
	} {
		if len(field.text) > maxCommandText {
			return Errorf(CodeInvalid, "%s has %d bytes, at most %d are allowed", field.name, len(field.text), maxCommandText)
		}
	}
	return cmd.checkResult()
}

// carryOut does what a command asks for. errElsewhere: nothing was done.
func (g *Gateway) carryOut(ctx context.Context, o *owner, cmd Command) (Reply, error) {
	user, ok := g.cfg.Directory.User(cmd.Account, cmd.User)
	if !ok {
		return Reply{}, Errorf(CodeNotPermitted, "you are not in the directory of this account (any more)")
	}
	switch cmd.Action {
	case "call":
		return g.placeCall(ctx, o, cmd, user)
	case "hangup", "answer", "hold", "unhold", "mute", "unmute", "transfer", "complete", "cancel", "park":
		return g.control(ctx, o, cmd)
	case "claim":
		return Reply{Call: cmd.Call}, g.claim(ctx, o, cmd)
	case "result":
		return Reply{Call: cmd.Call}, g.result(ctx, o, cmd)
	default: // renew, shown and visible are for whoever has the session
		return Reply{}, Errorf(CodeInvalid, "unknown action %.64q: call, hangup, answer, hold, unhold, mute, unmute, transfer, "+
			"complete, cancel, park, claim, result, renew, shown and visible are known", cmd.Action)
	}
}

// once carries out what must not be done a second time. That it was begun is in the log before it is, so that a
// repeat does nothing, also after a crash or on another node; the reply follows it there.
func (g *Gateway) once(ctx context.Context, o *owner, cmd Command, do func(ctx context.Context) (Reply, error)) (Reply, error) {
	if err := recordCommand(ctx, o, cmd, nil); err != nil {
		return Reply{}, err
	}
	if o.over() { // the next owner knows that it was begun, and not that nothing came of it
		return Reply{}, Errorf(CodePBXOffline, "another node has just taken the link to the PBX over")
	}
	reply, err := do(ctx)
	logged := make(chan struct{})
	go func() { // the reply is not to wait for a log that does not answer
		defer close(logged)
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
		defer cancel()
		done := replyTo(cmd, reply, err)
		if err := recordCommand(after, o, cmd, &done); err != nil {
			g.cfg.Logger.Warn("reply not in the log", "account", cmd.Account, "command", cmd.ID, "call", done.Call, "err", err)
		}
	}()
	select {
	case <-logged:
	case <-ctx.Done():
	}
	return reply, err
}

func recordCommand(ctx context.Context, o *owner, cmd Command, reply *Reply) error {
	return o.submit(ctx, func(d *draft) error {
		d.record(&Record{Account: cmd.Account, Command: &CommandRecord{User: cmd.User, ID: cmd.ID, Reply: reply}})
		return nil
	})
}

// askPBX has a PBX do something, and waits for it only so long that there is time for the reply, whether or not the
// PBX heeds its context.
func askPBX[T any](ctx context.Context, do func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, pbxTime)
	done := make(chan result, 1)
	go func() {
		defer cancel()
		var r result
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic in a PBX: %v\n%s", v, debug.Stack())
			}
			done <- r
		}()
		r.value, r.err = do(ctx)
	}()
	slow := Errorf(CodeTimeout, "the PBX did not answer in time: look at the telephone before you try again")
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // it ended with that
		default:
			return r.value, slow
		}
	}
	if CodeOf(r.err) == CodeInternal && (errors.Is(r.err, context.DeadlineExceeded) || errors.Is(r.err, context.Canceled)) {
		return r.value, slow
	}
	return r.value, r.err
}

// ownCall returns a call and the user's own share in it; to him, other people's calls do not exist.
func (g *Gateway) ownCall(cmd Command) (*Call, *Leg, error) {
	if c, ok := g.feed.call(cmd.Account, cmd.Call); ok {
		if mine := c.share(cmd.User); mine != nil {
			return c, mine, nil
		}
	}
	return nil, nil, Errorf(CodeNotFound, "you have no such call")
}

// replyTo is the reply to a command that was carried out, or not.
func replyTo(cmd Command, reply Reply, err error) Reply {
	if err != nil {
		return refuse(cmd, err)
	}
	reply.ID, reply.OK = cmd.ID, true
	return reply
}

func refuse(cmd Command, err error) Reply {
	e := Shown(err)
	return Reply{ID: cmd.ID, Error: &ReplyError{Code: e.Code, Message: e.Message}}
}
