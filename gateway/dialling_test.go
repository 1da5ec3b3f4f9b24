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

// In each format, the number that is dialled reaches whom it names, and nobody else.
func TestNumbersInTheirFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		format            DialFormat
		region, raw, want string
	}{
		{AsWritten, "RU", "8 (999) 111-22-33", "89991112233"},
		{AsWritten, "RU", "+49 151 12345678", "4915112345678"},
		{DigitsOnly, "RU", "8 (999) 111-22-33", "79991112233"},
		{DigitsOnly, "RU", "+49 151 12345678", "4915112345678"},
		{DigitsOnly, "RU", "101", "101"},
		{PlusE164, "RU", "8 (999) 111-22-33", "+79991112233"},
		{PlusE164, "RU", "+1 202 555 0123", "+12025550123"},
		{National, "RU", "+7 999 111-22-33", "89991112233"},
		{National, "RU", "+7 727 258 1234", "87272581234"}, // of Kazakhstan, in the same numbering
		{National, "RU", "+49 151 12345678", "8104915112345678"},
		{National, "RU", "+1 202 555 0123", "81012025550123"},
		{National, "RU", "+999 1234567", "+9991234567"}, // no country has it yet
		{National, "RU", "101", "101"},
		{National, "RU", "*98", "*98"},
		{National, "UA", "+380 67 123 45 67", "0671234567"},
		{National, "UA", "+7 999 111-22-33", "0079991112233"},
		{National, "DE", "+49 151 12345678", "015112345678"},
		{National, "DE", "+39 06 1234 5678", "00390612345678"},
		{National, "US", "+1 202 555 0123", "2025550123"},
		{National, "US", "+44 20 7946 0958", "011442079460958"}, // 442 is an area of California
		{National, "BR", "+55 11 96123-4567", "11961234567"},
		{National, "BR", "+49 151 12345678", "+4915112345678"},
		{National, "", "+49 151 12345678", "4915112345678"},
	} {
		n := ParseNumber(tt.raw, tt.region)
		got, err := DialRules{Format: tt.format, Region: tt.region}.Dial(n)
		if got != tt.want || err != nil {
			t.Errorf("%s in %q, %s: %s, %v, want %s", tt.format, tt.region, tt.raw, got, err, tt.want)
		}
		if again := ParseNumber(got, tt.region); again.E164 != n.E164 && !strings.Contains(tt.raw, "999 1234567") {
			t.Errorf("%s in %q, %s: %s is shown as %s", tt.format, tt.region, tt.raw, got, again.E164)
		}
	}
}

// What is denied is not to be had by another way of dialling it.
func TestDeniedInEveryWay(t *testing.T) {
	t.Parallel()
	r := DialRules{Prefix: "9", Deny: []string{"+7809", "112"}}
	for _, raw := range []string{
		"+78091112233", "88091112233", "8 (809) 111-22-33", "78091112233", "988091112233", "9 8 809 111-22-33", "8809111223344", "98809111223344",
		"810 7 809 111 22 33", "00 7 809 1112233", "112",
	} {
		for _, region := range []string{"RU", ""} {
			if dialled, err := r.Dial(ParseNumber(raw, region)); err == nil {
				t.Errorf("%q (%s) is dialled as %s", raw, region, dialled)
			}
		}
	}
	for raw, want := range map[string]string{
		"89991112233": "989991112233", "+8809111222333": "9+8809111222333", "101": "101", "84951234567": "984951234567",
	} {
		if got, err := r.Dial(ParseNumber(raw, "RU")); err != nil || strings.ReplaceAll(got, "+", "") != strings.ReplaceAll(want, "+", "") {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

// An extension is not a number that somebody wrote for people: no part of it may go, and nothing comes before it.
func TestExtensionIsDialledAsItIsWritten(t *testing.T) {
	t.Parallel()
	r := DialRules{Format: DigitsOnly, Prefix: "9", Deny: []string{"112", "+7809"}}
	for _, ext := range []string{"101", "10-1", "1.01", "anna", "4951234567"} {
		if got, err := r.Extension(ParseNumber(ext, "RU")); got != ext || err != nil {
			t.Errorf("%s: got %q, %v", ext, got, err)
		}
	}
	for _, ext := range []string{"112", "1-12", "8091112233"} {
		if got, err := r.Extension(ParseNumber(ext, "RU")); CodeOf(err) != CodeBadNumber {
			t.Errorf("%s is dialled as %s, %v", ext, got, err)
		}
	}
}
