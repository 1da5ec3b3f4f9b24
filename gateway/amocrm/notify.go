package amocrm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"ringcast/gateway"
)

const maxNotified = 50 // users in one request

// Notifier raises the CRM's own call notification in one account: a gateway.Notifier. The CRM stores it for each user
// and finds the entity itself.
type Notifier struct {
	API     API
	Account string
}

var _ gateway.Notifier = (*Notifier)(nil)

// callEvent is a notification as POST /api/v2/events takes it. Without users it would be for everybody in the account,
// so there are always some.
type callEvent struct {
	Type  string  `json:"type"`
	Phone string  `json:"phone_number"`
	Users []int64 `json:"users"`
}

// Notify tells users that a number calls. It leaves out those whose id is none of the CRM's. When the CRM refuses a
// list for one of them the others in it are told one by one.
func (n *Notifier) Notify(ctx context.Context, phone gateway.Number, users []string) error {
	number := cmp.Or(phone.E164, phone.Raw)
	var known []int64
	for _, user := range users {
		if id, err := strconv.ParseInt(user, 10, 64); err == nil && id > 0 {
			known = append(known, id)
		}
	}
	if gateway.Digits(number) == "" {
		return nil
	}
	var errs []error
	for some := range slices.Chunk(known, maxNotified) {
		errs = append(errs, n.tellEach(ctx, number, some))
	}
	return errors.Join(errs...)
}

func (n *Notifier) tellEach(ctx context.Context, number string, users []int64) error {
	err := n.tell(ctx, number, users)
	if len(users) == 1 || !isStatus(err, http.StatusBadRequest) {
		return err
	}
	var errs []error
	for _, user := range users {
		errs = append(errs, n.tell(ctx, number, []int64{user}))
	}
	return errors.Join(errs...)
}

func (n *Notifier) tell(ctx context.Context, number string, users []int64) error {
	body := map[string][]callEvent{"add": {{Type: "phone_call", Phone: number, Users: users}}}
	err := n.API.Do(ctx, n.Account, Request{Method: http.MethodPost, Path: "/api/v2/events", Body: body, Urgent: true}, nil)
	if err != nil {
		return fmt.Errorf("notification of a call: %w", err)
	}
	return nil
}
