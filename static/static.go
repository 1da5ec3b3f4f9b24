// Package static holds what Ringcast serves to browsers as files, embedded in the binary.
//
// client.js is the browser client: one file without dependencies or a build step that pages load with a script tag
// or through an AMD loader. Its head comment is the short manual, examples/page/README.md the long one, client.d.ts
// has its types. It is written in parts, the files of the folder client, each of which takes the place of its line
// "//= client/….js" in client.js when this package is loaded. It speaks the wire that package push serves, and its
// tests run on a fake of it: node --test static/, or go test ./static, which does the same.
//
// The package imports nothing but the standard library.
package static

import (
	"embed"
	"regexp"
)

//go:embed client.js client/*.js
var parts embed.FS

// ClientJS is client.js, whole, as it is served and as the widget carries it: UTF-8, to be sent as
// text/javascript; charset=utf-8. Do not change it.
var ClientJS = assemble("client.js")

// ClientTypes is client.d.ts, the client's types for TypeScript and for editors: UTF-8. Do not change it.
//
//go:embed client.d.ts
var ClientTypes []byte

// PollJS is poll.js as it is served: ES5, for pages where client.js can do nothing. UTF-8, to be sent as
// text/javascript; charset=utf-8. Do not change it.
//
//go:embed poll.js
var PollJS []byte

var include = regexp.MustCompile(`(?m)^ *//= (\S+)\n`)

// assemble puts a file's parts into their places. A part that is missing is a mistake in this package.
func assemble(name string) []byte {
	return include.ReplaceAllFunc(read(name), func(line []byte) []byte {
		return append(read(string(include.FindSubmatch(line)[1])), '\n')
	})
}

func read(name string) []byte {
	data, err := parts.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return data
}
