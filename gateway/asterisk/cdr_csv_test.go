package asterisk

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var cdrDay = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// csvRow is a row of cdr_csv: of a call that was answered, seconds after midnight.
func csvRow(second int) string {
	at := func(s int) string { return cdrDay.Add(time.Duration(s) * time.Second).Format(time.DateTime) }
	id := fmt.Sprintf("%d.%d", cdrDay.Unix()+int64(second), second)
	return fmt.Sprintf(`"","79005550111","101","ext","""Ivan, P"" <79005550111>","PJSIP/trunk-%08x","PJSIP/101-%08x","Dial","PJSIP/101,12,tT",`+
		`"%s","%s","%s",60,50,"ANSWERED","DOCUMENTATION","%s","","","%s",%d`+"\n", second, second, at(second), at(second+10), at(second+60), id, id, second)
}

func csvRows(from, to, step int) string {
	var b strings.Builder
	for s := from; s < to; s += step {
		b.WriteString(csvRow(s))
	}
	return b.String()
}

// csvIn makes a Master.csv with the given text, and returns it and its path.
func csvIn(t *testing.T, text string) (*cdrFiles, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Master.csv")
	put(t, path, text)
	return &cdrFiles{path: path, fields: CSVFields(), zone: time.UTC}, path
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startsOf returns when the records that were read began, in seconds after midnight, and what was wrong with others.
func startsOf(t *testing.T, r records, since time.Time) (starts []int, bad []string) {
	t.Helper()
	err := r.read(t.Context(), since, func(r cdr) { starts = append(starts, int(r.start.Sub(cdrDay).Seconds())) },
		func(err error) { bad = append(bad, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(starts)
	return starts, bad
}

func TestRowOfCDR(t *testing.T) {
	t.Parallel()
	f, _ := csvIn(t, csvRow(7))
	r, err := f.last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(s int) time.Time { return cdrDay.Add(time.Duration(s) * time.Second) }
	want := cdr{
		src: "79005550111", dst: "101", name: "Ivan, P", channel: "PJSIP/trunk-00000007", dstChannel: "PJSIP/101-00000007", app: "Dial",
		start: at(7), answer: at(17), end: at(67), disposition: "ANSWERED", uniqueid: "1795305607.7", linkedid: "1795305607.7", sequence: 7,
	}
	if r != want {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
}

// TestShortRowsOfCDR: without the columns that cdr.conf has to ask for.
func TestShortRowsOfCDR(t *testing.T) {
	t.Parallel()
	row := strings.SplitAfter(csvRow(7), `"1795305607.7"`)[0]
	f, _ := csvIn(t, row+`,""`+"\n"+strings.Replace(row, `"2026-11-22 00:00:17"`, "", 1)+"\r\n")
	starts, bad := startsOf(t, f, cdrDay)
	if !slices.Equal(starts, []int{7, 7}) || len(bad) > 0 {
		t.Errorf("%v, %q", starts, bad)
	}
	if r, err := f.last(t.Context()); err != nil || r.uniqueid != "1795305607.7" || r.linkedid != "" || r.answer.Sub(r.start) != 10*time.Second {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRowsOfCDRWithoutTheirIDs: cdr_csv leaves columns out in the middle, and all of them as it comes.
func TestRowsOfCDRWithoutTheirIDs(t *testing.T) {
	t.Parallel()
	row := strings.SplitAfter(csvRow(7), `"DOCUMENTATION"`)[0]
	for name, c := range map[string]struct{ columns, want string }{
		"as it comes":            {"", "set loguniqueid = yes in cdr.conf"},
		"loguserfield alone":     {`,""`, "set loguniqueid = yes in cdr.conf"},
		"newcdrcolumns alone":    {`,"","1795305607.7",7`, "it has 19 fields, and which are missing cannot be told: set loguniqueid, "},
		"loguserfield left out":  {`,"1795305607.7","","1795305607.7",7`, "it has 20 fields, and which are missing"},
		"loguniqueid left out":   {`,"","","1795305607.7",7`, "it has 20 fields, and which are missing"},
		"nothing in the columns": {`,"","","","",7`, "set loguniqueid = yes in cdr.conf"},
	} {
		f, path := csvIn(t, row+c.columns+"\n")
		starts, bad := startsOf(t, f, cdrDay)
		if len(starts) > 0 || len(bad) != 1 || !strings.Contains(bad[0], c.want) {
			t.Errorf("%s: %v, %q", name, starts, bad)
		}
		if _, err := CheckCDR(t.Context(), CDR{File: path, Zone: time.UTC}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the check says %v", name, err)
		}
	}
	f, _ := csvIn(t, row+`,"1795305607.7","","1795305607.6"`+"\n")
	f.fields = slices.Concat(CSVFields()[:17], []string{"none", "linkedid"}) // a custom row may have so many
	if r, err := f.last(t.Context()); err != nil || r.linkedid != "1795305607.6" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCDRsInAConfiguredOrder(t *testing.T) {
	t.Parallel()
	f, _ := csvIn(t, `"101","79005550111",1795305607.123456,x,"PJSIP/101-1","PJSIP/trunk-2",12,"BUSY",7.7`+"\n")
	f.fields = strings.Fields("src dst start none channel dstchannel duration disposition linkedid")
	r, err := f.last(t.Context())
	if err != nil || !r.start.Equal(cdrDay.Add(7123456*time.Microsecond)) || r.end.Sub(r.start) != 12*time.Second || r.dstChannel != "PJSIP/trunk-2" || !r.answer.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBigCDRFileIsReadFromItsEnd holds that what is long past is not read.
func TestBigCDRFileIsReadFromItsEnd(t *testing.T) {
	t.Parallel()
	f, _ := csvIn(t, strings.Repeat("what stands here would be complained of\n", 5000)+csvRows(0, 20*3600, 100))
	since := cdrDay.Add(19 * time.Hour)
	starts, bad := startsOf(t, f, since)
	if len(bad) > 0 || starts[len(starts)-1] != 20*3600-100 || len(starts) > 150 || !slices.Contains(starts, 19*3600) {
		t.Errorf("%d records, %q", len(starts), bad)
	}
	whole, bad := startsOf(t, f, cdrDay)
	if len(whole) != 720 || len(bad) != 5000 {
		t.Errorf("%d records, %d bad ones", len(whole), len(bad))
	}
}

func TestCDRFilesThatWereRotated(t *testing.T) {
	t.Parallel()
	f, path := csvIn(t, csvRows(300, 400, 50))
	put(t, path+".1", csvRows(200, 300, 50))
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	if _, err := pack.Write([]byte(csvRows(100, 200, 50) + "x\n" + strings.Repeat("y", 3*csvLine) + "\n" + csvRow(199))); err != nil || pack.Close() != nil {
		t.Fatal(err)
	}
	put(t, path+"-20261121.gz", packed.String())
	put(t, path+".2", csvRows(0, 100, 50))
	old := cdrDay.Add(-time.Hour)
	if err := os.Chtimes(path+".2", old, old); err != nil { // nothing was written there since
		t.Fatal(err)
	}
	put(t, filepath.Join(filepath.Dir(path), "Master.csvx"), "of no use\n")
	if err := os.Link(path, path+".same"); err != nil {
		t.Fatal(err)
	}
	starts, bad := startsOf(t, f, cdrDay)
	if !slices.Equal(starts, []int{100, 150, 199, 200, 250, 300, 350}) {
		t.Errorf("%v", starts)
	}
	if len(bad) != 2 || !strings.Contains(bad[0], "Master.csv-20261121.gz, at byte ") || !strings.Contains(bad[1], "a line of more than 16384 bytes") {
		t.Errorf("%q", bad)
	}
}

func TestCDRFileThatGrows(t *testing.T) {
	t.Parallel()
	half := csvRow(100)[:150]
	f, path := csvIn(t, csvRow(0)+csvRow(50)+half)
	if starts, bad := startsOf(t, f, cdrDay); !slices.Equal(starts, []int{0, 50}) || len(bad) > 0 {
		t.Errorf("%v, %q", starts, bad)
	}
	put(t, path, csvRow(0)+csvRow(50)+csvRow(100))
	if starts, bad := startsOf(t, f, cdrDay); !slices.Equal(starts, []int{0, 50, 100}) || len(bad) > 0 {
		t.Errorf("%v, %q", starts, bad)
	}
	put(t, path, half)
	if starts, bad := startsOf(t, f, cdrDay); len(starts)+len(bad) > 0 {
		t.Errorf("%v, %q", starts, bad)
	}
}

func TestRowsThatAreNoneAreNamedAndSkipped(t *testing.T) {
	t.Parallel()
	good := csvRow(100)
	for name, row := range map[string]string{
		"it has 3 fields, and the time should be in field 10": "a,b,c\n",
		"start: \"yesterday\" is no time":                     strings.Replace(good, "2026-11-22 00:01:40", "yesterday", 1),
		"start: \"\" is no time":                              strings.Replace(good, "2026-11-22 00:01:40", "", 1),
		"end: \"0002-11-22 00:02:40\" is no time":             strings.Replace(good, "2026-11-22 00:02:40", "0002-11-22 00:02:40", 1),
		"it names no channel":                                 strings.Replace(good, "PJSIP/trunk-00000064", "", 1),
		"duration: \"-60\" is no number of seconds":           strings.Replace(good, ",60,", ",-60,", 1),
		"billsec: \"NaN\" is no number of seconds":            strings.Replace(good, ",50,", ",NaN,", 1),
		"a line of more than 16384 bytes":                     strings.Repeat("z", 5*csvBlock) + "\n",
	} {
		f, path := csvIn(t, csvRow(0)+row+csvRow(200))
		starts, bad := startsOf(t, f, cdrDay)
		if !slices.Equal(starts, []int{0, 200}) || len(bad) != 1 || !strings.Contains(bad[0], name) ||
			!strings.HasPrefix(bad[0], path+fmt.Sprintf(", at byte %d: ", len(csvRow(0)))) && !strings.Contains(name, "more than") {
			t.Errorf("%s: %v, %q", name, starts, bad)
		}
	}
}

func TestCheckCDR(t *testing.T) {
	t.Parallel()
	check := func(text, zone string) (time.Time, error) {
		_, path := csvIn(t, text)
		where, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		return CheckCDR(t.Context(), CDR{File: path, Zone: where})
	}
	if last, err := check(csvRow(0)+csvRow(100), "UTC"); err != nil || !last.Equal(cdrDay.Add(160*time.Second)) {
		t.Errorf("%v, %v", last, err)
	}
	if last, err := check("", "UTC"); err != nil || !last.IsZero() {
		t.Errorf("%v, %v", last, err)
	}
	if _, err := check(csvRow(0), "Europe/Moscow"); err == nil || !strings.Contains(err.Error(), "times are -3 hours from what they say") {
		t.Errorf("%v", err)
	}
	if _, err := check("a;b;c\n", "UTC"); err == nil || !strings.Contains(err.Error(), "are fields as in cdr_custom.conf?") {
		t.Errorf("%v", err)
	}
	if _, err := CheckCDR(t.Context(), CDR{File: filepath.Join(t.TempDir(), "Master.csv")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// FuzzCDR holds that no file makes the reader panic or forget rows behind what it cannot read, and that what it makes of
// rows is calls that the gateway can take.
func FuzzCDR(f *testing.F) {
	files, err := filepath.Glob("testdata/cdr/*.csv")
	if err != nil || len(files) == 0 {
		f.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\"\n\"\",,\n\r\n\"a\"b,\n"))
	cfg := Config{IsExtension: isUser, Recordings: "https://example.com/{path}"}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, '\n')
		src := &cdrFiles{fields: CSVFields(), zone: time.UTC}
		var rows []cdr
		lines := 0
		err := backwards(context.Background(), bytes.NewReader(data), int64(len(data)), func(line []byte, at int64) bool {
			lines++
			if len(line) <= csvLine && !bytes.Equal(line, data[at:at+int64(len(line))]) {
				t.Fatalf("%q does not stand at %d", line, at)
			}
			if r, err := src.parse(line); err == nil {
				rows = append(rows, r)
			}
			return true
		})
		want := 0
		for line := range bytes.Lines(data) {
			if len(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))) > 0 {
				want++
			}
		}
		if err != nil || lines != want {
			t.Fatalf("%d lines, %v; want %d", lines, err, want)
		}
		for _, call := range cfg.pastCalls(rows) {
			for i, e := range call.Events {
				if i > 0 && e.At.Before(call.Events[i-1].At) {
					t.Fatalf("out of order: %+v", call.Events)
				}
			}
			c, ok := track(t, call.Events)[call.ID]
			if !ok || !c.Over() || c.StartedAt.IsZero() || len(call.ID) > 128 {
				t.Fatalf("%+v of %+v", c, call)
			}
		}
	})
}
