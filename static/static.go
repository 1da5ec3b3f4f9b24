// Package static holds what Ringcast serves to browsers as files, embedded in the binary.
//
// client.js is the browser client: one file without dependencies or a build step that pages load with a script tag
// or through an AMD loader. Its head comment is the short manual, examples/page/README.md the long one. It speaks
// the wire that package push serves, and its tests run on a fake of it: node --test static/, or go test ./static,
// which does the same.
//
// The package imports nothing but the standard library.
package static

import _ "embed"

// ClientJS is client.js as it is served and as the widget carries it: UTF-8, to be sent as
// text/javascript; charset=utf-8. Do not change it.
//
//go:embed client.js
var ClientJS []byte
