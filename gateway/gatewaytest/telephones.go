package gatewaytest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// Switchboard is a telephone system with its link up, for Telephones.
type Switchboard struct {
	PBX gateway.PBX // also a Telephones

	Extension string // whose telephone is connected
	Nobody    string // which the PBX has not

	// Connect takes the extension's telephone off the PBX, or (on true) brings it back. The PBX knows it a moment later.
	Connect func(t *testing.T, on bool)
}

// Telephones checks what a PBX says of its extensions. The function opens a switchboard, and closes it with the test.
func Telephones(t *testing.T, open func(t *testing.T) Switchboard) {
	b := open(t)
	pbx, ok := b.PBX.(gateway.Telephones)
	if !ok {
		t.Fatal("the PBX cannot say which extensions it has")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	want := func(t *testing.T, extension string, state gateway.TelephoneState) {
		t.Helper()
		if got, err := pbx.Telephone(ctx, extension); got != state || err != nil {
			t.Errorf("%s: got %q, %v, want %q", extension, got, err, state)
		}
	}
	becomes := func(t *testing.T, state gateway.TelephoneState) {
		t.Helper()
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for {
			got, err := pbx.Telephone(ctx, b.Extension)
			if got == state && err == nil {
				return
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				t.Fatalf("%s: still %q, %v, want %q", b.Extension, got, err, state)
			}
		}
	}
	t.Run("ConnectedAndNot", func(t *testing.T) {
		want(t, b.Extension, gateway.TelephoneOK)
		b.Connect(t, false)
		becomes(t, gateway.TelephoneUnregistered)
		b.Connect(t, true)
		becomes(t, gateway.TelephoneOK)
		want(t, b.Nobody, gateway.TelephoneUnknown)
	})
	t.Run("ManyAtOnce", func(t *testing.T) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				want(t, b.Extension, gateway.TelephoneOK)
				want(t, b.Nobody, gateway.TelephoneUnknown)
			})
		}
		all.Wait()
	})
	t.Run("WhatIsNoExtensionIsNotThere", func(t *testing.T) {
		for _, odd := range []string{"", " ", "1,2", b.Extension + ")", "a\r\nAction: Logoff", "\x00", strings.Repeat("1", 10_000)} {
			if got, err := pbx.Telephone(ctx, odd); err == nil && got != gateway.TelephoneUnknown || err != nil && gateway.CodeOf(err) != gateway.CodeBadNumber {
				t.Errorf("%.40q: got %q, %v", odd, got, err)
			}
		}
		want(t, b.Extension, gateway.TelephoneOK)
	})
	t.Run("EndedContext", func(t *testing.T) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if got, err := pbx.Telephone(ended, b.Extension); gateway.CodeOf(err) != gateway.CodeTimeout {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
