package natslog

import (
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
)

func testPeers(t *testing.T, open func(*testing.T, string) *DB) {
	gatewaytest.Peers(t, func(t *testing.T, n int) []gateway.Peers {
		db := kept(t, open) // an embedded server has one node only: the others of the test connect to it likewise
		nodes := make([]gateway.Peers, n)
		for i := range nodes {
			l, err := db.host.connect(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.close)
			nodes[i] = newPeers(l)
		}
		return nodes
	})
}
