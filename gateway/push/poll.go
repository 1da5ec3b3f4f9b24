package push

import (
	"context"
	"net/http"
	"time"

	"ringcast/gateway"
)

// poller is a session for the length of one request, on the two rungs that poll. Nothing is kept between two
// polls; the cursor of the next acknowledges what this one was answered.
type poller struct {
	session session
	signals
}

// polled is what a poll ends with.
type polled struct {
	frames []frame
	cursor string
	left   bool // the client has gone: nobody is there to be answered, and nothing is lost
}

// answerTime is for an answer to leave. It is long: who gets half of it comes for the same again.
const answerTime = 30 * time.Second

func newPoller(s *Server, rung string) *poller {
	p := &poller{signals: newSignals()}
	p.session = newSession(s, p, rung, false)
	return p
}

// servePoll answers with what the client has missed, at once or as soon as there is anything.
func (s *Server) servePoll(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token    string   `json:"token"`
		Cursor   string   `json:"cursor"`
		Client   string   `json:"client"`
		Wait     *float64 `json:"wait"` // seconds
		Visible  bool     `json:"visible"`
		Presence *string  `json:"presence"`
	}
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if err := checkClient(in.Client); err != nil {
		return err
	}
	who, user, err := s.authorize(in.Token)
	if err != nil {
		return err
	}
	wait := s.limits.PollWait
	if in.Wait != nil {
		wait = waitOf(*in.Wait, wait)
	}
	addr := s.addrOf(r)
	if err := s.gate.connect(addr); err != nil {
		return err
	}
	defer s.gate.disconnect(addr)
	p := newPoller(s, rungPoll)
	answer, err := p.poll(w, r, who, user, opening{in.Client, in.Cursor, in.Visible, in.Presence}, wait, nil)
	if err != nil || answer.left {
		return err
	}
	writeJSON(w, encodePoll(answer.cursor, answer.frames, ""))
	p.session.sent(answer.frames...)
	return nil
}

// waitOf is a wait of that many seconds within the limit.
func waitOf(seconds float64, limit time.Duration) time.Duration {
	return time.Duration(max(0, min(seconds, limit.Seconds())) * float64(time.Second))
}

// poll opens the session in place of the client's older one, carries out the command that came along, if any, and
// waits until there is something to answer with. The session has ended when it returns: who reads his answer slowly
// holds none.
func (p *poller) poll(w http.ResponseWriter, r *http.Request, who identity, user gateway.User, in opening, wait time.Duration,
	command *inbound,
) (polled, error) {
	s := p.session.server
	key := clientKey{userKey{who.account, who.user}, in.client}
	if err := s.polls.take(key.userKey); err != nil {
		return polled{}, err
	}
	if err := s.lease(key, wait+s.limits.PollLease); err != nil {
		return polled{}, err
	}
	defer p.session.end()
	if err := p.session.open(who, user, in); err != nil {
		return polled{}, err
	}
	if command != nil {
		p.act(command) //nolint:contextcheck // it outlives the request that brought it
	}
	// A limit on how long an answer may take would cut the wait. Not every writer has one to lift.
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{})
	code := p.wait(r.Context(), wait)
	select {
	case <-r.Context().Done():
		return polled{left: true}, nil
	default:
	}
	_ = out.SetWriteDeadline(time.Now().Add(answerTime))

	answer := polled{frames: p.session.batch(), cursor: in.cursor}
	for _, f := range answer.frames {
		if f.cursor != "" {
			answer.cursor = f.cursor
		}
	}
	switch code {
	case closeRevoked:
		return polled{}, gateway.Errorf(gateway.CodeRevoked, "the user or the token was revoked")
	case closeDraining:
		answer.frames = append(answer.frames, frame{data: s.bye(closeDraining, 0)})
	}
	return answer, nil
}

// wait returns when there is something to answer, or the time is over; a code when the session was closed.
func (p *poller) wait(ctx context.Context, d time.Duration) closeCode {
	select {
	case <-p.ready:
		return 0
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ready:
	case code := <-p.ended:
		return code
	case <-timer.C:
		return 0
	case <-ctx.Done():
		return 0
	}
	timer.Reset(coalesce)
	select {
	case <-timer.C:
	case <-ctx.Done():
	case code := <-p.ended:
		return code
	}
	return 0
}

// checkClient bounds the name that a client gives itself.
func checkClient(client string) error {
	if len(client) > maxClient {
		return gateway.Errorf(gateway.CodeInvalid, "client may have %d bytes", maxClient)
	}
	return nil
}
