package asterisk

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cdr is a call detail record: a part of a call, of one channel with another, or with none.
type cdr struct {
	src, dst, name      string
	channel, dstChannel string
	app                 string
	start, answer, end  time.Time // answer: zero unless it was
	disposition         string    // ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION
	uniqueid, linkedid  string
	sequence            int
	did, recording      string // where a distribution such as FreePBX adds them
}

func (r cdr) answered() bool { return !r.answer.IsZero() && r.disposition == "ANSWERED" }

// newCDR makes a record of its fields, by the names that CDR(…) has for them, or those of the usual tables.
func newCDR(field func(name string) string, zone *time.Location) (cdr, error) {
	get := func(names ...string) string {
		for _, name := range names {
			if v := strings.TrimSpace(field(name)); v != "" {
				return v
			}
		}
		return ""
	}
	r := cdr{
		src: get("src", "cnum"), dst: get("dst"), channel: get("channel"), dstChannel: get("dstchannel"), app: get("lastapp"),
		disposition: strings.ToUpper(get("disposition")), uniqueid: get("uniqueid"), linkedid: get("linkedid"),
		did: get("did"), recording: get("recordingfile"),
	}
	name, _, _ := strings.Cut(get("clid"), "<")
	r.name = strings.Trim(strings.TrimSpace(name), `"`)
	r.sequence, _ = strconv.Atoi(get("sequence"))
	var err error
	if r.start, err = parseCDRTime(get("start", "calldate"), zone); err != nil {
		return r, fmt.Errorf("start: %w", err)
	}
	if r.channel == "" {
		return r, errors.New("it names no channel")
	}
	if r.uniqueid == "" && r.linkedid == "" {
		return r, errors.New("it has neither uniqueid nor linkedid, by which calls are known: set loguniqueid = yes in cdr.conf (a table needs the column)")
	}
	duration, err := parseSeconds(get("duration"))
	if err != nil {
		return r, fmt.Errorf("duration: %w", err)
	}
	if end := get("end"); end != "" {
		if r.end, err = parseCDRTime(end, zone); err != nil {
			return r, fmt.Errorf("end: %w", err)
		}
	}
	if r.end.Before(r.start) { // left out, or the clock was put back
		r.end = r.start.Add(duration)
	}
	talk, err := parseSeconds(get("billsec"))
	if err != nil {
		return r, fmt.Errorf("billsec: %w", err)
	}
	switch answer := get("answer"); {
	case answer != "":
		if r.answer, err = parseCDRTime(answer, zone); err != nil {
			if !strings.HasPrefix(answer, "0") { // as databases write that there was none
				return r, fmt.Errorf("answer: %w", err)
			}
			r.answer = time.Time{}
		}
	case r.disposition == "ANSWERED":
		r.answer = r.end.Add(-talk)
	}
	if !r.answer.IsZero() && (r.answer.Before(r.start) || r.answer.After(r.end)) {
		r.answer = r.end.Add(-min(talk, r.end.Sub(r.start)))
	}
	return r, nil
}

const maxCallTime = 7 * 24 * time.Hour

func parseSeconds(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s >= 0 && s <= maxCallTime.Seconds()) {
		return 0, fmt.Errorf("%.40q is no number of seconds", text)
	}
	return time.Duration(s * float64(time.Second)), nil
}

// parseCDRTime reads a time as Asterisk and databases write it, or seconds since 1970.
func parseCDRTime(text string, zone *time.Location) (time.Time, error) {
	if at, ok := epoch(text); ok {
		return at, nil
	}
	for _, layout := range [...]string{time.DateTime, "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil && at.Year() > 1970 && at.Year() < 3000 {
			return at, nil
		}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil && at.Year() > 1970 && at.Year() < 3000 {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%.40q is no time such as 2026-01-31 23:59:59", text)
}

func epoch(text string) (time.Time, bool) {
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s > 1e8 && s < 1e11) {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(s * 1e6)), true
}

// begun is when the channel of a record began, as its Uniqueid says, whatever the zone.
func (r cdr) begun() (time.Time, bool) {
	id := r.uniqueid[strings.LastIndexByte(r.uniqueid, '-')+1:] // behind the system's name
	s, count, ok := strings.Cut(id, ".")
	if !ok || len(s) != 10 || count == "" || strings.Trim(s+count, "0123456789") != "" {
		return time.Time{}, false
	}
	return epoch(s)
}

// zoneOff is how far the times of records are ahead of what their Uniqueids say, if all of them are as far: their zone is
// another one.
func zoneOff(rows []cdr) time.Duration {
	const step = 15 * time.Minute
	var off time.Duration
	for i, r := range rows {
		begun, ok := r.begun()
		if !ok {
			return 0
		}
		ahead := r.start.Sub(begun)
		is := ahead.Round(step)
		if is == 0 || i > 0 && is != off || is.Abs() > 26*time.Hour || (ahead-is).Abs() > time.Minute {
			return 0
		}
		off = is
	}
	return off
}
