package asterisk

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tables is a database server, as database/sql sees it through the driver "postgres". A data source name is that of a
// table that was put there.
type tables struct {
	mu  sync.Mutex
	all map[string]*table
}

var tableServer = sync.OnceValue(func() *tables {
	s := &tables{all: map[string]*table{}}
	sql.Register("postgres", s)
	return s
})

// table gives all its rows to whatever is asked, the latest first.
type table struct {
	columns []string
	types   map[string]string
	rows    [][]driver.Value
	asked   []string
	fails   error
}

// serveTable puts a table there and returns the records in it.
func serveTable(t *testing.T, tb *table, zone *time.Location) *cdrDatabase {
	t.Helper()
	server := tableServer()
	server.mu.Lock()
	defer server.mu.Unlock()
	server.all[t.Name()] = tb
	return &cdrDatabase{driver: "postgres", dsn: t.Name(), table: "cdr", zone: zone}
}

func (s *tables) Open(dsn string) (driver.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tb := s.all[dsn]; tb != nil {
		return &tableConn{tb}, nil
	}
	return nil, errors.New("no such host")
}

type tableConn struct{ *table }

func (c *tableConn) Prepare(string) (driver.Stmt, error) { return nil, errors.New("not prepared") }
func (c *tableConn) Close() error                        { return nil }
func (c *tableConn) Begin() (driver.Tx, error)           { return nil, errors.New("may write") }
func (c *tableConn) Commit() error                       { return errors.New("nothing to commit") }
func (c *tableConn) Rollback() error                     { return nil }

func (c *tableConn) BeginTx(_ context.Context, o driver.TxOptions) (driver.Tx, error) {
	if !o.ReadOnly {
		return nil, errors.New("may write")
	}
	return c, nil
}

func (c *tableConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.fails != nil {
		return nil, c.fails
	}
	for _, a := range args {
		query = strings.Replace(query, fmt.Sprint("$", a.Ordinal), fmt.Sprintf("'%v'", a.Value), 1)
	}
	c.asked = append(c.asked, query)
	rows := c.rows
	if strings.Contains(query, "1 = 0") {
		rows = nil
	} else if strings.Contains(query, "LIMIT 1") {
		rows = rows[:min(1, len(rows))]
	}
	return &tableRows{c.table, rows}, nil
}

type tableRows struct {
	*table
	rest [][]driver.Value
}

func (r *tableRows) Columns() []string { return r.columns }
func (r *tableRows) Close() error      { return nil }

func (r *tableRows) ColumnTypeDatabaseTypeName(i int) string { return r.types[r.columns[i]] }

func (r *tableRows) Next(to []driver.Value) error {
	if len(r.rest) == 0 {
		return io.EOF
	}
	copy(to, r.rest[0])
	r.rest = r.rest[1:]
	return nil
}

// TestStandardTable is of the columns that Asterisk's documentation has, where times are those of a zone.
func TestStandardTableOfCDRs(t *testing.T) {
	t.Parallel()
	moscow := time.FixedZone("Moscow", 3*3600)
	wall := time.Date(2026, 11, 22, 3, 0, 7, 0, time.UTC) // as a driver gives it that knows no zone
	tb := &table{
		columns: strings.Fields("CallDate clid src dst channel dstchannel lastapp duration billsec disposition uniqueid linkedid recordingfile"),
		rows: [][]driver.Value{
			{wall, []byte(`"Ivan" <7900>`), "7900", "101", "PJSIP/trunk-1", "PJSIP/101-2", "Dial", int64(60), int64(50), "ANSWERED", "1795305607.1", "1795305607.1", nil},
			{"2026-11-22 03:00:07", "", "7900", "101", "PJSIP/trunk-1", nil, "Hangup", int64(0), int64(0), "NO ANSWER", "1795305607.1", nil, "/x.wav"},
			{"0000-00-00 00:00:00", "", "7900", "101", "PJSIP/trunk-1", nil, "Hangup", int64(0), int64(0), "NO ANSWER", "bad one", nil, ""},
		},
	}
	db := serveTable(t, tb, moscow)
	var got []cdr
	var bad []string
	err := db.read(t.Context(), cdrDay.Add(13*time.Hour), func(r cdr) { got = append(got, r) }, func(err error) { bad = append(bad, err.Error()) })
	begun := cdrDay.Add(7 * time.Second)
	if err != nil || len(got) != 2 || !got[0].start.Equal(begun) || !got[0].answer.Equal(begun.Add(10*time.Second)) ||
		!got[0].end.Equal(begun.Add(time.Minute)) || got[0].name != "Ivan" || !got[1].answer.IsZero() || got[1].recording != "/x.wav" {
		t.Errorf("%+v, %v", got, err)
	}
	if len(bad) != 1 || !strings.Contains(bad[0], `the record "bad one": start: `) {
		t.Errorf("%q", bad)
	}
	if want := "SELECT * FROM cdr WHERE calldate >= '2026-11-22 04:00:00'"; tb.asked[1] != want {
		t.Errorf("asked %q, want %q", tb.asked[1], want)
	}
	if last, err := db.last(t.Context()); err != nil || !strings.HasSuffix(tb.asked[3], " ORDER BY calldate DESC LIMIT 1") || last.start.IsZero() {
		t.Errorf("%+v, %v, asked %q", last, err, tb.asked)
	}
}

// TestTableOfMoments is of a column that says a moment whatever the zone.
func TestTableOfMomentsOfCDRs(t *testing.T) {
	t.Parallel()
	begun := cdrDay.In(time.FixedZone("", 7200))
	tb := &table{
		columns: strings.Fields("start answer end channel disposition duration linkedid"),
		types:   map[string]string{"start": "TIMESTAMPTZ"},
		rows:    [][]driver.Value{{begun, nil, begun.Add(time.Minute), "PJSIP/101-1", "NO ANSWER", 60.0, "7.7"}},
	}
	db := serveTable(t, tb, time.FixedZone("", -3600))
	starts, bad := startsOf(t, db, cdrDay.Add(12*time.Hour))
	if !slices.Equal(starts, []int{0}) || len(bad) > 0 || !strings.HasSuffix(tb.asked[1], " WHERE start >= '2026-11-22T00:00:00Z'") {
		t.Errorf("%v, %q, asked %q", starts, bad, tb.asked)
	}
}

func TestDatabaseThatHasNoCDRs(t *testing.T) {
	t.Parallel()
	check := func(db *cdrDatabase) error {
		_, err := CheckCDR(t.Context(), CDR{Driver: db.driver, DSN: db.dsn, Zone: time.UTC})
		return err
	}
	tb := &table{columns: []string{"calldate", "channel"}}
	db := serveTable(t, tb, time.UTC)
	if err := check(db); err != nil {
		t.Error(err)
	}
	tb.columns[0] = "eventtime"
	if err := check(db); err == nil || !strings.Contains(err.Error(), "neither a column calldate nor start") {
		t.Error(err)
	}
	tb.fails = errors.New("permission denied for table cdr")
	if err := check(db); err == nil || err.Error() != "table cdr: permission denied for table cdr" {
		t.Error(err)
	}
	db.dsn = "elsewhere"
	if err := check(db); err == nil || err.Error() != "database: no such host" {
		t.Error(err)
	}
}
