package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// A command is answered within this, whatever the PBX does.
const commandTimeout = 5 * time.Second

const maxCommandID = 64 // characters

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
	if cmd.Action == "claim" { // which needs no link
		r.patience = routeTime
	}
	data, err := json.Marshal(cmd)
	if err != nil {
		return Reply{}, err
	}
	answer, err := g.askOwner(ctx, cmd.Account, r, kindCommand, data)
	switch {
	case errors.Is(err, errElsewhere) && cmd.Action == "claim":
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
		call, err := g.carryOut(ctx, o, cmd)
		if errors.Is(err, errElsewhere) {
			return Reply{}, err
		}
		g.cfg.Logger.Info("command", "account", cmd.Account, "user", cmd.User, "action", cmd.Action, "command", cmd.ID,
			"call", cmp.Or(call, cmd.Call), "to", cmd.To, "err", err)
		if err != nil {
			return refuse(cmd, err), nil
		}
		return Reply{ID: cmd.ID, OK: true, Call: call}, nil
	})
}

// Check says what is wrong with a command's id.
func (cmd Command) Check() error {
	if n := utf8.RuneCountInString(cmd.ID); n < 1 || n > maxCommandID {
		return Errorf(CodeInvalid, "a command needs an id of 1 to %d characters", maxCommandID)
	}
	return nil
}

func (g *Gateway) carryOut(ctx context.Context, o *owner, cmd Command) (call string, err error) {
	user, ok := g.cfg.Directory.User(cmd.Account, cmd.User)
	if !ok {
		return "", Errorf(CodeNotPermitted, "you are not in the directory of this account (any more)")
	}
	switch cmd.Action {
	case "call":
		return g.placeCall(ctx, o, cmd, user)
	case "hangup":
		return cmd.Call, g.hangUp(ctx, o, cmd)
	case "claim":
		return cmd.Call, g.claim(ctx, o, cmd)
	case "hold", "unhold", "transfer":
		return "", Errorf(CodeInvalid, "%s is not in this version: do it at the telephone", cmd.Action)
	default: // renew, shown and visible are for whoever has the session
		return "", Errorf(CodeInvalid, "unknown action %.64q: call, hangup, claim, renew, shown and visible are known", cmd.Action)
	}
}

// placeCall dials. The intent is in the log before the PBX is asked, so that a repeat never dials a
// second time, also after a crash or on another node; the reply follows it there.
func (g *Gateway) placeCall(ctx context.Context, o *owner, cmd Command, user User) (string, error) {
	account, _ := g.cfg.Directory.Account(cmd.Account)
	to, err := dialable(cmd.To, account.Region)
	if err != nil {
		return "", err
	}
	if len(user.Extensions) == 0 {
		return "", Errorf(CodeNotPermitted, "you have no extension to dial from")
	}
	link, dialer, err := g.dialer(cmd.Account)
	if err != nil {
		return "", err
	}
	if err := recordCommand(ctx, o, cmd, nil); err != nil {
		return "", err
	}
	if o.over() { // the next owner knows that it was begun, and not that nothing came of it
		return "", Errorf(CodePBXOffline, "another node has just taken the link to the PBX over")
	}
	id, err := dialer.Dial(ctx, DialRequest{Key: dialKey(cmd), Extension: user.Extensions[0], To: to})
	reply := Reply{ID: cmd.ID, OK: err == nil}
	if err == nil {
		reply.Call = callID(link.ID, id)
	} else {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		reply = refuse(cmd, err)
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	if logErr := recordCommand(after, o, cmd, &reply); logErr != nil {
		g.cfg.Logger.Warn("reply not in the log", "account", cmd.Account, "call", reply.Call, "err", logErr)
	}
	return reply.Call, err
}

func recordCommand(ctx context.Context, o *owner, cmd Command, reply *Reply) error {
	return o.submit(ctx, func(d *draft) error {
		d.record(&Record{Account: cmd.Account, Command: &CommandRecord{User: cmd.User, ID: cmd.ID, Reply: reply}})
		return nil
	})
}

func (g *Gateway) hangUp(ctx context.Context, o *owner, cmd Command) error {
	c, mine, err := g.ownCall(cmd)
	if err != nil {
		return err
	}
	if !mine.Live() {
		return Errorf(CodeNotFound, "this call is over")
	}
	link, id, ok := g.linkOf(cmd.Account, c.ID)
	if !ok {
		return Errorf(CodePBXOffline, "the call came from a PBX that this gateway is not linked to")
	}
	control, ok := link.PBX.(CallControl)
	if !ok {
		return Errorf(CodeNotPermitted, "this PBX only reports calls: hang up at the telephone")
	}
	if o.over() {
		return errElsewhere
	}
	return control.HangUp(ctx, id, mine.Extension)
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

func refuse(cmd Command, err error) Reply {
	e := Shown(err)
	return Reply{ID: cmd.ID, Error: &ReplyError{Code: e.Code, Message: e.Message}}
}

// dialable cleans a number that somebody clicked: "+", digits, and the * and # of service codes.
func dialable(text, region string) (Number, error) {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#', r == '+':
			return r
		case strings.ContainsRune(" \t\u00a0()-.–/", r):
			return -1
		default:
			return '!'
		}
	}, text)
	digits := Digits(clean)
	if strings.Contains(clean, "!") || strings.LastIndex(clean, "+") > 0 || digits == "" || len(clean) > 32 {
		return Number{}, Errorf(CodeBadNumber, "%.64q is not a number that can be dialled", text)
	}
	return ParseNumber(clean, region), nil
}

// dialKey names a dial for the PBX: the same for the same command, another for any other.
func dialKey(cmd Command) string {
	sum := sha256.Sum256([]byte(cmd.Account + "\x00" + cmd.User + "\x00" + cmd.ID))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}
