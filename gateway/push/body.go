package push

import (
	"encoding/json"
	"net/http"

	"ringcast/gateway"
)

// readJSON decodes a request's body of at most limit bytes, whatever content type it claims to be.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	body, err := gateway.ReadBody(w, r, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &gateway.Error{Code: gateway.CodeInvalid, Message: "the body is not the JSON that belongs here", Err: err}
	}
	return nil
}

// writeJSON answers 200 with a document that nobody may keep.
func writeJSON(w http.ResponseWriter, body []byte) {
	passOn(w.Header(), "application/json")
	_, _ = w.Write(body) // whoever asked has gone: the next request's cursor tells what arrived
}

// passOn has whoever stands between pass an answer on at once and as it is, and browsers take it for nothing else.
func passOn(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
}
