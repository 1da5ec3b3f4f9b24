package natslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// How soon a connection to a server that went silent counts as broken: after that many pings.
	pingInterval = time.Second
	pingsMissed  = 2

	// A replica that its leader has not heard of for so long does not count.
	replicaSilence = 5 * time.Second
)

// cluster is NATS servers that others run: one, or several that form a cluster.
type cluster struct{ cfg Config }

var _ host = (*cluster)(nil)

// start looks whether the directory, if there is one, may be marked.
func (c *cluster) start(context.Context) (renew bool, err error) {
	if c.cfg.Dir == "" {
		return false, nil
	}
	_, err = (&dir{path: c.cfg.Dir}).mayJoin()
	return false, err
}

// connect tries until ctx ends, unless it is refused for what the servers will refuse again.
func (c *cluster) connect(ctx context.Context, name string) (*line, error) {
	opts := []nats.Option{
		nats.IgnoreAuthErrorAbort(), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(pingsMissed),
	}
	if c.cfg.CredsFile != "" {
		if _, err := os.Stat(c.cfg.CredsFile); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(c.cfg.CredsFile))
	}
	if c.cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.cfg.CAFile))
	}
	retry := time.NewTicker(250 * time.Millisecond)
	defer retry.Stop()
	for {
		l, err := connect(c.cfg.URL, name, c.cfg.Logger, opts...)
		if err == nil {
			return l, c.check(l)
		}
		err = fmt.Errorf("connect to %s: %w", c.cfg.hosts(), err)
		var unreachable *net.OpError
		if !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) && !errors.As(err, &unreachable) {
			return nil, err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
}

// check refuses a server that would refuse the largest of our messages.
func (c *cluster) check(l *line) error {
	if most := l.MaxPayload(); most < maxPayload {
		return fmt.Errorf("server %s takes messages of %d bytes, and %d are needed: set max_payload: %d in the configuration of every NATS server",
			l.ConnectedServerName(), most, maxPayload, maxPayload)
	}
	return nil
}

// opened marks the directory. Nothing else is kept there; and until now nothing was kept on the cluster.
func (c *cluster) opened() error {
	if c.cfg.Dir == "" {
		return nil
	}
	return (&dir{path: c.cfg.Dir}).join()
}

// healthy tells whether the log's stream has a quorum: without, it answers for a while yet but takes nothing.
func (c *cluster) healthy(ctx context.Context, db *DB) error {
	for _, l := range []*line{db.appends, db.work, db.nodes} {
		if !l.IsConnected() {
			return fmt.Errorf("%w at %s", errAway, c.cfg.hosts())
		}
	}
	info, err := db.log.stream.Info(ctx)
	if err != nil {
		return err
	}
	if epoch := info.Config.Metadata[metaEpoch]; epoch != db.log.info.Epoch {
		return db.log.remade(epoch)
	}
	if info.Cluster == nil || info.Config.Replicas < 2 {
		return nil
	}
	there := 1 // the leader, which answered
	for _, r := range info.Cluster.Replicas {
		if !r.Offline && r.Active < replicaSilence {
			there++
		}
	}
	if there <= info.Config.Replicas/2 {
		return fmt.Errorf("no quorum: %d of the log's %d replicas are there", there, info.Config.Replicas)
	}
	return nil
}

func (c *cluster) stop(bool) error { return nil }

// hosts names the servers without what is secret in their URLs.
func (c Config) hosts() string {
	var hosts []string
	for s := range strings.SplitSeq(c.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}
