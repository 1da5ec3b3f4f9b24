package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"

	"ringcast/gateway"
	"ringcast/gateway/push"
)

func (a *app) token(_ context.Context, flags *flag.FlagSet, args []string) error {
	file := flags.String("config", "", "the config `file`")
	account := flags.String("account", "", "the account's `id`")
	user := flags.String("user", "", "the user's `id`")
	if err := parse(flags, args, "config", "account", "user"); err != nil {
		return err
	}
	cfg, err := LoadConfig(*file, a.env)
	if err != nil {
		return err
	}
	if _, ok := gateway.NewAccounts(cfg.GatewayAccounts()...).User(*account, *user); !ok {
		return fmt.Errorf("%s names no user %q of an account %q", *file, *user, *account)
	}
	key, err := cfg.LoadSessionKey()
	if err != nil {
		return err
	}
	tokens, err := push.NewTokens(push.TokensConfig{SessionKey: []byte(key), PublicURL: cfg.PublicURL})
	if err != nil {
		return err
	}
	token, _, err := tokens.Mint(*account, *user, push.SessionLife)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, token)
	return nil
}

func (a *app) version(_ context.Context, flags *flag.FlagSet, args []string) error {
	if err := parse(flags, args); err != nil {
		return err
	}
	version, commit := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	fmt.Fprintf(a.stdout, "ringcast %s%s, %s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
