package asterisktest

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Load says how many calls come in.
type Load struct {
	PerSecond int // new ones
	AtATime   int // at most
	Calls     int
	Talk      time.Duration // of customers who hang up themselves
}

// LoadCall is one call of a load, as its two ends noticed it.
type LoadCall struct {
	Operator string // who was called: 2001 to 2050
	Got      string // what the customer's telephone was answered with: "200", "486", "480"; "487" after he gave up
	Did      string // what the operator's did: answered, busy, declined; rang, until that ended
}

// Play plays a load with SIPp, from many customers to many operators, and returns what came of each call by
// the customer's number. It fails the test when a call went another way than SIPp was told.
func (load Load) Play(t T, l *Lab) map[string]LoadCall {
	t.Helper()
	dir, err := os.MkdirTemp(l.run, "load")
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	cmd := l.command("load", "-r", strconv.Itoa(load.PerSecond), "-l", strconv.Itoa(load.AtATime), "-m", strconv.Itoa(load.Calls), "-t", strconv.FormatInt(load.Talk.Milliseconds(), 10), "-o", dir)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, said)
	}
	calls := map[string]LoadCall{}
	each(t, filepath.Join(dir, "customers.log"), func(customer, did, got string) {
		calls[customer] = LoadCall{Operator: strings.TrimPrefix(did, "555"), Got: got}
	})
	each(t, filepath.Join(dir, "operators.log"), func(customer, _, did string) {
		if c, ok := calls[customer]; ok && did != "called" {
			c.Did = did
			calls[customer] = c
		}
	})
	return calls
}

// each calls fn for the three words of every line.
func each(t T, file string, fn func(a, b, c string)) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("load: %s: cannot read %q", file, line)
		}
		fn(words[0], words[1], words[2])
	}
}

// CDR is one of Asterisk's call detail records.
type CDR struct {
	Caller      string
	Disposition string    // ANSWERED, NO ANSWER, BUSY, FAILED
	Uniqueid    string    // of the caller's channel
	Start, End  time.Time // to the second, in Asterisk's own zone
}

// The columns of cdr_csv.
const (
	cdrSource      = 1
	cdrStart       = 9
	cdrEnd         = 11
	cdrDisposition = 14
	cdrUniqueid    = 16
)

// CDRFile is where Asterisk writes its call detail records (cdr_csv). It makes the file with the first of them.
func (l *Lab) CDRFile() string { return filepath.Join(l.run, "log", "cdr-csv", "Master.csv") }

// CDRs returns the call detail records so far.
func (l *Lab) CDRs(t T) []CDR {
	t.Helper()
	f, err := os.Open(l.CDRFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatalf("CDR: %v", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatalf("CDR: %v", err)
	}
	var all []CDR
	for _, row := range rows {
		start, err := time.Parse(time.DateTime, row[cdrStart])
		end, endErr := time.Parse(time.DateTime, row[cdrEnd])
		if err = errors.Join(err, endErr); err != nil {
			t.Fatalf("CDR: %v", err)
		}
		all = append(all, CDR{row[cdrSource], row[cdrDisposition], row[cdrUniqueid], start, end})
	}
	return all
}
