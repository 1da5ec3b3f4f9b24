package natslog

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
)

// An entry is stored packed if that makes it smaller: the records of a group say much the same, and in a seventh of
// their size (a single one: in two thirds) they are copied, hashed, written, synced and kept in the server's memory
// for a fraction. To pack takes half a microsecond a record, to unpack half of that.
const (
	headerPacked = "Ringcast-Packed"
	packedS2     = "s2"
)

// packer packs, in buffers that are used again and again.
type packer struct{ buffers sync.Pool }

// pack gives the message its data. When done is called the message is of no more use.
func (p *packer) pack(msg *nats.Msg, data []byte) (done func()) {
	buffer, ok := p.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	if most := s2.MaxEncodedLen(len(data)); cap(*buffer) < most {
		*buffer = make([]byte, most)
	}
	msg.Data = data
	if packed := s2.Encode((*buffer)[:cap(*buffer)], data); len(packed) < len(data) {
		msg.Data = packed
		msg.Header.Set(headerPacked, packedS2)
	}
	return func() { p.buffers.Put(buffer) }
}

// unpacker unpacks, into what it unpacked before.
type unpacker struct{ buffer []byte }

// unpack returns what was packed in a message. It is good until the next call.
func (u *unpacker) unpack(msg *nats.Msg) ([]byte, error) {
	switch how := msg.Header.Get(headerPacked); how {
	case "":
		return msg.Data, nil
	case packedS2:
		n, err := s2.DecodedLen(msg.Data)
		if err == nil && n > maxEntry {
			err = fmt.Errorf("%d bytes; an entry has at most %d", n, maxEntry)
		}
		if err == nil {
			u.buffer, err = s2.Decode(u.buffer[:cap(u.buffer)], msg.Data)
		}
		return u.buffer, err
	default:
		return nil, fmt.Errorf("packed by %q, which this program does not know", how)
	}
}
