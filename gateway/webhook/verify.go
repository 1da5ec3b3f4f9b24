package webhook

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // what vendors sign with is theirs to choose
	"crypto/sha1" //nolint:gosec // as above
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

// knocks checks what can be checked before the body is read: the address and the keys in headers. It says whether
// there was anything to check.
func (m *reader) knocks(r *http.Request, req *request, clientAddr func(*http.Request) string) (known bool, err error) {
	auth := m.Auth
	if len(auth.Addresses) > 0 && !allowed(auth.Addresses, r, clientAddr) {
		return false, gateway.Errorf(gateway.CodeUnauthorized, "requests are not taken from this address")
	}
	if auth.Key != "" {
		scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !same(strings.TrimSpace(key), string(auth.Key)) || !strings.EqualFold(scheme, "Bearer") {
			return false, gateway.Errorf(gateway.CodeUnauthorized, `send "Authorization: Bearer KEY" with the key of this PBX`)
		}
	}
	inHeader := slices.ContainsFunc(auth.Keys, func(k SharedKey) bool { return k.In.root == rootHeader })
	return len(auth.Addresses) > 0 || auth.Key != "" || inHeader, m.keys(req, true)
}

// keys compares the keys that stand in headers, or all others.
func (m *reader) keys(req *request, inHeaders bool) error {
	for _, k := range m.Auth.Keys {
		if (k.In.root == rootHeader) == inHeaders && !same(k.In.string(req), string(k.Key)) {
			return gateway.Errorf(gateway.CodeUnauthorized, "the key in %s is missing or wrong", k.In)
		}
	}
	return nil
}

// same compares in constant time, whatever the lengths.
func same(is, want string) bool {
	a, b := sha256.Sum256([]byte(is)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// allowed says whether a request comes from one of the addresses. clientAddr has a name for a client that may be a
// proxy's, and none for this machine's own.
func allowed(addresses []netip.Prefix, r *http.Request, clientAddr func(*http.Request) string) bool {
	name := clientAddr(r)
	if name == "" { // only machines that are trusted are named: it is this one, unless a proxy says nothing
		if len(r.Header.Values("X-Forwarded-For")) > 0 {
			return false
		}
		name, _, _ = net.SplitHostPort(r.RemoteAddr)
	}
	from, err := netip.ParsePrefix(name)
	if addr, err2 := netip.ParseAddr(name); err2 == nil {
		from, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if a.Bits() <= from.Bits() && a.Contains(from.Addr()) {
			return true
		}
	}
	return false
}

// overRaw says whether the signature can be checked before the body is understood.
func (s *Signature) overRaw() bool {
	paths := []Path{s.In}
	for _, t := range s.Texts {
		for _, c := range t.When {
			paths = append(paths, c.Path)
		}
		paths = append(paths, t.Text.Paths()...)
	}
	for _, p := range paths {
		if p.root == rootBody || p.root == rootForm || p.root == rootItem {
			return false
		}
	}
	return true
}

// verify checks the signature of a request whose body has been decoded as far as that needs.
func (s *Signature) verify(req *request, now time.Time) error {
	given, ok := s.decode(s.In.string(req))
	if !ok {
		return gateway.Errorf(gateway.CodeUnauthorized, "the signature in %s is missing or not as the mapping says", s.In)
	}
	for _, t := range s.Texts {
		if !hold(t.When, req) {
			continue
		}
		if !hmac.Equal(given, s.sum(t.Text, req)) {
			return gateway.Errorf(gateway.CodeUnauthorized, "the signature in %s is wrong", s.In)
		}
		return s.fresh(req, now)
	}
	return gateway.Errorf(gateway.CodeUnauthorized, "the mapping does not say how such a request is signed")
}

// decode returns the bytes of a signature as it is written.
func (s *Signature) decode(text string) ([]byte, bool) {
	text, ok := strings.CutPrefix(text, s.Prefix)
	if !ok || text == "" || len(text) > 256 {
		return nil, false
	}
	if s.Encoding != Hex {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil || s.Encoding == Base64 {
			return data, err == nil
		}
		text = string(data)
	}
	data, err := hex.DecodeString(text)
	return data, err == nil
}

func (s *Signature) sum(t Text, req *request) []byte {
	fn := map[Scheme]func() hash.Hash{
		HMACSHA256: sha256.New, PlainSHA256: sha256.New, HMACSHA1: sha1.New, PlainSHA1: sha1.New, HMACMD5: md5.New, PlainMD5: md5.New,
	}[s.Scheme]
	var h hash.Hash
	if s.Scheme.Plain() {
		h = fn()
	} else {
		h = hmac.New(fn, []byte(s.Key))
	}
	for _, p := range t.parts {
		text := p.constant
		switch p.path.root {
		case "":
		case rootKey:
			text = string(s.Key)
		default:
			text = p.path.string(req)
		}
		_, _ = io.WriteString(h, text) // a hash takes everything
	}
	return h.Sum(nil)
}

// fresh refuses what was signed too long ago: somebody may have kept it.
func (s *Signature) fresh(req *request, now time.Time) error {
	if s.Time == nil {
		return nil
	}
	at, err := s.Time.read(req, now)
	if err != nil || at.IsZero() {
		return gateway.Errorf(gateway.CodeUnauthorized, "it does not say when it was signed")
	}
	if now.Sub(at).Abs() > s.Window {
		return gateway.Errorf(gateway.CodeUnauthorized, "it was signed more than %v from now: is it a repeat, or is a clock wrong?", s.Window)
	}
	return nil
}
