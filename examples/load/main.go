// Command load measures Ringcast and tries to break it: a real server with its log on a disk, thousands of sessions of
// users spread over hundreds of accounts, and a PBX for each account that posts the events of calls to them.
//
//	go run ./examples/load                 events at a rate: latency, processor time, memory
//	go run ./examples/load idle            what a session costs that nothing happens to
//	go run ./examples/load storm           everybody is cut off and comes back
//	go run ./examples/load fault           cuts, rung changes and killed nodes: is anything lost?
//	go run ./examples/load soak            sleeps, reconnects, token renewals: does anything grow?
//
// Each prints its figures and then a line for each bound, PASS or FAIL; the exit code is 1 when one does not hold.
// With -short each is a matter of seconds, for CI; -h lists its flags.
//
// # Method
//
// Figures of costs stand beside those of two servers that this program has in itself and that keep nothing: a bare
// fan-out on gorilla/websocket, and the naive server on stock melody. They run in processes of their own, in the same
// run, under the same load. Read the ratios: the absolute figures are the machine's. With -pin the server has one
// processor and this program the others.
//
// The load is open-loop: every POST has its time, and latency counts from that, also when the POST goes out late
// because the one before it is not answered yet. With -saturate the same senders then post without a pause, each as
// soon as its last POST is answered. Memory is what the operating system says the process has, when nothing has
// happened for the time of -rest; nobody makes it collect. Go collects by itself every two minutes.
//
// Whatever the rung, each session proves that it missed nothing: it knows what was posted for its user, each message
// must follow the one before by its prev, and everything must come once, in order and to nobody else.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && peers[os.Args[1]] != nil {
		if err := servePeer(ctx, os.Args[1], os.Args[2], os.Stdin); err != nil {
			fmt.Fprintf(os.Stderr, "load: %s: %v\n", os.Args[1], err)
			os.Exit(1) //nolint:gocritic // the process ends: stop has nothing left to do
		}
		return
	}
	debug.SetGCPercent(400) // the senders' and readers' garbage should not be in the servers' way
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0, 1 when a bound does not hold or nothing could be measured, 2 when it was called
// wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, o, err := parseCommand(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "load:", err)
		return 2
	}
	ok, err := runCommand(ctx, c, o, stdout, stderr)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	if !ok {
		return 1
	}
	return 0
}

// runCommand prepares the ground and says whether all bounds hold.
func runCommand(ctx context.Context, c command, o options, stdout, stderr io.Writer) (bool, error) {
	if o.pin {
		if err := pinSelf(ctx); err != nil {
			return false, err
		}
	}
	s, err := newSite(ctx, o, stderr)
	if err != nil {
		return false, err
	}
	defer s.close()
	fmt.Fprintln(stdout, describeMachine(s.dir))
	return c.run(ctx, s, stdout)
}
