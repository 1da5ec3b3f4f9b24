package natslog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringcast/gateway"
)

// The environment of a child: this test binary, which plays a part instead of testing.
const (
	childPlay       = "NATSLOG_TEST_PLAY"
	childDir        = "NATSLOG_TEST_DIR"
	childDurability = "NATSLOG_TEST_DURABILITY"
)

var childPlays = map[string]func() int{
	"addwork": playAddWork,
	"append":  playAppend,
	"full":    playFullDisk,
	"hold":    playHold,
}

func child(t *testing.T, play, dir string, durability Durability) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childPlay+"="+play, childDir+"="+dir, childDurability+"="+string(durability))
	cmd.Stderr = os.Stderr
	return cmd
}

func childConfig() Config {
	return Config{Dir: os.Getenv(childDir), Durability: Durability(os.Getenv(childDurability))}
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// playAppend appends until it is killed, and says what was acknowledged.
func playAppend() int {
	ctx := context.Background()
	db, err := Open(ctx, childConfig())
	if err != nil {
		return fail(err)
	}
	last, err := db.log.Last(ctx, 0)
	if err != nil {
		return fail(err)
	}
	data := make([]byte, recordSize)
	for {
		id := fmt.Sprintf("%d/%d", os.Getpid(), last)
		if last, err = db.log.Append(ctx, gateway.Entry{ID: id, Data: data}, last); err != nil {
			return fail(err)
		}
		fmt.Println(last, id)
	}
}

// TestKilledProcessLosesNothing kills a process while it appends, several times on one directory.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	for _, durability := range []Durability{Strict, Fast} {
		t.Run(string(durability), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			acked := make(map[uint64]string)
			var epoch string
			for round := range 3 {
				killWhileAppending(t, dir, durability, 300+150*round, acked)

				db := open(t, Config{Dir: dir, Durability: durability})
				if now := db.log.Info().Epoch; epoch == "" {
					epoch = now
				} else if now != epoch {
					t.Errorf("the epoch changed from %s to %s though only the process was killed", epoch, now)
				}
				last, err := db.log.Last(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				ids, seqs := make(map[string]bool), make(map[uint64]string)
				for _, e := range readAll(t, db.log, last) {
					if ids[e.ID] {
						t.Fatalf("entry %q is there twice", e.ID)
					}
					ids[e.ID], seqs[e.Seq] = true, e.ID
				}
				for seq, id := range acked {
					if seqs[seq] != id {
						t.Fatalf("acknowledged entry %d %q is lost; there is %q", seq, id, seqs[seq])
					}
				}
				if unanswered := len(ids) - len(acked); unanswered > round+1 {
					t.Errorf("%d entries were never acknowledged in %d rounds", unanswered, round+1)
				}
				// The next child must find the directory as the killed one left it.
				crash(t, db)
			}
		})
	}
}

// killWhileAppending kills a child after so many acknowledged entries and adds all of them to acked.
func killWhileAppending(t *testing.T, dir string, durability Durability, entries int, acked map[uint64]string) {
	t.Helper()
	cmd := child(t, "append", dir, durability)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		var seq uint64
		var id string
		if _, err := fmt.Sscan(lines.Text(), &seq, &id); err != nil {
			break // cut short by the kill
		}
		acked[seq] = id
		if n == entries {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v, want killed", err)
	}
}

// crash ends db as a kill does, as far as the directory is concerned.
func crash(t testing.TB, db *DB) {
	t.Helper()
	if err := db.release(); err != nil {
		t.Fatal(err)
	}
}

