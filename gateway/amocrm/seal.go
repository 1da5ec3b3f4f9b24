package amocrm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// What keys are derived for. Whoever has one of them has not the others.
const (
	forSealing = "ringcast amocrm: secrets at rest"
	forLinks   = "ringcast amocrm: state of an installation"
	forHints   = "ringcast amocrm: fingerprint of a configuration"
)

// Sealer keeps secrets at rest: AES-256-GCM, under keys that HKDF-SHA256 derives from the operator's. It does not change
// and may be used from many goroutines.
type Sealer struct {
	sealing []cipher.AEAD // the first seals, all open
	links   [][]byte      // the first signs, all verify
	hint    []byte
}

// NewSealer takes the keys that there are, the current one first; the others are those before it, for as long as
// something is sealed with them. There must be one at least.
func NewSealer(keys ...[]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, key := range keys {
		sealing, err := derive(key, forSealing)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(sealing)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("seal: %w", err)
		}
		link, err := derive(key, forLinks)
		if err != nil {
			return nil, err
		}
		if s.hint == nil {
			if s.hint, err = derive(key, forHints); err != nil {
				return nil, err
			}
		}
		s.sealing, s.links = append(s.sealing, aead), append(s.links, link)
	}
	if len(s.sealing) == 0 {
		return nil, errors.New("seal: there is no key")
	}
	return s, nil
}

func derive(key []byte, purpose string) ([]byte, error) {
	if len(key) == 0 {
		return nil, errors.New("seal: a key is empty")
	}
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, 32)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return derived, nil
}

// Seal encrypts what only Open of the same place gives back: what was sealed for one account is worth nothing at another's.
func (s *Sealer) Seal(plain []byte, place string) []byte {
	aead := s.sealing[0]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, plain, []byte(place))
}

// Open fails for what was not sealed under one of the keys, or not for this place, or was changed since.
func (s *Sealer) Open(sealed []byte, place string) ([]byte, error) {
	for _, aead := range s.sealing {
		if len(sealed) < aead.NonceSize() {
			break
		}
		plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(place))
		if err == nil {
			return plain, nil
		}
	}
	return nil, errors.New("sealed with a key that is not configured any more")
}

// sign returns a link's signature.
func (s *Sealer) sign(text string) []byte { return macOf(s.links[0], text) }

// signed says whether a link's signature is good. It takes the same time for every wrong one.
func (s *Sealer) signed(text string, signature []byte) bool {
	good := false
	for _, key := range s.links {
		good = hmac.Equal(signature, macOf(key, text)) || good
	}
	return good
}

func macOf(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text)) // never fails
	return mac.Sum(nil)
}
