package gateway

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestQuestionSurvivesTheTrip(t *testing.T) {
	t.Parallel()
	want := question{kind: kindCommand, partition: -1, generation: 1 << 60, seen: 7, within: routeTime}
	got, data, err := parseQuestion(want.frame([]byte("hello")))
	if err != nil || got != want || string(data) != "hello" {
		t.Errorf("%+v, %q, %v", got, data, err)
	}
}

func FuzzRequestOfAnotherNode(f *testing.F) {
	f.Add(question{kind: kindEmit, partition: 3, generation: 9, within: time.Second}.frame(appendParcel(nil, []byte(`{"account":"acme"}`))))
	f.Add(question{kind: kindEmit, partition: -1, within: time.Second}.frame(appendParcel(nil, []byte(`{"account":"acme"}`)))) // asks nobody's owner
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	g := New(Config{Log: newMemLog(), Store: &memStore{}, Directory: directory()})
	f.Fuzz(func(t *testing.T, frame []byte) {
		g.heard(frame)
		if answer := g.answer(t.Context(), frame); len(answer) == 0 {
			t.Error("an empty answer")
		}
		q, data, err := parseQuestion(frame)
		if err != nil {
			return
		}
		if q.within < 0 || q.within > routeTime {
			t.Errorf("it may last %v", q.within)
		}
		for left := len(data); len(data) > 0; left = len(data) {
			if _, data, err = cutParcel(data); err != nil {
				return
			}
			if len(data) >= left {
				t.Fatal("there is no end of it")
			}
		}
	})
}

// stalledLog has a tail that stands still until on is closed.
type stalledLog struct {
	*memLog
	on chan struct{}
}

func (l stalledLog) Tail(ctx context.Context, after uint64, fn func(Entry) error) error {
	return l.memLog.Tail(ctx, after, func(e Entry) error {
		select {
		case <-l.on:
			return fn(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func TestFeedThatStandsStillIsNotRunAwayFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := stalledLog{newMemLog(), make(chan struct{})}
		b := begin(t, l, &memStore{})
		defer b.stop()
		b.seats[0].owner.Load().room = 20_000
		emit := func(i int) error {
			events := lineEvents(fmt.Sprintf("k%d: dial 101", i))
			events[0].Line = strings.Repeat("1", 1000)
			begun := time.Now()
			_, err := b.Emit(t.Context(), "acme", "office", events)
			if took := time.Since(begun); took > appendTimeout {
				t.Errorf("answered after %v", took)
			}
			return err
		}
		taken := 0
		for i := range 30 {
			if err := emit(i); err == nil {
				taken++
			} else if CodeOf(err) != CodeUnavailable {
				t.Fatal(err)
			}
		}
		if taken < 5 || taken > 20 {
			t.Errorf("%d of 30 were taken", taken)
		}
		close(l.on)
		synctest.Wait()
		if err := emit(100); err != nil {
			t.Error(err)
		}
	})
}

func TestCommandsOfAUserAreBounded(t *testing.T) {
	inGateway(t, func(t *testing.T, b *bundle) {
		hangUp := func(user string, i int) Reply {
			return b.do(user, Command{ID: fmt.Sprint(i), Action: "hangup", Call: "office:none"})
		}
		for i := range maxReplies {
			wantCode(t, hangUp("u1", i), CodeNotFound)
		}
		wantCode(t, hangUp("u1", maxReplies), CodeTooMany)
		wantCode(t, hangUp("u1", 0), CodeNotFound) // a repeat
		wantCode(t, hangUp("u2", 0), CodeNotFound) // another user
		time.Sleep(rememberIDs + 2*snapshotEvery*housekeeping)
		wantCode(t, hangUp("u1", maxReplies), CodeNotFound)
		if n := len(b.replies.count); n != 1 {
			t.Errorf("%d users are remembered", n)
		}
	})
}
