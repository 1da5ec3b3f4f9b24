package gateway_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"ringcast/gateway"
	"ringcast/gateway/natslog"
)

// BenchmarkEmit measures events from Emit to a listening session, on the real log: one event a request,
// 64 requests at a time, and arrays of 50.
func BenchmarkEmit(b *testing.B) {
	for _, durability := range []natslog.Durability{natslog.Fast, natslog.Strict} {
		for _, batch := range []int{1, 50} {
			b.Run(fmt.Sprintf("%s/batch=%d", durability, batch), func(b *testing.B) { benchmarkEmit(b, durability, batch) })
		}
	}
}

func benchmarkEmit(b *testing.B, durability natslog.Durability, batch int) {
	db, err := natslog.Open(b.Context(), natslog.Config{Dir: b.TempDir(), Durability: durability})
	if err != nil {
		b.Fatal(err)
	}
	const users = 500
	account := gateway.Account{ID: "acme", Region: "RU"}
	for i := range users {
		id := fmt.Sprint(i)
		account.Users = append(account.Users, gateway.User{ID: id, Name: id, Extensions: []string{id}})
	}
	g := gateway.New(gateway.Config{Log: db.Log(), Store: db.Store(), Directory: gateway.NewAccounts(account)})
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	<-g.Ready()
	defer func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	}()

	var delivered, calls atomic.Int64
	for _, u := range account.Users {
		_, end, err := g.Subscribe(account.ID, u.ID, "", func(gateway.Message) { delivered.Add(1) })
		if err != nil {
			b.Fatal(err)
		}
		defer end()
	}
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := calls.Add(1)
			events := make([]gateway.Event, batch)
			for i := range events {
				events[i] = gateway.Event{
					Type: gateway.EventDial, Call: fmt.Sprint(n, "-", i), Direction: gateway.Inbound,
					From: gateway.Number{Raw: "+79991112233"}, Extensions: []string{fmt.Sprint((int(n) + i) % users)},
				}
			}
			if _, err := g.Emit(ctx, account.ID, "office", events); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}
