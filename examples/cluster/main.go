// Command cluster runs a Ringcast cluster on this machine, to be looked at and to be broken: NATS servers, and
// gateways that share one log on them. Run it from within the module, as go run ./examples/cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ringcast/examples/cluster/fleet"
)

// What the example's gateways know. These secrets are in a public repository: they are for loopback.
const (
	pbxKey     = "the-key-of-the-example-pbx"
	backendKey = "the-key-of-the-example-backend-is-public"

	accounts = `  - id: acme
    backend_key: ` + backendKey + `
    pbx: [{id: main, kind: webhook, key: ` + pbxKey + `}]
    users:
      - {id: anna, name: Anna, extensions: ["101"]}
      - {id: boris, name: Boris, extensions: ["102"]}
`
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("dir", "", "keep programs, configs, data and logs here; default: a directory that is removed in the end")
	servers := flags.Int("servers", 3, "how many NATS servers; with less than three the death of one stops everything")
	gateways := flags.Int("gateways", 2, "how many gateways")
	duration := flags.Duration("for", 0, "stop after so long; default: on Ctrl-C")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 || *servers < 1 || *gateways < 1 {
		flags.Usage()
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *dir, *servers, *gateways, *duration, stdout); err != nil {
		fmt.Fprintln(stderr, "cluster:", err)
		return 1
	}
	return 0
}

// serve runs the cluster until ctx ends, or for a while. Ctrl-C while it starts or stops kills everything.
func serve(ctx context.Context, dir string, servers, gateways int, duration time.Duration, out io.Writer) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "ringcast-cluster-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	fmt.Fprintln(out, "Building and starting; this takes a moment.")
	running, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	starting := context.AfterFunc(ctx, kill)
	f, err := fleet.Start(running, fleet.Config{Dir: dir, Servers: servers, Gateways: gateways, Accounts: accounts})
	if !starting() {
		return errors.New("interrupted while it started")
	}
	if err != nil {
		return err
	}
	describe(out, f)
	if duration > 0 {
		limited, cancel := context.WithTimeout(ctx, duration)
		defer cancel()
		ctx = limited
	}
	<-ctx.Done()
	fmt.Fprintln(out, "\nStopping: the gateways, then the servers.")
	return f.Stop()
}

func describe(out io.Writer, f *fleet.Fleet) {
	fmt.Fprintln(out)
	for _, s := range f.Servers {
		fmt.Fprintf(out, "%-10s nats://%s   http://%s/healthz   pid %d\n", s.Name, s.Addr, s.Ops, s.PID())
	}
	for _, g := range f.Gateways {
		fmt.Fprintf(out, "%-10s http://%s   http://%s/readyz   pid %d\n", g.Name, g.Addr, g.Ops, g.PID())
	}
	first, last := f.Gateways[0], f.Gateways[len(f.Gateways)-1]
	fmt.Fprintf(out, `
Configs and logs: %[1]s, %[2]s and their neighbours.

Be Anna's tab on %[3]s:
  TOKEN=$(%[4]s token -config %[1]s -account acme -user anna)
  curl -s -d "{\"token\":\"$TOKEN\"}" http://%[5]s/v1/poll
Ring her by %[6]s:
  curl -s -H 'Authorization: Bearer %[7]s' -d '{"event":"call.dial","call":"1","direction":"inbound","from":"+79991112233","to":"+74951234567","extension":"101"}' http://%[8]s/v1/accounts/acme/events
See it, with the cursor of the answer before:
  curl -s -d "{\"token\":\"$TOKEN\",\"cursor\":\"CURSOR\",\"wait\":25}" http://%[5]s/v1/poll
Then kill a gateway (kill -9 %[9]d): the other one takes over within five seconds, and any cursor works there.
Or kill a server: a stream that it led takes nothing until the others have elected another leader, some seconds.

Ctrl-C stops everything.
`, first.ConfigFile(), first.LogFile(), first.Name, first.Program(), first.Addr, last.Name, pbxKey, last.Addr, last.PID())
}
