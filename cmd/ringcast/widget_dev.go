package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringcast/gateway/push"
	"ringcast/widget"
)

// developWidget writes the loader and serves the folder until ctx ends.
func (a *app) developWidget(ctx context.Context, f widgetFlags, account *widgetAccount) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	base := urlOf(listener.Addr().String())

	var loader bytes.Buffer
	if err := widget.WriteLoader(&loader, account.Config, base); err != nil {
		return err
	}
	if err := os.WriteFile(f.out, loader.Bytes(), 0o644); err != nil { //nolint:gosec // it is to be uploaded
		return err
	}
	server, err := a.developmentServer(ctx, account, base, hostOf(f.listen))
	if err != nil {
		return err
	}
	name := ""
	if filepath.Base(f.out) != "widget.zip" {
		name = "call it widget.zip and "
	}
	fmt.Fprintf(a.stdout, "%s: %supload it once; the widget then comes from %s, which serves %s as it is\n", f.out, name, base, f.src)
	if ip := net.ParseIP(hostOf(listener.Addr().String())); ip == nil || !ip.IsLoopback() {
		fmt.Fprintf(a.stderr, "warning: %s can be reached from other machines: whoever does so reads the folder\n", base)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
		err = server.Close()
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		return err
	case err := <-served:
		return err
	}
}

func (a *app) developmentServer(ctx context.Context, account *widgetAccount, base, host string) (*http.Server, error) {
	logger, err := a.logger("info")
	if err != nil {
		return nil, err
	}
	origins, err := push.NewOrigins(account.origins)
	if err != nil {
		return nil, err
	}
	pages := origins.Pages(widget.NewDevelopment(account.Config, base), logger, func(r *http.Request) {
		logger.Warn("a page of another origin was refused", "origin", r.Header.Get("Origin"))
	})
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked := hostOf(r.Host); net.ParseIP(asked) == nil && asked != "localhost" && asked != host {
				http.Error(w, "This is not "+asked+".", http.StatusMisdirectedRequest) // somebody's name for this machine
				return
			}
			w.Header().Set("Access-Control-Allow-Private-Network", "true") // a page of the internet asks this machine
			pages.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}, nil
}

// hostOf is a host without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return strings.Trim(host, "[]")
}
