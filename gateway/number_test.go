package gateway

import (
	"strings"
	"testing"
)

// How numbers are written by people, providers and PBXs in each country, and what they are.
func TestNumbersOfTheWorld(t *testing.T) {
	t.Parallel()
	tests := []struct {
		region, e164, shown string
		raw                 []string
	}{
		{"RU", "+79991112233", "8 (999) 111-22-33", []string{
			"8 (999) 111-22-33", "8 999 111 22 33", "89991112233", "+7 999 111-22-33", "79991112233", "+7(999)1112233", "9991112233",
			"8-999-111-22-33", "sip:+79991112233@10.0.0.1;user=phone", "tel:+7-999-111-22-33",
			`"Ivan" <sip:89991112233@pbx.example:5060>`, "+7 999 111-22-33 доб. 5", "sip:%2B79991112233@pbx",
		}},
		{"RU", "+74951234567", "8 (495) 123-45-67", []string{"8 495 123-45-67", "+7 (495) 123-45-67", "(495) 123-45-67", "74951234567"}},
		{"RU", "+380671234567", "+380 67 123 4567", []string{"810380671234567", "8~10 380 67 123-45-67", "+380671234567", "380671234567"}},
		{"UA", "+380671234567", "067 123 4567", []string{
			"067 123-45-67", "0671234567", "(067) 123 45 67", "+38 (067) 123-45-67", "380671234567", "38 067 123 45 67", "+380671234567", "671234567",
		}},
		{"UA", "+380441234567", "044 123 4567", []string{"044 123-45-67", "0441234567", "+380 44 123 45 67"}},
		{"UA", "+4915112345678", "+49 1511 2345678", []string{"00 49 151 12345678", "+49 151 12345678"}},
		{"KZ", "+77011234567", "8 (701) 123 4567", []string{"8 701 123 45 67", "87011234567", "+7 701 123-45-67", "77011234567", "7011234567"}},
		{"KZ", "+77272123456", "8 (7272) 12 34 56", []string{"8 (7272) 12-34-56", "+7 7272 123456", "7272123456"}},
		{"BY", "+375291234567", "8 029 123-45-67", []string{
			"8 029 123-45-67", "80291234567", "+375 29 123-45-67", "375291234567", "(029) 123-45-67", "029 123 45 67",
		}},
		{"BY", "+375172345678", "8 017 234-56-78", []string{"8 017 234-56-78", "+375 17 234 56 78", "80172345678"}},
		{"UZ", "+998901234567", "90 123 45 67", []string{"90 123-45-67", "901234567", "+998 90 123 45 67", "998901234567"}},
		{"UZ", "+998712345678", "71 234 56 78", []string{"71 234-56-78", "+998712345678", "998712345678"}},
		{"US", "+12025550123", "(202) 555-0123", []string{
			"(202) 555-0123", "202-555-0123", "202.555.0123", "1-202-555-0123", "12025550123", "+1 202 555 0123", "2025550123",
		}},
		{"US", "+442079460018", "+44 20 7946 0018", []string{"011 44 20 7946 0018", "011442079460018", "+44 (0)20 7946 0018"}},
		{"GB", "+442079460018", "020 7946 0018", []string{
			"020 7946 0018", "02079460018", "+44 20 7946 0018", "+44 (0)20 7946 0018", "442079460018", "0044 20 7946 0018", "(020) 7946 0018",
		}},
		{"GB", "+447911123456", "07911 123456", []string{"07911 123456", "07911123456", "+447911123456", "447911123456"}},
		{"DE", "+4930123456", "030 123456", []string{"030 123456", "030/123456", "(030) 12 34 56", "+49 30 123456", "+49 (0) 30 123456", "0049 30 123456", "4930123456"}},
		{"DE", "+4915112345678", "01511 2345678", []string{"0151 12345678", "0151-12345678", "+49 151 12345678", "4915112345678"}},
		{"BR", "+5511961234567", "(11) 96123-4567", []string{
			"(11) 96123-4567", "11961234567", "011 96123-4567", "0 15 11 96123-4567", "+55 11 96123-4567", "5511961234567",
		}},
		{"BR", "+551123456789", "(11) 2345-6789", []string{"(11) 2345-6789", "1123456789", "+55 11 2345-6789", "01123456789"}},
	}
	for _, tt := range tests {
		for _, raw := range tt.raw {
			n := ParseNumber(raw, tt.region)
			if n.E164 != tt.e164 || n.Shown != tt.shown {
				t.Errorf("%s %q: %s, shown as %q; want %s, %q", tt.region, raw, n.E164, n.Shown, tt.e164, tt.shown)
			}
			if again := ParseNumber(n.Shown, tt.region); again.E164 != tt.e164 {
				t.Errorf("%s %q: read as %+v", tt.region, n.Shown, again)
			}
			if !SameNumber(n, Number{Raw: tt.e164}) || !SameNumber(Number{Raw: tt.e164}, n) {
				t.Errorf("%s %q is not the same as %s", tt.region, raw, tt.e164)
			}
		}
	}
}

