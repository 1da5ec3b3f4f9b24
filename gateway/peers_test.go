package gateway_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
)

func TestPeersInMemory(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	gatewaytest.Peers(t, func(_ *testing.T, n int) []gateway.Peers {
		return gateway.NewMemNodes(fmt.Sprintf("net%d_", opened.Add(1)), n)
	})
}
