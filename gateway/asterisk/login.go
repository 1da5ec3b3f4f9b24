package asterisk

import (
	"context"
	"crypto/md5" //nolint:gosec // AMI knows no other challenge
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// errRefused is a login that Asterisk refuses: it will not mend by waiting.
var errRefused = errors.New("login refused")

// dial connects and logs in, within Config.DialTimeout. Its errors say what to do.
func (cfg *Config) dial(ctx context.Context) (*client, error) {
	c, err := cfg.dialOnce(ctx)
	if err != nil {
		return nil, cfg.explain(err)
	}
	return c, nil
}

func (cfg *Config) dialOnce(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	conn, err := cfg.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newClient(ctx, conn, cfg.now, cfg.Tap)
	if err != nil {
		return nil, err
	}
	if err := c.login(ctx, cfg.Username, cfg.Secret); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// dialer finds out by itself, too, when the other end is gone without a word: within half a minute.
var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}

// login proves the secret by MD5 challenge, so that it does not cross the network, and in plain where the
// other end, a proxy perhaps, knows no challenge.
func (c *client) login(ctx context.Context, user, secret string) error {
	fields := []field{{"Username", user}, {"Secret", secret}, {"Events", c.eventMask()}}
	m, err := c.do(ctx, newAction("Challenge", field{"AuthType", "MD5"}))
	var no *actionError
	if err != nil && !errors.As(err, &no) {
		return err
	}
	challenge := m.get("Challenge")
	c.plain = err != nil || challenge == ""
	if !c.plain {
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

// eventMask is what the link asks for: calls, and that Asterisk starts and stops. It halves the stream. Before
// MixMonitorStart, which came in the days of Asterisk 16, only a variable tells of a recording. For a recording of its
// own it asks for all that tells of calls, and gets what the user may read. What telephones type is not among it (dtmf:
// also numbers of cards), nor how others log in (security).
func (c *client) eventMask() string {
	if c.records {
		return "system,call,dialplan,agent,user,reporting,cdr,cc"
	}
	if n := major(c.version); n > 0 && n <= 5 {
		return "system,call,dialplan"
	}
	return "system,call"
}

// major returns the first number of AMI's version, 0 if there is none. Asterisk 16 has 5, and each major
// version after it the next.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// software says which Asterisk has this version of AMI.
func software(version string) string {
	switch n := major(version); {
	case version == "":
		return ""
	case n < 5:
		return "AMI " + version
	default:
		return fmt.Sprintf("AMI %s, as in Asterisk %d", version, n+11)
	}
}
