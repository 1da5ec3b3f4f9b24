package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"ringcast/static"
	"ringcast/widget"
)

func (a *app) widget(_ context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("config", "", "the config `file`")
	account := flags.String("account", "", "the account's `id`")
	out := flags.String("out", "widget.zip", "the archive to write; amoCRM wants this name")
	version := flags.String("version", widget.Version, "the widget's version, to be raised at each upload")
	if err := parse(flags, args, "config", "account"); err != nil {
		return err
	}
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	acc, ok := cfg.Account(*account)
	switch {
	case !ok:
		return fmt.Errorf("%s names no account %q", *file, *account)
	case acc.AmoCRM == nil:
		return fmt.Errorf("account %q has no crm of kind amocrm in %s", *account, *file)
	}
	archive, err := buildWidget(cfg.PublicURL, *version)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, archive, 0o644); err != nil { //nolint:gosec // it is to be uploaded
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %d bytes, version %s, for the gateway at %s\n", *out, len(archive), *version, cfg.PublicURL)
	if !strings.HasPrefix(cfg.PublicURL, "https://") {
		fmt.Fprintln(a.stderr, "warning: amoCRM's pages are https and will not connect to a public_url without it")
	}
	return nil
}

func buildWidget(url, version string) ([]byte, error) {
	var archive bytes.Buffer
	err := widget.Build(&archive, widget.Config{URL: url, ClientJS: static.ClientJS, Version: version})
	return archive.Bytes(), err
}
