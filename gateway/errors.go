package gateway

import (
	"errors"
	"fmt"
	"time"
)

// Code names a failure in a way that programs may rely on; it never changes once released.
type Code string

// The codes that clients see, over HTTP in a problem document and in a command's reply.
const (
	CodeInvalid       Code = "invalid"        // the request is malformed; Fields say where
	CodeUnauthorized  Code = "unauthorized"   // a PBX key or the admin key is missing or wrong
	CodeBadToken      Code = "bad_token"      // not a token of ours, or not for this
	CodeTokenExpired  Code = "token_expired"  // renew it and come again
	CodeTicketUsed    Code = "ticket_used"    // a ticket works once
	CodeRevoked       Code = "revoked"        // the user is not in the directory (any more)
	CodeOrigin        Code = "origin"         // the page's origin is not allowed
	CodeNotFound      Code = "not_found"      // no such thing, or not one of yours
	CodeMethod        Code = "method"         // there is something, for another method: Allow says which
	CodeTooLarge      Code = "too_large"      // more than one request may carry
	CodeTooMany       Code = "too_many"       // slower, please
	CodeDraining      Code = "draining"       // this node is going down: another will answer
	CodeUnavailable   Code = "unavailable"    // the log does not take records now
	CodeNotReady      Code = "not_ready"      // it is still being made: come again
	CodePBXOffline    Code = "pbx_offline"    // nobody holds a link to the PBX
	CodeNotRegistered Code = "not_registered" // the user's telephone is not connected to the PBX
	CodeBusy          Code = "busy"           // the user's telephone is engaged
	CodeRejected      Code = "rejected"       // the PBX or the telephone said no
	CodeNotPermitted  Code = "not_permitted"  // this user may not do this, or the PBX cannot
	CodeNotAdmin      Code = "not_admin"      // only an administrator of the CRM's account may do this
	CodeBadNumber     Code = "bad_number"     // nothing that could be dialled
	CodeTimeout       Code = "timeout"        // no answer in time; the outcome is unknown
	CodeTaken         Code = "taken"          // somebody else has it: a claim, an extension
	CodeInternal      Code = "internal"       // our fault; the log has the details
)

// Error is a failure that may be shown to whoever asked. Message is for people and says what to do;
// Err, if any, is for the log only.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // when to come again; 0: not said
	Fields     []FieldError  // for CodeInvalid
	Err        error
}

// FieldError names one bad field of one item of a request (design §4.3, settled points).
type FieldError struct {
	Index  int    `json:"index"`
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; %w in the format keeps its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// CodeOf returns the code of err, CodeInternal for errors that carry none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}
