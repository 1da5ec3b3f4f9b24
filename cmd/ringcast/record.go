package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/phonet"
)

const flushEvery = time.Second // a recording that is killed lacks so much at most

// record keeps what a PBX says in a file, beside a gateway that may be running.
func (a *app) record(ctx context.Context, flags *flag.FlagSet, args []string) error {
	config := flags.String("config", "", "the config `file`")
	account := flags.String("account", "", "the account's `id`")
	pbx := flags.String("pbx", "", "the `id` of its PBX")
	out := flags.String("out", "", "the `file` to write; it must not be there yet")
	length := flags.Duration("for", 0, "how `long`, such as 90s or 8h; 0: until interrupted")
	people := flags.Bool("mask-numbers", false, "put others in the place of telephone numbers of seven digits and more, of names and e-mail addresses; look through the file before you give it away")
	listen := flags.String("listen", "127.0.0.1:8081", "for a webhook PBX: the `address` that it is to post to meanwhile; requests are passed on to the gateway")
	level := flags.String("log-level", "info", "debug, info, warn or error")
	if err := parse(flags, args, "config", "account", "pbx", "out"); err != nil {
		return err
	}
	if *length < 0 {
		fmt.Fprintf(a.stderr, "ringcast: -for: %v is no time to record for\n", *length)
		return errUsage
	}
	logger, err := a.logger(*level)
	if err != nil {
		return err
	}
	cfg, err := LoadConfig(*config, a.env)
	if err != nil {
		return err
	}
	acc, system, err := cfg.pbx(*account, *pbx)
	if err != nil {
		return err
	}
	directory := gateway.NewAccounts(cfg.GatewayAccounts()...)
	var source func(ctx context.Context, r *recorder) error
	switch {
	case system.Asterisk != nil:
		source = recordAsterisk(asteriskConfig(*account, system, directory, logger))
	case system.Phonet != nil:
		source = recordPhonet(phonetConfig(*account, system, directory, logger))
	default:
		p := &passage{account: *account, pbx: system, target: cfg.urlOf(cfg.Listen), public: cfg.PublicURL, said: a.stderr, logger: logger}
		if err := p.open(ctx, *listen); err != nil {
			return err
		}
		defer p.close()
		source = p.record
	}
	file, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: a recording does not take the place of another", err)
	}
	if err != nil {
		return err
	}
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	head := recordingHead{Kind: system.kind(), Account: *account, PBX: *pbx, Region: acc.Region, Mapped: system.mapped()}
	r := newRecorder(file, head, newMask([]byte(rand.Text()), system.secrets(), *people), time.Now)
	err = r.during(ctx, source)
	messages, flushErr := r.flush()
	if messages == 0 && system.Webhook == nil { // one that posts may have had nothing to say
		flushErr = errors.Join(flushErr, os.Remove(*out), fmt.Errorf("nothing came from pbx %s, so %s is not kept: \"ringcast check\" says whether the PBX can be reached", *pbx, *out))
	}
	if err = errors.Join(err, flushErr, file.Close()); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d messages in %s\n", messages, *out)
	return nil
}

// during has a source record until ctx ends, and writes what there is now and then.
func (r *recorder) during(ctx context.Context, source func(ctx context.Context, r *recorder) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- source(ctx, r) }()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if _, err := r.flush(); err != nil { // the disk is full, perhaps: flushing again says so
				cancel()
				return <-done
			}
		}
	}
}

// recordAsterisk keeps a link of its own to the manager, which tells nobody, and records what comes over it.
func recordAsterisk(cfg asterisk.Config) func(context.Context, *recorder) error {
	return func(ctx context.Context, r *recorder) error {
		cfg.Tap = func(at time.Time, raw []byte) { r.message(recorded{At: at}, raw) }
		return asterisk.New(cfg).Run(ctx, nobody{})
	}
}

// recordPhonet does so with a Phonet.
func recordPhonet(cfg phonet.Config) func(context.Context, *recorder) error {
	return func(ctx context.Context, r *recorder) error {
		cfg.Tap = func(from string, raw []byte) { r.message(recorded{From: from}, raw) }
		return phonet.New(cfg).Run(ctx, nobody{})
	}
}

// nobody is a sink that takes everything and tells nobody.
type nobody struct{}

func (nobody) Emit(context.Context, []gateway.Event) error     { return nil }
func (nobody) Live(context.Context, []string, time.Time) error { return nil }

// pbx returns a PBX of the config, and its account.
func (c *Config) pbx(account, id string) (AccountConfig, PBXConfig, error) {
	a, ok := c.Account(account)
	if !ok {
		return a, PBXConfig{}, fmt.Errorf("the config has no account %q", account)
	}
	for _, p := range a.PBX {
		if p.ID == id {
			return a, p, nil
		}
	}
	return a, PBXConfig{}, fmt.Errorf("account %s has no pbx %q", account, id)
}

// kind is the PBX's in the config.
func (p PBXConfig) kind() string {
	switch {
	case p.Asterisk != nil:
		return "asterisk"
	case p.Webhook != nil:
		return "webhook"
	default:
		return "phonet"
	}
}

// mapped says whether the PBX posts in a format of its own.
func (p PBXConfig) mapped() bool { return p.Webhook != nil && p.Webhook.Mapping != nil }

// secrets are those that the config has of the PBX.
func (p PBXConfig) secrets() (all []string) {
	switch {
	case p.Asterisk != nil:
		return []string{string(p.Asterisk.Secret)}
	case p.Phonet != nil:
		return []string{string(p.Phonet.APIKey)}
	case !p.mapped():
		return []string{string(p.Webhook.Key)}
	}
	auth := p.Webhook.Mapping.Auth
	all = []string{string(p.Webhook.Key)}
	for _, k := range auth.Keys {
		all = append(all, string(k.Key))
	}
	if auth.Signature != nil {
		all = append(all, string(auth.Signature.Key))
	}
	return all
}
