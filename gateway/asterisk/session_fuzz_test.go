package asterisk

import (
	"context"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"ringcast/gateway"
)

// FuzzSession lets an Asterisk that answers as it should send anything at all besides, and break off. What the
// link tells is sane, and nothing of it outlives the next connection, on which no channel is left.
func FuzzSession(f *testing.F) {
	for _, name := range []string{"in-answered", "park-retrieve", "recording"} {
		data, err := os.ReadFile("testdata/" + name + ".ami")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:8192])
	}
	f.Add([]byte("Event: Shutdown\r\n\r\nEvent: FullyBooted\r\n\r\nEvent: MixMonitorStart\r\nUniqueid: 1\r\n\r\nResponse: Error\r\nActionID: ringcast-9\r\n\r\n"))
	f.Add([]byte("Event: CoreShowChannel\r\nActionID: ringcast-4\r\nUniqueid: 1\r\nChannel: PJSIP/101-1\r\n\r\n" +
		"Event: CoreShowChannelsComplete\r\nActionID: ringcast-4\r\nListItems: 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fake := &fake{t: t, answer: map[string]func(message, func(string)){}, sessions: make(chan *fakeSession, 16)}
		var told []gateway.Event
		sink := sinkFunc(func(events []gateway.Event) { told = append(told, events...) })
		l := New(Config{
			Address: "pbx:5038", Username: "gateway", Secret: "s3cret", IsExtension: isUser, Logger: slog.New(slog.DiscardHandler),
			Connect: func(context.Context) (net.Conn, error) {
				near, far := net.Pipe()
				go fake.serve(far)
				return near, nil
			},
		})
		for _, raw := range [][]byte{data, nil} {
			ended := make(chan error, 1)
			go func() {
				_, err := l.session(t.Context(), sink)
				ended <- err
			}()
			s := <-fake.sessions
			s.send(string(raw) + "\r\n\r\n")
			s.send("Event: Nothing\r\n\r\n")
			s.conn.Close() // it breaks off
			if err := <-ended; err == nil {
				t.Error("the session ended without a reason")
			}
			<-s.ended
			for len(fake.sessions) > 0 { // what it sent had the lists asked for again
				<-fake.sessions
			}
		}
		checkSane(t, told)
	})
}

// sinkFunc is a sink that takes everything.
type sinkFunc func(events []gateway.Event)

func (f sinkFunc) Emit(_ context.Context, events []gateway.Event) error {
	f(events)
	return nil
}

func (f sinkFunc) Live(context.Context, []string, time.Time) error { return nil }
