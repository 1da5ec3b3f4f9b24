// Command ringcast joins a telephone system to the browser pages of a CRM: it takes the PBX's call
// events, keeps them in a durable log, and pushes each to the tabs of the user it concerns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(process(pace{})) }

// process is the whole program. It returns the exit code.
func process(pace pace) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	app := &app{stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv, pace: pace}
	return app.run(ctx, os.Args[1:])
}

// app is what a command has of its surroundings.
type app struct {
	stdout, stderr io.Writer
	env            func(string) (string, bool)
	started        func(*node) // for tests: called when a node serves
	pace           pace
}

type command struct {
	name, summary string
	run           func(ctx context.Context, flags *flag.FlagSet, args []string) error
}

func (a *app) commands() []command {
	return []command{
		{"demo", "everything in one process, to try it out in the browser", a.demo},
		{"serve", "run the gateway with a config file", a.serve},
		{"check", "try everything that a config file names and say what is wrong", a.check},
		{"widget", "write the amoCRM widget's archive for an account", a.widget},
		{"connect", "print the link by which a CRM's administrator lets an integration in", a.connect},
		{"token", "print a session token of a user, for trying things out", a.token},
		{"record", "keep what a PBX says in a file, secrets masked", a.record},
		{"replay", "play such a file into a gateway and say what comes of its calls", a.replay},
		{"version", "print the version", a.version},
	}
}

// errUsage: the usage has been printed.
var errUsage = errors.New("usage")

// run runs a command and returns the exit code: 0, 1 when it failed, 2 when it was called wrongly.
func (a *app) run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		a.usage()
		return 2
	}
	switch args[0] {
	case "-version", "--version":
		args = append([]string{"version"}, args[1:]...)
	case "help":
		if len(args) > 1 {
			args = []string{args[1], "-h"}
		}
	}
	for _, c := range a.commands() {
		if c.name != args[0] {
			continue
		}
		flags := flag.NewFlagSet("ringcast "+c.name, flag.ContinueOnError)
		flags.SetOutput(a.stderr)
		switch err := c.run(ctx, flags, args[1:]); {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return 0
		case ctx.Err() != nil && errors.Is(err, context.Canceled): // told to end before it had begun
			return 0
		case errors.Is(err, errUsage):
			return 2
		default:
			fmt.Fprintln(a.stderr, "ringcast:", err)
			return 1
		}
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		a.usage()
		return 0
	}
	fmt.Fprintf(a.stderr, "ringcast: there is no command %q\n\n", args[0])
	a.usage()
	return 2
}

func (a *app) usage() {
	fmt.Fprint(a.stderr, "Ringcast: calls of a PBX in the browser pages of a CRM.\n\n")
	for _, c := range a.commands() {
		fmt.Fprintf(a.stderr, "  ringcast %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(a.stderr, "\n\"ringcast COMMAND -h\" lists a command's flags.\n")
}

// parse reads a command's flags; it takes no other arguments, and those in need must be given. What is wrong is said
// in a line, and where all flags are described in another.
func parse(flags *flag.FlagSet, args []string, need ...string) error {
	out := flags.Output()
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	flags.SetOutput(out)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(out, "Flags of %s:\n", flags.Name())
		flags.PrintDefaults()
		return err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	for _, name := range need {
		if err == nil && flags.Lookup(name).Value.String() == "" {
			err = fmt.Errorf("-%s is needed", name)
		}
	}
	if err != nil {
		fmt.Fprintf(out, "%s: %v\n%q lists the flags.\n", flags.Name(), err, flags.Name()+" -h")
		return errUsage
	}
	return nil
}

// logger writes to stderr from the given level on.
func (a *app) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		fmt.Fprintf(a.stderr, "ringcast: -log-level: %q is none of debug, info, warn, error\n", level)
		return nil, errUsage
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: l})), nil
}
