package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"ringcast/gateway"
)

// OpenPeers opens n nodes that can reach each other, none of which serves yet, and closes them when the test ends.
// It fails the test itself.
type OpenPeers func(t *testing.T, n int) []gateway.Peers

// Peers checks an implementation of gateway.Peers.
func Peers(t *testing.T, open OpenPeers) {
	for name, test := range map[string]func(*testing.T, *peersBench){
		"BigAndEmptyRequests":         testBigAndEmptyRequests,
		"BigTell":                     testBigTell,
		"NoPeer":                      testNoPeer,
		"NodeNames":                   testNodeNames,
		"RequestEndsWithItsContext":   testRequestEndsWithItsContext,
		"RequestIsAnswered":           testRequestIsAnswered,
		"RequestsAreAnsweredAtOnce":   testRequestsAreAnsweredAtOnce,
		"ServeEndsAfterItsCalls":      testServeEndsAfterItsCalls,
		"ServeEndsWithItsContext":     testServeEndsWithItsContext,
		"TellDoesNotWait":             testTellDoesNotWait,
		"TellKeepsTheOrder":           testTellKeepsTheOrder,
		"TellReachesAllOthers":        testTellReachesAllOthers,
		"TellWhileRequestIsUnderWay":  testTellWhileRequestIsUnderWay,
		"ThousandsOfRequests":         testThousandsOfRequests,
		"WhatAnswerGetsIsItsOwnNodes": testEachNodeAnswersForItself,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, &peersBench{t: t, open: open})
		})
	}
}

type peersBench struct {
	t    *testing.T
	open OpenPeers
}

func (b *peersBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

// serve has a node serve until the returned function is called, which fails the test unless Serve returns nil.
func (b *peersBench) serve(p gateway.Peers, answer func(context.Context, []byte) []byte, heard func([]byte)) (stop func()) {
	if answer == nil {
		answer = func(context.Context, []byte) []byte { return nil }
	}
	if heard == nil {
		heard = func([]byte) {}
	}
	ctx, cancel := context.WithCancel(b.ctx())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, answer, heard) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				b.t.Errorf("Serve = %v, want nil when its context ended", err)
			}
		case <-time.After(patience):
			b.t.Error("Serve did not return when its context ended")
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// request asks until the node is there.
func (b *peersBench) request(from, to gateway.Peers, data []byte) []byte {
	b.t.Helper()
	ctx := b.ctx()
	for {
		answer, err := from.Request(ctx, to.Node(), data)
		if err == nil {
			return answer
		}
		if !errors.Is(err, gateway.ErrNoPeer) {
			b.t.Fatalf("Request: %v", err)
		}
		b.rest(ctx)
	}
}

// rest waits a little between two tries.
func (b *peersBench) rest(ctx context.Context) {
	b.t.Helper()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		b.t.Fatal("the node was never there")
	}
}

// told tells until the node says that it has heard.
func (b *peersBench) told(from gateway.Peers, heard <-chan string, hello string) {
	b.t.Helper()
	ctx := b.ctx()
	for {
		if err := from.Tell([]byte(hello)); err != nil {
			b.t.Fatalf("Tell: %v", err)
		}
		select {
		case <-heard:
			return
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			b.t.Fatal("what was told was never heard")
		}
	}
}

func echo(_ context.Context, data []byte) []byte { return append([]byte("echo "), data...) }

func testNodeNames(t *testing.T, b *peersBench) {
	form := regexp.MustCompile(`^[-_a-zA-Z0-9]{1,64}$`)
	names := map[string]bool{}
	for range 2 { // the same nodes, started again
		for _, p := range b.open(t, 3) {
			name := p.Node()
			if !form.MatchString(name) || names[name] {
				t.Errorf("a node is called %q, others %v", name, names)
			}
			if again := p.Node(); again != name {
				t.Errorf("a node is called %q, and then %q", name, again)
			}
			names[name] = true
		}
	}
}

func testRequestIsAnswered(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	b.serve(nodes[0], echo, nil)
	b.serve(nodes[1], echo, nil)
	for i, p := range nodes {
		if got := b.request(p, nodes[1-i], []byte("hello")); string(got) != "echo hello" {
			t.Errorf("answer %q", got)
		}
	}
}

