package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// options are the flags of all commands.
type options struct {
	sessions, accounts int
	rate, batch        int // events a second; events a POST
	senders            int // connections that post
	rungs              list
	cuts               int // connections a second
	duration           time.Duration
	rounds             int
	durability         string
	nodes              int
	kills, freezes     time.Duration // between two
	natsKills          time.Duration
	tokenLife          time.Duration
	seed               uint64
	rest               time.Duration
	tls, pin           bool
	saturate, short    bool
	dir, ringcast      string
}

// list is a flag of names with commas between them.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = strings.Split(s, ",")
	return nil
}

// command is one thing that this program does.
type command struct {
	name     string
	about    string
	defaults map[string]string // of the flags that it has
	short    map[string]string // of those that are others with -short
	run      func(context.Context, *site, io.Writer) (bool, error)
}

// commands are all commands; the first is the one without a name.
func commands() []command {
	return []command{
		{"", "measures latency, processor time and memory at a rate of events", map[string]string{
			"sessions": "5000", "accounts": "500", "rate": "2000", "batch": "1", "senders": "128", "rungs": "ws", "cuts": "0",
			"duration": "20s", "rounds": "3", "durability": "strict", "saturate": "false", "rest": "3s", "pin": "false",
		}, map[string]string{
			"sessions": "500", "rate": "500", "duration": "2500ms", "rounds": "1", "durability": "both", "saturate": "true", "rest": "0s",
		}, measureRate},
		{"idle", "measures what sessions cost that nothing happens to", map[string]string{
			"sessions": "10000", "accounts": "500", "rest": "150s", "pin": "false",
		}, map[string]string{"sessions": "1000", "rest": "1s"}, measureIdle},
		{"storm", "cuts everybody off, and measures how they come back", map[string]string{
			"sessions": "10000", "accounts": "500", "senders": "128", "nodes": "1", "seed": "0", "tls": "false", "pin": "false",
		}, map[string]string{"sessions": "500"}, measureStorm},
		{"fault", "cuts connections, changes rungs and kills nodes, and counts what is lost", map[string]string{
			"sessions": "1000", "accounts": "100", "rate": "1500", "senders": "100", "rungs": "ws,sse,poll,script", "cuts": "200",
			"duration": "5m", "kills": "20s", "freezes": "45s", "nats-kills": "0s", "nodes": "2", "seed": "0",
		}, map[string]string{"sessions": "200", "rate": "300", "cuts": "40", "duration": "10s", "kills": "4s", "freezes": "0s"}, findFaults},
		{"soak", "makes the visits of an hour in minutes, and looks for what grows", map[string]string{
			"sessions": "500", "accounts": "50", "rate": "1", "senders": "50", "rungs": "ws,sse,poll,script", "cuts": "40",
			"duration": "5m", "token-life": "20s", "nodes": "1", "seed": "0",
		}, map[string]string{"sessions": "200", "rate": "20", "duration": "12s", "token-life": "4s"}, soak},
	}
}

// define declares all flags.
func (o *options) define(flags *flag.FlagSet) {
	flags.IntVar(&o.sessions, "sessions", 0, "sessions, one a user")
	flags.IntVar(&o.accounts, "accounts", 0, "accounts that the users are spread over")
	flags.IntVar(&o.rate, "rate", 0, "events a second")
	flags.IntVar(&o.batch, "batch", 0, "events a POST; the naive server always gets one")
	flags.IntVar(&o.senders, "senders", 0, "keep-alive connections that post")
	flags.Var(&o.rungs, "rungs", "what the sessions connect by: of ws, sse, poll and script")
	flags.IntVar(&o.cuts, "cuts", 0, "connections to cut a second")
	flags.DurationVar(&o.duration, "duration", 0, "how long each measurement takes")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds; the figures are their medians")
	flags.StringVar(&o.durability, "durability", "", "what to measure: strict, fast or both")
	flags.IntVar(&o.nodes, "nodes", 0, "gateways: 1 with a log of its own, 2 on an external NATS cluster")
	flags.DurationVar(&o.kills, "kills", 0, "how often a node is killed; 0: never")
	flags.DurationVar(&o.freezes, "freezes", 0, "how often a node is stopped for some seconds, and goes on; 0: never")
	flags.DurationVar(&o.natsKills, "nats-kills", 0, "how often a NATS server is killed; 0: never")
	flags.DurationVar(&o.tokenLife, "token-life", 0, "how long a token lives")
	flags.Uint64Var(&o.seed, "seed", 0, "of all that is random; 0: any")
	flags.DurationVar(&o.rest, "rest", 0, "how long nothing happens before memory is read")
	flags.BoolVar(&o.tls, "tls", false, "connect by TLS, which the server does itself")
	flags.BoolVar(&o.pin, "pin", false, "give the server a processor of its own and this program the others (Linux)")
	flags.BoolVar(&o.saturate, "saturate", false, "measure the highest rate as well, for a quarter of -duration")
}

