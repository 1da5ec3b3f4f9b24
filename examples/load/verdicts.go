package main

import (
	"fmt"
	"io"
)

// verdicts print a line for each bound: PASS, FAIL, or note for what does not count this time.
type verdicts struct {
	w  io.Writer
	ok bool // nothing has failed
}

func (v *verdicts) say(holds bool, format string, args ...any) {
	word := "PASS"
	if !holds {
		word, v.ok = "FAIL", false
	}
	fmt.Fprintf(v.w, "%s  %s\n", word, fmt.Sprintf(format, args...))
}

// sayIf says whether a bound holds if it counts, and what it would be otherwise.
func (v *verdicts) sayIf(counts, holds bool, format string, args ...any) {
	if counts {
		v.say(holds, format, args...)
		return
	}
	fmt.Fprintf(v.w, "note  %s\n", fmt.Sprintf(format, args...))
}
