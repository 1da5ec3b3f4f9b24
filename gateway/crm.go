package gateway

import (
	"context"
	"encoding/json"
)

// CRM logs the ended calls of one account. What it can do beside that it says by having the methods of Finder or
// Notifier. All methods may be called from many goroutines.
type CRM interface {
	// Save writes a call into the CRM and returns under what it is found there. The journal has one Save of a call
	// run at a time, on one node, and does not ask again for a version that a Save has returned nil for, but for one
	// case: the journal was killed before it could note that, and Unsure says so.
	//
	// nil: it is there, or the account's rules say that it is not to be. *LaterError: again after the CRM's own
	// delay, and unless it is Alone the account's other calls may have to wait as well. *ParkError: it will never work
	// like this, a person has to see it. Any other error: again after a growing delay; if the request may have reached
	// the CRM all the same, the next Save of the call has Unsure set. An *UnsureError among those that an error wraps: not
	// before the CRM has either carried the request out or forgotten it.
	Save(ctx context.Context, due DueCall) (Saved, error)
}

// DueCall is a call that is over, to be logged.
type DueCall struct {
	Call   Call
	Before Saved // what the last Save of an earlier version returned; zero: none was saved
	Unsure bool  // a Save of the call was begun and its end is not known: look in the CRM before writing
}

// Saved is what a CRM made of a call. It is kept with the call and handed to the Save of a later version.
type Saved struct {
	ID   string          `json:"id,omitempty"`   // the CRM's id of the entry, for people; "": there is none
	Data json.RawMessage `json:"data,omitempty"` // the CRM's own
}

// CRMs returns an account's CRM; nil: it has none, its calls are not logged.
type CRMs func(account string) CRM

// Finder is a CRM that knows who has a number.
type Finder interface {
	// Find returns who has a number, as the back end sees it. The zero Found: nobody. It may answer from a short
	// memory, and returns at ctx's end at the latest, with what is known by then if that is who has the number. After an
	// error it is called a few times more, in growing intervals, while the call goes on.
	Find(ctx context.Context, phone Number) (Found, error)

	// Recall returns what the memory has of a number, and false if that is nothing. It asks nobody and does not block.
	Recall(phone Number) (Found, bool)
}

// Found is who has a number. Of that a call has the Contact, and an answer to where it should go all: a page searches with
// its user's own rights.
type Found struct {
	Contact     *Contact  // the one that the CRM's rules choose; nil: nobody
	Others      []Contact // who else has the number
	Company     *Contact
	Lead        *Contact // the active one that was changed last
	Customer    *Contact
	Responsible string // user id; "": nobody
}

// Notifier is a CRM that can tell users of a call though they have no tab of Ringcast's open.
type Notifier interface {
	// Notify tells these users, at least one, once that a number calls.
	Notify(ctx context.Context, phone Number, users []string) error
}
