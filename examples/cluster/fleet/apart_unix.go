//go:build unix

package fleet

import "syscall"

// apart keeps a process from the signals of the terminal: Ctrl-C is for the fleet, which ends its processes
// in order.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
