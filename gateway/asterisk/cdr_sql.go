package asterisk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A call is found by when it began: one that is longer may be missed.
const longCall = 12 * time.Hour

// cdrDatabase are the records of a table: the standard columns, and whatever else a distribution adds. It is only read.
type cdrDatabase struct {
	driver, dsn string
	table       string // with its schema, perhaps
	zone        *time.Location
}

func (d *cdrDatabase) read(ctx context.Context, since time.Time, fn func(cdr), bad func(error)) error {
	return d.query(ctx, func(ctx context.Context, tx *sql.Tx, column string, absolute bool) (*sql.Rows, error) {
		from := since.Add(-longCall).In(d.zone).Format(time.DateTime)
		if absolute {
			from = since.Add(-longCall).UTC().Format(time.RFC3339)
		}
		mark := "?"
		if d.driver == "postgres" {
			mark = "$1"
		}
		return tx.QueryContext(ctx, "SELECT * FROM "+d.table+" WHERE "+column+" >= "+mark, from)
	}, fn, bad)
}

func (d *cdrDatabase) last(ctx context.Context) (cdr, error) {
	last, found := cdr{}, errNoRecords
	err := d.query(ctx, func(ctx context.Context, tx *sql.Tx, column string, _ bool) (*sql.Rows, error) {
		return tx.QueryContext(ctx, "SELECT * FROM "+d.table+" ORDER BY "+column+" DESC LIMIT 1")
	}, func(r cdr) { last, found = r, nil }, func(err error) { found = err })
	if err != nil {
		return last, err
	}
	return last, found
}

// query runs one query in a transaction that may not write, and reads its rows. ask is told the column that says when a
// call began, and whether that is a moment of any zone.
func (d *cdrDatabase) query(
	ctx context.Context, ask func(ctx context.Context, tx *sql.Tx, column string, absolute bool) (*sql.Rows, error),
	fn func(cdr), bad func(error),
) (err error) {
	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	column, absolute, err := d.begins(ctx, tx)
	if err != nil {
		return err
	}
	rows, err := ask(ctx, tx, column, absolute)
	if err != nil {
		return fmt.Errorf("table %s: %w", d.table, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := columns(rows)
	if err != nil {
		return err
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("table %s: %w", d.table, err)
		}
		r, err := newCDR(func(name string) string {
			i := slices.Index(names, name)
			if i < 0 {
				return ""
			}
			return d.text(values[i], absolute)
		}, d.zone)
		if err != nil {
			bad(fmt.Errorf("table %s: the record %.80q: %w", d.table, r.uniqueid, err))
			continue
		}
		fn(r)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("table %s: %w", d.table, err)
	}
	return nil
}

// begins finds the column that says when a call began.
func (d *cdrDatabase) begins(ctx context.Context, tx *sql.Tx) (column string, absolute bool, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+d.table+" WHERE 1 = 0") //nolint:gosec // a table's name, as the configuration has it
	if err != nil {
		return "", false, fmt.Errorf("table %s: %w", d.table, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	names, err := columns(rows)
	if err != nil {
		return "", false, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return "", false, fmt.Errorf("table %s: %w", d.table, err)
	}
	for _, name := range [...]string{"calldate", "start"} {
		if i := slices.Index(names, name); i >= 0 {
			return name, types[i].DatabaseTypeName() == "TIMESTAMPTZ", rows.Err()
		}
	}
	return "", false, fmt.Errorf("table %s has neither a column calldate nor start: is it that of call detail records?", d.table)
}

func columns(rows *sql.Rows) ([]string, error) {
	names, err := rows.Columns()
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names, err
}

// text returns a value as cdr_csv would write it.
func (d *cdrDatabase) text(v any, absolute bool) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case time.Time:
		if absolute {
			return v.Format(time.RFC3339Nano)
		}
		return v.Format("2006-01-02 15:04:05.999999") // of the zone that Asterisk writes in, whatever the driver says
	default:
		return fmt.Sprint(v)
	}
}
