# make test runs everything that has to hold, and installs what it needs first (as root, on Debian).

.PHONY: test lint bench test-asterisk tools demo

test:
	@.ci/test

lint: tools
	@. .ci/env && golangci-lint run

# The measurements, as long as they need to mean something.
bench:
	go test -run '^$$' -bench . -benchmem -p 1 -timeout 30m ./...
	go run ./examples/load -durability both -saturate

# Only what runs against a real Asterisk.
test-asterisk:
	go test -race -count=1 -v -timeout 5m -run Asterisk ./cmd/... ./gateway/asterisk/... ./examples/...

tools:
	@.ci/tools

demo:
	go run ./cmd/ringcast demo
