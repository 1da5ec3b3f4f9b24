package asterisk

import (
	"strings"
	"unicode"

	"ringcast/gateway"
)

// publicNumber returns a caller's number, "" for one that is withheld.
func publicNumber(s string) string {
	if s = gateway.Party(s); s == "s" { // the dial plan's start
		return ""
	}
	return text(s)
}

// callerName returns the name that came with a number, "" for one that only says that there is none.
func callerName(name, number string) string {
	for strings.Contains(name, `\"`) { // as it was in the INVITE, and perhaps once more so
		name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(name)
	}
	name = text(name)
	if publicNumber(name) == "" || number != "" && strings.Contains(name, number) {
		return "" // dial plans put the number there
	}
	return name
}

// dialled returns the number that a channel's first event says was dialled.
func dialled(m message) string {
	if exten := text(gateway.Party(m.get("Exten"))); exten != "s" {
		return exten
	}
	return ""
}

// dialString returns the number in what a Dial was given: 79991112233@trunk, trunk/79991112233, trunk/sip:7999@host.
func dialString(s string) string {
	longest := ""
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("/@:;&", r) }) {
		digits := strings.TrimPrefix(part, "+")
		if strings.Trim(digits, "0123456789*#") == "" && len(part) > len(longest) {
			longest = part
		}
	}
	return longest
}

// text makes a value from outside fit to be shown: no control characters, no endless names.
func text(s string) string {
	plain := func(r rune) bool { return r >= ' ' && r < 0x7f }
	if len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		s = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return -1
		}, s)
		if runes := []rune(s); len(runes) > 128 {
			s = string(runes[:128])
		}
	}
	return strings.TrimSpace(s)
}
