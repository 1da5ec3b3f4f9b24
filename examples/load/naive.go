package main

import (
	"net/http"

	"github.com/olahol/melody"
)

// naiveDoor is that of the server that is quickly written: melody as it comes, with all its defaults, a POST decoded
// and written to the user's session, no history. It checks nobody.
func naiveDoor(b *board) http.HandlerFunc {
	const guest = "guest"
	type sitting struct {
		who seat
		socket
	}
	m := melody.New()
	m.HandleMessage(func(session *melody.Session, hello []byte) {
		who, err := helloOf(hello)
		if err != nil {
			_ = session.Close()
			return
		}
		s := &sitting{who, socket{write: session.Write}}
		session.Set(guest, s)
		_ = b.sit(who, &s.socket) // it left: HandleDisconnect is next
	})
	m.HandleDisconnect(func(session *melody.Session) {
		if v, _ := session.Get(guest); v != nil {
			s, _ := v.(*sitting)
			b.leave(s.who, &s.socket)
		}
	})
	return func(w http.ResponseWriter, r *http.Request) {
		_ = m.HandleRequest(w, r) // it has answered
	}
}
