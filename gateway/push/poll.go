package push

import (
	"context"
	"net/http"
	"time"

	"ringcast/gateway"
)

// poller is the long-poll rung: a session for the length of one request. Nothing is kept between two; the
// cursor of the next acknowledges what this one was answered.
type poller struct {
	session session
	ready   chan struct{}
	ended   chan closeCode
}

func (p *poller) wake() {
	select {
	case p.ready <- struct{}{}:
	default: // it knows
	}
}

func (p *poller) close(code closeCode) { p.ended <- code }

// servePoll answers with what the client has missed, at once or as soon as there is anything.
func (s *Server) servePoll(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Token  string   `json:"token"`
		Cursor string   `json:"cursor"`
		Client string   `json:"client"`
		Wait   *float64 `json:"wait"` // seconds
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
		wait = time.Duration(max(0, min(*in.Wait, wait.Seconds())) * float64(time.Second))
	}

	key := clientKey{userKey{who.account, who.user}, in.Client}
	s.hub.lease(key, wait+s.limits.PollLease)
	for _, old := range s.hub.older("poll", key) {
		old.close(closeSuperseded)
	}
	p := &poller{ready: make(chan struct{}, 1), ended: make(chan closeCode, 1)}
	p.session = newSession(s, p, "poll", false)
	defer p.session.end()
	if err := p.session.open(who, user, in.Client, in.Cursor); err != nil {
		return err
	}

	// A limit on how long an answer may take would cut the wait. Not every writer has one to lift.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	code := p.wait(r.Context(), wait)
	if r.Context().Err() != nil {
		return nil // nobody is there, and nothing is lost: the cursor has not moved
	}
	frames, cursor := p.collect(in.Cursor)
	if code == closeDraining {
		frames = append(frames, encodeBye(s.comeBack(0)))
	}
	s.metrics.MessagesSent("poll", len(frames))
	writeJSON(w, encodePoll(cursor, frames))
	return nil
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

// collect takes what one answer may carry, and the cursor it ends at. The rest comes with the next poll.
func (p *poller) collect(cursor string) (frames [][]byte, end string) {
	for size := 0; len(frames) < batchMessages && size < batchBytes; {
		frame, at, ok := p.session.take()
		if !ok {
			break
		}
		frames = append(frames, frame)
		size += len(frame)
		if at != "" {
			cursor = at
		}
	}
	return frames, cursor
}

// checkClient bounds the name that a client gives itself.
func checkClient(client string) error {
	if len(client) > maxClient {
		return gateway.Errorf(gateway.CodeInvalid, "client may have %d bytes", maxClient)
	}
	return nil
}
