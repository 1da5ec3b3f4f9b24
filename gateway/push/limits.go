package push

import "time"

// Limits bound what clients may take. The zero value of a field means the value named beside it.
type Limits struct {
	HelloWait time.Duration // 5 s: from the upgrade to the hello
	WriteWait time.Duration // 5 s: for one frame to leave; on a WebSocket up to twice that
	PingEvery time.Duration // 25 s: below the 30 s after which some proxies cut an idle line
	TokenLate time.Duration // 25 s: between a token's expiry and the end of its session

	Sessions int // DefaultSessions on this node: fewer than it may have files open
	PerUser  int // 16 sessions of one user, and for a moment as many whose place new ones of their clients have taken
	Commands int // 8 commands of one user at a time

	QueueMessages int // 32 live messages that wait for a slow reader; a replay and a burst are not counted
	QueueBytes    int // 256 KiB of them

	Unauthenticated      int     // 1,024 sockets that have not said hello
	UnauthenticatedPerIP int     // 64 of them from one address
	SocketsPerIP         int     // 2,000 sockets, streams and polls from one address: a large office behind a NAT is one
	HandshakesPerIP      float64 // 20 handshakes a second from one address, in the long run
	HandshakeBurst       int     // 100 at once: an office behind one address comes back together

	PollWait  time.Duration // 25 s, PingEvery if that is less: the longest a poll waits; a client takes twice PingEvery for a dead line
	PollLease time.Duration // 10 s: after a poll's wait, until its client counts as gone

	PresenceLeave time.Duration // 15 s: after a user's last session, until he counts as gone
	PresenceEvery time.Duration // 1 s: changes of presence are collected for that long, and a user's told no sooner
	PresencePoll  time.Duration // 5 s: a waiting poll is not ended sooner than that by a change of presence

	DrainRate int // 333 sessions a second are sent away
}

// DefaultSessions is how many sessions a node takes, if Limits do not say.
const DefaultSessions = 50_000

// What no operator needs to change.
const (
	maxHello   = 8 << 10  // bytes of the first frame: it holds a token
	maxFrame   = 10 << 10 // bytes of a later frame: 2,000 characters of a call's result have room, of any script
	maxMessage = 16 << 10 // bytes of a frame that are read at all: a longer one ends with 1009
	maxBody    = 12 << 10 // a frame, and a token

	commandsPerWindow = 60  // more are refused: a call costs the amoCRM widget six claims
	floodPerWindow    = 100 // more frames close the session
	pollsPerWindow    = 100 // of a user, as are the others where there is no session to count them
	frameWindow       = 10 * time.Second
	leasesPerSession  = 4 // clients of a user that come and go, for each session that he may have

	batchMessages = 100
	batchBytes    = 64 << 10
	coalesce      = 20 * time.Millisecond // a burst of events costs a poller one answer

	commandTime = 7 * time.Second // the gateway answers within 5 s; this is for when it does not
	closeGrace  = time.Second     // for the client's answer to a close frame
	byeTime     = 5 * time.Second
	retryAfter  = 2 * time.Second
)

func (l Limits) orDefault() Limits {
	def(&l.HelloWait, 5*time.Second)
	def(&l.WriteWait, 5*time.Second)
	def(&l.PingEvery, 25*time.Second)
	def(&l.TokenLate, 25*time.Second)
	def(&l.Sessions, DefaultSessions)
	def(&l.PerUser, 16)
	def(&l.Commands, 8)
	def(&l.QueueMessages, 32)
	def(&l.QueueBytes, 256<<10)
	def(&l.Unauthenticated, 1024)
	def(&l.UnauthenticatedPerIP, 64)
	def(&l.SocketsPerIP, 2000)
	def(&l.HandshakesPerIP, 20)
	def(&l.HandshakeBurst, 100)
	def(&l.PollWait, min(25*time.Second, l.PingEvery))
	def(&l.PollLease, 10*time.Second)
	def(&l.PresenceLeave, 15*time.Second)
	def(&l.PresenceEvery, time.Second)
	def(&l.PresencePoll, 5*time.Second)
	def(&l.DrainRate, 333)
	return l
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
