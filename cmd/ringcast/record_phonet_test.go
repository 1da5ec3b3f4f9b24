package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"ringcast/gateway"
)

func TestPhonetRecordedAndReplayed(t *testing.T) {
	t.Parallel()
	for _, people := range []bool{false, true} {
		t.Run(fmt.Sprint("mask-numbers ", people), func(t *testing.T) {
			t.Parallel()
			pbx, section := phonetPBX(t)
			config := configFile(t, fmt.Sprintf(ofPhonetPBX, section))
			p := startRecording(t, "-config", config, "-account", "acme", "-pbx", "cloud", fmt.Sprint("-mask-numbers=", people))
			p.has("survey learned")
			for _, step := range []func() error{
				func() error { _, err := pbx.Ring("+380567777777", "Тест", "911", "Welcome"); return err },
				func() error { return pbx.Answer("102") },
				func() error { return pbx.HangUp("102") },
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			p.has("call.hangup")
			p.stop()
			data, err := os.ReadFile(p.file)
			if err != nil || bytes.Contains(data, []byte(vendorKey)) || strings.Contains(p.stderr.String(), vendorKey) {
				t.Fatalf("%v, or the key is in it", err)
			}
			for _, what := range []string{"+380567777777", "Тест", "Boris", "anna@example.com"} {
				if bytes.Contains(data, []byte(what)) == people {
					t.Errorf("%q is in the recording: %v", what, !people)
				}
			}
			for _, args := range [][]string{{"-in", p.file, "-config", config}, {"-in", p.file}} {
				calls := replayed(t, args...)
				if len(calls) != 1 {
					t.Fatalf("%d calls: %+v", len(calls), calls)
				}
				c := calls[0]
				users := map[bool][2]string{true: {anna, "99999"}, false: {"101", "102"}}[len(args) > 2]
				if a, b := c.Users[users[0]].Outcome, c.Users[users[1]].Outcome; a == nil || b == nil || *a != gateway.Elsewhere || *b != gateway.Answered {
					t.Errorf("%v: Anna %+v, Boris %+v", args, c.Users[users[0]], c.Users[users[1]])
				}
				if got := c.Call.From.Raw; (got == "+380567777777") == people || len(got) != len("+380567777777") || !c.Call.Over() {
					t.Errorf("%v: %+v", args, c.Call)
				}
			}
		})
	}
}
