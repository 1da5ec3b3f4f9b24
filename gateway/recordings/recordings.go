// Package recordings hands out the recordings of calls: by a link that says, signed, which account's, which call's and
// which file it is, from where the PBX keeps them.
//
// # Links
//
// Whoever has a link hears the recording, as the CRM's player does, which logs in nowhere. A link cannot be made or
// changed without a key; how long it works after its call the account says at any time anew, also of links that were
// given out. It is made of the call alone, so the same call has the same link wherever it is shown.
//
// # Files
//
// A file comes from a folder, from a web server or from S3 (Source), never from anywhere else: what leaves the folder by
// a link or by dots is refused, and so is a redirect. Ranges are answered, which winding forward takes. One that is
// still being written is waited for, within limits, and then told from one that is gone.
//
// All methods may be called from many goroutines.
package recordings

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

// Path is where recordings are handed out: Server serves all below it.
const Path = "/v1/recordings/"

// Config is what a Server is made of.
type Config struct {
	PublicURL string                                              // what links begin with
	Keys      [][]byte                                            // 32 bytes at least each; the first signs, all are believed
	Accounts  map[string]Account                                  // by id
	Call      func(account, id string) (c *gateway.Call, ok bool) // as it is now, of those that are remembered
	Logger    *slog.Logger                                        // default: none
	Now       func() time.Time                                    // default: time.Now

	Streams        int           // answers under way at a time; default 200
	AccountStreams int           // of one account; default 50
	Stall          time.Duration // who takes nothing, or gives nothing, for so long is cut off; default 30 s
}

// Account is what an account has recordings for.
type Account struct {
	Lasts time.Duration  // links work so long after the start of their call; 0: for ever
	Wait  time.Duration  // a request waits so long for a file that is still to come
	PBX   map[string]PBX // by id; those of which recordings are handed out
}

// PBX is one whose recordings are handed out.
type PBX struct {
	From   []string // what it says of a recording begins with one of these: "file:" and a folder of the PBX's, or a URL
	Source Source   // has what follows
}

// Source is where recordings lie.
type Source interface {
	// Open looks for a recording by its name below the source, with slashes between. The request says which part of it
	// is asked for. The error is errMissing, errGrowing, or one for whoever asks.
	Open(ctx context.Context, name string, r *http.Request) (Recording, error)

	// Check tells whether there is such a source and recordings can be had of it, and what is worth knowing besides.
	Check(ctx context.Context) (notes []string, err error)
}

// Recording is one that is there, open.
type Recording interface {
	// Type is its media type where its name does not say it; "": not known.
	Type() string
	// Send answers the request that it was opened for.
	Send(w http.ResponseWriter, r *http.Request) error
	Close() error
}

// Server makes links and answers them.
type Server struct {
	cfg     Config
	keys    [][]byte
	closing context.Context
	close   context.CancelFunc

	mu      sync.Mutex
	streams map[string]int // under way, by account; "" for all
}

// New returns a server. It fails when there is no key, or one that is too short.
func New(cfg Config) (*Server, error) {
	keys, err := deriveKeys(cfg.Keys)
	if err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Streams = cmp.Or(cfg.Streams, 200)
	cfg.AccountStreams = cmp.Or(cfg.AccountStreams, 50)
	cfg.Stall = cmp.Or(cfg.Stall, 30*time.Second)
	s := &Server{cfg: cfg, keys: keys, streams: map[string]int{}}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what is under way. A player comes back for the rest, then to another node.
func (s *Server) Close() { s.close() }

// Link returns the URL at which people get a call's recording, "" if it is none of those that are handed out here.
func (s *Server) Link(c *gateway.Call) string {
	if c.Recording == "" || c.StartedAt.Unix() <= 0 {
		return ""
	}
	pbx, ok := s.pbx(c.Account, c.ID)
	if !ok {
		return ""
	}
	name, ok := pbx.locate(c.Recording)
	if !ok {
		return ""
	}
	l := link{account: c.Account, call: c.ID, name: name, started: c.StartedAt}
	return s.cfg.PublicURL + Path + l.sign(s.keys[0]) + "/" + l.shown()
}

// pbx returns the PBX that a call is of.
func (s *Server) pbx(account, call string) (PBX, bool) {
	id, _, _ := strings.Cut(call, ":")
	pbx, ok := s.cfg.Accounts[account].PBX[id]
	return pbx, ok
}

// locate returns the name below the source of what a PBX says a recording is.
func (p *PBX) locate(recording string) (name string, ok bool) {
	for _, from := range p.From {
		rest, below := strings.CutPrefix(recording, strings.TrimSuffix(from, "/")+"/")
		if !below {
			continue
		}
		if !strings.HasPrefix(from, "file:") {
			if rest, ok = unescape(rest); !ok {
				return "", false
			}
		}
		return rest, isName(rest)
	}
	return "", false
}

// shown is the last part of a link, which tells those who look there what it is: some players take a file's type from it.
func (l *link) shown() string {
	ext := strings.ToLower(path.Ext(l.name))
	if mediaType(ext) == "" {
		ext = ""
	}
	return "recording" + ext
}
