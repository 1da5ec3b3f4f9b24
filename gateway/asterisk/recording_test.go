package asterisk

import (
	"bytes"
	"context"
	"io"
	"maps"
	"sync"
	"testing"
	"time"
)

func TestWhereARecordingCanBeHad(t *testing.T) {
	t.Parallel()
	const file = "/var/spool/asterisk/monitor/2026/11/21/in-101-7 900&x.wav"
	for _, c := range []struct{ url, dir, file, want string }{
		{"", "", file, "file:" + file},
		{"", "", "in.wav", "file:/var/spool/asterisk/monitor/in.wav"},
		{"https://pbx/rec/{path}", "", file, "https://pbx/rec/2026/11/21/in-101-7%20900%26x.wav"},
		{"https://pbx/rec/{file}", "", file, "https://pbx/rec/in-101-7%20900%26x.wav"},
		{"https://pbx/get?f={path}&x=1", "", "/var/spool/asterisk/monitor/a=b+c.wav", "https://pbx/get?f=a%3Db%2Bc.wav&x=1"},
		{"https://pbx/rec/{path}", "/srv/rec/", "/srv/rec/in.wav", "https://pbx/rec/in.wav"},
		{"https://pbx/rec/{path}", "/", "/srv/in.wav", "https://pbx/rec/srv/in.wav"},
		{"https://pbx/rec/{path}", "", "in.wav", "https://pbx/rec/in.wav"},
		// What is elsewhere cannot be had by its path.
		{"https://pbx/rec/{path}", "", "/var/spool/asterisk/monitor/../../x.wav", "file:/var/spool/x.wav"},
		{"https://pbx/rec/{path}", "", "/var/spool/asterisk/monitors/x.wav", "file:/var/spool/asterisk/monitors/x.wav"},
		{"https://pbx/rec/{file}", "", "/tmp/x.wav", "https://pbx/rec/x.wav"},
	} {
		cfg := Config{Recordings: c.url, RecordingsDir: c.dir}.withDefaults()
		if got := cfg.recordingAt(c.file); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.url, c.file, got, c.want)
		}
	}
}

// TestRecordingThatBegins: Asterisk says that it records, and where when it is asked. A recording that began before
// the link came is found, too.
func TestRecordingThatBegins(t *testing.T) {
	t.Parallel()
	f, r := newFake(t), newRecorder()
	f.files = map[string]string{
		"PJSIP/trunk-1": "/var/spool/asterisk/monitor/a.wav", "PJSIP/trunk-3": "/var/spool/asterisk/monitor/b.wav",
	}
	x := exchange{map[string]message{}}
	x.take(newchannel("PJSIP/trunk-3", "3", "3", "6", "7902", "5550101"))
	f.setList(x.list)
	cfg := f.config()
	cfg.Recordings = "https://pbx/{file}"
	var mu sync.Mutex
	var tapped []Recorded
	cfg.Tap = func(at time.Time, raw []byte) {
		mu.Lock()
		defer mu.Unlock()
		tapped = append(tapped, Recorded{at, bytes.Clone(raw)})
	}
	_, s := f.run(cfg, r)
	f.setList(nil)
	s.sendMessage(newchannel("PJSIP/trunk-1", "1", "1", "4", "7901", "5550101"))
	s.sendMessage(newchannel("PJSIP/101-2", "2", "1", "0", "", "s"))
	s.sendMessage(newstate("2", "5"))
	s.sendMessage(event("MixMonitorStart", "Channel", "PJSIP/trunk-1", "Uniqueid", "1"))
	s.sendMessage(event("MixMonitorStart", "Channel", "PJSIP/gone-9", "Uniqueid", "9"))
	s.sendMessage(newchannel("PJSIP/101-4", "4", "3", "0", "", "s"))
	s.sendMessage(newstate("4", "5"))
	both := func(r *recorder) bool {
		found := map[string]string{}
		for _, e := range r.events {
			if e.Recording != "" {
				found[e.Call] = e.Recording
			}
		}
		return maps.Equal(found, map[string]string{"1": "https://pbx/a.wav", "3": "https://pbx/b.wav"})
	}
	r.until(t, "both recordings", both)

	// Played again, each recording is of the call that it was of: one of the answers was none.
	mu.Lock()
	defer mu.Unlock()
	again := newRecorder()
	player := NewPlayer(cfg, func(context.Context) (r Recorded, err error) {
		if len(tapped) == 0 {
			return r, io.EOF
		}
		r, tapped = tapped[0], tapped[1:]
		return r, nil
	})
	if err := player.Run(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if !both(again) {
		t.Errorf("played: %v", brief(again.told()))
	}
}
