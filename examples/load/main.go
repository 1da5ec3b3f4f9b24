// Command load measures Ringcast: a real server with its log on a disk, thousands of WebSocket sessions of
// users spread over hundreds of accounts, and a PBX for each account that posts the events of calls to them.
//
//	go run ./examples/load -durability both -saturate
//
// It reports the time from event posted to message in the tab, what was lost, doubled, out of order or sent to
// the wrong user, and what it cost the server, beside a bare fan-out (one POST in, one WebSocket message out,
// nothing kept) under the same load in the same run. Read the ratios: the absolute figures are the machine's.
//
// # Method
//
// The load is open-loop: every POST has its time, and latency counts from that, also when the POST goes out late
// because the one before it is not answered yet. Each server runs in a process of its own and gets a fresh
// directory; each round runs all of them one after another. With -saturate the same senders then post
// without a pause, each as soon as its last POST is answered.
//
// The exit code is 1 when a bound does not hold: see the lines PASS and FAIL below the table.
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
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		if err := serveBare(ctx, os.Args[2], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "load: bare fan-out:", err)
			os.Exit(1) //nolint:gocritic // the process ends: stop has nothing left to do
		}
		return
	}
	debug.SetGCPercent(400) // the senders' and readers' garbage should not be in the servers' way
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the command's flags.
type options struct {
	sessions, accounts int
	rate, batch        int // events a second; events a POST
	senders            int // connections that post
	duration           time.Duration
	rounds             int
	durability         string
	saturate, short    bool
	dir, ringcast      string
}

// shortForm is what -short means for the flags that are not given.
var shortForm = map[string]string{ // fixed
	"sessions": "500", "rate": "500", "duration": "2500ms", "rounds": "1", "durability": "both", "saturate": "true",
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.sessions, "sessions", 5000, "WebSocket sessions, one a user")
	flags.IntVar(&o.accounts, "accounts", 500, "accounts that the users are spread over")
	flags.IntVar(&o.rate, "rate", 2000, "events a second")
	flags.IntVar(&o.batch, "batch", 1, "events a POST")
	flags.IntVar(&o.senders, "senders", 128, "keep-alive connections that post")
	flags.DurationVar(&o.duration, "duration", 20*time.Second, "how long each measurement takes")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; the table shows their medians")
	flags.StringVar(&o.durability, "durability", "strict", "what to measure: strict, fast or both")
	flags.BoolVar(&o.saturate, "saturate", false, "measure the highest rate as well, for a quarter of -duration")
	flags.BoolVar(&o.short, "short", false, "a form of ten seconds for CI, with lenient bounds on the times")
	flags.StringVar(&o.dir, "dir", "", "a `directory` on a disk for the servers' data (default: where temporary files go)")
	flags.StringVar(&o.ringcast, "ringcast", "", "the server's `binary` (default: built from ./cmd/ringcast)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.short {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range shortForm {
			if !given[name] {
				if err := flags.Set(name, value); err != nil {
					return o, err
				}
			}
		}
	}
	return o, o.check(flags.NArg())
}

func (o *options) check(rest int) error {
	switch {
	case rest > 0:
		return errors.New("there are no arguments but flags")
	case o.accounts < 1 || o.sessions < o.accounts || o.sessions > 100_000:
		return errors.New("-sessions: one at least for each of -accounts, 100,000 at most")
	case o.batch < 1 || o.batch > 500 || o.rate < o.batch || o.rate > 1_000_000:
		return errors.New("-batch: 1 to 500; -rate: one POST a second at least, 1,000,000 events at most")
	case o.senders < 1 || o.senders > 1024:
		return errors.New("-senders: 1 to 1,024")
	case o.rounds < 1 || o.rounds > 20 || o.duration < time.Second || o.duration > 10*time.Minute:
		return errors.New("-rounds: 1 to 20; -duration: 1s to 10m")
	case o.durability != "strict" && o.durability != "fast" && o.durability != "both":
		return errors.New("-durability: strict, fast or both")
	}
	o.senders = min(o.senders, o.accounts) // an account has one sender, so that its events stay in order
	return nil
}

// run returns the exit code: 0, 1 when a bound does not hold or nothing could be measured, 2 when it was called
// wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "load:", err)
		return 2
	}
	ok, err := measure(ctx, o, stdout, stderr)
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

// measure runs the rounds and prints the report. It says whether all bounds hold.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) (bool, error) {
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return false, err
	}
	defer b.close()
	report := newReport(o, b.kinds, describeMachine(b.dir))
	report.printHead(stdout)
	for round := 1; round <= o.rounds; round++ {
		for _, kind := range b.kinds {
			results, err := b.round(ctx, kind)
			if err != nil {
				return false, fmt.Errorf("round %d, %s: %w", round, kind, err)
			}
			report.add(kind, results)
			report.printRound(stdout, round, kind, results)
		}
	}
	report.printTable(stdout)
	return report.judge(stdout), nil
}
