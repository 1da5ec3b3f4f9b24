package asterisk

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// The files of testdata/cdr are what cdr_csv of Asterisk 22 wrote of the scenarios that the traces are of.

// readCDRs returns the calls of a file.
func readCDRs(t *testing.T, path string) []gateway.PastCall {
	t.Helper()
	files := &cdrFiles{path: path, fields: CSVFields(), zone: time.UTC}
	var rows []cdr
	err := files.read(context.Background(), time.Unix(0, 0), func(r cdr) { rows = append(rows, r) }, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if off := zoneOff(rows); off != 0 {
		t.Errorf("the zone is off by %v", off)
	}
	cfg := Config{IsExtension: isUser, Devices: map[string]string{"101-mobile": "101"}}.withDefaults()
	return cfg.pastCalls(rows)
}

// gist is what a CRM's journal says of a call.
func gist(c gateway.Call) string {
	by := "nobody"
	if c.AnsweredBy != nil {
		by = c.AnsweredBy.Extension
	}
	if c.AnsweredAt.IsZero() {
		by = "-"
	}
	var talked []string
	for _, leg := range c.Legs {
		if !leg.AnsweredAt.IsZero() {
			talked = append(talked, leg.Extension)
		}
	}
	slices.Sort(talked)
	to := c.To.Raw
	if c.Direction == gateway.Inbound { // a record says where the dial plan has gone on to
		to = ""
	}
	return fmt.Sprintf("%s %s>%s by %s talked %s", c.Direction, c.From.Raw, to, by, strings.Join(talked, ","))
}

func TestCDRsTellWhatEventsTell(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cdr/*.csv")
	if err != nil || len(files) < 20 {
		t.Fatalf("records: %v, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".csv")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want, got []string
			calls := track(t, replay(t, newCorrelator("", isUser), readTrace(t, name)))
			for _, id := range slices.Sorted(maps.Keys(calls)) {
				if c := calls[id]; c.Into == "" {
					want = append(want, gist(c))
				}
			}
			for _, past := range readCDRs(t, file) {
				got = append(got, gist(track(t, past.Events)[past.ID]))
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("\n got %q\nwant %q", got, want)
			}
		})
	}
}
