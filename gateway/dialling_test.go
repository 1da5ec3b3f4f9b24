package gateway

import (
	"strings"
	"testing"
)

func TestNumbersAsTheyAreDialled(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"8 (900) 555-01-11": "89005550111", "+7.900.555.01.11": "79005550111", "*98": "*98", "102": "102",
		"": "", "101&PJSIP/102": "", "9005550111,tT(x)": "", "911@trunk": "", "1\r\nAction: x": "", "call me": "", "++7": "",
		"7+900": "", strings.Repeat("1", 41): "", "‑100": "",
	} {
		got, err := DialRules{}.Dial(Number{Raw: raw})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", raw, got, err, want)
		}
	}
	if got, err := (DialRules{}).Dial(Number{E164: "+79005550111"}); got != "79005550111" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}
