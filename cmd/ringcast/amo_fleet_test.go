package main

import (
	"context"
	"fmt"
	"sync"
	"testing"

	nats "github.com/nats-io/nats-server/v2/server"
)

// natsServer is a NATS server with nothing else than a fleet of gateways needs, in this process.
func natsServer(t *testing.T) (url string) {
	t.Helper()
	srv, err := nats.NewServer(&nats.Options{
		ServerName: "alone", Host: "127.0.0.1", Port: nats.RANDOM_PORT, MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 64 << 30,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	return "nats://" + srv.Addr().String()
}

// TestCRMOutageOfAFleet kills one of two gateways, and then the other, in the midst of what waits for the CRMs.
func TestCRMOutageOfAFleet(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), outageTime())
	defer cancel()
	o := newCRMOutage(ctx, t, fmt.Sprintf("nats: {url: %q}\n", natsServer(t)), 2)
	n := *crmCalls / 2

	lift := o.fail(away)
	o.calls(n / 2)
	lift()
	lift = o.fail(moody)
	var posting sync.WaitGroup
	posting.Go(func() { o.calls(n / 2) })
	for _, s := range o.gateways {
		o.untilDone(o.some(n))
		s.kill()
		o.untilDone(n / 10) // by the other
		s.start()
	}
	posting.Wait()
	lift()
	o.untilAllDone()
	for _, s := range o.gateways {
		s.terminate()
	}
	o.compare()
	o.checkLogs()
}
