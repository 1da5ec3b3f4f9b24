// Package sandbox holds pretend ends for Ringcast to stand between: a telephone system ([PBX]), a cloud PBX as
// Phonet's ([Phonet]) and an amoCRM ([Amo]). The demo and the tests run on them. They are strict as the real ones
// are: what a real service refuses, they refuse.
//
// # Concurrency
//
// Everything exported is safe from many goroutines. A sandbox keeps its state in memory.
//
// # Lifecycle
//
// A sandbox works as soon as it is made and needs no closing. PBX.Run is the link that a gateway holds to the
// telephone system, not the telephone system itself: telephones ring and talk whether or not it runs.
//
// # Time
//
// Rings that time out, and outside parties that pick up after a while, use the timers of package time and
// nothing random, so that all of it runs in a testing/synctest bubble. Only the delay between two attempts
// of a refused link is jittered. The tokens of amoCRM's integrations live by AmoConfig.Clock, and its limits by
// AmoConfig.Second, so that days and seconds can be made short without a bubble, too.
//
// # Imports
//
// The standard library, package gateway, a JWT library for amoCRM's tokens, and a WebSocket library for Phonet's
// sockets.
package sandbox
