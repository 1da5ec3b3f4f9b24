package gateway

import (
	"context"
	"errors"
)

// Peers joins the nodes that share one log. A gateway without peers is alone and owns every partition.
// All methods may be called from many goroutines.
type Peers interface {
	// Node names this run of this node: 1 to 64 of [-_a-zA-Z0-9], never the same again after a restart.
	Node() string

	// Request asks a node and returns its answer. ErrNoPeer: the node is not there, and nothing has reached
	// it. Any other error, ctx's included, leaves open whether it did.
	Request(ctx context.Context, node string, data []byte) ([]byte, error)

	// Tell sends data to every other node that is connected. It does not wait, and a node may miss it.
	Tell(data []byte) error

	// Serve calls answer for each request, several at a time, and heard for what was told, one after another
	// in the order of each teller, until ctx ends; then it returns nil, once all running calls have returned.
	// It returns earlier only with an error. Neither function may keep data.
	Serve(ctx context.Context, answer func(ctx context.Context, data []byte) []byte, heard func(data []byte)) error
}

// ErrNoPeer means that a node of that name is not there.
var ErrNoPeer = errors.New("no such node")
