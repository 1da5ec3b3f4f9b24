package natslog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	"ringcast/gateway"
)

// noise is data that packing makes no smaller.
func noise(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}

func TestPack(t *testing.T) {
	t.Parallel()
	var p packer
	var u unpacker
	for name, data := range map[string][]byte{
		"nothing": {}, "one byte": {1}, "records": []byte(strings.Repeat(`{"account":"acme","event":"call.dial"}`+"\n", 50)),
		"noise": noise(1000), "the largest": make([]byte, maxEntry), "the largest noise": noise(maxEntry),
	} {
		msg := &nats.Msg{Header: nats.Header{}}
		done := p.pack(msg, data)
		if len(msg.Data) > len(data) {
			t.Errorf("%s: %d bytes became %d", name, len(data), len(msg.Data))
		}
		if got, err := u.unpack(msg); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes came back as %d: %v", name, len(data), len(got), err)
		}
		done()
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	for name, msg := range map[string]*nats.Msg{
		"another method":      {Header: nats.Header{headerPacked: {"s3"}}, Data: []byte("x")},
		"what is not packed":  {Header: nats.Header{headerPacked: {packedS2}}, Data: []byte("not packed")},
		"nothing":             {Header: nats.Header{headerPacked: {packedS2}}},
		"more than an entry":  {Header: nats.Header{headerPacked: {packedS2}}, Data: s2.Encode(nil, make([]byte, maxEntry+1))},
		"a length that lies":  {Header: nats.Header{headerPacked: {packedS2}}, Data: []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}},
		"the beginning of it": {Header: nats.Header{headerPacked: {packedS2}}, Data: s2.Encode(nil, make([]byte, 1000))[:5]},
	} {
		var u unpacker
		if data, err := u.unpack(msg); err == nil {
			t.Errorf("%s: %d bytes", name, len(data))
		}
	}
}

// TestEntriesAreStoredPacked also reads an entry of a log from before they were.
func TestEntriesAreStoredPacked(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	plain := &nats.Msg{Subject: db.log.subject("0"), Header: nats.Header{headerEntryID: {"old"}}, Data: bytes.Repeat([]byte("old "), 1000)}
	if _, err := db.js.PublishMsg(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	want := [][]byte{plain.Data}
	for i, data := range [][]byte{noise(5000), bytes.Repeat([]byte("new "), 1000), bytes.Repeat([]byte("more "), 100)} {
		if _, err := db.log.Append(t.Context(), gateway.Entry{ID: fmt.Sprint(i), Data: data}, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
		want = append(want, data)
	}
	var got [][]byte
	errEnd := errors.New("end")
	_ = db.log.Tail(t.Context(), 0, func(e gateway.Entry) error {
		if got = append(got, bytes.Clone(e.Data)); len(got) == len(want) {
			return errEnd
		}
		return nil
	})
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("entry %d has %d bytes, %d were appended", i, len(got[i]), len(want[i]))
		}
	}
	info, err := db.log.stream.Info(t.Context())
	if most := uint64(len(want[0]) + len(want[1]) + 1000); err != nil || info.State.Bytes > most {
		t.Errorf("the entries take %d bytes, at most %d: %v", info.State.Bytes, most, err)
	}
}