// readAll returns the entries up to and including last.
func readAll(t testing.TB, l gateway.Log, last uint64) []gateway.Entry {
	t.Helper()
	errEnd := errors.New("end")
	var all []gateway.Entry
	err := l.Tail(t.Context(), 0, func(e gateway.Entry) error {
		if n := len(all); n > 0 && e.Seq <= all[n-1].Seq {
			t.Errorf("entry %d came after %d", e.Seq, all[n-1].Seq)
		}
		all = append(all, gateway.Entry{Seq: e.Seq, ID: e.ID})
		if e.Seq >= last {
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	return all
}

// playHold opens the directory and holds it until its standard input ends.
func playHold() int {
	db, err := Open(context.Background(), childConfig())
	if err != nil {
		return fail(err)
	}
	fmt.Println("open")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	if err := db.Close(); err != nil {
		return fail(err)
	}
	return 0
}

// TestTwoProcessesCannotShareADirectory tries from within this process and from another.
func TestTwoProcessesCannotShareADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := child(t, "hold", dir, Fast)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	wantInUse := func() {
		t.Helper()
		db, err := Open(t.Context(), Config{Dir: dir})
		if err == nil {
			closeDB(t, db)
			t.Fatal("a directory in use was opened")
		}
		if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("the error does not say what is wrong: %v", err)
		}
	}
	wantInUse()
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	db := open(t, Config{Dir: dir})
	wantInUse()
	closeDB(t, db)
	closeDB(t, open(t, Config{Dir: dir}))
}

// playFullDisk appends until the disk takes no more, which a limit on the size of files plays.
func playFullDisk() int {
	ctx := context.Background()
	db, err := Open(ctx, childConfig())
	if err != nil {
		return fail(err)
	}
	if err := db.Healthy(ctx); err != nil {
		return fail(err)
	}
	limit := syscall.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return fail(err)
	}
	var last uint64
	for range 40 {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		seq, err := db.log.Append(ctx, gateway.Entry{ID: "x", Data: noise(64 << 10)}, last)
		cancel()
		if err == nil {
			last = seq
			continue
		}
		fmt.Printf("%d|%v|%v|%v\n", last, errors.Is(err, gateway.ErrConflict), err, db.Healthy(context.Background()))
		return 0
	}
	return fail(errors.New("the disk took everything"))
}

// TestFailingDiskIsNotHealthy also checks that the entries before the failure are there after a restart.
func TestFailingDiskIsNotHealthy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, err := child(t, "full", dir, Strict).Output()
	if err != nil {
		t.Fatal(err)
	}
	answer := strings.Split(strings.TrimSpace(string(out)), "|")
	if len(answer) != 4 || answer[1] != "false" || answer[3] == "<nil>" {
		t.Fatalf("last acknowledged, conflict, error, health: %q", answer)
	}
	db := open(t, Config{Dir: dir})
	defer closeDB(t, db)
	acked, err := strconv.ParseUint(answer[0], 10, 64)
	if err != nil || acked == 0 {
		t.Fatalf("%q entries were acknowledged before the failure", answer[0])
	}
	last, err := db.log.Last(t.Context(), 0)
	if err != nil || last < acked {
		t.Errorf("last entry %d, %v; acknowledged was %d", last, err, acked)
	}
	if _, err := db.log.Append(t.Context(), gateway.Entry{ID: "y"}, last); err != nil {
		t.Errorf("Append after the restart: %v", err)
	}
}

// playAddWork adds and removes items until it is killed, and says what was acknowledged.
func playAddWork() int {
	ctx := context.Background()
	db, err := Open(ctx, childConfig())
	if err != nil {
		return fail(err)
	}
	q, err := db.Queue(ctx, "crm")
	if err != nil {
		return fail(err)
	}
	for i := 0; ; i++ {
		id := fmt.Sprint(os.Getpid(), "/", i)
		place, err := q.Add(ctx, gateway.Item{Lane: "l", ID: id})
		if err != nil {
			return fail(err)
		}
		fmt.Println("added", id)
		if i%3 == 0 {
			if err := q.Remove(ctx, place); err != nil {
				return fail(err)
			}
			fmt.Println("removed", id)
		}
	}
}

func TestKilledWorkQueueLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := child(t, "addwork", dir, Fast)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	lines := bufio.NewScanner(out)
	var last string // what was done with it last may not have been acknowledged
	for n := 0; lines.Scan(); n++ {
		what, id, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			break
		}
		there[id], last = what == "added", id
		if n == 300 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()

	db := open(t, Config{Dir: dir, Durability: Fast})
	defer closeDB(t, db)
	q, err := db.Queue(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for after := uint64(0); ; {
		item, err := q.Next(t.Context(), "l", after)
		if errors.Is(err, gateway.ErrNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[item.ID], after = true, item.Place
	}
	for id, is := range there {
		if found[id] != is && id != last {
			t.Errorf("%s: found %v, want %v", id, found[id], is)
		}
	}
}
