package push

import (
	"context"
	"net/http"
	"testing"

	"ringcast/gateway"
)

func TestDrainSaysByeToEverybody(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var tabs []*tab
	for range 10 {
		tab, _ := r.enter(anna, "")
		tabs = append(tabs, tab)
	}
	stranger := r.dial()
	poll := make(chan pollAnswer, 1)
	subscribed := make(chan struct{}, 1)
	r.gw.onSubscribe = func(userKey) { subscribed <- struct{}{} }
	go func() { poll <- r.poll(map[string]any{"token": r.token(boris), "cursor": "e1-0"}) }()
	recv(t, subscribed)
	r.gw.publish(anna, 0)

	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { drained <- r.server.Drain(ctx) }()
	for _, tab := range tabs {
		before := tab.wantClose(closeDraining)
		if len(before) != 2 || before[0].Type != "call" || before[1].Type != "bye" || before[1].Code != "draining" || len(before[1].RetryIn) != 2 {
			t.Errorf("before the close: %+v", before)
		}
	}
	stranger.wantClose(closeDraining)
	if a := recv(t, poll); len(a.Messages) != 1 || a.Messages[0].Type != "bye" || a.Cursor != "e1-0" {
		t.Errorf("poll: %+v", a)
	}
	if err := recv(t, drained); err != nil {
		t.Errorf("drain: %v", err)
	}

	if _, resp, err := r.tryDial(); err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new socket: %v %v", resp, err)
	}
	for _, path := range []string{"/v1/poll", "/v1/actions"} {
		status, header, body := r.post(path, map[string]any{"token": r.token(anna), "id": "1", "action": "call"})
		if status != http.StatusServiceUnavailable || problemCode(t, body) != gateway.CodeDraining || header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestDrainWithoutTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.DrainRate = 1 })
	var tabs []*tab
	for i := range 15 {
		who := []userKey{anna, boris, clara}[i%3]
		tab, _ := r.enter(who, "")
		tabs = append(tabs, tab)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = r.server.Drain(ctx) // it may have been quick enough
	for _, tab := range tabs {
		tab.wantClose(closeDraining)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tab, _ := r.enter(anna, "")
	subscribed := make(chan struct{}, 1)
	r.gw.onSubscribe = func(userKey) { subscribed <- struct{}{} }
	poll := make(chan pollAnswer, 1)
	go func() { poll <- r.poll(map[string]any{"token": r.token(boris), "cursor": "e1-0"}) }()
	recv(t, subscribed)
	go r.close()
	tab.wantClose(closeDraining)
	if a := recv(t, poll); len(a.Messages) != 1 || a.Messages[0].Type != "bye" {
		t.Errorf("poll: %+v", a)
	}
	r.close() // again: no harm
}
