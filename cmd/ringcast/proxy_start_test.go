package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file starts the proxies that stand between the browser and Ringcast in the tests: nginx, haproxy and squid as
// Debian has them, each as the user that runs the test, on a port and in a directory of its own, and one of ours.

// inFront is a proxy in front of a Ringcast: what the browser is to use instead of the address of that.
type inFront struct {
	url     string // what the page takes for the gateway
	forward string // a forward proxy that the browser is to use, host:port; "": none
}

// proxy starts a proxy in front of the Ringcast at upstream, a base URL. It ends with the test.
type proxy func(t *testing.T, upstream string) inFront

// straight is no proxy at all.
func straight(_ *testing.T, upstream string) inFront { return inFront{url: upstream} }

// nginx is a reverse proxy as a site's administrator sets it up. location is what stands beside proxy_pass, outside what
// stands beside the server.
func nginx(outside, location string) proxy {
	return func(t *testing.T, upstream string) inFront {
		t.Helper()
		dir, addr := t.TempDir(), steadyAddress(t)
		var temps strings.Builder
		for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&temps, "%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
		}
		file := filepath.Join(dir, "nginx.conf")
		write(t, file, `
daemon off;
master_process off;
pid `+filepath.Join(dir, "pid")+`;
error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off;
  `+temps.String()+outside+`
  server {
    listen `+addr+`;
    location / {
      proxy_pass `+upstream+`;
      proxy_set_header Host $http_host;
      `+location+`
    }
  }
}
`)
		run(t, addr, "nginx", "-e", "stderr", "-p", dir, "-c", file)
		return inFront{url: "http://" + addr}
	}
}

// haproxy is a reverse proxy, or a firewall that looks into what passes. lines are what it does to that.
func haproxy(lines string) proxy {
	return func(t *testing.T, upstream string) inFront {
		t.Helper()
		dir, addr := t.TempDir(), steadyAddress(t)
		file := filepath.Join(dir, "haproxy.cfg")
		write(t, file, `
global
  maxconn 512
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
listen web
  bind `+addr+`
`+lines+`
  server ringcast `+strings.TrimPrefix(upstream, "http://")+`
`)
		run(t, addr, "haproxy", "-db", "-f", file)
		return inFront{url: "http://" + addr}
	}
}

// squid is the proxy of a company, through which its browsers go out. rules are its http_access and what they need.
func squid(rules string) proxy {
	return func(t *testing.T, upstream string) inFront {
		t.Helper()
		dir, addr := t.TempDir(), steadyAddress(t)
		file := filepath.Join(dir, "squid.conf")
		write(t, file, `
http_port `+addr+`
`+rules+`
visible_hostname proxy.example.com
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
pid_filename none
pinger_enable off
coredump_dir none
shutdown_lifetime 0 seconds
`)
		run(t, addr, "squid", "-N", "-d", "0", "-f", file)
		return inFront{url: upstream, forward: addr}
	}
}

// run starts a program that listens at addr, and returns when it does. It is killed with the test.
func run(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil { // an administrator's program: not in everybody's PATH
		path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	if err != nil {
		t.Fatalf("no %s: install it (Debian: apt install --no-install-recommends %s)", name, name)
	}
	ctx, kill := context.WithCancel(context.Background())
	said := &transcript{}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed
		close(ended)
	}()
	t.Cleanup(func() {
		kill()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
	})
	eventually(t, name+" to listen", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			select {
			case <-ended:
				t.Fatalf("%s ended:\n%s", name, said)
			default:
			}
			return false
		}
		return conn.Close() == nil
	})
}

// cutter is a network that breaks every connection: after a random time up to lives, or a random number of bytes up to
// 64 KiB, whatever is first. What it draws is the same in each run.
func cutter(lives time.Duration) proxy {
	return func(t *testing.T, upstream string) inFront {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		t.Cleanup(func() {
			_ = l.Close()
			running.Wait()
		})
		random := rand.New(rand.NewPCG(1, 2))
		running.Go(func() {
			for {
				client, err := l.Accept()
				if err != nil {
					return
				}
				after, bytes := time.Duration(random.Int64N(int64(lives))), random.Int64N(64<<10)
				running.Go(func() { cut(client, strings.TrimPrefix(upstream, "http://"), after, bytes) })
			}
		})
		return inFront{url: "http://" + l.Addr().String()}
	}
}

// cut joins a connection to the server at addr, and resets it.
func cut(client net.Conn, addr string, after time.Duration, bytes int64) {
	server, err := net.Dial("tcp", addr)
	if err != nil {
		_ = client.Close()
		return
	}
	both := sync.OnceFunc(func() {
		for _, c := range []net.Conn{client, server} {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset
			}
			_ = c.Close()
		}
	})
	timer := time.AfterFunc(after, both)
	defer timer.Stop()
	var sent sync.WaitGroup
	sent.Go(func() {
		_, _ = io.Copy(server, client)
		both()
	})
	_, _ = io.CopyN(client, server, bytes)
	both()
	sent.Wait()
}
