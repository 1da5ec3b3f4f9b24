package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// tab is one user's page. It knows what was posted for its user and checks off what arrives: what comes first must
// have been posted first, each message once, and each must follow the one before by its prev.
type tab struct {
	extension string
	calls     string // how the ids of its calls begin

	mu      sync.Mutex
	events  []posted
	settled int // events of measurements before this one
	highest int // 1 + the latest event that arrived
	cursor  string
	faults  faults
	gone    error // why the connection ended
}

// posted is an event of this measurement.
type posted struct {
	due          time.Time // when its POST was to begin
	acknowledged bool
	arrived      time.Time // zero: not yet
}

// faults are what must not happen.
type faults struct {
	lost       int // acknowledged and not delivered
	doubled    int // delivered again
	disordered int // delivered after a later one
	misrouted  int // another user's, or nobody's
	gaps       int // prev is not the cursor of the message before
}

func (f *faults) add(g faults) {
	f.lost += g.lost
	f.doubled += g.doubled
	f.disordered += g.disordered
	f.misrouted += g.misrouted
	f.gaps += g.gaps
}

func newTab(account, extension string) *tab {
	return &tab{extension: extension, calls: account + "." + extension + "."}
}

// message is a frame from the server, as far as it is looked at.
type message struct {
	Type   string `json:"type"`
	Cursor string `json:"cursor"`
	Prev   string `json:"prev"`
	Event  string `json:"event"`
	Call   struct {
		ID        string `json:"id"`
		Extension string `json:"extension"`
	} `json:"call"`
}

// posting notes an event that is about to be posted and returns its index.
func (t *tab) posting(due time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, posted{due: due})
	return len(t.events) - 1
}

func (t *tab) acknowledged(index int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events[index].acknowledged = true
}

// receive checks a message and says whether it is an event that was waited for.
func (t *tab) receive(m message, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.Prev != t.cursor {
		t.faults.gaps++
	}
	t.cursor = m.Cursor
	n, ok := t.eventNumber(m)
	switch i := n - t.settled; {
	case !ok || i >= len(t.events):
		t.faults.misrouted++
		return false
	case i < 0 || !t.events[i].arrived.IsZero():
		t.faults.doubled++
		return false
	default:
		t.events[i].arrived = now
	}
	if n < t.highest {
		t.faults.disordered++
	}
	t.highest = max(t.highest, n+1)
	return true
}

// eventNumber is which of the tab's events a message is about.
func (t *tab) eventNumber(m message) (int, bool) {
	rest, ok := strings.CutPrefix(m.Call.ID, pbxID+":"+t.calls)
	if !ok || m.Call.Extension != t.extension {
		return 0, false
	}
	call, err := strconv.Atoi(rest)
	for phase, event := range phases {
		if err == nil && event == m.Event {
			return call*len(phases) + phase, true
		}
	}
	return 0, false
}

// settle ends a measurement: it returns the tab's events and faults and begins the next.
func (t *tab) settle() ([]posted, faults, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	events, f := t.events, t.faults
	for _, e := range events {
		if e.acknowledged && e.arrived.IsZero() {
			f.lost++
		}
	}
	t.settled += len(events)
	t.events, t.faults = nil, faults{}
	return events, f, t.gone
}

// hello says who the tab's user is and waits for the answer.
func (t *tab) hello(conn *websocket.Conn, token string) error {
	var hello message
	err := errors.Join(conn.SetReadDeadline(time.Now().Add(answerTime)),
		conn.WriteJSON(map[string]string{"type": "hello", "token": token}))
	if err == nil {
		err = conn.ReadJSON(&hello)
	}
	if err == nil && hello.Type != "hello" {
		err = fmt.Errorf("the first message is a %q", hello.Type)
	}
	if err != nil {
		return err
	}
	t.cursor = hello.Cursor
	return conn.SetReadDeadline(time.Time{})
}

// read receives until the connection ends. delivered is called for each event.
func (t *tab) read(conn *websocket.Conn, buffers *sync.Pool, delivered func()) {
	err := error(nil)
	for err == nil {
		err = t.readOne(conn, buffers, delivered)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = err
}

func (t *tab) readOne(conn *websocket.Conn, buffers *sync.Pool, delivered func()) error {
	_, frame, err := conn.NextReader()
	if err != nil {
		return err
	}
	buffer, ok := buffers.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	defer buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(frame); err != nil {
		return err
	}
	now := time.Now()
	var m message
	if err := json.Unmarshal(buffer.Bytes(), &m); err != nil {
		return fmt.Errorf("message %.100q: %w", buffer.Bytes(), err)
	}
	if m.Type == "call" && t.receive(m, now) {
		delivered()
	}
	return nil
}
