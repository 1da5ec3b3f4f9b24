package main

import (
	"encoding/json"
	"net/http"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// bareDoor is that of the bare fan-out: the least that does what a tab sees, on gorilla/websocket. The handler of the
// POST writes to the socket itself. It checks nobody.
func bareDoor(b *board) http.HandlerFunc {
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // it has answered
		}
		defer func() { _ = conn.Close() }()
		_, hello, err := conn.ReadMessage()
		if err != nil {
			return
		}
		who, err := helloOf(hello)
		if err != nil {
			return
		}
		s := &socket{write: func(message []byte) error { return conn.WriteMessage(websocket.TextMessage, message) }}
		defer b.leave(who, s)
		for err = b.sit(who, s); err == nil; {
			_, _, err = conn.ReadMessage()
		}
	}
}

// helloOf is who a tab says it is. Nothing is checked.
func helloOf(frame []byte) (seat, error) {
	var hello struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(frame, &hello); err != nil {
		return seat{}, err
	}
	var claims jwt.RegisteredClaims
	_, _, err := jwt.NewParser().ParseUnverified(hello.Token, &claims)
	return seat{claims.Issuer, extensionOf(claims.Subject)}, err
}
