package asterisk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"ringcast/gateway"
)

// The variables that AGI sets on a channel.
const (
	AGIExtension = "RINGCAST_EXTENSION" // where the call should go; empty: as the dial plan has it
	AGIUser      = "RINGCAST_USER"      // whose that is
	AGIContact   = "RINGCAST_CONTACT"   // the name of who calls, as the CRM has it; empty: not known
	AGICompany   = "RINGCAST_COMPANY"
	AGILead      = "RINGCAST_LEAD"
	AGIWhy       = "RINGCAST_WHY" // why there is no extension
)

// What is taken of one connection. Asterisk sends some thirty lines, and waits for the answer with the call.
const (
	agiTime      = 2 * time.Second // all of it
	agiLines     = 200
	agiHead      = 16 << 10 // bytes
	agiLine      = 1 << 10  // an answer's bytes
	maxAGI       = 512      // connections at once
	maxAGIName   = 80       // characters
	agiAcceptGap = 50 * time.Millisecond
)

// AGIRequest is what a dial plan asks: AGI(agi://HOST/ACCOUNT,KEY), perhaps with the number and the line behind the key.
type AGIRequest struct {
	Account string
	Key     string // of a PBX of the account
	Phone   string // the caller's; "": withheld
	Line    string // what he dialled
}

// AGIConfig is what an AGI needs.
type AGIConfig struct {
	// Route says where a call goes. It is to answer within gateway.RouteTime.
	Route  func(ctx context.Context, ask AGIRequest) (gateway.Routed, error)
	Logger *slog.Logger
}

// AGI answers dial plans over FastAGI: where should this call go, and who calls? A channel gets the answer as variables
// (AGIExtension and others), and the dial plan goes on whatever they are: what cannot be answered is empty.
type AGI struct {
	cfg    AGIConfig
	ctx    context.Context //nolint:containedctx // of the connections: Serve has none
	cancel context.CancelFunc
	slots  chan struct{}
	conns  sync.WaitGroup
}

// NewAGI returns an AGI.
func NewAGI(cfg AGIConfig) *AGI {
	a := &AGI{cfg: cfg, slots: make(chan struct{}, maxAGI)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	return a
}

// Serve answers what arrives at a listener until that is closed, and returns why it ended.
func (a *AGI) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil { // too many files are open: it passes
			select {
			case <-time.After(agiAcceptGap):
				continue
			case <-a.ctx.Done():
				return err
			}
		}
		select {
		case a.slots <- struct{}{}:
		default: // the dial plan goes on without an answer
			_ = conn.Close()
			continue
		}
		a.conns.Go(func() {
			defer func() { <-a.slots }()
			a.serve(conn)
		})
	}
}

// Close ends the connections and waits for that. Serve is to have returned before: it might let another one in.
func (a *AGI) Close() {
	a.cancel()
	a.conns.Wait()
}

func (a *AGI) serve(conn net.Conn) {
	ctx, cancel := context.WithTimeout(a.ctx, agiTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err := a.answer(ctx, conn)
	_ = conn.Close() // Asterisk goes on with its dial plan
	if err != nil {
		a.cfg.Logger.WarnContext(ctx, "a dial plan's question is not answered", "from", conn.RemoteAddr().String(), "err", err)
	}
}

// answer reads a question and sets what the channel is to know.
func (a *AGI) answer(ctx context.Context, conn io.ReadWriter) error {
	in := bufio.NewReaderSize(io.LimitReader(conn, agiHead), agiLine)
	ask, err := readAGI(in)
	if err != nil {
		return err
	}
	routed, err := a.cfg.Route(ctx, ask)
	if err != nil {
		return fmt.Errorf("account %.64q: %w", ask.Account, err)
	}
	for _, v := range agiVariables(routed) {
		if _, err := fmt.Fprintf(conn, "SET VARIABLE %s \"%s\"\n", v.name, v.value); err != nil {
			return fmt.Errorf("set %s: %w", v.name, err)
		}
		if err := readAGIResult(in); err != nil {
			return fmt.Errorf("set %s: %w", v.name, err)
		}
	}
	return nil
}

type agiVariable struct{ name, value string }

func agiVariables(r gateway.Routed) []agiVariable {
	extension := ""
	if r.Extension != nil {
		extension = *r.Extension
	}
	return []agiVariable{
		{AGIExtension, agiText(extension)}, {AGIUser, agiText(r.User)}, {AGIContact, agiName(r.Contact)},
		{AGICompany, agiName(r.Company)}, {AGILead, agiName(r.Lead)}, {AGIWhy, agiText(r.Why)},
	}
}

func agiName(c *gateway.Contact) string {
	if c == nil {
		return ""
	}
	return agiText(c.Name)
}

// agiText makes a text what a dial plan may handle without care: one line, without what quotes, names a variable, begins
// an expression or another header. Names are written by people, some of them by strangers in a form of a website.
func agiText(text string) string {
	n := 0
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar, strings.ContainsRune("\"\\$`{}[]|;<>", r):
			return ' '
		}
		if n++; n > maxAGIName {
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// readAGI reads the lines that Asterisk begins with, up to the empty one.
func readAGI(in *bufio.Reader) (AGIRequest, error) {
	told := map[string]string{}
	for range agiLines {
		line, err := agiLineOf(in)
		if err != nil {
			return AGIRequest{}, err
		}
		if line == "" {
			return agiRequest(told)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return AGIRequest{}, fmt.Errorf("not FastAGI: %.64q", line)
		}
		if _, twice := told[name]; !twice { // what a channel's variables might add comes later
			told[name] = strings.TrimPrefix(value, " ")
		}
	}
	return AGIRequest{}, errors.New("not FastAGI: its beginning has no end")
}

func agiRequest(told map[string]string) (AGIRequest, error) {
	if told["agi_network"] != "yes" {
		return AGIRequest{}, errors.New("not FastAGI: agi_network is not told")
	}
	account, err := url.PathUnescape(strings.Trim(told["agi_network_script"], "/"))
	if err != nil {
		return AGIRequest{}, fmt.Errorf("account: %w", err)
	}
	ask := AGIRequest{Account: account, Key: told["agi_arg_1"], Phone: agiNumber(told["agi_callerid"])}
	for _, name := range []string{"agi_dnid", "agi_extension"} {
		if ask.Line = agiNumber(told[name]); ask.Line != "" {
			break
		}
	}
	if phone, ok := told["agi_arg_2"]; ok {
		ask.Phone = phone
	}
	if line := told["agi_arg_3"]; line != "" {
		ask.Line = line
	}
	return ask, nil
}

// agiNumber is a number as Asterisk tells it; "unknown" where there is none.
func agiNumber(text string) string {
	if text == "unknown" {
		return ""
	}
	return text
}

// readAGIResult reads what became of a command. That the caller has hung up meanwhile is told between the results.
func readAGIResult(in *bufio.Reader) error {
	for range agiLines {
		line, err := agiLineOf(in)
		if err != nil {
			return err
		}
		switch {
		case line == "HANGUP":
		case strings.HasPrefix(line, "200 "):
			return nil
		default:
			return fmt.Errorf("the answer is %.64q", line)
		}
	}
	return errors.New("no result")
}

func agiLineOf(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", fmt.Errorf("a line of more than %d bytes", agiLine)
	}
	if err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}
