package recordings

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
)

// later refuses an answer that does not tell when to come again.
func (r *rig) later(res *http.Response, says string) {
	r.Helper()
	r.refused(res, http.StatusServiceUnavailable, says)
	if after, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || after < 1 {
		r.Errorf("Retry-After: %q", res.Header.Get("Retry-After"))
	}
}

// waiting has requests of acme's wait.
func (r *rig) waiting(d time.Duration) {
	acme := r.cfg.Accounts["acme"]
	acme.Wait = d
	r.cfg.Accounts["acme"] = acme
}

// over makes a call known that ended so long ago; before: that goes on.
func (r *rig) over(ago time.Duration) *gateway.Call {
	c := r.call("file:/spool/a.wav")
	c.StartedAt, c.EndedAt = time.Now().Add(-time.Minute-ago), time.Now().Add(-ago)
	if ago < 0 {
		c.StartedAt, c.EndedAt = time.Now().Add(-time.Minute), time.Time{}
	}
	r.calls["acme/"+c.ID] = c
	return c
}

func (r *rig) path(c *gateway.Call) string { return r.Link(c)[len(publicURL):] }

func TestACallThatGoesOnHasNoRecordingYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.record(r.folder, "a.wav", tone(44))
		r.later(r.get(r.path(r.over(-1))), "the call is still going on")
		r.body(r.get(r.path(r.over(time.Second))), http.StatusOK)
	})
}

func TestARecordingIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.waiting(5 * time.Second)
		go func() {
			time.Sleep(3 * time.Second)
			r.record(r.folder, "a.wav", tone(44))
		}()
		begun := time.Now()
		r.body(r.get(r.path(r.over(time.Second))), http.StatusOK)
		if took := time.Since(begun); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestARecordingThatDoesNotComeInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.waiting(5 * time.Second)
		begun := time.Now()
		link := r.path(r.over(time.Second))
		r.later(r.get(link), "the recording is not there yet: come again")
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		r.over(comeTime)
		r.later(r.get(link), "not there yet") // a call of the same id, which began at another time, is another
		gone := r.path(r.over(comeTime))
		begun = time.Now()
		r.refused(r.get(gone), http.StatusNotFound, "the recording is gone")
		if took := time.Since(begun); took != 0 {
			t.Errorf("what is gone is waited for: %v", took)
		}
	})
}

// TestARecordingThatIsStillWritten: the PBX makes an mp3 of it, say, after the call.
func TestARecordingThatIsStillWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.record(r.folder, "a.wav", tone(44))
		link, file := r.path(r.over(time.Second)), filepath.Join(r.folder, "a.wav")
		touch := func(at time.Time) {
			if err := os.Chtimes(file, at, at); err != nil {
				t.Fatal(err)
			}
		}
		touch(time.Now())
		r.later(r.get(link), "still being written")
		r.waiting(5 * time.Second)
		begun := time.Now()
		r.body(r.get(link), http.StatusOK)
		if took := time.Since(begun); took != settleTime {
			t.Errorf("it took %v", took)
		}
		touch(time.Now().Add(time.Hour)) // the PBX's clock is ahead
		r.body(r.get(link), http.StatusOK)
		r.waiting(0)
		r.record(r.folder, "a.wav", nil)
		r.later(r.get(link), "still being written")
	})
}

func TestAFolderThatIsNotMounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.record(r.folder, "a.wav", tone(44))
	link := r.link("file:/spool/a.wav")
	away := r.folder + "-away"
	if err := os.Rename(r.folder, away); err != nil {
		t.Fatal(err)
	}
	r.later(r.get(link), "the folder of the recordings cannot be read now")
	if _, err := Folder(r.folder, time.Now).Check(t.Context()); err == nil {
		t.Error("the check finds it")
	}
	if err := os.Rename(away, r.folder); err != nil {
		t.Fatal(err)
	}
	r.body(r.get(link), http.StatusOK)
	if notes, err := Folder(r.folder, time.Now).Check(t.Context()); err != nil || notes != nil {
		t.Errorf("%q, %v", notes, err)
	}
	if notes, err := Folder(r.other, time.Now).Check(t.Context()); err != nil || len(notes) != 1 {
		t.Errorf("empty: %q, %v", notes, err)
	}
}
