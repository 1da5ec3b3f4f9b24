// Package gateway is the core of Ringcast: the nouns of telephony beside a CRM (Account, User, Event,
// Call, Record), the contracts that the technologies around it fulfil (PBX, Log, WorkQueue, Store,
// Directory), and the engine between them.
//
// # The way of a call
//
// A PBX link emits events. The owner of the account's partition folds each into its call (Tracker) and
// appends the outcome to the log; only then is it true, and acknowledged. The Feed reads the log back and
// hands each user's share to whoever listens. Whatever else there is, live calls, snapshots, resumed
// browsers, is derived from the log.
//
// # Concurrency
//
// All exported methods may be called from many goroutines. Events of one account are appended in the
// order in which Emit was called; a subscriber gets its messages in the order of the log, from one
// goroutine at a time, and must not block.
//
// # Lifecycle
//
// New, Attach the PBXes, Run. Run serves once Ready is closed and returns when its context ends: first
// the links stop, then the owners, then the feed, and a last snapshot is written. After a kill the next
// Run finds everything that was acknowledged.
//
// # Dependencies
//
// The standard library and phonenumbers, nothing else. Adapters import this package, never the other way.
package gateway
