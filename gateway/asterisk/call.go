package asterisk

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

// call is a set of channels, and what the gateway was told of it.
type call struct {
	id       string
	born     int      // the order in which calls began
	links    []string // the Linkedids that lead here; the first is that of its root, the channel that it began with
	channels []*channel
	departed []*channel // the parties that are gone, the latest of them
	over     bool
	waits    bool // its root may be about to come: nothing is told yet
	since    time.Time
	begun    bool // its root's beginning was heard of: the gateway cannot know it from before

	direction gateway.Direction // "" until it is clear who is called
	caller    string            // the extension that made the call, if one did
	from, to  string
	line      string
	name      string
	ordered   bool     // by a click: Asterisk calls the caller first
	headless  bool     // its root is half of a Local pair: somebody ordered the call
	learned   bool     // where it comes from is known
	rooted    bool     // from its root, so that nothing else can say it better
	reached   *channel // the first besides the caller who was called, or is there
	answered  bool     // two parties talked
	recording string   // where the latest recording is

	announced bool
	found     bool // in a list: the gateway may know it from before
	lineTold  bool // with the line, or there was none to tell
	bridged   bool // that it was answered is told
	legs      []*leg
	ends      []gateway.Cause // of those who were called, did not talk, and are no longer among the departed
	recent    []*ending       // what was told of ends, and may have to be told anew
}

// leg is an extension's share of a call, as the gateway was told.
type leg struct {
	ext      string
	talking  bool
	consults bool // it talks, but not with the one whom the call is about
	held     bool
	last     *channel // of those that were called for it, the latest that is gone
}

// ending is the end of a leg as it was told.
type ending struct {
	ext   string   // "": of the whole call
	ch    *channel // that ended
	cause gateway.Cause
	at    time.Time // as it was told
	clock time.Time // when it happened
}

// How much a call remembers at most: of channels that are gone, for members of a queue are called again and again; and
// of Linkedids, for some meetings never end.
const (
	keepDeparted = 64
	keepLinks    = 256
)

// lose takes a channel that is gone out of the call.
func (k *call) lose(ch *channel) {
	k.channels = slices.DeleteFunc(k.channels, func(x *channel) bool { return x == ch })
	if !ch.party() {
		return
	}
	if l := k.leg(ch.ext); l != nil && k.called(ch) {
		l.last = ch
	}
	k.departed = append(k.departed, ch)
	k.forget()
}

// forget drops those who are gone the longest.
func (k *call) forget() {
	for len(k.departed) > keepDeparted {
		first := k.departed[0]
		k.departed = slices.Delete(k.departed, 0, 1)
		if cause := k.fate(first); k.called(first) && !first.talked() && !slices.Contains(k.ends, cause) {
			k.ends = append(k.ends, cause)
		}
	}
}

// outside says whether somebody outside the company takes part.
func (k *call) outside() bool {
	return k.direction == gateway.Inbound || k.direction == gateway.Outbound
}

// called says whether a channel is one that was called in this call.
func (k *call) called(ch *channel) bool { return ch.outgoing && ch.party() && !k.calls(ch) }

// calls says whether a channel is the caller's own.
func (k *call) calls(ch *channel) bool {
	return ch.party() && !ch.outgoing || k.ordered && ch.ext != "" && ch.ext == k.caller
}

func (k *call) leg(ext string) *leg {
	if i := slices.IndexFunc(k.legs, func(l *leg) bool { return l.ext == ext }); i >= 0 {
		return k.legs[i]
	}
	return nil
}

// has says whether an extension has a channel in the call that counts.
func (k *call) has(ext string) bool {
	return slices.ContainsFunc(k.channels, func(ch *channel) bool { return ch.ext == ext && ch.live() && !ch.handedOn })
}

// callID is the id under which the gateway knows a call, of at most the 128 characters that it allows, none of them
// such as cannot be shown.
func callID(linked string) string {
	if len(linked) <= 128 && text(linked) == linked {
		return strings.Clone(linked)
	}
	sum := sha256.Sum256([]byte(linked))
	return hex.EncodeToString(sum[:])
}
