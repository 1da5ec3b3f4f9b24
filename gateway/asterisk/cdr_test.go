package asterisk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// pastRecorder is a sink that takes past calls.
type pastRecorder struct {
	*recorder
	mu     sync.Mutex
	since  time.Time
	calls  []gateway.PastCall
	passes int
	fails  int // so many times
	heard  []time.Time
}

func (r *pastRecorder) Unheard(context.Context) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since, nil
}

func (r *pastRecorder) Heard(_ context.Context, upTo time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heard = append(r.heard, upTo)
	return nil
}

func (r *pastRecorder) Backfill(_ context.Context, calls []gateway.PastCall, _ time.Time) (gateway.Backfilled, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passes++
	if r.fails > 0 {
		r.fails--
		return gateway.Backfilled{}, errors.New("the log is away")
	}
	r.calls = append(r.calls, calls...)
	return gateway.Backfilled{Added: len(calls)}, nil
}

// list returns which calls were given, by their beginning after a time, and forgets them.
func (r *pastRecorder) list(from time.Time) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, c := range r.calls {
		got = append(got, fmt.Sprint(c.Events[0].At.Sub(from).Round(time.Second)))
	}
	r.calls = nil
	return strings.Join(got, " ")
}

// noted returns how often it was given calls, and told that all is there.
func (r *pastRecorder) noted() (passes, heard int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passes, len(r.heard)
}

// lastHeard returns up to when all calls were noted to be in the log.
func (r *pastRecorder) lastHeard() time.Time {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard) == 0 {
		return time.Time{}
	}
	return r.heard[len(r.heard)-1]
}

// memRecords are records of calls of a minute.
type memRecords struct {
	mu     sync.Mutex
	starts []time.Time
	fails  int
}

func (m *memRecords) add(starts ...time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts = append(m.starts, starts...)
}

func (m *memRecords) read(_ context.Context, _ time.Time, fn func(cdr), bad func(error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails > 0 {
		m.fails--
		return errors.New("the disk is away")
	}
	bad(errors.New("one that is none"))
	for i, s := range m.starts {
		fn(cdr{
			src: "79005550111", dst: "101", channel: fmt.Sprintf("PJSIP/trunk-%08x", 2*i), dstChannel: fmt.Sprintf("PJSIP/101-%08x", 2*i+1), app: "Dial",
			start: s, end: s.Add(time.Minute), disposition: "NO ANSWER", uniqueid: fmt.Sprintf("u.%d", i), linkedid: fmt.Sprintf("u.%d", i),
		})
	}
	return nil
}

func (m *memRecords) last(context.Context) (cdr, error) { return cdr{}, errNoRecords }

// pass lets time go by, in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// inOutage runs a test in which nobody listened since a time, for an hour.
func inOutage(t *testing.T, test func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, since time.Time)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink, list, since := &pastRecorder{recorder: newRecorder(), since: time.Now()}, &memRecords{}, time.Now()
		pass(time.Hour)
		link := New(Config{CDR: &CDR{File: "none"}, IsExtension: isUser, Logger: slog.New(slog.DiscardHandler)})
		u, err := link.unheard(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		u.records = list
		test(t, u, sink, list, since)
	})
}

// fetching runs fetch until the test ends.
func (u *unheard) fetching(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	again := time.Now()
	done.Go(func() { u.fetch(ctx, again) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	synctest.Wait()
}

func TestCallsOfAnOutageAreFetchedAlsoThoseThatComeLate(t *testing.T) {
	inOutage(t, func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, since time.Time) {
		at := since.Add
		list.add(at(-time.Hour), at(-30*time.Second), at(10*time.Minute), at(58*time.Minute), at(time.Hour+time.Second))
		u.fetching(t)
		if got := sink.list(since); got != "-30s 10m0s 58m0s" {
			t.Error(got)
		}
		pass(time.Minute) // there was another pass, and will be one
		list.add(at(20 * time.Minute))
		sink.list(since)
		pass(2 * time.Minute)
		if got := sink.list(since); got != "-30s 10m0s 20m0s 58m0s" {
			t.Error(got)
		}
		if _, heard := sink.noted(); heard > 0 {
			t.Error("it was noted that all is there while records may come")
		}
		pass(10 * time.Minute)
		if passes, heard := sink.noted(); passes != len(cdrPasses) || heard < 5 {
			t.Errorf("%d passes, heard %d times", passes, heard)
		}
	})
}

func TestFetchingIsTriedUntilItSucceeds(t *testing.T) {
	inOutage(t, func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, since time.Time) {
		list.add(since.Add(time.Minute))
		list.fails, sink.fails = 5, 2
		u.fetching(t)
		pass(30 * time.Minute)
		_, heard := sink.noted()
		if got := sink.list(since); got != "1m0s" || heard == 0 {
			t.Errorf("%q, heard %d times", got, heard)
		}
	})
}

func TestCallThatLivesIsNotFetched(t *testing.T) {
	inOutage(t, func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, since time.Time) {
		list.add(since, since.Add(time.Minute)) // a telephone has left the first, and the others talk
		u.correlator.take(message{{"Event", "Newchannel"}, {"Channel", "PJSIP/trunk-1"}, {"Uniqueid", "u.0"}, {"Linkedid", "u.0"}, {"ChannelState", "4"}}, time.Now())
		u.fetching(t)
		if got := sink.list(since); got != "1m0s" {
			t.Error(got)
		}
	})
}

