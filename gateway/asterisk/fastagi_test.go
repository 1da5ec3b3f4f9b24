package asterisk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"ringcast/gateway"
)

// agiBegin is how Asterisk 22 begins.
const agiBegin = "agi_network: yes\nagi_network_script: acme\nagi_request: agi://127.0.0.1/acme\nagi_channel: PJSIP/trunk-00000000\n" +
	"agi_language: en\nagi_callerid: 79005550111\nagi_calleridname: Ivan\nagi_dnid: 5550101\nagi_extension: 5550101\nagi_arg_1: the key\n\n"

// agiTold lets an AGI answer what Asterisk said, and returns what it was asked and what it told Asterisk to do.
func agiTold(t *testing.T, said string, routed gateway.Routed, fail error) (ask AGIRequest, told []string, logged string) {
	t.Helper()
	var log strings.Builder
	a := NewAGI(AGIConfig{Logger: slog.New(slog.NewTextHandler(&log, nil)), Route: func(_ context.Context, r AGIRequest) (gateway.Routed, error) {
		ask = r
		return routed, fail
	}})
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		a.serve(far)
	}()
	_, _ = io.WriteString(near, said) // it may have hung up
	for lines := bufio.NewScanner(near); lines.Scan(); {
		told = append(told, lines.Text())
		_, _ = io.WriteString(near, "200 result=1\n")
	}
	<-served
	a.Close()
	return ask, told, log.String()
}

func TestAGI(t *testing.T) {
	t.Parallel()
	extension := "101"
	ask, told, logged := agiTold(t, agiBegin, gateway.Routed{
		Extension: &extension, User: "88888", Contact: &gateway.Contact{Name: "Иван Петров"}, Company: &gateway.Contact{Name: "Petrov & Sons"},
	}, nil)
	if want := (AGIRequest{Account: "acme", Key: "the key", Phone: "79005550111", Line: "5550101"}); ask != want {
		t.Errorf("asked %+v", ask)
	}
	want := `SET VARIABLE RINGCAST_EXTENSION "101"
SET VARIABLE RINGCAST_USER "88888"
SET VARIABLE RINGCAST_CONTACT "Иван Петров"
SET VARIABLE RINGCAST_COMPANY "Petrov & Sons"
SET VARIABLE RINGCAST_LEAD ""
SET VARIABLE RINGCAST_WHY ""`
	if got := strings.Join(told, "\n"); got != want || logged != "" {
		t.Errorf("told:\n%s\nlogged %s", got, logged)
	}
}

func TestAGIAsksForWhatTheDialPlanNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines string
		want  AGIRequest
	}{
		"a number and a line": {"agi_arg_1: k\nagi_arg_2: +79990000000\nagi_arg_3: trunk-1\n", AGIRequest{"acme", "k", "+79990000000", "trunk-1"}},
		"withheld":            {"agi_arg_1: k\nagi_callerid: unknown\nagi_dnid: unknown\nagi_extension: s\n", AGIRequest{"acme", "k", "", "s"}},
		"an empty number":     {"agi_arg_1: k\nagi_arg_2:\nagi_callerid: 7\nagi_dnid: 5\n", AGIRequest{"acme", "k", "", "5"}},
		"said twice":          {"agi_arg_1: k\nagi_dnid: 5\nagi_arg_1: other\nagi_callerid: 7\n", AGIRequest{"acme", "k", "7", "5"}},
	} {
		ask, _, logged := agiTold(t, "agi_network: yes\r\nagi_network_script: /acme\n"+c.lines+"\n", gateway.Routed{}, nil)
		if ask != c.want || logged != "" {
			t.Errorf("%s: asked %+v; logged %s", name, ask, logged)
		}
	}
}

func TestAGIOfAWrongKeyTellsNothing(t *testing.T) {
	t.Parallel()
	_, told, logged := agiTold(t, agiBegin, gateway.Routed{}, gateway.Errorf(gateway.CodeUnauthorized, "no such key"))
	if told != nil || !strings.Contains(logged, "no such key") || strings.Contains(logged, "the key") {
		t.Errorf("told %q, logged %s", told, logged)
	}
}

