package static_test

import (
	"errors"
	"os"
	"testing"

	"github.com/robertkrimen/otto"

	"ringcast/static"
)

// pollEngine is an engine that has ES5 and no more, with the script-poll client, its fakes and its tests.
func pollEngine(t *testing.T) *otto.Otto {
	t.Helper()
	vm := otto.New()
	for _, name := range []string{"poll.js", "poll.fake.js", "poll.test.js", "poll.life.test.js"} {
		source := static.PollJS
		if name != "poll.js" {
			var err error
			if source, err = os.ReadFile(name); err != nil {
				t.Fatal(err)
			}
		}
		script, err := vm.Compile(name, source)
		if err != nil {
			t.Fatalf("%s is no ES5: %v", name, err)
		}
		if _, err := vm.Run(script); err != nil {
			t.Fatal(err)
		}
	}
	return vm
}

// TestPoll runs the script-poll client's own tests, which are in JavaScript.
func TestPoll(t *testing.T) {
	t.Parallel()
	names, err := pollEngine(t).Object(`Object.keys(tests)`)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range names.Keys() {
		value, err := names.Get(key)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(value.String(), func(t *testing.T) {
			t.Parallel()
			_, err := pollEngine(t).Call(`(function (name) { tests[name](); })`, nil, value)
			var thrown *otto.Error
			if errors.As(err, &thrown) {
				t.Error(thrown.String()) // with the lines
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
