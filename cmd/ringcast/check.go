package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/asterisk"
	"ringcast/gateway/natslog"
	"ringcast/gateway/phonet"
	"ringcast/gateway/push"
)

const (
	checkTimeout = 10 * time.Second
	clockSkew    = 30 * time.Second // tokens are refused from 60 s on
)

// check tries everything that the config names so far: the log, each PBX's login, each CRM's address,
// certificate and clock, and whether its pages may connect.
func (a *app) check(ctx context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("config", "", "the config `file`")
	trial := trialFlags(flags)
	if err := parse(flags, args, "config"); err != nil {
		return err
	}
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	if trial.event != "" {
		return a.try(ctx, cfg, trial)
	}
	r := &report{app: a}
	r.say("config", nil)
	for _, w := range cfg.Warnings {
		fmt.Fprintf(a.stdout, "  note: %s:%v\n", *file, w)
	}
	r.notes(cfg.doubts())
	directory, access, err := checkLog(ctx, cfg)
	switch {
	case cfg.NATS != nil:
		r.say("log on the NATS cluster", err)
	case errors.Is(err, natslog.ErrInUse):
		r.say("log in "+cfg.DataDir+": a running ringcast has it", nil)
	default:
		r.say("log in "+cfg.DataDir, err)
	}
	if cfg.TLS != nil {
		_, err := cfg.tlsConfig(slog.New(slog.DiscardHandler))
		r.say("certificates", err)
	}
	if len(cfg.Origins) == 0 {
		r.say("origins", errors.New("there are none, so no page may connect: name the CRM's"))
	}
	for _, account := range cfg.Accounts {
		r.account(ctx, cfg, account, directory)
	}
	r.crms(ctx, cfg, access, errors.Is(err, natslog.ErrInUse))
	if r.bad > 0 {
		return fmt.Errorf("%d of %d checks failed", r.bad, r.all)
	}
	fmt.Fprintf(a.stdout, "all %d checks passed\n", r.all)
	return nil
}

// report prints a line a check.
type report struct {
	app      *app
	all, bad int
}

func (r *report) say(what string, err error) {
	r.all++
	if err == nil {
		fmt.Fprintf(r.app.stdout, "ok    %s\n", what)
		return
	}
	r.bad++
	fmt.Fprintf(r.app.stdout, "FAIL  %s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", "\n      "))
}

// notes prints what fails no check.
func (r *report) notes(notes []string) {
	for _, note := range notes {
		fmt.Fprintf(r.app.stdout, "  note: %s\n", note)
	}
}

func (r *report) account(ctx context.Context, cfg *Config, account AccountConfig, directory gateway.Directory) {
	phones := newExtensionCheck(account, directory)
	for _, pbx := range account.PBX {
		name := fmt.Sprintf("account %s, pbx %s", account.ID, pbx.ID)
		r.recordings(ctx, name, pbx)
		if pbx.Webhook != nil && pbx.Webhook.Mapping != nil {
			r.say(name+": waits for its own events at "+cfg.mappedURL(account.ID, pbx.ID), nil)
			continue
		}
		if pbx.Phonet != nil {
			r.phonet(ctx, account.ID, pbx, name, directory)
			continue
		}
		if pbx.Asterisk == nil {
			r.say(name+": waits for events at "+cfg.PublicURL+"/v1/accounts/"+account.ID+"/events", nil)
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		link := asteriskConfig(account.ID, pbx, directory, slog.New(slog.DiscardHandler))
		notes, err := asterisk.Check(ctx, link)
		r.say(name+": Asterisk at "+pbx.Asterisk.Address, err)
		r.notes(notes)
		r.cdr(ctx, name, pbx.Asterisk.CDR)
		for _, ext := range slices.Sorted(maps.Values(pbx.Asterisk.Devices)) {
			if _, ok := directory.ByExtension(account.ID, ext); !ok {
				fmt.Fprintf(r.app.stdout, "  note: devices names extension %s, which no user has\n", ext)
			}
		}
		if err == nil {
			phones.ask(ctx, link)
		} else {
			phones.add(nil)
		}
		cancel()
	}
	r.extensions(phones)
	for _, u := range phones.users {
		if len(u.Extensions) == 0 {
			r.notes([]string{fmt.Sprintf("user %s (%s) of account %s has no extensions: he is shown no calls", u.ID, u.Name, account.ID)})
		}
	}
	switch {
	case len(phones.users) > 0:
	case account.AmoCRM != nil:
		fmt.Fprintf(r.app.stdout, "  note: account %s has no users yet: an administrator of the CRM names them in the widget's settings\n", account.ID)
	default:
		r.say("account "+account.ID+": users", errors.New("it has none: nobody would see a call"))
	}
}

func (r *report) phonet(ctx context.Context, account string, pbx PBXConfig, name string, directory gateway.Directory) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	notes, err := phonet.Check(ctx, phonetConfig(account, pbx, directory, slog.New(slog.DiscardHandler)))
	r.say(name+": Phonet at "+pbx.Phonet.BaseURL, err)
	known, _ := directory.Account(account)
	r.notes(append(notes, phonetNotes(known.Users)...))
}

// checkLog opens the log. The directory it returns has what is kept there, or if that cannot be read what the config
// says; and so has the access to the CRMs.
func checkLog(ctx context.Context, cfg *Config) (gateway.Directory, map[string]crmAccess, error) {
	crms := ctx
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	logger := slog.New(slog.DiscardHandler)
	configured := gateway.NewAccounts(cfg.GatewayAccounts()...)
	log := logConfig(cfg, logger)
	if cfg.NATS == nil {
		made, err := trialDir(log.Dir)
		if err != nil {
			access, accessErr := checkAccess(crms, cfg, nil)
			return configured, access, errors.Join(err, accessErr)
		}
		if made != "" {
			defer func() { _ = os.RemoveAll(made) }()
			log.Dir = made
		}
	}
	db, err := natslog.Open(ctx, log)
	if err != nil {
		access, accessErr := checkAccess(crms, cfg, nil)
		return configured, access, errors.Join(err, accessErr)
	}
	access, accessErr := checkAccess(crms, cfg, db.Store())
	kept := gateway.NewOverlay(db.Store(), logger, func(string) {}, cfg.GatewayAccounts()...)
	if err := errors.Join(accessErr, kept.Load(ctx), db.Healthy(ctx), db.Close()); err != nil {
		return configured, access, err
	}
	return kept, access, nil
}

// trialDir makes a folder to try a log in, where dir is not there yet: as near to it as can be. What is made at its
// place, perhaps by root, the service's user could not write to. It returns "" when dir is there.
func trialDir(dir string) (string, error) {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for {
		above := filepath.Dir(dir)
		made, err := os.MkdirTemp(above, ".ringcast-check-")
		if above == dir || !errors.Is(err, fs.ErrNotExist) {
			return made, err
		}
		dir = above
	}
}

func checkOrigin(cfg *Config, origin string) error {
	origins, err := push.NewOrigins(cfg.Origins)
	if err != nil {
		return err
	}
	if !origins.Allowed(origin) {
		return fmt.Errorf("the widget will be refused: add %q to origins", origin)
	}
	return nil
}

// checkSite looks at the certificate by using it, and at the clock by the answer's Date.
func checkSite(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultTransport.RoundTrip(req) // a redirect is an answer
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	theirs, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return nil // it does not tell the time
	}
	if skew := time.Since(theirs).Abs(); skew > clockSkew {
		return fmt.Errorf("its clock and this machine's differ by %v: set this machine's clock (NTP), or its tokens will be refused", skew.Round(time.Second))
	}
	return nil
}
