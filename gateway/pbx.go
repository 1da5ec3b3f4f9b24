package gateway

import (
	"context"
	"time"
)

// PBX is a link to one telephone system. The rarer abilities are interfaces of their own: Dialer,
// CallControl.
type PBX interface {
	// Run connects, emits what happens, and reconnects with growing, jittered delays until ctx ends; it
	// returns nil then. It returns an error only for what will not mend by itself, and says what to do.
	Run(ctx context.Context, sink Sink) error

	// State tells how the link is now. Safe at any time from any goroutine.
	State() LinkState
}

// Sink takes what a PBX link has to say. Calls of one link are made one after another.
type Sink interface {
	// Emit makes events durable, all or none, and returns when they are. Several at a time cost hardly more
	// than one. Account and PBX need not be set. On an error nothing was taken: after CodeUnavailable the
	// link drops its connection and comes again later, so that nothing is lost unseen; after CodeInvalid
	// the same events will never be taken.
	Emit(ctx context.Context, events []Event) error

	// Live says which calls (the PBX's ids) live at the moment at. Of this PBX's calls those that are not
	// among them, and began before at, are ended as of at. A link calls it once after each (re)connect,
	// when it knows.
	Live(ctx context.Context, calls []string, at time.Time) error
}

// LinkState is the state of a link to a PBX, as /readyz shows it.
type LinkState struct {
	State  string    // "connecting", "connected", "retrying", "refused"
	Since  time.Time //
	Reason string    // of the last failure, for people
}

// Dialer is a PBX that can place a call for an extension. Dial returns the PBX's id of the call as soon
// as the PBX took the request; what comes of it arrives as events of that call. It fails with one of
// CodePBXOffline, CodeNotRegistered, CodeBusy, CodeRejected, CodeNotPermitted, CodeBadNumber,
// CodeTimeout, within 5 s, sooner if ctx ends. A second request with the same Key, while the first
// call lives, does not dial again.
type Dialer interface {
	Dial(ctx context.Context, req DialRequest) (call string, err error)
}

// DialRequest asks a PBX to ring an extension and then connect it with a number.
type DialRequest struct {
	Key       string // names the request: 1 to 64 of [0-9a-z]; the PBX's id of the call may be made of it
	Extension string
	To        Number
	CallerID  string // what the called party sees, where set
}

// CallControl is a PBX whose calls can be controlled. Errors are as in Dialer; CodeNotFound when the PBX
// has no such call, or the extension no leg in it.
type CallControl interface {
	// HangUp ends the extension's leg of a call; a talk between two ends for both.
	HangUp(ctx context.Context, call, extension string) error
}
