package push

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ringcast/gateway"
)

// paddingSize is what comes before the first event: some proxies and browsers hold back an answer's first bytes.
const paddingSize = 2 << 10

// stream is the SSE rung of one session.
type stream struct {
	session session
	signals
}

// serveSSE brings a session as an event stream. It ends with a bye, or because it could not be written.
func (s *Server) serveSSE(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	in := opening{cursor: newerCursor(q.Get("cursor"), r.Header.Get("Last-Event-ID")), visible: isSet(q, "visible")}
	if isSet(q, "presence") {
		in.presence = new(string)
	}
	if err := checkClient(q.Get("client")); err != nil {
		return err
	}
	addr := s.addrOf(r)
	if err := s.gate.connect(addr); err != nil {
		return err
	}
	defer s.gate.disconnect(addr)
	ticket, user, err := s.admit(r, true)
	if err != nil {
		return err
	}
	in.client = cmp.Or(ticket.Client, q.Get("client"), rand.Text()) // a name, so that its claims end with the session

	c := &stream{signals: newSignals()}
	c.session = newSession(s, c, rungSSE, true)
	defer c.session.end()
	if err := c.session.open(ticket.identity(), user, in); err != nil {
		return err
	}
	c.serve(r.Context(), w)
	return nil
}

// isSet reads a query's parameter that is on or off.
func isSet(q url.Values, name string) bool {
	return q.Get(name) == "1" || q.Get(name) == "true"
}

// newerCursor is where a stream goes on: a browser that reconnected by itself has sent the old URL again, and
// says what it saw last.
func newerCursor(cursor, last string) string {
	l, err := gateway.ParseCursor(last)
	if err != nil {
		return cmp.Or(cursor, last)
	}
	c, err := gateway.ParseCursor(cursor)
	if err == nil && c.Epoch == l.Epoch && c.Compare(l.Position) > 0 {
		return cursor
	}
	return last
}

// serve writes until the session or the request ends.
func (c *stream) serve(ctx context.Context, w http.ResponseWriter) {
	passOn(w.Header(), "text/event-stream")
	text := make([]byte, 0, paddingSize+1024)
	text = append(text, ':')
	text = append(text, strings.Repeat(" ", paddingSize)...)
	text = append(text, "\n\n"...)
	for {
		select {
		case <-c.ready:
			for frames := c.session.batch(); len(frames) > 0; frames = c.session.batch() {
				if c.write(w, text, frames) != nil {
					return
				}
				text = nil
			}
		case code := <-c.ended:
			frames := c.session.batch() // of a slow one: its own, still
			if !c.session.saidBye() {
				frames = append(frames, frame{data: c.session.server.bye(code, 0)})
			}
			_ = c.write(w, text, frames) // if it fails, it has ended too
			return
		case <-ctx.Done():
			return
		}
	}
}

// write sends frames in one piece, after what is in text. The client must take it in time.
func (c *stream) write(w http.ResponseWriter, text []byte, frames []frame) error {
	for _, f := range frames {
		text = appendEvent(text, f)
	}
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Now().Add(c.session.server.limits.WriteWait)) // not every writer has one
	_, err := w.Write(text)
	if err == nil {
		err = out.Flush()
	}
	switch {
	case err == nil:
		_ = out.SetWriteDeadline(time.Time{}) // under HTTP/2 it would end the stream, written or not
		c.session.sent(frames...)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.session.close(closeSlow)
	}
	return err
}

// appendEvent writes a frame as an event. Neither its JSON nor a cursor of ours has a line break; a cursor that
// has, a client has made up, and gets no id.
func appendEvent(b []byte, f frame) []byte {
	if f.cursor != "" && !strings.ContainsAny(f.cursor, "\r\n\x00") {
		b = append(b, "id: "...)
		b = append(b, f.cursor...)
		b = append(b, '\n')
	}
	b = append(b, "data: "...)
	b = append(b, f.data...)
	return append(b, "\n\n"...)
}
