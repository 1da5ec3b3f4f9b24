package phonet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// refusesWithin is how long Check waits for a refusal that comes after the opening.
const refusesWithin = time.Second

// Check logs in as a link would and opens one subscriber's socket. It says in words what is wrong and how to mend it;
// nil, all is well. Notes are what a link can do without.
func Check(ctx context.Context, config Config) (notes []string, err error) {
	cfg := config.withDefaults()
	if err := cfg.valid(); err != nil {
		return nil, err
	}
	r := newREST(cfg)
	defer r.client.CloseIdleConnections()
	subscribers := cfg.Subscribers()
	if len(subscribers) == 0 {
		return nil, errors.New("there are no subscribers: give the users of this account extensions")
	}
	users, err := r.users(ctx)
	switch {
	case errors.Is(err, errNoREST):
		notes = append(notes, "it has no HTTP API: calls cannot be ended from a page, have no recordings, and those that end while a socket is cut are ended late")
	case errors.Is(err, errRefused):
		notes = append(notes, fmt.Sprintf("its HTTP API is closed to this key (%v)", r.masked(err)))
	case err != nil:
		return nil, r.masked(cfg.explain(err))
	}
	for _, s := range subscribers {
		if len(users) > 0 && !isEmployee(users, s.Name) {
			notes = append(notes, fmt.Sprintf("it has no employee %s", s.Name))
		}
	}
	return notes, r.masked(cfg.checkSocket(ctx, subscribers, users))
}

func isEmployee(users []restUser, name string) bool {
	for _, u := range users {
		if name == string(u.Ext) || strings.EqualFold(name, string(u.Email)) {
			return true
		}
	}
	return false
}

// checkSocket opens the socket of one subscriber, if it can be of one that the PBX knows.
func (cfg *Config) checkSocket(ctx context.Context, subscribers []Subscriber, users []restUser) error {
	name := subscribers[0].Name
	for _, s := range subscribers {
		if isEmployee(users, s.Name) {
			name = s.Name
			break
		}
	}
	conn, err := cfg.open(ctx, name)
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", name, cfg.explain(err))
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetReadDeadline(time.Now().Add(refusesWithin))
	_, frame, err := conn.ReadMessage()
	var silent net.Error
	if errors.As(err, &silent) && silent.Timeout() {
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		return nil // nobody calls just now
	}
	if err != nil {
		return fmt.Errorf("subscriber %s: %w", name, explainEnd(err, true))
	}
	if m, err := decode(frame); err != nil || m.Event == eventError {
		return fmt.Errorf("subscriber %s: %w: it says %.200q", name, errRefused, m.Message)
	}
	return nil
}

func (cfg *Config) explain(err error) error {
	var name *net.DNSError
	switch {
	case errors.Is(err, errRefused):
		return fmt.Errorf("%w; compare domain, api_key and subscribers with Phonet's settings: Integration, Other CRM", err)
	case errors.As(err, &name):
		return fmt.Errorf("the host of %s cannot be found: %w", cfg.BaseURL, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s: %w", cfg.BaseURL, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s; is a firewall between? %w", cfg.BaseURL, err)
	default:
		return err
	}
}
