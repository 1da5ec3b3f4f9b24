package static

import "embed"

// Demo is the page that `ringcast demo` opens with, all of it below "demo/": demo/index.html and what that
// loads by relative URLs, to be served under one path that ends in a slash. Beside them the page expects
// config.json:
//
//	{"pbx": "/demo/pbx",                       where sandbox.PBX's handler is mounted
//	 "users": [{"id": "88888", "name": "Anna", "extension": "101", "crm": "http://…/?user=88888"}, …],
//	 "callers": [{"number": "+7 900 555-01-11", "name": "Ivan Petrov", "known": true}, …]}
//
//go:embed demo
var Demo embed.FS
