package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway/push"
)

// defaultDrainTime is how long a node that leaves takes to send its sessions away, when it has that many.
const defaultDrainTime = 30 * time.Second

// NATSConfig is an external NATS cluster, which several nodes share.
type NATSConfig struct {
	URL         string // of the servers, with commas between
	Credentials string // file, "": none
	CA          string // file that the servers' certificates are checked with, "": the machine's own
}

// TLSConfig says where the main listener's certificates come from: files, or an authority that speaks ACME.
type TLSConfig struct {
	Cert, Key string   // files; "": ACME
	Domains   []string // that certificates are asked for
	Email     string   // of whom the authority writes to
}

// readNATS returns nil when the log is embedded.
func readNATS(s *section) *NATSConfig {
	n := &NATSConfig{
		URL:         parsed(s.get("url"), "", parseNATS),
		Credentials: s.get("credentials").file(),
		CA:          s.get("ca").file(),
	}
	s.done()
	if n.URL == "" {
		return nil
	}
	return n
}

// parseNATS takes one or more addresses of NATS servers.
func parseNATS(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	for server := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || (u.Scheme != "nats" && u.Scheme != "tls") || !isHost(u.Hostname()) {
			return "", errors.New("wants the servers of a cluster with commas between, such as nats://10.0.0.1:4222,nats://10.0.0.2:4222")
		}
	}
	return text, nil
}

// readTLS returns nil when the listener speaks plain HTTP.
func readTLS(s *section) *TLSConfig {
	t := &TLSConfig{Cert: s.get("cert").file(), Key: s.get("key").file(), Email: parsed(s.get("email"), "", anyText)}
	for _, v := range s.get("domains").list() {
		t.Domains = append(t.Domains, parsed(v, "", parseDomain))
	}
	s.done()
	switch {
	case (t.Cert == "") != (t.Key == ""):
		s.get("cert").fail("a certificate needs its key, and a key its certificate")
	case t.Cert != "" && len(t.Domains) > 0:
		s.get("domains").fail("certificates come from files or by ACME: set cert and key, or domains")
	case t.Cert == "" && len(t.Domains) == 0:
		return nil
	}
	return t
}

// file returns a path, usable from where the program runs; "" if left out.
func (v value) file() string {
	path := parsed(v, "", anyText)
	if path == "" {
		return ""
	}
	return v.doc.resolve(path)
}

func anyText(text string) (string, error) { return text, nil }

// parseProxy takes the address of a proxy, or a network of them.
func parseProxy(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q: wants an IP address or a network, such as 10.0.0.0/8", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// readLimits reads what clients may take. What is left out keeps the default of package push.
func readLimits(s *section) (limits push.Limits, drainTime time.Duration) {
	duration := func(key string, into *time.Duration, least, most time.Duration) {
		*into = parsed(s.get(key), *into, func(text string) (time.Duration, error) {
			d, err := time.ParseDuration(text)
			if err != nil || d < least || d > most {
				return 0, fmt.Errorf("%q: wants a time from %v to %v, such as %v", text, least, most, min(max(5*time.Second, least), most))
			}
			return d, nil
		})
	}
	number := func(key string, into *int, least, most int) {
		*into = parsed(s.get(key), *into, func(text string) (int, error) {
			n, err := strconv.Atoi(text)
			if err != nil || n < least || n > most {
				return 0, fmt.Errorf("%q: wants a whole number from %d to %d", text, least, most)
			}
			return n, nil
		})
	}
	duration("hello_wait", &limits.HelloWait, time.Second, time.Minute)
	duration("write_wait", &limits.WriteWait, time.Second, time.Minute)
	duration("ping_every", &limits.PingEvery, time.Second, time.Minute)
	duration("token_late", &limits.TokenLate, time.Second, 10*time.Minute)
	duration("poll_wait", &limits.PollWait, time.Second, time.Minute)
	duration("poll_lease", &limits.PollLease, time.Second, time.Minute)
	duration("presence_leave", &limits.PresenceLeave, time.Second, time.Minute)
	duration("presence_every", &limits.PresenceEvery, 100*time.Millisecond, time.Minute)
	duration("presence_poll", &limits.PresencePoll, time.Second, time.Minute)
	number("sessions", &limits.Sessions, 1, 10_000_000)
	number("sessions_per_user", &limits.PerUser, 1, 1000)
	number("commands_per_user", &limits.Commands, 1, 1000)
	number("queue_messages", &limits.QueueMessages, 1, 10_000)
	number("queue_bytes", &limits.QueueBytes, 16<<10, 64<<20)
	number("unauthenticated", &limits.Unauthenticated, 1, 1_000_000)
	number("unauthenticated_per_address", &limits.UnauthenticatedPerIP, 1, 1_000_000)
	number("sockets_per_address", &limits.SocketsPerIP, 1, 10_000_000)
	number("handshake_burst", &limits.HandshakeBurst, 1, 1_000_000)
	var perSecond int
	if number("handshakes_per_address", &perSecond, 1, 1_000_000); perSecond > 0 {
		limits.HandshakesPerIP = float64(perSecond)
	}
	number("drain_rate", &limits.DrainRate, 1, 1_000_000)
	drainTime = defaultDrainTime
	duration("drain_time", &drainTime, time.Second, 10*time.Minute)
	if ping := cmp.Or(limits.PingEvery, 25*time.Second); limits.PollWait > 2*ping {
		s.get("poll_wait").fail("is more than twice ping_every (%v): clients would take a waiting poll for a dead line", ping)
	}
	s.done()
	return limits, drainTime
}
