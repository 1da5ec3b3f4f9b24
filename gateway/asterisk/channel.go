package asterisk

import (
	"slices"
	"strconv"
	"strings"
	"time"
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
	context  string // of the dial plan, where it began; "" if that was not heard
	pair     string // what both halves of a Local pair are called; kindLocal
	number   string // CallerIDNum and
	partner  string // ConnectedLineNum, as they were last

	call     *call
	bridge   *bridge
	state    int
	outgoing bool     // Asterisk calls it; else it called Asterisk
	begun    bool     // a Dial to it has begun
	alerts   bool     // it was heard of that it rings, whatever its state says
	handedOn bool     // its user handed the call on: what it still does is not his part in the call
	taken    bool     // the ringing was picked up elsewhere
	dialler  *channel // whose Dial calls it, nil if that is not known
	other    *channel // the other half of a Local pair, once it is known
	refusal  int      // why its far end asked to hang up
	cause    int      // why it ended, as Asterisk says
	seen     int      // the list in which, or after which, it was last seen

	// When things happened to it, in the order of events (correlator.step; 0: they did not), and by the clock. It was
	// called from the beginning of a Dial to its end, and heard others until the latest moment that is known.
	born, called, rang, up, spoke, heard, ended, asked, died int
	spokeAt, askedAt, diedAt                                 time.Time
}

// party says whether somebody is behind the channel.
func (ch *channel) party() bool { return ch.kind == kindTrunk || ch.kind == kindDevice }

// live says whether the channel counts for its leg: one that was created but neither rings nor calls yet
// does not.
func (ch *channel) live() bool { return ch.state >= stateRing || ch.alerts }

// rings says whether it is called and rings.
func (ch *channel) rings() bool { return ch.state == stateRinging || ch.alerts && ch.state < stateUp }

// talked says whether it ever was in company.
func (ch *channel) talked() bool { return ch.spoke > 0 }

// rise takes over a state. States only rise: what says otherwise is late.
func (ch *channel) rise(state, step int) {
	if state <= ch.state || state > stateUp {
		return
	}
	ch.state = state
	switch state {
	case stateRinging:
		ch.alert(step)
	case stateUp:
		ch.up = step
	}
}

func (ch *channel) alert(step int) {
	ch.alerts = true
	if ch.rang == 0 {
		ch.rang = step
	}
}

// dialled notes whose Dial calls the channel.
func (ch *channel) dialled(by *channel, step int) {
	if ch.called == 0 && by != nil {
		ch.dialler, ch.called = by, step
	}
}

// caller returns the channel that a party had called in order to reach this one, itself or half of a Local pair on the
// way, and that party; nil if that is not known.
func (ch *channel) caller() (first, by *channel) {
	for range 8 {
		by = ch.dialler
		if by == nil || by.party() {
			return ch, by
		}
		if by.other == nil {
			return ch, nil
		}
		ch = by.other
	}
	return ch, nil
}

// show takes over which numbers Asterisk shows for the channel and to it.
func (ch *channel) show(number, partner string) {
	if n := publicNumber(number); n != "" {
		ch.number = n
	}
	if n := publicNumber(partner); n != "" {
		ch.partner = n
	}
}

// speak notes that it hears others, and is heard.
func (ch *channel) speak(step int, at time.Time) {
	ch.heard = step
	if ch.spoke == 0 {
		ch.spoke, ch.spokeAt = step, at
	}
}

// nobody lists the technologies of channels behind which there is no party.
var nobody = map[string]bool{
	"announcer": true, "recorder": true, "surrogate": true, "snoop": true, "message": true, "bridge": true,
	"cbann": true, "cbrec": true, "confbridgerecorder": true, "asyncgoto": true, "parked": true, "stub": true,
	"unicastrtp": true, "multicastrtp": true,
}

// classify takes a channel's name apart: PJSIP/101-0000004a, Local/101@from-internal-00000005;2.
func (ch *channel) classify(extension func(*channel) (string, bool)) {
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
	if nobody[tech] {
		ch.kind = kindOther
	} else if ext, ok := extension(ch); ok {
		ch.kind, ch.ext = kindDevice, ext
	} else {
		ch.kind = kindTrunk
	}
}

// lineContexts begin the names of the contexts of the dial plan where calls from outside begin, FreePBX's and those of
// its kin.
var lineContexts = []string{"from-pstn", "from-trunk", "from-dahdi", "from-zaptel", "from-analog", "from-did"}

// isLine says whether a channel is a line to the outside by its technology, which numbers its lines, or by its context.
func (ch *channel) isLine() bool {
	tech, _, _ := strings.Cut(strings.ToLower(ch.name), "/")
	return tech == "dahdi" || tech == "zap" ||
		slices.ContainsFunc(lineContexts, func(c string) bool { return strings.HasPrefix(ch.context, c) })
}

// number reads a number of a message, -1 if it has none.
func (m message) number(key string) int {
	n, err := strconv.Atoi(m.get(key))
	if err != nil {
		return -1
	}
	return n
}
