package amocrm

import (
	"cmp"
	"time"

	"ringcast/gateway"
)

// Form is how calls are written into the CRM.
type Form string

// The forms.
const (
	FormCalls Form = "calls" // POST /calls: the CRM finds the entity by the number
	FormNotes Form = "notes" // call_in and call_out on the entity that the rules of /calls would choose
)

// Fate is what becomes of a call with a number that nobody in the CRM has.
type Fate string

// The fates.
const (
	FateUnsorted Fate = "unsorted" // an item in unsorted, for a person to take
	FateContact  Fate = "contact"  // a new contact that has the call
	FateLead     Fate = "lead"     // a new lead that has the call, with a contact
	FateNone     Fate = "none"     // it is not logged
)

// LogRules are how an account's calls are logged.
type LogRules struct {
	Source     string    // the service's name, as the CRM shows it; "": Ringcast
	As         Form      // "": FormCalls
	Unknown    Unknown   //
	Pipeline   int64     // where unsorted items and leads go; 0: the main one
	Internal   bool      // log calls among colleagues, too, where somebody in the CRM has the number
	MissedTask *TaskRule // what is to be done about a missed call; nil: nothing
}

// Unknown is what becomes of calls with numbers that nobody has. "": unsorted for inbound ones, none for outbound.
type Unknown struct {
	Answered, Missed Fate // of inbound calls
	Outbound         Fate
}

// TaskRule is the task that a missed call becomes.
type TaskRule struct {
	To     string        // a user's id; "": who is responsible for the caller, or else who was rung first
	Text   string        // {phone}, {name} and {line} stand for the call's
	Within time.Duration // from the end of the call
}

// withDefaults fills in what is left out.
func (r LogRules) withDefaults() LogRules {
	r.Source = cmp.Or(r.Source, "Ringcast")
	r.As = cmp.Or(r.As, FormCalls)
	r.Unknown.Answered = cmp.Or(r.Unknown.Answered, FateUnsorted)
	r.Unknown.Missed = cmp.Or(r.Unknown.Missed, FateUnsorted)
	r.Unknown.Outbound = cmp.Or(r.Unknown.Outbound, FateNone)
	return r
}

// wants says whether a call is to be logged at all.
func (r LogRules) wants(c *gateway.Call) bool {
	return c.Over() && c.Into == "" && !c.StartedAt.IsZero() && (c.Direction != gateway.Internal || r.Internal)
}

// fateOf returns what becomes of a call whose number nobody has. Of a missed call without a number there is nothing to
// keep, and of a hidden caller nobody makes a contact.
func (r LogRules) fateOf(f *facts) Fate {
	fate := r.Unknown.Missed
	switch {
	case f.internal:
		return FateNone
	case !f.inbound:
		fate = r.Unknown.Outbound
	case f.answered:
		fate = r.Unknown.Answered
	}
	if f.phone == "" && (!f.answered || fate == FateContact) {
		return FateNone
	}
	return fate
}
