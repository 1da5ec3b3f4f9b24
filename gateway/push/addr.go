package push

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr returns a function that names the address to count a request under: an IPv4 address, or the /64 of
// an IPv6 one. It is the peer's, or, when the peer is a trusted proxy, the last address in X-Forwarded-For that
// is no trusted proxy: what stands further left, the client has written. Loopback is always trusted. The name is
// "", not to be counted, when nobody but trusted machines is named.
func ClientAddr(trusted []netip.Prefix) func(*http.Request) string {
	trusts := func(addr netip.Addr) bool {
		return addr.IsLoopback() || slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	return func(r *http.Request) string {
		addr, ok := parseAddr(r.RemoteAddr)
		if !ok {
			return r.RemoteAddr
		}
		hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
		for trusts(addr) {
			last := strings.LastIndexByte(hops, ',')
			before, ok := parseAddr(strings.TrimSpace(hops[last+1:]))
			if !ok {
				return ""
			}
			addr, hops = before, hops[:max(last, 0)]
		}
		if addr.Is6() {
			if prefix, err := addr.Prefix(64); err == nil {
				return prefix.String()
			}
		}
		return addr.String()
	}
}

// parseAddr reads an address with or without a port.
func parseAddr(s string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}
