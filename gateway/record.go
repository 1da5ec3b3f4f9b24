package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Record is one change, as the log keeps it. Exactly one of Call, Command, Claim and Fence is set.
type Record struct {
	Account string    `json:"account"`
	At      time.Time `json:"at"` // when the gateway took it

	// A change of a call: the event, whom it concerns, and the whole call after it.
	Event   EventType `json:"event,omitempty"`
	EventID string    `json:"event_id,omitempty"` // with the PBX: a repeat within 10 minutes is known by it
	Users   []string  `json:"users,omitempty"`
	Call    *Call     `json:"call,omitempty"`

	Command *CommandRecord `json:"command,omitempty"`
	Claim   *ClaimRecord   `json:"claim,omitempty"`
	Fence   *FenceRecord   `json:"fence,omitempty"`
}

// CommandRecord says that a command was begun (no Reply) or done.
type CommandRecord struct {
	User  string `json:"user"`
	ID    string `json:"id"`
	Reply *Reply `json:"reply,omitempty"`
}

// ClaimRecord says that a client of the user carried out what it had claimed, or that it has claimed it.
type ClaimRecord struct {
	User   string `json:"user"`
	Call   string `json:"call"`
	What   string `json:"what"`
	Client string `json:"client"`
	Held   bool   `json:"held,omitempty"` // claimed, and not carried out yet
}

// FenceRecord begins the term of a partition's owner, where several nodes share the log: what an owner before
// it had still to append fails.
type FenceRecord struct {
	Node       string `json:"node"`
	Generation uint64 `json:"generation"` // of its lease
}

// Position is where a record stands: the sequence of its entry and its index in that.
type Position struct {
	Seq   uint64 `json:"seq"`
	Index int    `json:"index"`
}

// Compare orders positions.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Seq, q.Seq), cmp.Compare(p.Index, q.Index))
}

// Cursor is a position in one incarnation of the log. Clients get it as text and do not look into it.
type Cursor struct {
	Epoch string
	Position
}

func (c Cursor) String() string {
	return c.Epoch + "." + strconv.FormatUint(c.Seq, 36) + "." + strconv.FormatInt(int64(c.Index), 36)
}

// ParseCursor reads what String wrote. It fails for anything else, which a client can have made up.
func ParseCursor(s string) (Cursor, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] == "" || len(s) > 64 {
		return Cursor{}, fmt.Errorf("not a cursor: %.64q", s)
	}
	seq, err := strconv.ParseUint(parts[1], 36, 63)
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor's sequence: %w", err)
	}
	index, err := strconv.ParseUint(parts[2], 36, 31)
	if err != nil {
		return Cursor{}, fmt.Errorf("cursor's index: %w", err)
	}
	return Cursor{Epoch: parts[0], Position: Position{Seq: seq, Index: int(index)}}, nil
}

// An entry's data is a head with the version of the format, then one record a line. In the first version a call
// also had what its events add up to.
const (
	entryHead  = "ringcast 2\n"
	entryHead1 = "ringcast 1\n"
)

// decodeEntry returns the records of an entry.
func decodeEntry(data []byte) ([]*Record, error) {
	rest, ok := bytes.CutPrefix(data, []byte(entryHead))
	if !ok {
		if rest, ok = bytes.CutPrefix(data, []byte(entryHead1)); !ok {
			return nil, fmt.Errorf("entry of an unknown format: %.20q", data)
		}
	}
	var records []*Record
	for line := range bytes.Lines(rest) {
		r, err := decodeRecord(line)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", len(records), err)
		}
		records = append(records, r)
	}
	return records, nil
}

// decodeRecord reads one line of an entry.
func decodeRecord(line []byte) (*Record, error) {
	r := new(Record)
	if err := json.Unmarshal(line, r); err != nil {
		return nil, err
	}
	if c := r.Call; c != nil {
		c.Account = r.Account
		c.Known = Tracker{}.refold(*c)
	}
	return r, nil
}