func TestNamesOfStrangersDoNothingInADialPlan(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a\"\nEXEC System \"rm -rf /\"\n":  "a EXEC System rm -rf /",
		"${SHELL(id)}":                     "SHELL(id)",
		"$[1+1]\\":                         "1+1",
		"Ivan <sip:evil@example.com>;a=b":  "Ivan sip:evil@example.com a=b",
		"\u202eright to left\x00\x7f|`x`":  "right to left x",
		strings.Repeat("я", 2*maxAGIName):  strings.Repeat("я", maxAGIName),
		"O'Neil, Sons & Co. (нежив.) №1 +": "O'Neil, Sons & Co. (нежив.) №1 +",
	} {
		if got := agiText(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestAGIRefusesWhatIsNoFastAGI(t *testing.T) {
	t.Parallel()
	for name, said := range map[string]string{
		"HTTP":      "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"AMI":       "Action: Login\r\nUsername: x\r\n\r\n",
		"no end":    strings.Repeat("agi_network: yes\n", agiLines+1),
		"long line": "agi_network: " + strings.Repeat("y", 2*agiLine) + "\n",
		"much":      strings.Repeat("agi_x: "+strings.Repeat("y", 500)+"\n", 2*agiHead/500),
	} {
		ask, told, logged := agiTold(t, said, gateway.Routed{}, nil)
		if ask != (AGIRequest{}) || told != nil || logged == "" {
			t.Errorf("%s: asked %+v, told %q, logged %q", name, ask, told, logged)
		}
	}
}

func TestAGIEndsWithAPeerThatSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := NewAGI(AGIConfig{Logger: slog.New(slog.DiscardHandler), Route: func(context.Context, AGIRequest) (gateway.Routed, error) {
			return gateway.Routed{}, nil
		}})
		for _, said := range []string{"", "agi_network: yes\n", agiBegin} {
			near, far := net.Pipe()
			began := time.Now()
			go a.serve(far)
			if said != "" {
				_, _ = io.WriteString(near, said)
			}
			if said == agiBegin {
				_, _ = bufio.NewReader(near).ReadString('\n') // and no result of it
			}
			_, err := near.Read(make([]byte, 1))
			if !errors.Is(err, io.EOF) || time.Since(began) != agiTime {
				t.Errorf("%q: %v after %v", said, err, time.Since(began))
			}
			near.Close()
		}
		a.Close()
	})
}

func TestAGIThatClosesEndsItsConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	a := NewAGI(AGIConfig{Logger: slog.New(slog.DiscardHandler), Route: func(ctx context.Context, _ AGIRequest) (gateway.Routed, error) {
		close(asked)
		<-ctx.Done()
		return gateway.Routed{}, ctx.Err()
	}})
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, agiBegin)
	<-asked
	l.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	a.Close()
}

// FuzzAGI has anybody say anything: no more than a bounded part of it is read, and what is told to Asterisk are variables.
func FuzzAGI(f *testing.F) {
	f.Add([]byte(agiBegin+"200 result=1\n200 result=1\nHANGUP\n200 result=1\n"), "Ivan \"Petrov\"\n")
	f.Add([]byte("agi_network: yes\nagi_network_script: %zz\n\n"), "")
	f.Add([]byte(agiBegin+"520 Invalid command syntax.\n"), "${X}")
	f.Fuzz(func(t *testing.T, said []byte, name string) {
		extension := "101"
		a := NewAGI(AGIConfig{Route: func(context.Context, AGIRequest) (gateway.Routed, error) {
			return gateway.Routed{Extension: &extension, Contact: &gateway.Contact{Name: name}}, nil
		}})
		var told bytes.Buffer
		in := bytes.NewReader(said)
		_ = a.answer(t.Context(), struct {
			io.Reader
			io.Writer
		}{in, &told})
		if read := len(said) - in.Len(); read > agiHead {
			t.Errorf("read %d bytes", read)
		}
		for line := range strings.Lines(told.String()) {
			line = strings.TrimSuffix(line, "\n")
			if !strings.HasPrefix(line, "SET VARIABLE RINGCAST_") || strings.Count(line, `"`) != 2 || strings.ContainsFunc(line, unicode.IsControl) ||
				strings.ContainsAny(line, "\\${}[]") {
				t.Errorf("told %q", line)
			}
		}
	})
}
