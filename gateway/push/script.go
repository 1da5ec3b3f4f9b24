package push

import (
	"bytes"
	"cmp"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// maxScriptWait is shorter than a poll's: a page cannot give up a script that does not come.
const maxScriptWait = 20 * time.Second

// serveScript is the rung of clients that can only load scripts: a poll whose answer calls a function of the
// page, and whose ticket is the only credential, so that a page which was not given one learns nothing. What is
// not addressed to the page, or would not be understood by it, is refused without a script.
func (s *Server) serveScript(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	callback := q.Get("callback")
	if !isCallback(callback) {
		return gateway.Errorf(gateway.CodeInvalid, "callback must be __ringcast. and 1 to 16 of a-z and 0-9, the first a letter")
	}
	if err := s.checkScriptPage(r); err != nil {
		return err
	}
	p := newPoller(s, rungScript)
	var (
		answer polled
		ticket string
		body   []byte
	)
	addr := s.addrOf(r)
	err := s.gate.connect(addr)
	if err == nil {
		defer s.gate.disconnect(addr)
		answer, ticket, err = p.script(w, r, q)
	}
	switch {
	case answer.left:
		return nil
	case err == nil:
		body = encodePoll(answer.cursor, answer.frames, ticket)
	default:
		if body, err = s.refuseScript(r, err); err != nil {
			return err
		}
	}
	writeScript(w, callback, body)
	p.session.sent(answer.frames...)
	return nil
}

// isCallback bounds what an answer can be made to call.
func isCallback(s string) bool {
	name, ok := strings.CutPrefix(s, "__ringcast.")
	if !ok || len(name) < 1 || len(name) > 16 || name[0] <= '9' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// checkScriptPage refuses the pages of other sites, as far as the browser tells, and whatever does not load a
// script. A script element sends no Origin.
func (s *Server) checkScriptPage(r *http.Request) error {
	page := pageOf(r)
	switch dest := r.Header.Get("Sec-Fetch-Dest"); {
	case dest != "" && dest != "script":
		return gateway.Errorf(gateway.CodeOrigin, "this is loaded as a script, not as %q", dest)
	case page == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site":
		return gateway.Errorf(gateway.CodeOrigin, "a page of another site must say which it is: send a Referer")
	case page != "" && !s.origins.Allowed(page):
		return gateway.Errorf(gateway.CodeOrigin, "pages of %q are not allowed here: add the origin to the configuration", page)
	}
	return nil
}

// script polls, with the command that came along, and returns the answer and the next ticket.
func (p *poller) script(w http.ResponseWriter, r *http.Request, q url.Values) (polled, string, error) {
	s := p.session.server
	in := opening{client: q.Get("client"), cursor: q.Get("cursor"), visible: isSet(q, "visible")}
	if q.Has("presence") {
		version := q.Get("presence")
		in.presence = &version
	}
	wait := min(maxScriptWait, s.limits.PollWait)
	if q.Has("wait") {
		seconds, err := strconv.ParseFloat(q.Get("wait"), 64)
		if err != nil || math.IsNaN(seconds) {
			return polled{}, "", gateway.Errorf(gateway.CodeInvalid, "wait is a number of seconds")
		}
		wait = waitOf(seconds, wait)
	}
	var command *inbound
	if text := q.Get("command"); text != "" {
		command = &inbound{}
		if err := json.Unmarshal([]byte(text), command); err != nil || len(text) > maxFrame {
			return polled{}, "", gateway.Errorf(gateway.CodeInvalid, "command is not the JSON that belongs here")
		}
	}
	if err := checkClient(in.client); err != nil {
		return polled{}, "", err
	}
	ticket, user, err := s.admit(r, false)
	if err != nil {
		return polled{}, "", err
	}
	in.client = cmp.Or(ticket.Client, in.client)
	answer, err := p.poll(w, r, ticket.identity(), user, in, wait, command)
	if err != nil || answer.left {
		return answer, "", err
	}
	next, err := s.tickets.next(r.Context(), ticket)
	if err != nil {
		return polled{}, "", err // the cursor has not moved
	}
	return answer, next, nil
}

// act carries out what came with a poll, and has the reply among its messages. What is not answered leaves the
// poll to wait. It does not end with the request: see Server.command.
func (p *poller) act(in *inbound) {
	s := p.session.server
	who, client := p.session.who(), cmp.Or(p.session.client, in.ID)
	if s.notice(who, client, rungScript, in) {
		return
	}
	if in.Action == "renew" {
		p.session.reply(refusal(in.ID, gateway.Errorf(gateway.CodeInvalid, "there is no session to renew: come with a ticket of the new token")))
		return
	}
	reply, err := s.slowCommand(who, client, in)
	if err != nil {
		reply = refusal(in.ID, err)
	}
	p.session.reply(reply)
}

// refuseScript makes of an error what a script's client is told, which sees no status. What is no answer to such a
// client stays an error.
func (s *Server) refuseScript(r *http.Request, err error) ([]byte, error) {
	e, level := gateway.Shown(err), slog.LevelDebug
	switch e.Code {
	case gateway.CodeInvalid, gateway.CodeOrigin:
		return nil, err
	case gateway.CodeInternal:
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "err", err)
	s.metrics.Refused(rungScript, e.Code)
	type shown struct {
		Code    gateway.Code `json:"code"`
		Message string       `json:"message"`
		RetryIn []int64      `json:"retry_in,omitempty"` // milliseconds, from and to, as in a bye
	}
	out := shown{Code: e.Code, Message: e.Message}
	if e.RetryAfter > 0 {
		from, to := s.comeBack(0)
		from = max(from, e.RetryAfter)
		out.RetryIn = []int64{from.Milliseconds(), max(to, 2*from).Milliseconds()}
	}
	return json.Marshal(struct {
		Error shown `json:"error"`
	}{out})
}

// writeScript answers with a call of the callback, if the page has it. The comment keeps the first bytes of the
// answer from being the caller's; nothing in the JSON can end a script element or a line.
func writeScript(w http.ResponseWriter, callback string, body []byte) {
	h := w.Header()
	passOn(h, "application/javascript; charset=utf-8")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	var text bytes.Buffer
	text.Grow(len(body) + 128)
	text.WriteString("/**/typeof " + callback + "==='function'&&" + callback + "(")
	json.HTMLEscape(&text, body)
	text.WriteString(");")
	_, _ = w.Write(text.Bytes()) // whoever asked has gone: the next request's cursor tells what arrived
}
