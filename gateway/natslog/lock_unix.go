//go:build unix

package natslog

import (
	"os"
	"syscall"
)

// tryLock locks f until it is closed or the process ends, and fails at once if another holds it.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// unlock gives the lock up. To close f is not enough while a child that is being started has it open too.
func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
