package asterisk

import (
	"strconv"
	"strings"
)

// The channel states that matter (ChannelState).
const (
	stateDown    = 0
	stateDialing = 3
	stateRing    = 4 // it calls, and hears ringing
	stateRinging = 5 // it is called, and rings
	stateUp      = 6
)

// kind of a channel.
type kind int

const (
	kindTrunk  kind = iota // leads outside
	kindDevice             // a telephone of the company
	kindLocal              // half of a pair that joins two pieces of the dial plan
	kindOther              // announcements, recordings: nobody is there
)

// channel is one of Asterisk's channels.
type channel struct {
	id, name string
	kind     kind
	ext      string // whose device it is; kindDevice
	endpoint string // "trunk" of PJSIP/trunk-0000002d
	pair     string // what both halves of a Local pair are called; kindLocal

	call     *call
	bridge   *bridge
	state    int
	outgoing bool // Asterisk calls it; else it called Asterisk
	begun    bool // a Dial to it has begun
	asked    bool // its far end asked to hang up
	talked   bool
	seen     int // the list in which, or after which, it was last seen
}

// party says whether somebody is behind the channel.
func (ch *channel) party() bool { return ch.kind == kindTrunk || ch.kind == kindDevice }

// live says whether the channel counts for its leg: one that was created but neither rings nor calls yet
// does not.
func (ch *channel) live() bool { return ch.state >= stateRing }

// nobody lists the technologies of channels behind which there is no party.
var nobody = map[string]bool{
	"announcer": true, "recorder": true, "surrogate": true, "snoop": true, "message": true, "bridge": true,
	"cbann": true, "cbrec": true, "confbridgerecorder": true, "asyncgoto": true, "parked": true, "stub": true,
	"unicastrtp": true, "multicastrtp": true,
}

// classify takes a channel's name apart: PJSIP/101-0000004a, Local/101@from-internal-00000005;2.
func (ch *channel) classify(isExtension func(string) bool) {
	tech, rest, ok := strings.Cut(ch.name, "/")
	if !ok {
		ch.kind = kindOther
		return
	}
	tech = strings.ToLower(tech)
	if tech == "local" {
		ch.kind = kindLocal
		if i := strings.LastIndexByte(ch.name, ';'); i >= 0 {
			ch.pair = ch.name[:i]
		}
		return
	}
	ch.endpoint = rest
	if i := strings.LastIndexByte(rest, '-'); i > 0 {
		ch.endpoint = rest[:i]
	}
	switch {
	case nobody[tech]:
		ch.kind = kindOther
	case isExtension(ch.endpoint):
		ch.kind, ch.ext = kindDevice, ch.endpoint
	default:
		ch.kind = kindTrunk
	}
}

// number reads a number of a message, -1 if it has none.
func (m message) number(key string) int {
	n, err := strconv.Atoi(m.get(key))
	if err != nil {
		return -1
	}
	return n
}

// bridge is one of Asterisk's bridges: who is in it hears the others.
type bridge struct {
	id       string
	apart    bool // its channels do not hear each other: parking, waiting
	meeting  bool // a conference room: who is there talks, but their calls stay apart
	channels []*channel
}

func (b *bridge) describe(m message) {
	if m.get("BridgeTechnology") == "holding_bridge" || m.get("BridgeType") == "parking" {
		b.apart = true
	}
	if m.get("BridgeCreator") == "ConfBridge" {
		b.meeting = true
	}
}
