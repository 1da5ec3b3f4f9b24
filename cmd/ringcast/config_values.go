package main

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// What names look like. They stand in URLs, in keys of the store and in lines of AMI, so they are narrow.
var (
	nameForm      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	userForm      = regexp.MustCompile(`^[0-9A-Za-z._@+-]{1,64}$`)
	extensionForm = regexp.MustCompile(`^[0-9A-Za-z*#+._-]{1,32}$`)
	amoUserForm   = regexp.MustCompile(`^[1-9][0-9]*$`)
	phoneForm     = regexp.MustCompile(`^\+?[0-9(][0-9() .-]{2,30}$`)
	envForm       = regexp.MustCompile(`^[A-Za-z_][0-9A-Za-z_]*$`)
	techForm      = regexp.MustCompile(`^[0-9A-Za-z_]{1,32}$`)
	variableForm  = regexp.MustCompile(`^_{0,2}[A-Za-z][0-9A-Za-z_]*(\([^()\r\n]*\))?=[^\r\n\x00]*$`)
	labelForm     = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?$`)
)

func parseName(text string) (string, error) {
	if !nameForm.MatchString(text) {
		return "", fmt.Errorf("%q: an id has 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit", text)
	}
	return text, nil
}

func parseAccountID(text string) (string, error) {
	if text == "ringcast" {
		return "", errors.New(`"ringcast" is the issuer of session tokens, so no account can be called that`)
	}
	return parseName(text)
}

func parseUserID(text string) (string, error) {
	if !userForm.MatchString(text) {
		return "", fmt.Errorf("%.80q: a user id has 1 to 64 of letters, digits and . _ @ + -", text)
	}
	return text, nil
}

// parseAmoUser takes a user's id in amoCRM or Kommo.
func parseAmoUser(text string) (string, error) {
	if !amoUserForm.MatchString(text) {
		return "", fmt.Errorf("%q: wants a user's id in the CRM, a number such as \"88888\"", text)
	}
	return text, nil
}

// parseSupportPhone takes a number as people write it.
func parseSupportPhone(text string) (string, error) {
	if !phoneForm.MatchString(text) {
		return "", fmt.Errorf("%q: wants a telephone number, such as \"+7 495 123-45-67\"", text)
	}
	return text, nil
}

func parseExtension(text string) (string, error) {
	if !extensionForm.MatchString(text) {
		return "", fmt.Errorf("%.64q: an extension has 1 to 32 of letters, digits and * # + . _ -", text)
	}
	return text, nil
}

// parseEmail takes an address of a user, alone.
func parseEmail(text string) (string, error) {
	if a, err := mail.ParseAddress(text); err != nil || a.Address != text || len(text) > 254 { // as SMTP has it
		return "", fmt.Errorf("%.64q: wants an e-mail address, such as anna@example.com", text)
	}
	return text, nil
}

// parseCallerID takes a number of the company that calls go out with.
func parseCallerID(text string) (string, error) {
	if digits := strings.TrimPrefix(text, "+"); digits == "" || len(digits) > 15 || strings.Trim(digits, "0123456789") != "" {
		return "", fmt.Errorf("%q: wants a number of the company as the PBX writes it, such as \"+74951234567\", in quotes", text)
	}
	return text, nil
}

// parseAMIText takes what goes into a line of AMI.
func parseAMIText(text string) (string, error) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", errors.New("wants one line")
	}
	return notEmpty(text)
}

func parseTechnology(text string) (string, error) {
	if !techForm.MatchString(text) {
		return "", fmt.Errorf("%q: wants what channels of telephones begin with, such as PJSIP or SIP", text)
	}
	return text, nil
}

// parseVariable takes a channel variable or a function of the dial plan, and its value.
func parseVariable(text string) (string, error) {
	if !variableForm.MatchString(text) {
		return "", fmt.Errorf("%q: wants NAME=VALUE", text)
	}
	return text, nil
}

func parseTimeout(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 5*time.Minute {
		return 0, fmt.Errorf("%q: wants a time from 1s to 5m, such as 30s", text)
	}
	return d, nil
}

func parseRegion(text string) (string, error) {
	regions := phonenumbers.GetSupportedRegions()
	if upper := strings.ToUpper(text); !regions[text] && regions[upper] {
		return "", fmt.Errorf("%q: write it in capitals, %q", text, upper)
	}
	if text != "" && !(len(text) == 2 && regions[text]) {
		return "", fmt.Errorf("%q is no country: two letters of ISO 3166, such as RU", text)
	}
	return text, nil
}

func notEmpty(text string) (string, error) {
	if text == "" {
		return "", errors.New("is empty")
	}
	return text, nil
}

func parsePositive(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q: wants a whole number above 0", text)
	}
	return n, nil
}

func oneOf(known ...string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !slices.Contains(known, text) {
			return "", fmt.Errorf("%q: wants %s", text, listed(known))
		}
		return text, nil
	}
}

// parseListen takes an address to listen on: the host may be left out, and port 0 takes a free one.
func parseListen(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port) || (host != "" && !isHost(host)) {
		return "", fmt.Errorf("%q: wants host:port, such as %s", text, defaultListen)
	}
	return text, nil
}

// parseAddress takes an address to connect to.
func parseAddress(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port) || port == "0" || !isHost(host) {
		return "", fmt.Errorf("%q: wants host:port, such as 127.0.0.1:5038", text)
	}
	return text, nil
}

func parseDomain(text string) (string, error) {
	if !isHost(text) || !strings.Contains(text, ".") {
		return "", fmt.Errorf("%q: wants a host name in small letters, such as acme.amocrm.ru", text)
	}
	return text, nil
}

// parseURL takes an absolute http or https URL.
func parseURL(text string) (string, error) {
	if _, err := webURL(text); err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	return text, nil
}

// parseBaseURL takes scheme, host and port. A slash at the end is dropped.
func parseBaseURL(text string) (string, error) {
	base := strings.TrimSuffix(text, "/")
	u, err := webURL(base)
	if err == nil && base != u.Scheme+"://"+u.Host {
		err = errors.New("wants scheme, host and port, and nothing behind them")
	}
	if err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	return base, nil
}

// parseOrigin takes what browsers send as Origin, or a pattern for all hosts below a domain.
func parseOrigin(text string) (string, error) {
	const wildcard = "https://*."
	exact := text
	if domain, ok := strings.CutPrefix(text, wildcard); ok {
		if !strings.Contains(domain, ".") {
			return "", fmt.Errorf("%q: a pattern names a domain that is yours to trust, such as https://*.amocrm.ru", text)
		}
		exact = "https://" + domain
	}
	u, err := webURL(exact)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q: wants an origin such as https://acme.amocrm.ru, or https://*.amocrm.ru", text)
	case exact != u.Scheme+"://"+u.Host:
		return "", fmt.Errorf("%q: an origin is scheme, host and port, with nothing behind them", text)
	case u.Port() == map[string]string{"http": "80", "https": "443"}[u.Scheme]:
		return "", fmt.Errorf("%q: browsers leave :%s out", text, u.Port())
	}
	return text, nil
}

// webURL parses an absolute http or https URL with a host in small letters and nothing secret in it.
func webURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Opaque != "" || !isHost(u.Hostname()) {
		return nil, errors.New("wants a URL that begins with http:// or https:// and a host name in small letters")
	}
	if port := u.Port(); strings.HasSuffix(u.Host, ":") || (port != "" && !isPort(port)) {
		return nil, errors.New("the port is no number up to 65535")
	}
	if u.User != nil || u.Fragment != "" {
		return nil, errors.New("wants a URL without user, password and fragment")
	}
	return u, nil
}

// isHost accepts an IP address or a host name as DNS has it; names in other scripts are written as xn--….
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !labelForm.MatchString(label) {
			return false
		}
	}
	return true
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

// isLoopback tells whether a checked URL is this machine's own.
func isLoopback(checked string) bool {
	u, err := url.Parse(checked)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// urlOf returns the URL of an address that was listened on. One that means every interface becomes this
// machine's own.
func urlOf(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// listed joins names for a sentence.
func listed(names []string) string {
	if n := len(names) - 1; n > 0 {
		return strings.Join(names[:n], ", ") + " or " + names[n]
	}
	return strings.Join(names, "")
}

// nearest returns the name that word is most likely a slip of, "" if none is near.
func nearest(word string, names []string) string {
	best, bestDistance := "", 3
	for _, name := range names {
		if d := distance(word, name); d < bestDistance && d < len(name)/2+1 {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the letters to change, add or drop to get from a to b (Levenshtein's measure).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
