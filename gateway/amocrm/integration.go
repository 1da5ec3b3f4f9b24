package amocrm

import (
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Platform is one of the two CRMs: they have servers, integrations and numbers of accounts of their own.
type Platform string

// The platforms.
const (
	PlatformAmoCRM Platform = "amocrm"
	PlatformKommo  Platform = "kommo"
)

// PlatformOf returns the platform of an account's domain.
func PlatformOf(domain string) Platform {
	if strings.HasSuffix(domain, ".kommo.com") || strings.HasSuffix(domain, ".amocrm.com") { // what Kommo was called before
		return PlatformKommo
	}
	return PlatformAmoCRM
}

// domains are below which a platform's accounts are.
func (p Platform) domains() []string {
	if p == PlatformKommo {
		return []string{"kommo.com", "amocrm.com"}
	}
	return []string{"amocrm.ru", "amocrm.com"}
}

// accountHost is what an account's host looks like: one label and the platform's domain, and never a port.
var accountHost = regexp.MustCompile(`^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\.((?:amocrm|kommo)\.[a-z]+)$`)

// subdomainAt returns the label of an account's host on a platform, "" for any other host.
func (p Platform) subdomainAt(host string) string {
	if m := accountHost.FindStringSubmatch(host); m != nil && slices.Contains(p.domains(), m[2]) {
		return m[1]
	}
	return ""
}

// Integration is one integration as its platform knows it: in one account, which the configuration names, or in as many
// as install it.
type Integration struct {
	ID          string // what links and the operator call it; of an account of its own, the account
	Account     string // Ringcast's only account of it; "": accounts appear by installing
	Platform    Platform
	ClientID    string
	Secrets     []string // the current one first; two while it is being changed
	RedirectURI string
	Token       string // long-lived, in place of OAuth; only with Account

	// Where its accounts are: with Account, the one base URL; without, the only ones that there may be, or none for the
	// platform's own hosts.
	BaseURLs  []string
	Domain    string // with Account: what the CRM calls it, where that is not the base URL's host
	AccountID int64  // with Account: the CRM's number of it; 0: not known
}

// base returns where the host is that a stranger calls an account's, or fails if no secret may be sent there. elsewhere: an
// account may also be at another of the platform's hosts than the configuration says, since it is known by its number.
func (in *Integration) base(host string, elsewhere bool) (string, error) {
	for _, base := range in.BaseURLs {
		if _, its, _ := strings.Cut(base, "://"); its == host {
			return base, nil
		}
	}
	if in.Account != "" && in.Domain == host && len(in.BaseURLs) > 0 {
		return in.BaseURLs[0], nil
	}
	if (elsewhere || len(in.BaseURLs) == 0) && in.Platform.subdomainAt(host) != "" {
		return "https://" + host, nil
	}
	return "", fmt.Errorf("%.80q is not where an account of %s could be", host, in.ID)
}

// pinned says that the accounts are at the configured base URLs only, as a sandbox's are.
func (in *Integration) pinned() bool {
	return slices.ContainsFunc(in.BaseURLs, func(base string) bool {
		host, ok := strings.CutPrefix(base, "https://")
		return !ok || in.Platform.subdomainAt(host) == ""
	})
}

// authorizeURL is where an administrator lets the integration in.
func (in *Integration) authorizeURL(state string) string {
	at := map[Platform]string{PlatformAmoCRM: "https://www.amocrm.ru", PlatformKommo: "https://www.kommo.com"}[in.Platform]
	if in.pinned() {
		at = in.BaseURLs[0]
	}
	return at + "/oauth?" + url.Values{"client_id": {in.ClientID}, "state": {state}, "mode": {"popup"}}.Encode()
}

// signedHook says whether the CRM's word of a removal has its signature. The time it takes does not depend on how much of
// a forged one is right.
func (in *Integration) signedHook(account, signature string) bool {
	good := false
	for _, secret := range in.Secrets {
		want := hex.EncodeToString(macOf([]byte(secret), in.ClientID+"|"+account))
		good = hmac.Equal([]byte(signature), []byte(want)) || good
	}
	return good
}

// fingerprint tells whether the configuration is what it was when the CRM refused it. Nothing can be told from it.
func (in *Integration) fingerprint(s *Sealer) string {
	text := strings.Join(append([]string{in.ClientID, in.RedirectURI, in.Token}, in.Secrets...), "\x00")
	return hex.EncodeToString(macOf(s.hint, text)[:12])
}
