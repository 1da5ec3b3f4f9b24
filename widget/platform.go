package widget

import (
	"fmt"
	"slices"
	"strings"
)

// Platform is the system that a widget is packed for.
type Platform string

// The platforms. They are one product under two names, with languages and reviewers of their own.
const (
	AmoCRM Platform = "amocrm"
	Kommo  Platform = "kommo"
)

// ParsePlatform returns the platform of a name, as the command line has it.
func ParsePlatform(name string) (Platform, error) {
	for _, p := range []Platform{AmoCRM, Kommo} {
		if string(p) == name {
			return p, nil
		}
	}
	return "", fmt.Errorf("platform %q: wants %s or %s", name, AmoCRM, Kommo)
}

// PlatformOf returns the platform of an account by the host name of its CRM.
func PlatformOf(domain string) Platform {
	if domain == "kommo.com" || strings.HasSuffix(domain, ".kommo.com") {
		return Kommo
	}
	return AmoCRM
}

// Locales returns the languages that Ringcast's widget speaks there, the platform's own first.
func (p Platform) Locales() []string {
	if p == Kommo {
		return []string{"en", "es", "pt"}
	}
	return []string{"ru", "en", "uk", "es", "pt"}
}

// knows tells whether a widget may be in a language. amoCRM's list is open, Kommo's is not.
func (p Platform) knows(locale string) bool {
	if p == Kommo {
		return slices.Contains([]string{"en", "es", "pt", "tr", "id"}, locale)
	}
	return localeForm.MatchString(locale)
}

// imageKinds are the formats, by file extension, that the platform takes.
func (p Platform) imageKinds() []string {
	if p == Kommo {
		return []string{".png", ".svg"}
	}
	return []string{".png", ".jpeg", ".jpg", ".gif"}
}

// other is the name that the platform's reviewers do not want to read.
func (p Platform) other() string {
	if p == Kommo {
		return "amoCRM"
	}
	return "Kommo"
}
