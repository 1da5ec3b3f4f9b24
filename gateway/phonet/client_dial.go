package phonet

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"ringcast/gateway"
)

const (
	answerTime = 4500 * time.Millisecond // for all that is done for a user
	matchTime  = 2500 * time.Millisecond // for how long Dial waits to see the call that it asked for
	askedTime  = time.Minute             // and for how long a call may turn out to be that one
	clickTime  = 10 * time.Minute        // for which a click's key is known when its call never came
)

// click is a request to call, under way or done.
type click struct {
	done chan struct{}
	at   time.Time
	call string
	err  error
}

// asked is a call that was asked for and has not been seen yet.
type asked struct {
	extension string
	to        gateway.Number
	since     time.Time
	call      string      // what it is to be called; "": as Phonet does
	seen      chan string // has room for its id
}

// Dial has Phonet ring the extension's telephone and then call the number: over HTTP, which says at once which call
// it is, or else by the extension's socket.
func (l *Link) Dial(ctx context.Context, req gateway.DialRequest) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	l.mu.Lock()
	c := l.clicks[req.Key]
	if c != nil {
		l.mu.Unlock()
		select {
		case <-c.done:
			return c.call, c.err
		case <-ctx.Done():
			return "", gateway.Errorf(gateway.CodeTimeout, "the PBX has not answered yet")
		}
	}
	c = &click{done: make(chan struct{}), at: l.cfg.now()}
	l.clicks[req.Key] = c
	l.mu.Unlock()

	call, err := l.dial(ctx, req)

	l.mu.Lock()
	defer l.mu.Unlock()
	c.call, c.err = call, l.rest.masked(err)
	if err != nil && gateway.CodeOf(err) != gateway.CodeTimeout { // after which the call may yet come
		delete(l.clicks, req.Key)
	}
	close(c.done)
	if err == nil {
		l.cfg.Logger.Info("call ordered", "call", call, "extension", req.Extension)
	}
	return c.call, c.err
}

