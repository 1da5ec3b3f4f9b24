package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// AmoNotification is an entry of the notification centre: amoCRM stores it and shows it in every tab of its user.
type AmoNotification struct {
	ID       int64       `json:"id"`
	User     int64       `json:"user"`
	Type     string      `json:"type"` // call, error
	Header   string      `json:"header"`
	Text     string      `json:"text"` // HTML, as it came
	From     string      `json:"from,omitempty"`
	To       string      `json:"to,omitempty"`
	Duration string      `json:"duration,omitempty"` // mm:ss
	Link     string      `json:"link,omitempty"`     // the recording
	Date     int64       `json:"date"`               // Unix seconds
	Element  *AmoElement `json:"element,omitempty"`
	Server   bool        `json:"-"` // raised by POST /api/v2/events, not by a page
}

// AmoElement is the entity that a notification is about.
type AmoElement struct {
	ID   int64  `json:"id"`
	Type string `json:"type"` // contact, lead, company
}

// amoPush is what an open page is told as it happens.
type amoPush struct {
	Kind string `json:"kind"` // notification, note, online
	Data any    `json:"data"`
}

// How far an open page may lag behind before its stream is cut; it opens a new one.
const (
	streamBuffer = 64 // pushes
	streamWrite  = 5 * time.Second
)

// push tells the open pages of the given users, or with nil of all. The caller holds the lock.
func (a *Amo) push(p amoPush, users []int64) {
	for stream, user := range a.streams {
		if users != nil && !slices.Contains(users, user) {
			continue
		}
		select {
		case stream <- p:
		default:
			delete(a.streams, stream)
			close(stream)
		}
	}
}

// tellOnline tells all pages which users have a page open. The caller holds the lock.
func (a *Amo) tellOnline() {
	online := []int64{}
	for _, user := range a.streams {
		if !slices.Contains(online, user) {
			online = append(online, user)
		}
	}
	a.push(amoPush{Kind: "online", Data: online}, nil)
}

// serveStream is a WebSocket and no EventSource: a browser opens only six connections of HTTP/1.1 to a host, and a
// seventh tab would find none.
func (a *Amo) serveStream(w http.ResponseWriter, r *http.Request) {
	user, ok := a.user(r.URL.Query().Get("user"))
	if !ok {
		writeAmoProblem(w, amoProblem{Status: http.StatusUnauthorized, Detail: "Unauthorized"})
		return
	}
	stream := make(chan amoPush, streamBuffer)
	a.mu.Lock()
	a.streams[stream] = user.ID
	a.tellOnline()
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.streams, stream)
		a.tellOnline()
		a.mu.Unlock()
	}()
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return // it was answered
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for err := error(nil); err == nil; {
			_, _, err = conn.ReadMessage() // a page says nothing, but closes
		}
	}()
	defer func() {
		_ = conn.Close()
		<-gone
	}()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-gone:
			return
		case p, open := <-stream:
			_ = conn.SetWriteDeadline(time.Now().Add(streamWrite)) // never fails
			if !open || conn.WriteJSON(p) != nil {
				return
			}
		}
	}
}

// notify stores a notification for each user and shows it in their pages. The caller holds the lock.
func (a *Amo) notify(n AmoNotification, users []int64) {
	for _, user := range users {
		n.ID, n.User = a.nextID(), user
		a.inbox = append(a.inbox, n)
		a.push(amoPush{Kind: "notification", Data: n}, []int64{user})
	}
}

// addToInbox is where APP.notifications.add_call and add_error post: it addresses the user himself and nobody else.
func (a *Amo) addToInbox(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	var n AmoNotification
	if err := readAmo(r, &n); err != nil {
		return err
	}
	if n.User != user.ID {
		return amoProblem{Status: http.StatusForbidden, Detail: "Only your own inbox"}
	}
	if n.Text == "" || n.Type != "call" && n.Type != "error" {
		return badRequest("A notification needs a text and a type")
	}
	a.mu.Lock()
	a.notify(n, []int64{user.ID})
	id := a.lastID
	a.mu.Unlock()
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"id": id})
	return nil
}

