package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"ringcast/gateway"
	"ringcast/gateway/webhook"
)

// requests plays the requests of a PBX that posts its events.
type requests struct {
	next    func(ctx context.Context) (recorded, error)
	mapping *webhook.Mapping // nil: they are as Ringcast has them
	logger  *slog.Logger
}

// State is that of a PBX which is heard when it says something.
func (p *requests) State() gateway.LinkState { return gateway.LinkState{State: "connected"} }

// Run plays to the end. A request that cannot be read is said and passed over, as the gateway refuses it; when there
// are no others, that is an error.
func (p *requests) Run(ctx context.Context, sink gateway.Sink) error {
	var taken, refused int
	var first error
	for {
		m, err := p.next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to end
		case errors.Is(err, io.EOF) && taken == 0 && refused > 0:
			return fmt.Errorf("none of the %d requests can be read: %w", refused, first)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		events, err := p.read(ctx, m)
		if err != nil {
			refused++
			first = cmp.Or(first, err)
			p.logger.Warn("request refused", "at", m.At, "to", m.To, "err", err, "fields", gateway.Shown(err).Fields)
			continue
		}
		taken++
		for i := range events {
			events[i].At = cmp.Or(events[i].At, m.At)
		}
		if err := sink.Emit(ctx, events); err != nil {
			return err
		}
	}
}

func (p *requests) read(ctx context.Context, m recorded) ([]gateway.Event, error) {
	if p.mapping == nil {
		events, _, err := webhook.Parse(m.content(), m.At)
		return events, err
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(m.Method, http.MethodPost), m.To, bytes.NewReader(m.content()))
	if err != nil {
		return nil, err
	}
	if m.Header != nil {
		req.Header = m.Header
	}
	_, rest, _ := strings.Cut(req.URL.Path, "/events/")
	req.SetPathValue("rest", rest)
	reading, err := p.mapping.Read(req, m.At)
	return reading.Events, err
}
