package gateway

import (
	"context"
	"errors"
	"time"
)

// Log is the one durable, ordered record of everything that happens to calls (design §2). It keeps
// opaque entries in partitions; sequences are positive, unique in the whole log and strictly rising
// within it, with gaps only where entries were purged.
//
// All methods may be called from many goroutines. An implementation keeps what it acknowledged through
// a kill of the process; what a power cut may take is the implementation's documented choice.
type Log interface {
	// Info describes the log. It does not change while the log is open.
	Info() LogInfo

	// Append adds e to e.Partition, provided that the sequence of the partition's last entry is still
	// after (0: it has none), and returns the new sequence. It returns only when the entry is as durable
	// as the log promises. It must not keep e.Data after it returned, whatever it returned: the caller writes its
	// next entry there.
	//
	// ErrConflict: the condition failed and nothing was written. ErrLogFull: the log refuses, nothing was
	// written. Any other error leaves the outcome open: read the partition to its end and look for e.ID.
	Append(ctx context.Context, e Entry, after uint64) (uint64, error)

	// Tail calls fn for each entry of the whole log with a sequence greater than after, in order, first
	// those that are there and then each new one as it becomes durable, until ctx ends or fn fails; it
	// returns ctx's or fn's error. An entry that was purged before Tail reached it is passed over.
	// fn must not keep e.Data after it returned.
	Tail(ctx context.Context, after uint64, fn func(e Entry) error) error

	// Last returns the sequence of the partition's last entry, 0 when it has none. It sees every append
	// that was acknowledged before the call.
	Last(ctx context.Context, partition int) (uint64, error)

	// Purge removes the partition's entries with a sequence below before, and always leaves its last one:
	// the next append is conditional on it. Repeating it does nothing.
	Purge(ctx context.Context, partition int, before uint64) error
}

// LogInfo describes an open log.
type LogInfo struct {
	Epoch      string // names this incarnation of the log: 1 to 32 of [0-9a-z]. A sequence means nothing under another
	Partitions int    // fixed when the log was made, at least 1
	MaxEntry   int    // the most bytes of Data in one entry
}

// Entry is one append: a group of records of one partition.
type Entry struct {
	Seq       uint64    // set by the log
	Partition int       // 0 to Partitions-1
	ID        string    // names the append, so that its writer finds it again after a lost answer
	Time      time.Time // when it was appended; set by the log
	Data      []byte
}

// PartitionLog is a Log that can read one partition without the others.
type PartitionLog interface {
	// TailPartition is Log's Tail of one partition's entries.
	TailPartition(ctx context.Context, partition int, after uint64, fn func(e Entry) error) error
}

// WorkQueue keeps items in lanes, each until it is removed, also over restarts. A lane is a line of its own: what
// stands in one is never in the way of what stands in another, however much it is. Whoever works on a lane is alone
// with it; the queue does not see to that. All methods may be called from many goroutines.
type WorkQueue interface {
	// Add puts an item at the end of its lane and returns its place when it is durable. An id that was added to the
	// lane within the last two minutes is accepted and kept once, at the place of the first; also when that was
	// removed meanwhile. ErrLogFull: the queue refuses.
	Add(ctx context.Context, item Item) (place uint64, err error)

	// Next returns the lane's first item with a place greater than after. ErrNotFound: there is none.
	Next(ctx context.Context, lane string, after uint64) (Item, error)

	// Newest returns the lane's last item. ErrNotFound: the lane is empty.
	Newest(ctx context.Context, lane string) (Item, error)

	// Remove takes the item at a place out of the queue. There need not be one.
	Remove(ctx context.Context, place uint64) error

	// Lanes calls fn for each lane that has items, with how many, in no order. fn must not use the queue.
	Lanes(ctx context.Context, fn func(lane string, items int)) error
}

// Item is one piece of work.
type Item struct {
	Lane  string // 1 to 256 bytes
	ID    string // 1 to 256 bytes
	Data  []byte
	Place uint64    // set by the queue: positive, and rising in each lane
	Added time.Time // set by the queue
}

// LaterError is a CRM's word that a call is to be saved again after Delay.
type LaterError struct {
	Delay time.Duration
	Alone bool // the call's own affair: the CRM takes others

	// The CRM does not allow it. Whether that is the call's own affair is seen by whether it takes others: then the call is
	// set aside after some tries.
	Denied bool

	Err error
}

func (e *LaterError) Error() string { return "later, in " + e.Delay.String() + ": " + e.Err.Error() }
func (e *LaterError) Unwrap() error { return e.Err }

// UnsureError is a CRM's word that it may still carry out what the Save asked it for: it did not answer, or somebody before
// it answered in its place.
type UnsureError struct{ Err error }

func (e *UnsureError) Error() string { return e.Err.Error() + ", and may still carry it out" }
func (e *UnsureError) Unwrap() error { return e.Err }

// ParkError is a CRM's word that a call cannot be saved as it is: it is put aside for a person to see.
type ParkError struct{ Err error }

func (e *ParkError) Error() string { return "parked: " + e.Err.Error() }
func (e *ParkError) Unwrap() error { return e.Err }

// Store keeps small values under keys: snapshots, accounts, tokens. Keys are 1 to 512 bytes of
// [-/_=.a-zA-Z0-9], with no dot at either end and no two dots in a row; dots part a key into the levels
// that List matches. All methods may be called from many goroutines.
type Store interface {
	// Get returns a key's value and revision. ErrNotFound: it has none.
	Get(ctx context.Context, key string) (Value, error)

	// Put writes a key if its revision is still rev and returns the new revision. Rev 0: the key must not
	// exist. AnyRevision: whatever is there. ErrConflict: the condition failed and nothing was written.
	Put(ctx context.Context, key string, data []byte, rev uint64) (uint64, error)

	// Delete removes a key under the same condition as Put. A key that is not there is no error under
	// AnyRevision.
	Delete(ctx context.Context, key string, rev uint64) error

	// List calls fn for each key that is prefix or lies below prefix+".", in no order. fn must not use
	// the store.
	List(ctx context.Context, prefix string, fn func(Value) error) error

	// Watch does as List, then calls synced once, then fn for every change below prefix (a deletion has
	// nil Data) in the order of revisions, until ctx ends or fn fails; it returns that error.
	Watch(ctx context.Context, prefix string, fn func(Value) error, synced func()) error
}

// ExpiringStore is a Store whose values can have an end.
type ExpiringStore interface {
	// PutFor is Put for a key that exists, with a life of a second or more after which the key is gone.
	PutFor(ctx context.Context, key string, data []byte, rev uint64, life time.Duration) (uint64, error)
}

// AnyRevision makes Store's Put and Delete unconditional.
const AnyRevision = ^uint64(0)

// Value is what a store keeps under a key.
type Value struct {
	Key  string
	Data []byte
	Rev  uint64
}

// What logs and stores return.
var (
	ErrConflict = errors.New("somebody else wrote first")
	ErrLogFull  = errors.New("the log is full or refuses to write")
	ErrNotFound = errors.New("not found")
)