// TestNothingIsFetchedAtFirst holds that who begins to use Ringcast does not get all calls of the days before.
func TestNothingIsFetchedAtFirst(t *testing.T) {
	inOutage(t, func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, since time.Time) {
		list.add(since)
		u.since = time.Time{}
		u.fetching(t)
		if passes, heard := sink.noted(); passes > 0 || heard != 1 {
			t.Errorf("%d passes, heard %d times", passes, heard)
		}
	})
}

// TestOutageLongerThanTheConfigAllows: what is too old is named in the log, and for a day it can be had by allowing more.
func TestOutageLongerThanTheConfigAllows(t *testing.T) {
	inOutage(t, func(t *testing.T, u *unheard, sink *pastRecorder, list *memRecords, _ time.Time) {
		var text strings.Builder
		u.cfg.Logger = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelError}))
		sink.since = time.Now().AddDate(0, 0, -9)
		since, oldest := sink.since, time.Now().AddDate(0, 0, -cdrDays)
		list.add(since.Add(time.Hour), oldest.Add(time.Hour))
		late, err := u.unheard(t.Context(), sink)
		if err != nil || !late.since.Equal(oldest) || text.Len() > 0 {
			t.Fatalf("since %v, %v, said before there is a connection: %s", late.since, err, &text)
		}
		late.records = list
		late.fetching(t)
		if got := sink.list(oldest); got != "1h0m0s" {
			t.Errorf("fetched %q", got)
		}
		logged := "from=" + since.Format(time.RFC3339) + " to=" + oldest.Format(time.RFC3339) + " days=3"
		if got := strings.ReplaceAll(text.String(), ".000Z", "Z"); !strings.Contains(got, logged) || strings.Count(got, "\n") != 1 {
			t.Errorf("in the log is\n%swant %q", got, logged)
		}

		pass(cdrRegret - time.Hour)
		sink.since = sink.lastHeard()
		again, err := u.unheard(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		again.records = list
		again.fetching(t) // the link was cut for a moment
		if n := strings.Count(text.String(), "\n"); n != 1 {
			t.Errorf("it was said %d times:\n%s", n, &text)
		}
		u.cfg.CDR.Days = 10
		if again, err := u.unheard(t.Context(), sink); err != nil || !again.since.Equal(since) || !again.gap.IsZero() {
			t.Errorf("with more days since %v, %v", again.since, err)
		}
		pass(2 * time.Hour)
		if got := sink.lastHeard(); time.Since(got) > cdrMark {
			t.Errorf("after a day it is noted that all is in the log up to %v", got)
		}
	})
}

// TestRecordsOfAnotherZoneAreNotFetched: behind, the calls of an outage would be of before it and lost, ahead, those of
// before it would come a second time.
func TestRecordsOfAnotherZoneAreNotFetched(t *testing.T) {
	t.Parallel()
	since := cdrDay.Add(10 * time.Hour)
	fetch := func(rows string, zone *time.Location) (string, error) {
		_, path := csvIn(t, rows)
		link := New(Config{CDR: &CDR{File: path, Zone: zone}, IsExtension: isUser, Logger: slog.New(slog.DiscardHandler)})
		sink := &pastRecorder{recorder: newRecorder()}
		u := &unheard{Link: link, sink: sink, records: link.cfg.CDR.records(), since: since}
		err := u.pass(t.Context(), since.Add(time.Hour))
		return sink.list(since), err
	}
	rows := csvRows(0, 11*3600, 1800)
	if got, err := fetch(rows, time.UTC); err != nil || got != "0s 30m0s" {
		t.Errorf("%q, %v", got, err)
	}
	for hours, want := range map[int]string{3: "times are -3 hours from", 14: "times are -14 hours from", -3: "times are +3 hours from"} {
		got, err := fetch(rows, time.FixedZone("elsewhere", hours*3600))
		if got != "" || err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "in the zone elsewhere: set zone") {
			t.Errorf("%d: %q, %v", hours, got, err)
		}
	}
	if _, err := fetch(csvRows(0, 3600, 1800), time.FixedZone("elsewhere", 3*3600)); err != nil {
		t.Errorf("two records are no proof, and yet: %v", err)
	}
}

// TestLinkFetchesWhatItMissed is of a link as it runs.
func TestLinkFetchesWhatItMissed(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	sink := &pastRecorder{recorder: newRecorder(), since: time.Now().Add(-time.Hour)}
	second := int(time.Now().Add(-10 * time.Minute).Sub(cdrDay).Seconds())
	_, path := csvIn(t, csvRow(second))
	link := New(Config{
		Address: f.addr, Username: "gateway", Secret: "s3cret", IsExtension: isUser, Logger: slog.New(slog.DiscardHandler),
		CDR: &CDR{File: path, Zone: time.UTC},
	})
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- link.Run(ctx, givenSink{sink, given}) }()
	select {
	case <-given:
	case <-time.After(20 * time.Second):
		t.Error("nothing was fetched")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(sink.calls) != 1 || sink.calls[0].ID != fmt.Sprintf("%d.%d", cdrDay.Unix()+int64(second), second) {
		t.Errorf("%+v", sink.calls)
	}
}

// givenSink says when it was given calls.
type givenSink struct {
	*pastRecorder
	given chan struct{}
}

func (s givenSink) Backfill(ctx context.Context, calls []gateway.PastCall, again time.Time) (gateway.Backfilled, error) {
	defer close(s.given)
	return s.pastRecorder.Backfill(ctx, calls, again)
}
