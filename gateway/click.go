package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// doubleClick is how long after a click another of the same user on the same number means the same call, as long as
// that has not been answered and is not over.
const doubleClick = 5 * time.Second

// placeCall dials from the first of the user's extensions, or that of them which the command names.
func (g *Gateway) placeCall(ctx context.Context, o *owner, cmd Command, user User) (Reply, error) {
	to, err := g.dialable(cmd.Account, cmd.To)
	if err != nil {
		return Reply{}, err
	}
	from, err := dialsFrom(user, cmd.From)
	if err != nil {
		return Reply{}, err
	}
	if to.Raw == from {
		return Reply{}, Errorf(CodeBadNumber, "%s is your own telephone", to.Raw)
	}
	link, dialer, err := g.dialer(cmd.Account)
	if err != nil {
		return Reply{}, err
	}
	return g.once(ctx, o, cmd, func(ctx context.Context) (Reply, error) {
		mine := &click{account: cmd.Account, user: cmd.User, from: from, to: to, at: g.cfg.Now(), done: make(chan struct{})}
		if first := g.clicks.first(mine, g.isUnanswered); first != mine {
			return first.wait(ctx)
		}
		call, err := askPBX(ctx, func(ctx context.Context) (string, error) {
			return dialer.Dial(ctx, DialRequest{Key: dialKey(cmd), Extension: from, To: to, CallerID: user.CallerID})
		})
		if err == nil {
			mine.call = callID(link.ID, call)
		}
		mine.err = err
		close(mine.done)
		return Reply{Call: mine.call}, err
	})
}

// dialsFrom is the extension that a user dials from: the one he names, else his first.
func dialsFrom(user User, named string) (string, error) {
	switch {
	case len(user.Extensions) == 0:
		return "", Errorf(CodeNotPermitted, "you have no extension to dial from")
	case named == "":
		return user.Extensions[0], nil
	case !slices.Contains(user.Extensions, named):
		return "", Errorf(CodeNotPermitted, "%.64q is none of your extensions: %s", named, strings.Join(user.Extensions, ", "))
	}
	return named, nil
}

// isUnanswered says whether a call that a user has ordered is still to be answered. One that nobody has heard of yet is.
func (g *Gateway) isUnanswered(account, user, call string) bool {
	c, ok := g.feed.call(account, call)
	if !ok {
		return true
	}
	mine := c.share(user)
	return mine != nil && mine.ringing()
}

// clicks are the calls that users have ordered a moment ago.
type clicks struct {
	mu     sync.Mutex
	recent []*click
}

// click is an order for a call.
type click struct {
	account, user, from string
	to                  Number
	at                  time.Time

	done chan struct{} // closed when it is known what became of it:
	call string
	err  error
}

// first returns the click that this one repeats, or itself if it is the first.
func (c *clicks) first(mine *click, unanswered func(account, user, call string) bool) *click {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent = slices.DeleteFunc(c.recent, func(old *click) bool { return mine.at.Sub(old.at) >= doubleClick })
	for _, old := range c.recent {
		if old.account != mine.account || old.user != mine.user || old.from != mine.from || !SameNumber(old.to, mine.to) {
			continue
		}
		select {
		case <-old.done:
			if old.err != nil || !unanswered(old.account, old.user, old.call) {
				continue
			}
		default:
		}
		return old
	}
	c.recent = append(c.recent, mine)
	return mine
}

// wait waits for what becomes of the click.
func (c *click) wait(ctx context.Context) (Reply, error) {
	select {
	case <-c.done:
		return Reply{Call: c.call}, c.err
	case <-ctx.Done():
		return Reply{}, Errorf(CodeTimeout, "still being carried out: %w", context.Cause(ctx))
	}
}

// dialable cleans a number that somebody clicked: "+", digits, and the * and # of service codes. Pages and address
// books put spaces and hyphens of all kinds between them, and marks for the direction of writing around. An extension
// of the directory stays as it is written there: without its hyphen it may be somebody else's.
func (g *Gateway) dialable(account, text string) (Number, error) {
	known, _ := g.cfg.Directory.Account(account)
	if _, ok := g.cfg.Directory.ByExtension(account, text); ok {
		return ParseNumber(text, known.Region), nil
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '#', r == '+':
			return r
		case strings.ContainsRune("\t()./", r), unicode.In(r, unicode.Zs, unicode.Pd, unicode.Cf):
			return -1
		default:
			return '!'
		}
	}, strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), "tel:"))
	digits := Digits(clean)
	if strings.Contains(clean, "!") || strings.LastIndex(clean, "+") > 0 || digits == "" || len(clean) > 32 {
		return Number{}, Errorf(CodeBadNumber, "%.64q is not a number that can be dialled", text)
	}
	return ParseNumber(clean, known.Region), nil
}

// dialKey names a dial for the PBX: the same for the same command, another for any other.
func dialKey(cmd Command) string {
	sum := sha256.Sum256([]byte(cmd.Account + "\x00" + cmd.User + "\x00" + cmd.ID))
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}
