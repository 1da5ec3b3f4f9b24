package asterisk

import (
	"context"
	"crypto/md5" //nolint:gosec // AMI knows no other challenge
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
)

// eventMask is what the link asks for: calls, and that Asterisk has started. It halves the stream.
const eventMask = "system,call"

// errRefused is a login that Asterisk refuses: it will not mend by waiting.
var errRefused = errors.New("login refused")

// dial connects and logs in, within Config.DialTimeout.
func (cfg *Config) dial(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	conn, err := cfg.connect(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newClient(ctx, conn, cfg.now)
	if err != nil {
		return nil, err
	}
	if err := c.login(ctx, cfg.Username, cfg.Secret); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func connect(ctx context.Context, address string, conf *tls.Config) (net.Conn, error) {
	if conf != nil {
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// login proves the secret by MD5 challenge, so that it does not cross the network, and in plain where the
// other end, a proxy perhaps, knows no challenge.
func (c *client) login(ctx context.Context, user, secret string) error {
	fields := []field{{"Username", user}, {"Secret", secret}, {"Events", eventMask}}
	m, err := c.do(ctx, newAction("Challenge", field{"AuthType", "MD5"}))
	var no *actionError
	if err != nil && !errors.As(err, &no) {
		return err
	}
	if challenge := m.get("Challenge"); err == nil && challenge != "" {
		sum := md5.Sum([]byte(challenge + secret)) //nolint:gosec // as above
		fields[1] = field{"Key", hex.EncodeToString(sum[:])}
		fields = append(fields, field{"AuthType", "MD5"})
	}
	_, err = c.do(ctx, newAction("Login", fields...))
	if errors.As(err, &no) {
		return fmt.Errorf("%w for manager user %q: %s", errRefused, user, no.message)
	}
	return err
}

// denied says whether Asterisk refused an action because the user may not do such things.
func denied(err error) bool {
	var no *actionError
	return errors.As(err, &no) && strings.Contains(strings.ToLower(no.message), "permission denied")
}