// AmoEvent is a call notification that was asked for by POST /api/v2/events.
type AmoEvent struct {
	Phone     string
	Users     []int64 // who got it
	Everybody bool    // no list was sent, so that everybody in the account got it
	Client    string  // the integration; empty: a page
	Time      time.Time
}

// Events returns the call notifications that were asked for, oldest first.
func (a *Amo) Events() []AmoEvent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

// amoEvents is the body of POST /api/v2/events.
type amoEvents struct {
	Add []amoEventIn `json:"add"`
}

type amoEventIn struct {
	Type  string        `json:"type"`
	Phone string        `json:"phone_number"`
	Users []json.Number `json:"users"`
}

// readForm reads add[0][type]=…&add[0][users][]=…
func (e *amoEvents) readForm(r *http.Request) {
	_ = r.ParseForm() // what could not be read is missing, and refused
	for i := 0; ; i++ {
		at := fmt.Sprintf("add[%d]", i)
		item := amoEventIn{Type: r.PostForm.Get(at + "[type]"), Phone: r.PostForm.Get(at + "[phone_number]")}
		if item.Type == "" && item.Phone == "" {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
			if strings.HasPrefix(name, at+"[users]") {
				for _, id := range r.PostForm[name] {
					item.Users = append(item.Users, json.Number(id))
				}
			}
		}
		e.Add = append(e.Add, item)
	}
}

// addEvents is the call notification raised by a back end. The CRM looks the number up itself, by its last eight
// digits, the oldest contact first.
func (a *Amo) addEvents(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	var body amoEvents
	if isForm(r) {
		body.readForm(r)
	} else if err := readAmo(r, &body); err != nil {
		return err
	}
	recipients := make([][]int64, len(body.Add))
	for i, item := range body.Add {
		if item.Type != "phone_call" || amoDigits(item.Phone) == "" {
			return badRequest("type must be phone_call, and phone_number a number")
		}
		for _, id := range item.Users {
			user, ok := a.user(id.String())
			if !ok {
				return badRequest("There is no user " + id.String())
			}
			recipients[i] = append(recipients[i], user.ID)
		}
		if item.Users == nil { // as documented: for everybody
			for _, user := range a.cfg.Users {
				recipients[i] = append(recipients[i], user.ID)
			}
		}
	}
	items := []map[string]any{}
	a.mu.Lock()
	for i, item := range body.Add {
		event := AmoEvent{Phone: item.Phone, Users: recipients[i], Everybody: item.Users == nil, Time: time.Now()}
		if client := clientOf(r.Context()); client != nil {
			event.Client = client.ID
		}
		a.events = append(a.events, event)
		n := AmoNotification{
			Type: "call", Header: html.EscapeString(item.Phone), From: item.Phone, Text: "<p>" + html.EscapeString(item.Phone) + "</p>",
			Date: time.Now().Unix(), Server: true,
		}
		reply := map[string]any{"element_id": nil, "element_type": nil, "uid": amoUUID(), "phone_number": item.Phone}
		if e := a.byPhone(item.Phone, 8); e != nil {
			kind, number := "contact", 1
			if e.Kind == amoCompanies {
				kind, number = "company", 3
			}
			n.Text = "<p>" + html.EscapeString(e.Name) + "</p>"
			n.Element = &AmoElement{ID: e.ID, Type: kind}
			reply["element_id"], reply["element_type"] = e.ID, number
		}
		a.notify(n, recipients[i])
		items = append(items, reply)
	}
	a.mu.Unlock()
	writeAmo(w, http.StatusOK, halJSON, map[string]any{
		"_links":    map[string]any{"self": map[string]any{"href": "/api/v2/events", "method": "post"}},
		"_embedded": map[string]any{"items": items},
	})
	return nil
}

// byPhone finds by the last digits of a number: contacts before companies, the oldest first. The caller holds
// the lock.
func (a *Amo) byPhone(phone string, last int) *amoEntity {
	tail := func(s string) string {
		d := amoDigits(s)
		return d[max(0, len(d)-last):]
	}
	for _, kind := range []string{amoContacts, amoCompanies} {
		for _, e := range a.entities[kind] {
			if slices.ContainsFunc(e.Phones, func(p string) bool { return tail(p) == tail(phone) }) {
				return e
			}
		}
	}
	return nil
}

// amoUUID returns a random UUID, version 4.
func amoUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
