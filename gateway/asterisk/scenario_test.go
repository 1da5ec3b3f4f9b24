package asterisk

import (
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"testing"

	"ringcast/gateway/asterisk/asterisktest"
)

// telling are the scenarios that are played live each time; RINGCAST_ASTERISK=all plays every one there is.
func telling() []string {
	return []string{
		"restart-midcall", "feature-attended", "transfer-attended-sip", "park-retrieve", "in-queue-linear", "in-waiting-taken",
		"transfer-redirect-ami", "freepbx-queue", "conference-transfer", "in-queue-local", "pickup-directed", "in-two-accounts",
		"in-voicemail", "in-followme-both", "in-forward-302", "in-declined", "c2c-ami-local", "in-answered", "out-cancelled",
	}
}

// TestAsteriskScenarios plays scenarios on real Asterisks, follows them over real links, and compares with what
// the telephones noticed.
func TestAsteriskScenarios(t *testing.T) {
	t.Parallel()
	names := telling()
	if os.Getenv("RINGCAST_ASTERISK") == "all" {
		names = asterisktest.Scenarios(t)
	}
	next := make(chan string, len(names))
	for _, name := range names {
		next <- name
	}
	close(next)
	var all sync.WaitGroup
	for i := range 4 { // parallel tests are as many as there are processors, but these mostly wait
		all.Go(func() {
			t.Run("lab"+strconv.Itoa(i+1), func(t *testing.T) {
				s := newStage(t)
				for name := range next {
					t.Run(name, func(t *testing.T) { s.play(t, name) })
				}
			})
		})
	}
	all.Wait()
}

// stage is a real Asterisk and a link to it.
type stage struct {
	lab  *asterisktest.Lab
	sink *recorder
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{lab: asterisktest.Start(t), sink: newRecorder()}
	runLink(t, New(labConfig(s.lab, asterisktest.User)), s.sink)
	return s
}

func (s *stage) play(t *testing.T, name string) {
	t.Helper()
	s.sink.forget(t)
	tr := truth{slack: slackLive}
	if err := json.Unmarshal(s.lab.Play(t, name), &tr); err != nil {
		t.Fatal(err)
	}
	for i := range tr.Calls {
		tr.Calls[i].Connected = 0 // this link was there before
	}
	events := s.sink.untilOver(t, len(tr.Calls))
	checkSane(t, events)
	compareWithTruth(t, tr, events)
	if t.Failed() {
		for _, e := range brief(events) {
			t.Log(e)
		}
	}
}
