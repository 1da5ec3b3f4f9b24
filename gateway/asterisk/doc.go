// Package asterisk links Ringcast to an Asterisk (13 or newer, FreePBX and its kin included) over AMI,
// the Asterisk Manager Interface.
//
// # How calls are followed
//
// A call is a set of channels. Linkedid says to which call a new channel belongs, and nothing more, for
// it changes without an event: when channels of two calls meet in a bridge, the calls become one. Who
// rings is told by the state of a telephone's own channel, who talks by the bridges, and why a call ended
// by what its channels did before; Dial's results, causes and call detail records say different things in
// different dial plans. Local channels are followed across their two halves and are nobody's leg.
//
// # Lifecycle
//
// Link.Run logs in, asks for events, and then for the channels and bridges that there are; what the
// gateway had not heard of is told, what is gone is ended, and from then on events keep the picture
// right. The list is asked for again every few minutes, so that a lost event does not last. Whatever goes
// wrong on the connection, or with the sink, drops it, and the link begins again.
//
// # Concurrency
//
// One goroutine reads the connection and never waits: Asterisk drops clients that do not keep up. What it
// read waits in a bounded queue; when that is full the link drops the connection itself and begins again.
// A second goroutine folds the queue into calls and hands the sink whatever is there, in order.
//
// # Rights
//
// The manager user needs read = system,call and write = originate,call,reporting. Check finds out what is
// missing.
package asterisk
