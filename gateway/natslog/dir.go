package natslog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The files of a directory besides the server's own.
const (
	lockFile = "natslog.lock" // held while the directory is open
	modeFile = "natslog.mode" // how the streams in here are kept
	runFile  = "natslog.run"  // the run that has the directory open, or the clean-stop mark
)

// What the mode file says. The streams of a standalone server are never taken over by a cluster, nor the other
// way round: whoever changes from one to the other would start with an empty log and not know it.
const (
	standalone = "standalone" // the streams are in here
	clustered  = "clustered"  // the streams are on NATS servers that others run
)

// ErrInUse means that another process has the directory open.
var ErrInUse = errors.New("in use by another process")

// dir is an open, locked directory.
type dir struct {
	path string
	lock *os.File
}

// openDir locks path for this process and checks that it is standalone.
func openDir(path string) (*dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	d := &dir{path: path, lock: lock}
	if err := tryLock(lock); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrInUse), lock.Close())
	}
	if err := d.claim(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *dir) claim() error {
	switch mode, err := d.mode(); {
	case err != nil:
		return err
	case mode == "":
		return d.write(modeFile, []byte(standalone+"\n"))
	case mode == clustered:
		return fmt.Errorf("%s was used with nats.url, in mode %q: the log is on those servers. Set nats.url again, or give another directory to begin anew", d.path, mode)
	case mode != standalone:
		return fmt.Errorf("%s was made in mode %q and cannot be opened in mode %q", d.path, mode, standalone)
	}
	return nil
}

// mode returns what the mode file says, "" if there is none.
func (d *dir) mode() (string, error) {
	mode, err := os.ReadFile(filepath.Join(d.path, modeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(mode)), err
}

// mayJoin says whether the directory is marked as that of a node whose log is on a cluster. It fails when it cannot
// become one, and changes nothing.
func (d *dir) mayJoin() (marked bool, err error) {
	mode, err := d.mode()
	if err == nil && mode != "" && mode != clustered {
		err = fmt.Errorf("%s holds a log of its own, in mode %q, which does not join a cluster by itself. "+
			"Run it without nats.url until its work is done, then give another directory (or move this one away) to begin anew on the cluster; or leave nats.url out",
			d.path, mode)
	}
	return mode == clustered, err
}

// join marks the directory as that of a node whose log is on a cluster.
func (d *dir) join() error {
	marked, err := d.mayJoin()
	if err != nil || marked {
		return err
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	return d.write(modeFile, []byte(clustered+"\n"))
}

// run tells the next start how this one went.
type run struct {
	Clean      bool       `json:"clean"`
	Durability Durability `json:"durability,omitempty"`
	Boot       string     `json:"boot,omitempty"` // empty: not known
}

// mayHaveLostTail reports whether entries that the run acknowledged may be gone, the kernel's run being
// boot now. A killed process loses nothing; only a restart of the machine does.
func (r run) mayHaveLostTail(boot string) bool {
	return !r.Clean && r.Durability != Strict && (boot == "" || r.Boot != boot)
}

// lastRun returns the last run; the zero run, which vouches for nothing, when there is none or on an error.
func (d *dir) lastRun() (run, error) {
	var r run
	b, err := os.ReadFile(filepath.Join(d.path, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return run{}, fmt.Errorf("%s: %w", filepath.Join(d.path, runFile), err)
	}
	return r, nil
}

func (d *dir) setRun(r run) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return d.write(runFile, b)
}

// write replaces a file as a whole, and durably.
func (d *dir) write(name string, data []byte) error {
	path := filepath.Join(d.path, name)
	f, err := os.CreateTemp(d.path, name+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncFile(d.path)
}

// sync puts everything below the directory on disk.
func (d *dir) sync() error {
	return filepath.WalkDir(d.path, func(path string, e fs.DirEntry, err error) error {
		if err == nil && (e.IsDir() || e.Type().IsRegular()) {
			err = syncFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		return err
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// close unlocks the directory.
func (d *dir) close() error { return errors.Join(unlock(d.lock), d.lock.Close()) }
