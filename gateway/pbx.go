package gateway

import (
	"context"
	"time"
)

// PBX is a link to one telephone system. The rarer abilities are interfaces of their own: Dialer,
// CallControl, TalkControl, Transferrer, Telephones.
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
	State   string    // "connecting", "connected", "retrying", "refused"
	Since   time.Time //
	Reason  string    // for people: of the last failure; while connected, what the link may not do
	Version string    // of the PBX's software, where it tells
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
	CallerID  string // what the called party sees, "" for what the PBX sets; the user's CallerID
}

// CallControl is a PBX whose calls can be ended. Errors are as in Dialer; CodeNotFound when the PBX has no
// such call, or the extension no leg in it. So are those of TalkControl and Transferrer, which fail with
// CodeNotPermitted for what the PBX or the telephone cannot do, and with CodeRejected for what it did not.
type CallControl interface {
	// HangUp ends the extension's leg of a call; a talk between two ends for both.
	HangUp(ctx context.Context, call, extension string) error
}

// TalkControl is a PBX that can do from outside what a person does at a telephone. A method returns when the
// telephone has done it.
type TalkControl interface {
	// Answer takes a call that rings at the extension.
	Answer(ctx context.Context, call, extension string) error

	// Hold puts the other side on hold, or (on false) takes it back. What is so already is no error.
	Hold(ctx context.Context, call, extension string, on bool) error

	// Mute keeps the others from hearing the extension, or (on false) lets them.
	Mute(ctx context.Context, call, extension string, on bool) error
}

// Transferrer is a PBX that can hand a call on.
type Transferrer interface {
	// Transfer hands the other side to a number or extension and ends the extension's leg (a blind transfer).
	Transfer(ctx context.Context, call, extension string, to Number) error

	// Consult holds the other side and calls a number or extension, to announce it (an attended transfer).
	Consult(ctx context.Context, call, extension string, to Number) error

	// Complete joins the two sides of a Consult and ends the extension's leg.
	Complete(ctx context.Context, call, extension string) error

	// Cancel ends the call of a Consult and goes back to the other side.
	Cancel(ctx context.Context, call, extension string) error

	// Park leaves the other side waiting for anybody to take, and returns the number to take it by.
	Park(ctx context.Context, call, extension string) (slot string, err error)
}

// Telephones is a PBX that knows which extensions it has. Telephone has no effect on any telephone, may be called from
// many goroutines, and answers within 5 s, sooner if ctx ends. It fails with a code of Dialer's when the PBX did not, or
// could not, tell: CodeBadNumber for what cannot be asked about.
type Telephones interface {
	Telephone(ctx context.Context, extension string) (TelephoneState, error)
}

// TelephoneState is what is known of an extension at a PBX.
type TelephoneState string

// The states. Whoever asks a PBX gets one of the first three, or an error.
const (
	TelephoneOK           TelephoneState = "ok"           // a telephone is connected as it now
	TelephoneUnregistered TelephoneState = "unregistered" // the PBX has it, and no telephone is connected as it
	TelephoneUnknown      TelephoneState = "unknown"      // the PBX has no such extension
	TelephoneUnchecked    TelephoneState = "unchecked"    // no PBX could tell
)

// Or is what two PBXes together say of an extension: the better news, and unknown only when neither has it. The zero
// value says nothing, and nothing but that is TelephoneUnchecked.
func (s TelephoneState) Or(other TelephoneState) TelephoneState {
	for _, state := range [...]TelephoneState{TelephoneOK, TelephoneUnregistered, TelephoneUnchecked, TelephoneUnknown} {
		if s == state || other == state {
			return state
		}
	}
	return TelephoneUnchecked
}

// AwaySink is a Sink that also takes what a PBX says of people: that the one at an extension is away from his
// telephone, or back. Ask a Sink for it with a type assertion; it may be called at any time.
type AwaySink interface {
	Away(extension string, away bool)
}
