package gateway

import (
	"context"
)

// order is what a command for a call comes to at its PBX.
type order struct {
	action          string
	attended        bool
	pbx             PBX
	call, extension string // the PBX's id of the call, and the user's own extension in it
	to              Number // of a transfer
}

// control has the PBX do something with a live call of the user's own.
func (g *Gateway) control(ctx context.Context, o *owner, cmd Command) (Reply, error) {
	c, mine, err := g.ownLeg(cmd)
	if err != nil {
		return Reply{}, err
	}
	link, id, ok := g.linkOf(cmd.Account, c.ID)
	if !ok {
		return Reply{}, Errorf(CodeNotPermitted, "the call came from a PBX that only reports its calls, and cannot be told to: do it at the telephone")
	}
	x := order{action: cmd.Action, attended: cmd.Attended, pbx: link.PBX, call: id, extension: mine.Extension}
	if err := x.check(mine); err != nil {
		return Reply{}, err
	}
	if x.action == "transfer" {
		if x.to, err = g.dialable(cmd.Account, cmd.To); err != nil {
			return Reply{}, err
		}
		if x.to.Raw == mine.Extension {
			return Reply{}, Errorf(CodeBadNumber, "%s is your own telephone: name another", x.to.Raw)
		}
	}
	if state := link.State().State; state != "connected" {
		return Reply{}, Errorf(CodePBXOffline, "the PBX %q is not connected (%s): do it at the telephone", link.ID, state)
	}
	if o.over() {
		return Reply{}, errElsewhere
	}
	carryOut := func(ctx context.Context) (Reply, error) {
		slot, err := askPBX(ctx, x.ask)
		return Reply{Call: cmd.Call, Slot: slot}, err
	}
	if x.action == "transfer" || x.action == "park" { // all else does no harm twice
		return g.once(ctx, o, cmd, carryOut)
	}
	return carryOut(ctx)
}

// ownLeg returns a live call of the user's and his leg in it: that of the extension which the command names, else the
// one that counts most.
func (g *Gateway) ownLeg(cmd Command) (*Call, *Leg, error) {
	c, mine, err := g.ownCall(cmd)
	if err != nil {
		return nil, nil, err
	}
	if cmd.From != "" {
		if mine = c.leg(cmd.From); mine == nil || mine.User != cmd.User {
			return nil, nil, Errorf(CodeNotFound, "your extension %.64q has no part in this call", cmd.From)
		}
	}
	if !mine.Live() {
		return nil, nil, Errorf(CodeNotFound, "this call is over")
	}
	return c, mine, nil
}

// check says why an order cannot be carried out: the PBX has no such ability, or the user's leg is not in a state
// for it.
func (x order) check(mine *Leg) error {
	var able bool
	switch x.action {
	case "hangup":
		_, able = x.pbx.(CallControl)
	case "answer", "hold", "unhold", "mute", "unmute":
		_, able = x.pbx.(TalkControl)
	default:
		_, able = x.pbx.(Transferrer)
	}
	switch {
	case !able:
		return Errorf(CodeNotPermitted, "%s is not possible from here with this PBX: do it at the telephone", x.action)
	case x.action == "hangup", x.action == "complete", x.action == "cancel": // these two the PBX knows better
		return nil
	case x.action == "answer" && !mine.ringing():
		return Errorf(CodeRejected, "you have answered this call already")
	case x.action == "answer" && mine.Caller:
		return Errorf(CodeRejected, "you make this call: it is for the other side to answer")
	case x.action == "answer":
		return nil
	case mine.ringing() && mine.Caller:
		return Errorf(CodeRejected, "the other side has not answered yet: wait for that, or hang up")
	case mine.ringing():
		return Errorf(CodeRejected, "nobody has answered this call yet: answer it first")
	}
	return nil
}

// ask asks the PBX. slot is where the call is parked then.
func (x order) ask(ctx context.Context) (slot string, err error) {
	ends, _ := x.pbx.(CallControl)
	talks, _ := x.pbx.(TalkControl)
	hands, _ := x.pbx.(Transferrer)
	switch x.action {
	case "hangup":
		return "", ends.HangUp(ctx, x.call, x.extension)
	case "answer":
		return "", talks.Answer(ctx, x.call, x.extension)
	case "hold", "unhold":
		return "", talks.Hold(ctx, x.call, x.extension, x.action == "hold")
	case "mute", "unmute":
		return "", talks.Mute(ctx, x.call, x.extension, x.action == "mute")
	case "complete":
		return "", hands.Complete(ctx, x.call, x.extension)
	case "cancel":
		return "", hands.Cancel(ctx, x.call, x.extension)
	case "park":
		return hands.Park(ctx, x.call, x.extension)
	case "transfer":
		if x.attended {
			return "", hands.Consult(ctx, x.call, x.extension, x.to)
		}
		return "", hands.Transfer(ctx, x.call, x.extension, x.to)
	}
	return "", Errorf(CodeInvalid, "unknown action %q", x.action)
}
