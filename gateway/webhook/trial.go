package webhook

import (
	"io"
	"net/http"
	"time"

	"ringcast/gateway"
)

// Reading is what a mapping makes of a request.
type Reading struct {
	Events  []gateway.Event
	Ignored int                  // items that a rule ignores
	Empty   []gateway.FieldError // fields that the mapping takes from the request, and that came out empty
}

// Read reads a request as a Mapped would, except that anybody may have sent it: for trying a mapping out. What stands
// behind the URL of the PBX is the request's path value "rest". An error is what the sender would be told, or one of
// reading the body.
func (m *Mapping) Read(r *http.Request, now time.Time) (Reading, error) {
	req := requestOf(r)
	req.trial = true
	var err error
	if req.raw, err = io.ReadAll(r.Body); err != nil {
		return Reading{}, err
	}
	for _, to := range []stage{opened, decoded} {
		if err := req.decode(to, m, r.Header.Get("Content-Type")); err != nil {
			return Reading{}, err
		}
	}
	events, ignored, err := newReader(m).events(req, now)
	return Reading{Events: events, Ignored: ignored, Empty: req.empty}, err
}
