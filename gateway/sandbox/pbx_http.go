package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"ringcast/gateway"
)

// pbxAction is the body of POST /actions. Which fields an action needs is in Handler's comment.
type pbxAction struct {
	Action     string   `json:"action"`
	Extension  string   `json:"extension"`
	Extensions []string `json:"extensions"`
	Number     string   `json:"number"`
	Name       string   `json:"name"`
	To         string   `json:"to"`
	Call       string   `json:"call"`
}

// Handler serves the telephones to a panel, for mounting with http.StripPrefix:
//
//	GET  /state    a PBXSnapshot
//	GET  /events   the same as server-sent events, at once and after each change, until the request's context ends
//	POST /actions  application/json, one action; answers {"call":"…"} where the action made a call, else {}
//
// The actions, with what they need: ring (extensions, number, name), answer, hangup, hold, unhold, register,
// unregister (extension), transfer, dial (extension, to), outside_answer, outside_hangup (call), cut, restore.
// Errors are problem documents with code and detail. Other sites' pages are refused.
func (p *PBX) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /state", p.serveState)
	mux.HandleFunc("GET /events", p.serveEvents)
	mux.HandleFunc("POST /actions", p.serveActions)
	return http.NewCrossOriginProtection().Handler(mux)
}

func (p *PBX) serveState(w http.ResponseWriter, _ *http.Request) {
	pbxWrite(w, http.StatusOK, "application/json", p.Snapshot())
}

func (p *PBX) serveEvents(w http.ResponseWriter, r *http.Request) {
	changes, stop := p.watch()
	defer stop()
	out := http.NewResponseController(w)
	// A stream outlives the server's write timeout; a writer that knows none needs no lifting.
	_ = out.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	ping := time.NewTicker(15 * time.Second)
	defer ping.Stop()
	for {
		state, err := json.Marshal(p.Snapshot())
		if err == nil {
			_, err = fmt.Fprintf(w, "retry: 1000\ndata: %s\n\n", state)
		}
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return // the reader is gone
		}
		select {
		case <-changes:
		case <-ping.C:
		case <-r.Context().Done():
			return
		}
	}
}

func (p *PBX) serveActions(w http.ResponseWriter, r *http.Request) {
	call, err := p.serveAction(w, r)
	if err != nil {
		gateway.WriteProblem(w, err)
		return
	}
	pbxWrite(w, http.StatusOK, "application/json", struct {
		Call string `json:"call,omitempty"`
	}{call})
}

func (p *PBX) serveAction(w http.ResponseWriter, r *http.Request) (call string, err error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return "", gateway.Errorf(gateway.CodeInvalid, "an action is sent as application/json")
	}
	var a pbxAction
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	dec.DisallowUnknownFields()
	err = dec.Decode(&a)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("one object, please")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", gateway.Errorf(gateway.CodeTooLarge, "an action is at most %d bytes", large.Limit)
	case err != nil:
		return "", gateway.Errorf(gateway.CodeInvalid, "not an action: %w", err)
	}
	return p.play(a)
}

func (p *PBX) play(a pbxAction) (call string, err error) {
	switch a.Action {
	case "ring":
		return p.Ring(a.Number, a.Name, a.Extensions...)
	case "dial":
		return p.DialOut(a.Extension, a.To)
	case "answer":
		return "", p.PickUp(a.Extension)
	case "hangup":
		return "", p.PutDown(a.Extension)
	case "hold":
		return "", p.PressHold(a.Extension)
	case "unhold":
		return "", p.PressResume(a.Extension)
	case "transfer":
		return "", p.PressTransfer(a.Extension, a.To)
	case "register", "unregister":
		return "", p.Register(a.Extension, a.Action == "register")
	case "outside_answer":
		return "", p.OutsideAnswer(a.Call)
	case "outside_hangup":
		return "", p.OutsideHangUp(a.Call)
	case "cut":
		p.Cut()
		return "", nil
	case "restore":
		p.Restore()
		return "", nil
	}
	return "", gateway.Errorf(gateway.CodeInvalid, "there is no action %.40q", a.Action)
}

func pbxWrite(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The status is out: a reader that went away is all that can be wrong now.
	_ = json.NewEncoder(w).Encode(body)
}