func testEachNodeAnswersForItself(t *testing.T, b *peersBench) {
	nodes := b.open(t, 3)
	for i, p := range nodes {
		b.serve(p, func(context.Context, []byte) []byte { return []byte(fmt.Sprint(i)) }, nil)
	}
	for i, to := range nodes {
		for j, from := range nodes {
			if i == j {
				continue
			}
			if got := b.request(from, to, nil); string(got) != fmt.Sprint(i) {
				t.Errorf("node %d was asked, and %s answered", i, got)
			}
		}
	}
}

func testNoPeer(t *testing.T, b *peersBench) {
	nodes := b.open(t, 3)
	never, gone := nodes[1], nodes[2]
	stop := b.serve(gone, echo, nil)
	b.request(nodes[0], gone, nil)
	stop()
	for who, name := range map[string]string{"nobody": "nobody", "who does not serve": never.Node(), "who is gone": gone.Node()} {
		begun := time.Now()
		_, err := nodes[0].Request(b.ctx(), name, []byte("hello"))
		if !errors.Is(err, gateway.ErrNoPeer) || time.Since(begun) > patience/3 {
			t.Errorf("a request to %s: %v after %v, want ErrNoPeer at once", who, err, time.Since(begun))
		}
	}
}

func testBigAndEmptyRequests(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	b.serve(nodes[1], func(_ context.Context, data []byte) []byte { return append([]byte(nil), data...) }, nil)
	for _, size := range []int{0, 1, 1 << 16, 1 << 20, 3 << 20} {
		data := bytes.Repeat([]byte{0, '\r', '\n', 0xff}, size/4+1)[:size]
		if got := b.request(nodes[0], nodes[1], data); !bytes.Equal(got, data) {
			t.Errorf("%d bytes were asked, %d answered", size, len(got))
		}
	}
}

func testBigTell(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	heard := make(chan string, 1000)
	b.serve(nodes[1], nil, func(data []byte) { heard <- string(data) })
	b.told(nodes[0], heard, "hello")
	data := bytes.Repeat([]byte("big "), 1<<18)
	if err := nodes[0].Tell(data); err != nil {
		t.Fatal(err)
	}
	for ctx := b.ctx(); ; {
		select {
		case got := <-heard:
			if got == "hello" {
				continue
			}
			if got != string(data) {
				t.Errorf("%d bytes were told, %d heard", len(data), len(got))
			}
			return
		case <-ctx.Done():
			t.Fatal("it was never heard")
		}
	}
}

func testRequestEndsWithItsContext(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	asked, release := make(chan struct{}, 1), make(chan struct{})
	defer close(release)
	b.serve(nodes[1], func(_ context.Context, data []byte) []byte {
		if string(data) == "wait" {
			asked <- struct{}{}
			<-release
		}
		return nil
	}, nil)
	b.request(nodes[0], nodes[1], nil)
	ctx, cancel := context.WithCancel(b.ctx())
	done := make(chan error, 1)
	go func() {
		_, err := nodes[0].Request(ctx, nodes[1].Node(), []byte("wait"))
		done <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		if err == nil || errors.Is(err, gateway.ErrNoPeer) {
			t.Errorf("a request that was given up: %v, and it had reached the node", err)
		}
	case <-time.After(patience):
		t.Fatal("the request did not end with its context")
	}
	if _, err := nodes[0].Request(ctx, nodes[1].Node(), nil); err == nil {
		t.Error("a request whose context had ended was answered")
	}
}

func testRequestsAreAnsweredAtOnce(t *testing.T, b *peersBench) {
	const parallel = 32
	nodes := b.open(t, 2)
	var all sync.WaitGroup
	all.Add(parallel)
	b.serve(nodes[1], func(_ context.Context, data []byte) []byte {
		if len(data) > 0 {
			all.Done()
			all.Wait() // each waits for all the others
		}
		return append([]byte(nil), data...)
	}, nil)
	b.request(nodes[0], nodes[1], nil)
	var asking sync.WaitGroup
	for i := range parallel {
		asking.Go(func() {
			want := fmt.Sprint("no ", i)
			if got, err := nodes[0].Request(b.ctx(), nodes[1].Node(), []byte(want)); err != nil || string(got) != want {
				t.Errorf("answer %q, %v; want %q", got, err, want)
			}
		})
	}
	asking.Wait()
}

