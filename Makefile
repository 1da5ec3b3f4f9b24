# make test runs everything that has to hold, and installs what it needs first (as root, on Debian).

.PHONY: test lint bench faults test-asterisk tools demo

test:
	@.ci/test

lint: tools
	@. .ci/env && golangci-lint run

# The measurements, as long as they need to mean something.
bench:
	go test -run '^$$' -bench . -benchmem -p 1 -timeout 30m ./...
	go run ./examples/load -pin -rate 5000 -durability both -saturate
	go run ./examples/load -pin -rate 20000
	go run ./examples/load -pin -rate 20000 -batch 50
	go run ./examples/load idle
	go run ./examples/load storm -pin

# What cuts, kills and time must not change: five minutes each, and ten thousand calls whose CRM is away. make test runs a
# tenth of these.
faults:
	go run ./examples/load fault
	go run ./examples/load soak
	go test -count=1 -timeout 20m ./cmd/ringcast -run 'TestCRMOutage$$' -crm-calls 10000

# Only what runs against a real Asterisk, and all of that: every scenario there is, and two minutes of 50 new calls a
# second. make test runs a short form.
test-asterisk:
	RINGCAST_ASTERISK=all go test -race -count=1 -v -timeout 20m -run 'Asterisk|LinkCut|KilledInMidCall' ./cmd/... ./gateway/asterisk/... ./examples/...

tools:
	@.ci/tools

demo:
	go run ./cmd/ringcast demo
