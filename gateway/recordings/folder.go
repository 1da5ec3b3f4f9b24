package recordings

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"time"

	"ringcast/gateway"
)

// settleTime is how long nobody has written to a file that is taken for whole.
const settleTime = 2 * time.Second

// What becomes of a recording that cannot be had as it is now.
var (
	errMissing = errors.New("there is no such recording")
	errGrowing = errors.New("the recording is still being written")
)

// Folder returns the source of recordings in a folder of this machine: the PBX's own, or its mounted one. Symbolic links
// may lead elsewhere in the folder, but not out of it.
func Folder(dir string, now func() time.Time) Source { return &folder{dir, now} }

type folder struct {
	dir string
	now func() time.Time
}

// Open opens a file. The folder is opened each time: it may be mounted at any time.
func (f *folder) Open(_ context.Context, name string, _ *http.Request) (Recording, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, unavailable("the folder of the recordings cannot be read", err)
	}
	defer func() { _ = root.Close() }()                                   // it was only read
	opened, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block
	var errno syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return nil, errMissing
	case errors.As(err, &errno):
		return nil, unavailable("the recording cannot be read", err)
	case err != nil: // it leads out of the folder
		return nil, &gateway.Error{Code: gateway.CodeNotFound, Message: "there is no such recording", Err: err}
	}
	rec, err := f.settled(opened)
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return rec, nil
}

// settled makes sure that it is a file and that nobody writes to it any more.
func (f *folder) settled(opened *os.File) (Recording, error) {
	info, err := opened.Stat()
	if err != nil {
		return nil, unavailable("the recording cannot be read", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &gateway.Error{Code: gateway.CodeNotFound, Message: "there is no such recording", Err: fmt.Errorf("%v is no file", info.Mode())}
	}
	// A time to come is that of a machine whose clock is ahead, and says nothing.
	if age := f.now().Sub(info.ModTime()); info.Size() == 0 || age >= 0 && age < settleTime {
		return nil, errGrowing
	}
	return &file{opened, info}, nil
}

// Check tells whether the folder can be read.
func (f *folder) Check(context.Context) ([]string, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	dir, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("%w: the user that ringcast runs as has to be let in (a group of both, say)", err)
	}
	defer func() { _ = dir.Close() }()
	switch _, err := dir.ReadDir(1); {
	case errors.Is(err, io.EOF):
		return []string{"it is empty: no recordings yet, or it is not mounted"}, nil
	default:
		return nil, err
	}
}

// file is a recording in a folder.
type file struct {
	*os.File
	info fs.FileInfo
}

func (f *file) Type() string { return "" }

// Send answers with the file, or the part of it that was asked for.
func (f *file) Send(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, f.info.ModTime().UnixNano(), f.info.Size()))
	http.ServeContent(w, r, "", f.info.ModTime(), f.File)
	return nil
}

// unavailable is a source that does not work, which is worth a line in the log.
func unavailable(what string, err error) error {
	return &gateway.Error{Code: gateway.CodeUnavailable, Message: what + " now: come again", RetryAfter: retryTrouble, Err: err}
}