func testThousandsOfRequests(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	b.serve(nodes[1], echo, nil)
	b.request(nodes[0], nodes[1], nil)
	var asking sync.WaitGroup
	for i := range 20 {
		asking.Go(func() {
			for j := range 100 {
				want := fmt.Sprintf("%d-%d", i, j)
				if got, err := nodes[0].Request(b.ctx(), nodes[1].Node(), []byte(want)); err != nil || string(got) != "echo "+want {
					t.Errorf("answer %q, %v; want %q", got, err, "echo "+want)
					return
				}
			}
		})
	}
	asking.Wait()
}

func testServeEndsWithItsContext(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	stop := b.serve(nodes[1], echo, nil)
	b.request(nodes[0], nodes[1], nil)
	stop()
	if _, err := nodes[0].Request(b.ctx(), nodes[1].Node(), nil); !errors.Is(err, gateway.ErrNoPeer) {
		t.Errorf("a node that has ended: %v", err)
	}
}

func testServeEndsAfterItsCalls(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	asked, release := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	returned := false
	ctx, cancel := context.WithCancel(b.ctx())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- nodes[1].Serve(ctx, func(_ context.Context, data []byte) []byte {
			if len(data) == 0 {
				return nil
			}
			close(asked)
			<-release
			mu.Lock()
			defer mu.Unlock()
			returned = true
			return []byte("late")
		}, func([]byte) {})
	}()
	b.request(nodes[0], nodes[1], nil)
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		_, _ = nodes[0].Request(b.ctx(), nodes[1].Node(), []byte("wait")) // its answer may be lost or not
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		t.Fatalf("Serve = %v, while a call was running", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !returned {
		t.Error("Serve returned before its call did")
	}
	<-asking
}

func testTellReachesAllOthers(t *testing.T, b *peersBench) {
	nodes := b.open(t, 3)
	heard := make([]chan string, len(nodes))
	for i, p := range nodes {
		heard[i] = make(chan string, 1000)
		b.serve(p, nil, func(data []byte) { heard[i] <- string(data) })
	}
	// Who tells hears nothing of it: when the other two have heard the last word, the teller would have.
	b.told(nodes[1], heard[0], "from 1")
	for _, to := range []int{1, 2} {
		b.told(nodes[0], heard[to], "from 0")
	}
	for len(heard[0]) > 0 {
		if got := <-heard[0]; got != "from 1" {
			t.Errorf("a node heard %q, which it told", got)
		}
	}
}

func testTellKeepsTheOrder(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	const count = 500
	heard, greeted := make(chan string, 2*count), make(chan string, 1000)
	b.serve(nodes[1], nil, func(data []byte) {
		if string(data) == "hello" {
			greeted <- "hello"
			return
		}
		heard <- string(data)
	})
	b.told(nodes[0], greeted, "hello")
	var want, got []string
	for i := range count {
		want = append(want, fmt.Sprint(i))
		if err := nodes[0].Tell([]byte(want[i])); err != nil {
			t.Fatal(err)
		}
	}
	for ctx := b.ctx(); len(got) < count; {
		select {
		case s := <-heard:
			got = append(got, s)
		case <-ctx.Done():
			t.Fatalf("%d of %d heard", len(got), count)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("heard %v", got)
	}
}

func testTellDoesNotWait(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	greeted, release := make(chan string, 1000), make(chan struct{})
	defer close(release)
	b.serve(nodes[1], nil, func(data []byte) {
		if string(data) == "hello" {
			greeted <- ""
			return
		}
		<-release
	})
	b.told(nodes[0], greeted, "hello")
	done := make(chan error, 1)
	go func() {
		for range 100 {
			if err := nodes[0].Tell([]byte("stop")); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Tell: %v", err)
		}
	case <-time.After(patience):
		t.Error("Tell waits for who hears")
	}
}

func testTellWhileRequestIsUnderWay(t *testing.T, b *peersBench) {
	nodes := b.open(t, 2)
	heard := make(chan string, 1000)
	asked, release := make(chan struct{}), make(chan struct{})
	b.serve(nodes[1], func(_ context.Context, data []byte) []byte {
		if len(data) > 0 {
			close(asked)
			<-release
		}
		return nil
	}, func(data []byte) { heard <- string(data) })
	b.request(nodes[0], nodes[1], nil)
	done := make(chan error, 1)
	go func() {
		_, err := nodes[0].Request(b.ctx(), nodes[1].Node(), []byte("wait"))
		done <- err
	}()
	<-asked
	b.told(nodes[0], heard, "hello")
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
