package asterisk

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	csvBlock = 64 << 10
	csvLine  = 16 << 10 // bytes that a record may have

	// How much older than its neighbours a record may be: they are written when channels end, or in batches, and the
	// clock goes back by an hour in autumn.
	csvDisorder = 2 * time.Hour
)

// cdrFiles are the records of cdr_csv or cdr_custom: a line each, the latest at the end of the file; and of files beside it
// that were once it (Master.csv.1, Master.csv-20260131.gz).
type cdrFiles struct {
	path   string
	fields []string
	zone   *time.Location
}

func (f *cdrFiles) read(ctx context.Context, since time.Time, fn func(cdr), bad func(error)) error {
	files, err := f.files(since)
	if err != nil {
		return err
	}
	var seen []fs.FileInfo // it may be rotated meanwhile
	for _, path := range files {
		if err := f.readFile(ctx, path, since, &seen, fn, bad); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// files returns the file and those that were rotated since a moment, the file last.
func (f *cdrFiles) files(since time.Time) ([]string, error) {
	dir, base := filepath.Split(f.path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), base)
		if !ok || rest == "" || rest[0] != '.' && rest[0] != '-' {
			continue
		}
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && !info.ModTime().Before(since) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return append(files, f.path), nil
}

func (f *cdrFiles) readFile(
	ctx context.Context, path string, since time.Time, seen *[]fs.FileInfo, fn func(cdr), bad func(error),
) error {
	file, err := os.Open(path)
	if err != nil {
		if path != f.path && errors.Is(err, fs.ErrNotExist) {
			return nil // what was rotated is rotated once more, and read with the next pass
		}
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(*seen, func(other fs.FileInfo) bool { return os.SameFile(other, info) }) {
		return nil
	}
	*seen = append(*seen, info)
	given := 0
	take := func(line []byte, at int64) bool {
		r, err := f.parse(line)
		if err != nil {
			bad(fmt.Errorf("%s, at byte %d: %w", path, at, err))
			return true
		}
		fn(r)
		given++
		return given < zoneRows || !r.end.Before(since.Add(-csvDisorder)) // it may be in another zone that it ended before
	}
	if strings.HasSuffix(path, ".gz") {
		return forwards(ctx, file, take)
	}
	return backwards(ctx, file, info.Size(), take)
}

// parse reads a line.
func (f *cdrFiles) parse(line []byte) (cdr, error) {
	if len(line) > csvLine {
		return cdr{}, fmt.Errorf("a line of more than %d bytes", csvLine)
	}
	in := csv.NewReader(bytes.NewReader(line))
	in.FieldsPerRecord, in.LazyQuotes = -1, true
	fields, err := in.Read()
	if err != nil {
		return cdr{}, fmt.Errorf("it is no line of CSV: %w", err)
	}
	if start := slices.Index(f.fields, "start"); len(fields) <= start {
		return cdr{}, fmt.Errorf("it has %d fields, and the time should be in field %d", len(fields), start+1)
	}
	if n := len(fields); (n == 19 || n == 20) && slices.Equal(f.fields, CSVFields()) { // one in the middle is missing
		return cdr{}, fmt.Errorf("it has %d fields, and which are missing cannot be told: set loguniqueid, loguserfield and newcdrcolumns = yes in cdr.conf", n)
	}
	return newCDR(func(name string) string {
		if i := slices.Index(f.fields, name); i >= 0 && i < len(fields) {
			return fields[i]
		}
		return ""
	}, f.zone)
}

func (f *cdrFiles) last(ctx context.Context) (last cdr, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return last, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return last, err
	}
	found := errNoRecords
	err = backwards(ctx, file, info.Size(), func(line []byte, _ int64) bool {
		last, found = f.parse(line)
		return false
	})
	if err != nil {
		return last, err
	}
	if found != nil && !errors.Is(found, errNoRecords) {
		found = fmt.Errorf("its last line cannot be read, is it of cdr_csv, or are fields as in cdr_custom.conf? %w", found)
	}
	return last, found
}

// backwards calls take for the lines of a file up to its size, the last one first, with where they begin, until it returns
// false. A last line without an end is being written, and left out.
func backwards(ctx context.Context, file io.ReaderAt, size int64, take func(line []byte, at int64) bool) error {
	var rest []byte // the end of a line that begins further in front
	ended := false  // the end of a line was found
	for end := size; end > 0; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		begin := max(end-csvBlock, 0)
		block := make([]byte, end-begin, end-begin+int64(len(rest)))
		if _, err := file.ReadAt(block, begin); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		block = append(block, rest...)
		for {
			i := bytes.LastIndexByte(block, '\n')
			if i < 0 {
				break
			}
			if line := bytes.TrimSuffix(block[i+1:], []byte("\r")); ended && len(line) > 0 && !take(line, begin+int64(i)+1) {
				return nil
			}
			ended, block = true, block[:i]
		}
		if len(block) > csvLine { // more of it would be kept for nothing
			block = block[len(block)-csvLine-1:]
		}
		rest, end = block, begin
	}
	if line := bytes.TrimSuffix(rest, []byte("\r")); ended && len(line) > 0 {
		take(line, 0)
	}
	return nil
}

// forwards calls take for all lines of a compressed file.
func forwards(ctx context.Context, file io.Reader, take func(line []byte, at int64) bool) error {
	text, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(text, csvLine+2)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		line, err := lines.ReadSlice('\n')
		size := len(line)
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			take(line, at)
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a line that is too long
			line, err = lines.ReadSlice('\n')
			size += len(line)
		}
		at += int64(size)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
