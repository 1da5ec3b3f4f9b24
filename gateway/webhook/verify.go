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
	"strings"
	"time"

	"ringcast/gateway"
)

// knocks checks what needs nothing of a mapping's paths: the address and the bearer key. It says whether there was
// anything to check.
func (a Auth) knocks(r *http.Request, clientAddr func(*http.Request) string) (checked bool, err error) {
	if len(a.Addresses) > 0 && !allowed(a.Addresses, r, clientAddr) {
		return false, gateway.Errorf(gateway.CodeUnauthorized, "requests are not taken from this address")
	}
	if a.Key != "" {
		scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !same(strings.TrimSpace(key), string(a.Key)) || !strings.EqualFold(scheme, "Bearer") {
			return false, gateway.Errorf(gateway.CodeUnauthorized, `send "Authorization: Bearer KEY" with the key of this PBX`)
		}
	}
	return len(a.Addresses) > 0 || a.Key != "", nil
}

// check checks the keys and the signature that can be checked at a stage and at none before. It says whether there were
// any.
func (a Auth) check(req *request, at stage, now time.Time) (checked bool, err error) {
	for _, k := range a.Keys {
		if k.In.stage() != at {
			continue
		}
		if !same(k.In.string(req), string(k.Key)) {
			return false, gateway.Errorf(gateway.CodeUnauthorized, "the key in %s is missing or wrong", k.In)
		}
		checked = true
	}
	s := a.Signature
	if s == nil {
		return checked, nil
	}
	signed := stageOf(s.paths())
	if signed == at {
		if err := s.verify(req); err != nil {
			return false, err
		}
		checked = true
	}
	if s.Time != nil && max(signed, stageOf(s.Time.paths())) == at {
		err = s.fresh(req, now)
	}
	return checked, err
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

// paths are those that the signature is made of, stands at and depends on.
func (s *Signature) paths() []Path {
	paths := []Path{s.In}
	for _, t := range s.Texts {
		for _, c := range t.When {
			paths = append(paths, c.Path)
		}
		paths = append(paths, t.Text.Paths()...)
	}
	return paths
}

func (t *Time) paths() (paths []Path) {
	for _, text := range t.Value.From {
		paths = append(paths, text.Paths()...)
	}
	if t.Seq != nil {
		paths = append(paths, t.Seq.Paths()...)
	}
	return paths
}

// verify checks the signature of a request that has been read as far as its paths need. When it was signed is for fresh.
func (s *Signature) verify(req *request) error {
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
		return nil
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
	at, err := s.Time.read(req, now)
	if err != nil || at.IsZero() {
		return gateway.Errorf(gateway.CodeUnauthorized, "it does not say when it was signed")
	}
	if now.Sub(at).Abs() > s.Window {
		return gateway.Errorf(gateway.CodeUnauthorized, "it was signed more than %v from now: is it a repeat, or is a clock wrong?", s.Window)
	}
	return nil
}
