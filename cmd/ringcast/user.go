package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
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
