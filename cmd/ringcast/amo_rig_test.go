package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
	"ringcast/gateway/sandbox"
)

// childSecond in the environment is how long a second of the CRM's limits lasts for a child, such as 50ms.
const childSecond = "RINGCAST_TEST_SECOND"

// paceOf is the pace at which so long is a second to the CRM; "": its own.
func paceOf(second string) pace {
	d, err := time.ParseDuration(second)
	if err != nil {
		return pace{}
	}
	return pace{
		limits: amocrm.Limits{Second: d}, timeout: 20 * d, settling: -1,
		journal: gateway.JournalConfig{After: 2 * d, Retry: d, MaxRetry: 40 * d, Late: 90 * d},
		crm:     func(crm gateway.CRM) gateway.CRM { return hastyCRM{crm, 10 * d} },
	}
}

// hastyCRM never asks for more patience than it has itself.
type hastyCRM struct {
	gateway.CRM

	most time.Duration
}

// Save implements gateway.CRM.
func (c hastyCRM) Save(ctx context.Context, due gateway.DueCall) (gateway.Saved, error) {
	saved, err := c.CRM.Save(ctx, due)
	var later *gateway.LaterError
	if errors.As(err, &later) {
		hasty := *later
		hasty.Delay = min(later.Delay, c.most)
		err = &hasty
	}
	return saved, err
}

// privateInTheBox is an account with a private integration in a box; MORE is of its crm, with commas.
func (b *crmBox) privateInTheBox(account, more string) string {
	b.t.Helper()
	token, err := b.LongLivedToken(boxClient, time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	return fmt.Sprintf(`  - id: %s
    region: RU
    backend_key: %s
    pbx: [{id: main, kind: webhook, key: %s}]
    crm: {kind: amocrm, domain: acme.amocrm.ru, client_id: %s, client_secret: %s, redirect_uri: %q, base_url: %q, token: %s%s}
    users: [{id: "88888", name: Anna, extensions: ["101"]}, {id: "99999", name: Boris, extensions: ["102"]}]
`, account, acmeBackendKey, acmePBXKey, boxClient, boxSecret, b.redirect, b.url, token, more)
}

// logged returns the calls that the CRM has of one, whichever way they came.
func (b *crmBox) logged(uniq string) []sandbox.AmoCall {
	return slices.DeleteFunc(b.Calls(), func(c sandbox.AmoCall) bool { return c.Uniq != uniq })
}

// keepsTheLimits checks that no second had more requests of the integration than it may have, but for one in twenty: how
// late a request without an answer arrives nobody knows, and a busy machine stands still for longer than such a second.
func (b *crmBox) keepsTheLimits(second time.Duration) {
	b.t.Helper()
	var asked []sandbox.AmoRequest
	for _, r := range b.Requests() {
		if r.Client == boxClient && strings.HasPrefix(r.Path, "/api/") {
			asked = append(asked, r)
		}
	}
	const most = 7
	fast := 0
	for i := most; i < len(asked); i++ {
		if asked[i].Time.Sub(asked[i-most].Time) < second {
			fast++
		}
	}
	if fast > 2+len(asked)/20 {
		b.t.Errorf("%d of %d requests were one too many for their second", fast, len(asked))
	}
}

// postEvents posts events to whichever of the gateways takes them, until one has; false: ctx has ended first.
func postEvents(ctx context.Context, t *testing.T, client *http.Client, account string, events []string, to ...*served) bool {
	t.Helper()
	body := "[" + strings.Join(events, ",") + "]"
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for try := 0; ctx.Err() == nil; try++ {
		if try > 0 {
			<-tick.C
		}
		s := to[try%len(to)]
		if len(to) == 1 && !s.await(ctx) {
			return false
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.web+"/v1/accounts/"+account+"/events", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return false
		}
		r.Header.Set("Authorization", "Bearer "+acmePBXKey)
		res, err := client.Do(r)
		if err != nil {
			continue
		}
		data, err := io.ReadAll(res.Body)
		if errors.Join(err, res.Body.Close()) != nil || res.StatusCode == http.StatusServiceUnavailable {
			continue
		}
		var got took
		if err := json.Unmarshal(data, &got); err != nil || res.StatusCode != http.StatusAccepted || got.Accepted+got.Duplicates != len(events) {
			t.Errorf("events were answered with %d %s", res.StatusCode, data)
			return false
		}
		return true
	}
	return false
}

// journalOf is what an operator sees of the journal; false: nobody answers.
func (s *served) journalOf(ctx context.Context, client *http.Client) (accounts []gateway.JournalAccount, parked []gateway.ParkedCall, ok bool) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.web+"/v1/admin/journal", nil)
	if err != nil {
		s.t.Error(err)
		return nil, nil, false
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	res, err := client.Do(r)
	if err != nil {
		return nil, nil, false
	}
	var got struct {
		Accounts []gateway.JournalAccount `json:"accounts"`
		Parked   []gateway.ParkedCall     `json:"parked"`
	}
	err = errors.Join(json.NewDecoder(res.Body).Decode(&got), res.Body.Close())
	return got.Accounts, got.Parked, err == nil && res.StatusCode == http.StatusOK
}
