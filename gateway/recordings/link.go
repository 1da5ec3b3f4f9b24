package recordings

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	minKey     = 32   // bytes
	maxName    = 1024 // bytes of a recording's name, more than any file system has
	maxLink    = 4096 // characters of a link's signed part
	linkFormat = 1    // the first byte of what is signed
)

// errForged is the one answer to everything that is no link of ours, so that nothing can be learned from it.
var errForged = errors.New("not a link that was made here")

// link is what a link says.
type link struct {
	account string
	call    string    // the id of a gateway.Call
	name    string    // of the recording, below its PBX's source
	started time.Time // the call did; whole seconds
}

// deriveKeys makes the keys of links from keys that may be in use for other things.
func deriveKeys(secrets [][]byte) (keys [][]byte, err error) {
	if len(secrets) == 0 {
		return nil, errors.New("recordings: no key to sign links with")
	}
	for _, secret := range secrets {
		if len(secret) < minKey {
			return nil, fmt.Errorf("recordings: a key of %d bytes, %d are needed", len(secret), minKey)
		}
		key, err := hkdf.Key(sha256.New, secret, nil, "ringcast recording links", sha256.Size)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sign returns the part of the URL that says it all.
func (l *link) sign(key []byte) string {
	data := binary.AppendUvarint([]byte{linkFormat}, uint64(l.started.Unix()))
	for _, text := range []string{l.account, l.call, l.name} {
		data = append(binary.AppendUvarint(data, uint64(len(text))), text...)
	}
	return base64.RawURLEncoding.EncodeToString(append(data, mac(key, data)...))
}

// parseLink reads what sign wrote with one of the keys. The error is errForged.
func parseLink(text string, keys [][]byte) (link, error) {
	if len(text) > maxLink || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return link{}, errForged
	}
	signed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(signed) <= sha256.Size {
		return link{}, errForged
	}
	data, sum := signed[:len(signed)-sha256.Size], signed[len(signed)-sha256.Size:]
	for _, key := range keys {
		if hmac.Equal(sum, mac(key, data)) {
			return readLink(data)
		}
	}
	return link{}, errForged
}

// readLink reads what was signed.
func readLink(data []byte) (l link, err error) {
	if data[0] != linkFormat {
		return link{}, errForged
	}
	started, n := binary.Uvarint(data[1:])
	if n <= 0 || started > 1<<40 {
		return link{}, errForged
	}
	data = data[1+n:]
	l.started = time.Unix(int64(started), 0)
	for _, text := range []*string{&l.account, &l.call, &l.name} {
		length, n := binary.Uvarint(data)
		if n <= 0 || length > uint64(len(data)-n) {
			return link{}, errForged
		}
		data = data[n:]
		*text, data = string(data[:length]), data[length:]
	}
	if len(data) > 0 || !isName(l.name) {
		return link{}, errForged
	}
	return l, nil
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// isName says whether a recording may be called that: below its source, without dots that lead out of it.
func isName(name string) bool {
	return name != "." && len(name) <= maxName && fs.ValidPath(name) &&
		!strings.ContainsFunc(name, func(c rune) bool { return c == '\\' || unicode.IsControl(c) })
}

// unescape reads the rest of a URL as a name. A query is none.
func unescape(rest string) (string, bool) {
	name, err := url.PathUnescape(rest)
	return name, err == nil && !strings.ContainsAny(rest, "?#")
}