// parseCommand reads the command line: a command's name, if it has one, and its flags.
func parseCommand(args []string, stderr io.Writer) (command, options, error) {
	var o options
	all := flag.NewFlagSet("", flag.ContinueOnError)
	o.define(all)
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, o, fmt.Errorf("there is no command %q", name)
	}
	c := commands()[i]
	flags := flag.NewFlagSet(strings.TrimSpace("load "+name), flag.ContinueOnError)
	flags.SetOutput(stderr)
	for name, value := range c.defaults {
		f := all.Lookup(name)
		if err := f.Value.Set(value); err != nil {
			return c, o, err
		}
		flags.Var(f.Value, name, f.Usage)
	}
	flags.BoolVar(&o.short, "short", false, "a form of some seconds for CI, with lenient bounds on the times")
	flags.StringVar(&o.dir, "dir", "", "a `directory` on a disk for the servers' data (default: where temporary files go)")
	flags.StringVar(&o.ringcast, "ringcast", "", "the server's `binary` (default: built from ./cmd/ringcast)")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "%s %s.\n\n", flags.Name(), c.about)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return c, o, err
	}
	if o.short {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range c.short {
			if !given[name] {
				if err := flags.Set(name, value); err != nil {
					return c, o, err
				}
			}
		}
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return c, o, o.check(c, flags.NArg())
}

func (o *options) check(c command, rest int) error {
	has := func(name string) bool { return c.defaults[name] != "" }
	switch {
	case rest > 0:
		return errors.New("there are no arguments but a command and flags")
	case o.accounts < 1 || o.sessions < o.accounts || o.sessions > 100_000:
		return errors.New("-sessions: one at least for each of -accounts, 100,000 at most")
	case has("batch") && (o.batch < 1 || o.batch > 500 || o.rate < o.batch):
		return errors.New("-batch: 1 to 500; -rate: one POST a second at least")
	case o.rate < 0 || o.rate > 1_000_000 || o.cuts < 0 || o.cuts > 10_000:
		return errors.New("-rate: 1,000,000 events at most; -cuts: 10,000 at most")
	case has("senders") && (o.senders < 1 || o.senders > 1024):
		return errors.New("-senders: 1 to 1,024")
	case has("rounds") && (o.rounds < 1 || o.rounds > 20):
		return errors.New("-rounds: 1 to 20")
	case has("duration") && (o.duration < time.Second || o.duration > time.Hour):
		return errors.New("-duration: 1s to 1h")
	case has("durability") && o.durability != kindStrict && o.durability != kindFast && o.durability != "both":
		return errors.New("-durability: strict, fast or both")
	case has("nodes") && (o.nodes < 1 || o.nodes > 2):
		return errors.New("-nodes: 1 or 2")
	case o.tls && o.nodes > 1:
		return errors.New("-tls: with one node only")
	}
	for _, name := range o.rungs {
		if rungs[name] == nil {
			return fmt.Errorf("-rungs: there is no %q", name)
		}
	}
	o.senders = min(max(o.senders, 1), o.accounts) // an account has one sender, so that its events stay in order
	if o.rate > 0 {
		o.senders = min(o.senders, max(1, 4*o.rate/max(o.batch, 1))) // a connection on which nothing comes for 5 s is closed
	}
	return nil
}
