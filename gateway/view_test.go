package gateway

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
)

// TestTabsGetTheLinkToARecording: as it comes, to who comes back, and to who looks at a call that goes on.
func TestTabsGetTheLinkToARecording(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Log: newMemLog(), Store: &memStore{}, Directory: directory(), Recording: func(c *Call) string {
			if name, ok := strings.CutPrefix(c.Recording, "file:/spool/"); ok {
				return "https://calls.example.com/" + c.Account + "/" + name
			}
			return ""
		}}
		b := beginConfig(t, cfg, func(*Gateway) {})
		defer b.stop()
		var got []View
		deliver := func(m Message) {
			var v View
			if err := json.Unmarshal(m.Call, &v); err != nil {
				t.Error(err)
			}
			got = append(got, v)
		}
		subscribe := func(cursor string) Hello {
			synctest.Wait()
			hello, stop, err := b.Subscribe("acme", "u1", cursor, deliver)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			return hello
		}
		first := subscribe("")
		b.emit("dial 101", "bridge 101", "recording rec=file:/spool/1.wav")
		synctest.Wait()
		again, anew := subscribe(first.Cursor), subscribe("")
		for _, m := range again.Missed {
			deliver(m)
		}
		got = append(got, anew.Calls...)
		links := 0
		for _, v := range got {
			if v.Recording == nil {
				continue
			}
			if links++; *v.Recording != "https://calls.example.com/acme/1.wav" {
				t.Errorf("%s", *v.Recording)
			}
		}
		if links != 3 {
			t.Errorf("%d of 3 have the link: %+v", links, got)
		}
		b.emit("recording rec=file:/elsewhere/1.wav", "hangup")
		synctest.Wait()
		if last := got[len(got)-1]; last.Recording != nil {
			t.Errorf("of a file that is not handed out: %s", *last.Recording)
		}
	})
}
