package push

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Origins are the pages that may use a server: the scheme, host and port a browser names in Origin.
type Origins struct {
	exact  map[string]struct{}
	suffix []string // ".amocrm.ru" for https://*.amocrm.ru
	more   atomic.Pointer[map[string]struct{}]
}

const https = "https://"

// NewOrigins reads exact origins ("https://crm.example.com", "http://127.0.0.1:8080") and patterns
// ("https://*.amocrm.ru": any subdomain, not the domain itself). No origins allow no page.
func NewOrigins(patterns []string) (*Origins, error) {
	o := &Origins{exact: map[string]struct{}{}}
	for _, p := range patterns {
		origin := strings.ToLower(p)
		if domain, ok := strings.CutPrefix(origin, https+"*."); ok && isOrigin(https+domain) {
			o.suffix = append(o.suffix, "."+domain)
			continue
		}
		if !isOrigin(origin) {
			return nil, fmt.Errorf("origin %q: write scheme://host[:port], or https://*.domain for all its subdomains", p)
		}
		o.exact[origin] = struct{}{}
	}
	return o, nil
}

// Extend lets pages of these exact origins come as well, in place of those that it let come before. What is no origin is
// passed over.
func (o *Origins) Extend(origins []string) {
	more := make(map[string]struct{}, len(origins))
	for _, origin := range origins {
		if origin = strings.ToLower(origin); isOrigin(origin) {
			more[origin] = struct{}{}
		}
	}
	o.more.Store(&more)
}

// Allowed says whether a page of that origin may come.
func (o *Origins) Allowed(origin string) bool {
	origin = strings.ToLower(origin)
	if _, ok := o.exact[origin]; ok {
		return true
	}
	if more := o.more.Load(); more != nil {
		if _, ok := (*more)[origin]; ok {
			return true
		}
	}
	if !isOrigin(origin) || !strings.HasPrefix(origin, https) {
		return false
	}
	for _, s := range o.suffix {
		if strings.HasSuffix(origin, s) && len(origin) > len(https)+len(s) {
			return true
		}
	}
	return false
}

// isOrigin keeps out everything beside scheme, host and port, so that a suffix of the text is a suffix of
// the host: https://evil.example#.amocrm.ru is none.
func isOrigin(s string) bool {
	host, ok := strings.CutPrefix(s, https)
	if !ok {
		host, ok = strings.CutPrefix(s, "http://")
	}
	if !ok || host == "" || host[0] == '.' {
		return false
	}
	for _, c := range host {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]", c) {
			return false
		}
	}
	return true
}
