package amocrm

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"ringcast/gateway"
)

// After which a call comes again that the CRM does not take now.
const (
	unpaidDelay       = time.Hour
	forbiddenDelay    = 10 * time.Minute
	disconnectedDelay = 5 * time.Minute
	crowdedDelay      = 5 * time.Second
)

func isStatus(err error, status int) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.Status == status
}

// refused says that the CRM does not take a request, and will not take it later.
func (e *Error) refused() bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict,
		http.StatusGone, http.StatusUnprocessableEntity}, e.Status)
}

func isRefused(err error) bool {
	var answer *Error
	return errors.As(err, &answer) && answer.refused()
}

// isDenied says that the CRM refuses a request or does not allow it: of what may be left out, that is enough.
func isDenied(err error) bool {
	var answer *Error
	return isRefused(err) || errors.As(err, &answer) && answer.Status == http.StatusForbidden && !answer.ban && answer.RetryAfter == 0
}

// aboutNobody says that nobody in the CRM has the number.
func (e *Error) aboutNobody() bool {
	if e.Status != http.StatusBadRequest {
		return false
	}
	is := func(text string) bool { return strings.Contains(strings.ToLower(text), "entity not found") }
	return is(e.Title) || is(e.Detail) || slices.ContainsFunc(e.Fields, func(f FieldError) bool { return is(f.Detail) || is(f.Code) })
}

// aboutUsers says that the CRM has nothing but users against a request.
func (e *Error) aboutUsers() bool {
	return e.Status == http.StatusBadRequest && len(e.Fields) > 0 && !slices.ContainsFunc(e.Fields, func(f FieldError) bool {
		return !slices.ContainsFunc([]string{"created_by", "responsible_user_id", "call_responsible"}, func(name string) bool {
			return f.Path == name || strings.HasSuffix(f.Path, "."+name)
		})
	})
}

// verdict says to the journal what becomes of a call that could not be written: whether the CRM said when to come again,
// or never, or nothing at all.
func verdict(err error) error {
	delay, denied := time.Duration(0), false
	var answer *Error
	switch {
	case errors.Is(err, ErrDisconnected):
		delay = disconnectedDelay
	case !errors.As(err, &answer):
		return err
	case answer.RetryAfter > 0:
		delay = answer.RetryAfter
	case answer.Status == http.StatusPaymentRequired:
		delay, denied = unpaidDelay, true
	case answer.Status == http.StatusForbidden:
		delay, denied = forbiddenDelay, true
	case answer.Status == http.StatusUnauthorized:
		delay = disconnectedDelay
	case answer.Status == http.StatusTooManyRequests:
		delay = crowdedDelay
	case answer.refused():
		return &gateway.ParkError{Err: fmt.Errorf("%w; %s", err, answer.mend())}
	}
	if delay == 0 {
		return err
	}
	return &gateway.LaterError{Delay: delay, Denied: denied, Err: err}
}

// mend says what a person can do about a refusal.
func (e *Error) mend() string {
	for _, hint := range []struct{ field, text string }{
		{"pipeline_id", "crm.log.pipeline names no pipeline of the account: correct it, then release the call"},
		{"link", "the recording's address is not one that the CRM takes: see public_url, then release the call"},
		{"source", "crm.log.source is not a name that the CRM takes: correct it, then release the call"},
		{"phone", "the CRM does not take the number: enter the call by hand"},
		{"responsible_user_id", "crm.log.missed_task.to is not a user of the CRM: correct it, then release the call"},
	} {
		for _, f := range e.Fields {
			if f.Path == hint.field || strings.HasSuffix(f.Path, "."+hint.field) || strings.HasPrefix(f.Path, hint.field+"_") {
				return hint.text
			}
		}
	}
	return "when that is put right, release the call"
}
