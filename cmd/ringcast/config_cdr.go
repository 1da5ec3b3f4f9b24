package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/lib/pq"

	"ringcast/gateway/asterisk"
)

// CDRConfig says where an Asterisk's call detail records are: in a file, or in a database.
type CDRConfig struct {
	CSV    string
	Fields []string // of a row; nil: as cdr_csv has them

	Driver string // mysql or postgres; "": they are in CSV
	DSN    Secret
	Table  string

	Days int
	Zone *time.Location
}

const (
	defaultCDRTable = "cdr"
	defaultCDRDays  = 3
	maxCDRDays      = 30 // an outage that was longer is not mended unseen
)

// readCDR reads a cdr section, nil if there is none.
func readCDR(v value) *CDRConfig {
	if !v.given() {
		return nil
	}
	s := v.section()
	c := &CDRConfig{
		Days: parsed(s.get("days"), defaultCDRDays, parseDays),
		Zone: parsed(s.get("zone"), time.Local, parseZone),
	}
	file, database := s.get("csv"), s.get("database")
	switch {
	case file.given() && database.given():
		database.fail("stands beside csv: wants one of the two")
	case database.given():
		c.database(database.section())
	case file.given():
		c.CSV = v.doc.resolve(parsed(file, "", notEmpty))
	case !s.broken:
		v.fail("wants csv, such as /var/log/asterisk/cdr-csv/Master.csv, or database")
	}
	fields := s.get("fields")
	for _, field := range fields.list() {
		c.Fields = append(c.Fields, parsed(field, "", parseCDRField))
	}
	switch {
	case fields.given() && !file.given():
		fields.fail("is of no use without csv")
	case c.Fields != nil && !(slices.Contains(c.Fields, "start") && slices.Contains(c.Fields, "channel")),
		c.Fields != nil && !(slices.Contains(c.Fields, "uniqueid") || slices.Contains(c.Fields, "linkedid")):
		fields.fail("wants start, channel, and uniqueid or linkedid among them at least, as in cdr_custom.conf")
	}
	s.done()
	return c
}

func (c *CDRConfig) database(s *section) {
	c.Driver = parsed(s.need("driver"), "", oneOf("mysql", "postgres"))
	c.Table = parsed(s.get("table"), defaultCDRTable, parseTable)
	dsn := s.need("dsn")
	if c.DSN = dsn.secret(0); c.DSN != "" && !s.doc.standIns {
		if form := badDSN(c.Driver, string(c.DSN)); form != "" { // what is wrong with it may show the password
			dsn.fail("wants %s", form)
		}
	}
	s.done()
}

// badDSN says what a driver's data source name looks like, "" if this is one.
func badDSN(driver, dsn string) string {
	switch driver {
	case "mysql":
		if _, err := mysql.ParseDSN(dsn); err != nil {
			return "user:password@tcp(host:3306)/asteriskcdrdb"
		}
	case "postgres":
		if _, err := pq.NewConnector(dsn); err != nil {
			return "postgres://user:password@host/asterisk?sslmode=require"
		}
	}
	return ""
}

func parseDays(text string) (int, error) {
	days, err := strconv.Atoi(text)
	if err != nil || days < 1 || days > maxCDRDays {
		return 0, fmt.Errorf("%q: wants a number of days from 1 to %d", text, maxCDRDays)
	}
	return days, nil
}

var (
	cdrFieldForm = regexp.MustCompile(`^[a-z_]{1,32}$`)
	tableForm    = regexp.MustCompile(`^([A-Za-z_][0-9A-Za-z_]{0,62}\.)?[A-Za-z_][0-9A-Za-z_]{0,62}$`)
)

// parseCDRField takes the name of a field as in CDR(…).
func parseCDRField(text string) (string, error) {
	if !cdrFieldForm.MatchString(text) {
		return "", fmt.Errorf("%.40q: wants a field by its name in CDR(…), such as src, or any other name for what is none", text)
	}
	return text, nil
}

func parseTable(text string) (string, error) {
	if !tableForm.MatchString(text) {
		return "", errors.New("wants the name of a table, such as cdr, or asteriskcdrdb.cdr")
	}
	return text, nil
}

// cdr is what the link is told.
func (c *CDRConfig) cdr() *asterisk.CDR {
	if c == nil {
		return nil
	}
	return &asterisk.CDR{
		File: c.CSV, Fields: c.Fields, Driver: c.Driver, DSN: string(c.DSN), Table: c.Table, Days: c.Days, Zone: c.Zone,
	}
}
