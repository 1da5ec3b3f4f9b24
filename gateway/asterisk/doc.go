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
// Link.Run logs in, asks for events, and then for the bridges, parked calls and channels that there are; what
// the gateway had not heard of is told, what is gone is ended, and from then on events keep the picture right.
// The list is asked for again every few minutes, and when Asterisk says that it has booted, so that a lost event
// does not last. Whatever goes wrong on the connection, or with the sink, drops it, and the link begins again: after
// at most 10 s, or 30 s when the login was refused. When Asterisk announces that it stops, its calls end at once.
// A peer that is gone without a word is found out within KeepAlive and 10 s by a ping that is not answered.
//
// The secret is proved by MD5 challenge. Who answers that there is none, as some proxies do, is sent the secret as
// it is; Check and the log say so, and TLS (ClientTLS) is the remedy.
//
// # Concurrency
//
// One goroutine reads the connection and never waits: Asterisk drops clients that do not take an event within 0.1 s.
// Events that nobody heeds are passed over as they are read, at half a microsecond each. What is heeded waits in an
// inbox of 32 MiB, some seconds of 10,000 events each; when that is full the link drops the connection itself and
// begins again with a list, so that no call is lost that lives. A second goroutine folds the inbox into calls and
// hands the sink whatever is there, in order. A third pings and asks for lists, and a few more ask where recordings
// are.
//
// Asterisk could leave events out itself (action Filter). That takes write = system, tests each event against
// expressions in the PBX, and saves nothing that can be measured here; so the link only asks for the classes that it
// reads (system and call), which halves the stream. With a Tap it asks for all that tells of calls, and passes over
// nothing.
//
// # Recordings
//
// MixMonitorStart says that a channel is recorded, and Getvar in which file. Asterisk 16 had that event only in its
// later releases: up to AMI 5 the link asks for the class dialplan as well, where the variable is told when the user
// may read it. Config.Recordings makes a URL of the path.
//
// # Calls that nobody heard
//
// With Config.CDR the link reads Asterisk's call detail records after it has come up (cdr.go), and hands the sink the calls
// that were made since it listened last (gateway.PastSink). Records with one Linkedid, or with a channel in common, are
// one call. They know less than events do: not the number that was dialled if the dial plan has gone on since, nor when
// a queue or a menu that had answered was left for a person, unless others rang beside him.
//
// # Versions
//
// Tried with Asterisk 16 (AMI 5) and 22 (AMI 11). What the link reads is the same in all between; fields that only
// newer ones have are not relied on. The version is in LinkState.
//
// # Rights
//
// The manager user needs read = system,call and write = originate,call,reporting. To answer, hold and mute for a
// user takes write = system as well, for PJSIPNotify and MuteAudio; who does not give that has them refused, each
// with the reason. Check finds out what is missing, and so does the link at start: it says it in the log, once, and
// in LinkState.Reason. Both try the actions without their arguments, which does nothing but get a complaint, and a
// call by a technology that there is not, whose failure is an event of the class call.
//
// # What a user can have done
//
// Hanging up, transfers and parking are done by Asterisk. Answering and holding are the telephone's: it is sent a
// NOTIFY in its call (Event: talk, Event: hold), which Yealink, Snom, Grandstream and Polycom obey as their settings
// let them, and it counts as done only when Asterisk says that it is so. Consulting is Asterisk's feature atxfer, which
// types the number for the telephone: features.conf has to have it, and Dial and Queue option t, or T for calls that
// the company makes.
//
// Whether an extension has a telephone, and whether it is connected now, is asked of Asterisk's device states: Getvar
// with the function DEVICE_STATE (func_devstate.so), for which write = call or reporting is enough.
package asterisk