func TestNumbersThatMeanNothingOutside(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "101": "101", "tel:101": "101", "*98": "*98", "**101": "**101", "112": "112", "5550100": "5550100",
		"sip:101@pbx.example": "101", `"Ivan" <101>`: "101", "Ivan <unknown>": "", "101@pbx.example": "101", "<sip:101@[::1]:5060;transport=tls>": "101",
		"anonymous": "", "Anonymous": "", "sip:anonymous@anonymous.invalid": "", "anonymous@anonymous.invalid": "",
		"Restricted": "", "unknown": "", "<unknown>": "", "+anonymous": "", "PRIVATE": "", "Unavailable": "",
	} {
		if n := ParseNumber(raw, "RU"); n != (Number{Raw: want}) {
			t.Errorf("%q: %+v, want %q", raw, n, want)
		}
	}
}

func TestSameNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"+79991112233", "89991112233", true},
		{"79991112233", "999 111-22-33", true},
		{"00998901234567", "901234567", true},
		{"9" + "89991112233", "+7 999 111 22 33", true}, // a prefix for an outside line
		{"4951234567", "+74951234567", true},
		{"sip:89991112233@pbx", "+79991112233", true},
		{"+79991112233", "+79991112234", false},
		{"101", "101", true},
		{"*21#", "#21#", false},
		{"*8", "8", false},
		{"*21*89991112233", "89991112233", false},
		{"*98", "*98", true},
		{"101", "1101", false},
		{"101", "+74951234101", false},
		{"", "", false},
		{"anonymous", "anonymous", false},
	} {
		if got := SameNumber(Number{Raw: tt.a}, Number{Raw: tt.b}); got != tt.same {
			t.Errorf("%q and %q: %v", tt.a, tt.b, got)
		}
	}
	ru, kz := ParseNumber("+79991112233", ""), ParseNumber("+19991112233", "")
	if ru.E164 == kz.E164 || SameNumber(ru, Number{E164: "+389991112233"}) {
		t.Error("numbers of two countries are the same")
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, seed := range []string{"8 (999) 111-22-33", "sip:%2B7999@x", "<<>>", "tel:;", "+", "\"a\" <sip:1@[::1]>", "\xff\xfe", "8~10 1"} {
		f.Add(seed, "RU")
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		n := ParseNumber(raw, region)
		if n.E164 != "" && (len(n.E164) > 18 || n.E164[0] != '+' || Digits(n.E164) != n.E164[1:]) {
			t.Errorf("%q is %+v", raw, n)
		}
		if len(n.Raw) > len(raw) || strings.TrimSpace(n.Raw) != n.Raw {
			t.Errorf("%q is %+v", raw, n)
		}
		if dialled, err := (DialRules{Format: National, Region: region, Prefix: "9"}).Dial(n); err == nil && strings.Trim(dialled, "0123456789*#") != "" {
			t.Errorf("%q is dialled as %q", raw, dialled)
		}
	})
}
