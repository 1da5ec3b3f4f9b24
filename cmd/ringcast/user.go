package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What may be written about a user, by an operator or by an administrator of the CRM.
const (
	maxUserName       = 256 // bytes
	maxUserExtensions = 100
)

func checkUserName(name string) error {
	switch {
	case len(name) > maxUserName:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(name), maxUserName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("has a control character in it")
	}
	return nil
}

// fitUserName makes a name what checkUserName takes, and nothing that turns around the text beside it.
func fitUserName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, name)
	name = strings.Join(strings.Fields(name), " ")
	if len(name) <= maxUserName {
		return name
	}
	end := maxUserName
	for !utf8.RuneStart(name[end]) {
		end--
	}
	return strings.TrimSpace(name[:end])
}

// checkUserExtensions says which of a user's extensions cannot be, and why.
func checkUserExtensions(extensions []string, refuse func(i int, reason string)) {
	if len(extensions) > maxUserExtensions {
		refuse(0, fmt.Sprintf("names %d extensions, at most %d are allowed", len(extensions), maxUserExtensions))
		return
	}
	for i, ext := range extensions {
		if _, err := parseExtension(ext); err != nil {
			refuse(i, err.Error())
		} else if slices.Contains(extensions[:i], ext) {
			refuse(i, fmt.Sprintf("%q stands there twice", ext))
		}
	}
}
