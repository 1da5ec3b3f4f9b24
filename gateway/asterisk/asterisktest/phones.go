package asterisktest

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Phones are the lab's telephones: "101" to "104" of the company, which have registered, and "trunk", the
// telephone network outside.
type Phones struct {
	in io.Writer

	mu     sync.Mutex
	events []Event // that nobody has waited for yet
	news   chan struct{}
	over   bool
	last   int
}

// Event is what a person at a telephone would notice, and when.
type Event struct {
	Event string  `json:"event"` // incoming ringing up shown ended
	Phone string  `json:"phone"`
	Call  int     `json:"call"` // the number of the telephone's call
	Time  float64 `json:"at"`   // Unix seconds
	From  string  `json:"from"` // what the display shows
	Name  string  `json:"name"`
	To    string  `json:"to"`
	By    string  `json:"by"` // of ended: me, them

	Shown   string `json:"shown"`   // of shown: what the display shows now
	Packets int    `json:"packets"` // of heard: of sound

	ID    string `json:"id"` // of reply: the command
	OK    bool   `json:"ok"`
	Error string `json:"error"`
}

// At returns when it happened.
func (e Event) At() time.Time { return time.UnixMicro(int64(e.Time * 1e6)) }

// Phones starts and registers the telephones, until the test ends.
func (l *Lab) Phones(t T) *Phones {
	t.Helper()
	cmd := l.command("phones")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, out, err := pipes(cmd)
	if err != nil {
		t.Fatalf("telephones: %v", err)
	}
	p := &Phones{in: in, news: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(out)
	}()
	t.Cleanup(func() {
		in.Close() // it is the sign to stop
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("telephones: %v\n%s", err, complaint.String())
		}
	})
	p.wait(t, "to be ready", func(e Event) bool { return e.Event == "ready" })
	return p
}

func (p *Phones) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			p.add(e, false)
		}
	}
	p.add(Event{}, true)
}

func (p *Phones) add(e Event, over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events, p.over = append(p.events, e), over
	close(p.news)
	p.news = make(chan struct{})
}

// Do makes a telephone do something (the commands are those of examples/asterisk/phones) and returns the
// number of the call that it is about. It fails the test when the telephone cannot.
func (p *Phones) Do(t T, phone, do string, args ...string) int {
	t.Helper()
	p.mu.Lock()
	p.last++
	id := strconv.Itoa(p.last)
	p.mu.Unlock()
	if args == nil {
		args = []string{}
	}
	line, err := json.Marshal(map[string]any{"id": id, "phone": phone, "do": do, "args": args})
	if err != nil {
		t.Fatalf("telephones: %v", err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatalf("telephones: %v", err)
	}
	reply := p.wait(t, "to answer "+phone+" "+do, func(e Event) bool { return e.Event == "reply" && e.ID == id })
	if !reply.OK {
		t.Fatalf("%s %s: %s", phone, do, reply.Error)
	}
	return reply.Call
}

// Wait waits until a telephone notices something that was not waited for before, and returns it.
func (p *Phones) Wait(t T, phone, event string) Event {
	t.Helper()
	return p.wait(t, phone+" "+event, func(e Event) bool { return e.Phone == phone && e.Event == event })
}

// Forget drops what the telephones have noticed so far.
func (p *Phones) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = nil
}

func (p *Phones) wait(t T, what string, is func(Event) bool) Event {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		for i, e := range p.events {
			if is(e) {
				p.events = append(p.events[:i:i], p.events[i+1:]...)
				p.mu.Unlock()
				return e
			}
		}
		over, news := p.over, p.news
		p.mu.Unlock()
		if over {
			t.Fatalf("telephones: ended, waiting for %s (the lab's README says what they need)", what)
		}
		select {
		case <-news:
		case <-timeout:
			t.Fatalf("telephones: timed out waiting for %s", what)
		}
	}
}
