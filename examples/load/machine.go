package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func processors() int { return runtime.NumCPU() }

// serverProcessor is the processor that a pinned server has to itself; this program takes all others.
const serverProcessor = "0"

// pinned is a command that runs on the server's processor only.
func pinned(name string, args []string) (taskset string, pinnedArgs []string) {
	return "taskset", append([]string{"-c", serverProcessor, name}, args...)
}

// pinSelf keeps this program off the server's processor.
func pinSelf(ctx context.Context) error {
	if processors() < 2 {
		return errors.New("-pin: there is one processor only")
	}
	others := fmt.Sprintf("1-%d", processors()-1)
	cmd := exec.CommandContext(ctx, "taskset", "-a", "-c", "-p", others, strconv.Itoa(os.Getpid())) //nolint:gosec // a number
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("-pin, with taskset of util-linux: %w: %s", err, out)
	}
	runtime.GOMAXPROCS(processors() - 1)
	return nil
}

// describeMachine says what the figures were measured on.
func describeMachine(dir string) string {
	model := "processors"
	if info, err := readProc("cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(info, "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	kernel := firstWord("sys/kernel/osrelease")
	disk, err := diskOf(dir)
	if err != nil {
		disk.kind = err.Error()
	}
	return fmt.Sprintf("%d × %s, %s %s, %s, data on %s, load average %s at the start",
		processors(), model, runtime.GOOS, kernel, runtime.Version(), disk, firstWord("loadavg"))
}

func firstWord(name string) string {
	data, err := readProc(name)
	if err != nil {
		return "?"
	}
	word, _, _ := strings.Cut(strings.TrimSpace(data), " ")
	return word
}

// disk is the file system that a directory lies on.
type disk struct{ kind, device string }

func (d disk) String() string { return fmt.Sprintf("%s (%s)", d.kind, d.device) }

func (d disk) inMemory() bool { return slices.Contains([]string{"tmpfs", "ramfs", "devtmpfs"}, d.kind) }

// checkDisk refuses a directory in memory, where durability costs nothing and means nothing.
func checkDisk(dir string) error {
	d, err := diskOf(dir)
	if err == nil && d.inMemory() {
		err = fmt.Errorf("%s is on %s, in memory: name a directory on a disk with -dir", dir, d)
	}
	return err
}

// diskDir is a directory on a disk, as far as one can be guessed.
func diskDir() string {
	dirs := []string{os.TempDir()}
	if cache, err := os.UserCacheDir(); err == nil && os.MkdirAll(cache, 0o700) == nil {
		dirs = append(dirs, cache)
	}
	for _, dir := range dirs {
		if checkDisk(dir) == nil {
			return dir
		}
	}
	return dirs[0]
}

// diskOf finds the mount that is nearest above a directory.
func diskOf(dir string) (disk, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return disk{}, err
	}
	mounts, err := readProc("self/mounts")
	if err != nil {
		return disk{}, fmt.Errorf("which file system is %s on? %w", dir, err)
	}
	var best disk
	longest := -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		if len(point) >= longest && strings.HasPrefix(dir+"/", point+"/") { // of two on one point the later one counts
			longest, best = len(point), disk{kind: fields[2], device: fields[0]}
		}
	}
	return best, nil
}
