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
// # Several nodes
//
// With Config.Peers and Config.Shared many gateways share one log. Each partition has one owner, named by a
// lease in the shared store; events, commands and claims that reach another node are passed to it. A new owner
// appends a fence first: whoever owned the partition before finds that his next append fails, and steps down.
// A node that cannot renew its heartbeat counts itself out after 2 s, the others count it out after 3 s, and its
// partitions have other owners within 5 s. PBX links run where their account's partition is owned. Every node
// reads the whole log, so sessions may be on any.
//
// # The journal
//
// With Config.Journal every ended call is brought into its account's CRM, once and with its last version, however long
// that is away: journal.go says how. It runs where the account's partition is owned. The log is kept until the journal
// has read it, and what waits for a CRM lies in the work queue.
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