func (l *Link) dial(ctx context.Context, req gateway.DialRequest) (string, error) {
	if _, err := l.number(req.To, ""); err != nil {
		return "", err
	}
	a := &asked{extension: req.Extension, to: req.To, since: l.cfg.now(), seen: make(chan string, 1)}
	l.mu.Lock()
	overHTTP := l.asked && l.noREST == nil
	l.book.asked = append(l.book.asked, a)
	l.mu.Unlock()
	uuid, err := "", errNoREST
	if overHTTP {
		uuid, err = l.makeCall(ctx, req)
	}
	if errors.Is(err, errNoREST) {
		err = l.command(ctx, req)
	}
	if err != nil {
		l.mu.Lock()
		l.book.unask(a)
		l.mu.Unlock()
		return "", err
	}
	if uuid == "" {
		uuid = l.await(ctx, a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case id := <-a.seen:
		return id, nil
	default:
	}
	a.call = cmp.Or(uuid, "click-"+req.Key)
	return a.call, nil
}

// await waits a little for the call that was asked for.
func (l *Link) await(ctx context.Context, a *asked) string {
	timer := time.NewTimer(matchTime)
	defer timer.Stop()
	select {
	case id := <-a.seen:
		return id
	case <-timer.C:
	case <-ctx.Done():
	}
	return ""
}

// number returns a number as it is to be dialled, in the configured format or else in the one given.
func (l *Link) number(to gateway.Number, format gateway.DialFormat) (string, error) {
	rules := l.cfg.Numbers
	rules.Format = cmp.Or(rules.Format, format)
	return rules.Dial(to)
}

// makeCall asks over HTTP. errNoREST: that was not taken, for sure.
func (l *Link) makeCall(ctx context.Context, req gateway.DialRequest) (uuid string, err error) {
	number, err := l.number(req.To, gateway.PlusE164)
	if err != nil {
		return "", err
	}
	uuid, err = l.rest.makeCall(ctx, req.Extension, number)
	var no *statusError
	var dial *net.OpError
	switch {
	case err == nil, errors.Is(err, errNoREST):
		return uuid, err
	case errors.Is(err, errRefused), errors.As(err, &dial) && dial.Op == "dial":
		l.cfg.Logger.Warn("phonet takes no call over HTTP", "err", l.rest.masked(err))
		return "", errNoREST
	case errors.As(err, &no) && no.code == http.StatusConflict:
		return "", &gateway.Error{Code: gateway.CodeBusy, Message: "telephone " + req.Extension + " is busy", Err: err}
	case errors.As(err, &no):
		return "", refusal(mask(no.text, l.cfg.APIKey), no.name)
	default:
		return "", gateway.Errorf(gateway.CodeTimeout, "the PBX did not answer in time; whether the call was made is not known: %w", err)
	}
}

// command asks on the extension's socket.
func (l *Link) command(ctx context.Context, req gateway.DialRequest) error {
	number, err := l.number(req.To, gateway.DigitsOnly)
	if err != nil {
		return err
	}
	l.mu.Lock()
	s := l.sockets[req.Extension]
	for _, other := range l.sockets {
		if s == nil && other.extension == req.Extension {
			s = other
		}
	}
	l.mu.Unlock()
	if s == nil {
		return gateway.Errorf(gateway.CodeNotPermitted, "extension %s is not among the PBX's subscribers", req.Extension)
	}
	return s.call(ctx, number)
}

// refusal makes an error of what a PBX says to people, and of the name that it gives to it, if any.
func refusal(text, name string) error {
	code := gateway.CodeRejected
	lower := strings.ToLower(name + " " + text)
	for _, words := range []struct {
		code gateway.Code
		any  []string
	}{
		{gateway.CodeBusy, []string{"busy", "занят", "зайнят"}},
		{gateway.CodeNotRegistered, []string{"regist", "offline", "not connected", "зарегистр", "зареєстр", "не в сети", "недоступ"}},
		{gateway.CodeNotPermitted, []string{"permi", "denied", "forbidden", "not allowed", "запрещ", "заборон"}},
		{gateway.CodeBadNumber, []string{"number", "номер"}},
	} {
		for _, word := range words.any {
			if code == gateway.CodeRejected && strings.Contains(lower, word) {
				code = words.code
			}
		}
	}
	if text == "" {
		return gateway.Errorf(code, "the PBX did not take the call and does not say why")
	}
	return gateway.Errorf(code, "the PBX did not take the call: %.200s", text)
}

// HangUp ends the extension's part of a call, which Phonet does over HTTP only.
func (l *Link) HangUp(ctx context.Context, call, extension string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	l.mu.Lock()
	uuid, ok := l.book.find(call, extension)
	asked, noREST := l.asked, l.noREST
	l.mu.Unlock()
	if !ok {
		return gateway.Errorf(gateway.CodeNotFound, "extension %s has no part in such a call", extension)
	}
	if noREST != nil {
		return gateway.Errorf(gateway.CodeNotPermitted, "this PBX cannot be told to: hang up at the telephone")
	}
	err := l.rest.masked(l.rest.hangup(ctx, uuid))
	var no *statusError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoREST) && asked:
		return &gateway.Error{Code: gateway.CodeNotFound, Message: "the PBX knows no such call (any more)", Err: err}
	case errors.Is(err, errNoREST), errors.Is(err, errRefused):
		return &gateway.Error{Code: gateway.CodeNotPermitted, Message: "this PBX cannot be told to: hang up at the telephone", Err: err}
	case errors.As(err, &no):
		return &gateway.Error{Code: gateway.CodeRejected, Message: "the PBX did not end the call", Err: err}
	case ctx.Err() != nil:
		return &gateway.Error{Code: gateway.CodeTimeout, Message: "the PBX did not answer in time", Err: err}
	default:
		return &gateway.Error{Code: gateway.CodePBXOffline, Message: "the PBX does not answer over HTTP", Err: err}
	}
}

// answerTo returns the call for a fact that is the answer to a click and has been given another name, nil for any
// other. Whoever waits for it is told.
func (b *book) answerTo(f fact, now time.Time) *call {
	for _, a := range b.asked {
		caller, to := f.ext, b.rules.Dialled(f.number)
		if f.direction == gateway.Internal {
			caller, to = f.caller, f.ext
		}
		if f.direction == gateway.Inbound || f.over || f.parent != "" || caller != a.extension || !gateway.SameNumber(a.to, gateway.Number{Raw: to}) {
			continue
		}
		b.unask(a)
		if a.call == "" {
			a.seen <- f.uuid
			return nil
		}
		if b.calls[a.call] != nil || a.call == f.uuid {
			return nil
		}
		c := &call{id: a.call, heard: now}
		b.calls[c.id] = c
		return c
	}
	return nil
}

func (b *book) unask(a *asked) {
	for i, other := range b.asked {
		if other == a {
			b.asked = append(b.asked[:i:i], b.asked[i+1:]...)
			return
		}
	}
}

// forgetClicks gives up waiting for calls that did not come.
func (b *book) forgetClicks(now time.Time) {
	for _, a := range b.asked {
		if now.Sub(a.since) > askedTime {
			b.unask(a)
			return // the next with the next tick
		}
	}
}

// forgetClicks forgets the keys of clicks whose calls are over.
func (l *Link) forgetClicks(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, c := range l.clicks {
		select {
		case <-c.done:
		default:
			continue
		}
		call := l.book.calls[c.call]
		if over := call != nil && !call.endAt.IsZero(); over || call == nil && now.Sub(c.at) > clickTime {
			delete(l.clicks, key)
		}
	}
}
