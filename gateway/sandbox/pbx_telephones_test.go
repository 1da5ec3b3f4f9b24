package sandbox_test

import (
	"context"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
	"ringcast/gateway/sandbox"
)

func TestPBXTelephones(t *testing.T) {
	t.Parallel()
	p, err := sandbox.NewPBX(sandbox.PBXConfig{})
	must(t, err)
	if got, err := p.Telephone(t.Context(), "101"); gateway.CodeOf(err) != gateway.CodePBXOffline {
		t.Errorf("before there is a link: %q, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(ctx, upSink{&pbxSink{}, up}) }()
	<-up
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	gatewaytest.Telephones(t, func(*testing.T) gatewaytest.Switchboard {
		return gatewaytest.Switchboard{PBX: p, Extension: "101", Nobody: "199", Connect: func(t *testing.T, on bool) {
			t.Helper()
			must(t, p.Register("101", on))
		}}
	})
}
