package push

import "time"

// Limits bound what clients may take. The zero value of a field means the value named beside it.
type Limits struct {
	HelloWait time.Duration // 5 s: from the upgrade to the hello
	WriteWait time.Duration // 5 s: for one frame to leave
	PingEvery time.Duration // 25 s: below the 30 s after which some proxies cut an idle line
	TokenLate time.Duration // 25 s: between a token's expiry and the end of its session

	PerUser  int // 16 sessions of one user
	Commands int // 8 commands of one user at a time

	QueueMessages int // 32 live messages that wait for a slow reader; a replay is not counted
	QueueBytes    int // 256 KiB of them

	Unauthenticated      int     // 1,024 sockets that have not said hello
	UnauthenticatedPerIP int     // 64 of them from one address
	HandshakesPerIP      float64 // 20 handshakes a second from one address, in the long run
	HandshakeBurst       int     // 100 at once: an office behind one address comes back together

	PollWait  time.Duration // 25 s: the longest a poll waits
	PollLease time.Duration // 10 s: after a poll's wait, until its client counts as gone

	DrainRate int // 333 sessions a second are sent away
}

// What no operator needs to change.
const (
	maxHello   = 8 << 10  // bytes of the first frame: it holds a token
	maxFrame   = 4 << 10  // bytes of a later frame
	maxMessage = 16 << 10 // bytes of a frame that are read at all: a longer one ends with 1009
	maxBody    = 8 << 10

	framesPerWindow = 20                  // more commands are refused
	floodPerWindow  = 5 * framesPerWindow // more frames close the session
	frameWindow     = 10 * time.Second

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
	def(&l.PerUser, 16)
	def(&l.Commands, 8)
	def(&l.QueueMessages, 32)
	def(&l.QueueBytes, 256<<10)
	def(&l.Unauthenticated, 1024)
	def(&l.UnauthenticatedPerIP, 64)
	def(&l.HandshakesPerIP, 20)
	def(&l.HandshakeBurst, 100)
	def(&l.PollWait, 25*time.Second)
	def(&l.PollLease, 10*time.Second)
	def(&l.DrainRate, 333)
	return l
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
