package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/webhook"
)

// trial is a body that a mapping is tried out on.
type trial struct {
	account, pbx, event, path, query, contentType string
	header                                        http.Header
}

func trialFlags(flags *flag.FlagSet) *trial {
	t := &trial{header: http.Header{}}
	flags.StringVar(&t.event, "event", "", "a `file` with the body of a PBX's request, - for standard input: say what its mapping makes of it, and check nothing else")
	flags.StringVar(&t.account, "account", "", "of -event: the account's `id`")
	flags.StringVar(&t.pbx, "pbx", "", "of -event: the `id` of the PBX")
	flags.StringVar(&t.path, "path", "", "of -event: what stands in the URL behind …/events/")
	flags.StringVar(&t.query, "query", "", "of -event: what stands in the URL behind the question mark; for encoding query it can be in the file as well")
	flags.Func("header", "of -event: a `\"Name: value\"` that the mapping looks at; again for each", func(text string) error {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return errors.New("wants a name, a colon and a value")
		}
		t.header.Add(name, strings.TrimSpace(value))
		return nil
	})
	flags.StringVar(&t.contentType, "type", "", "of -event: the request's Content-Type, for encoding multipart")
	return t
}

// try says what a mapping makes of a body. Who sent it is not asked: there is no signature to a file.
func (a *app) try(ctx context.Context, cfg *Config, t *trial) error {
	account, ok := cfg.Account(t.account)
	if !ok {
		return fmt.Errorf("there is no account %q: name one with -account", t.account)
	}
	var pbx *PBXConfig
	for i := range account.PBX {
		if account.PBX[i].ID == t.pbx {
			pbx = &account.PBX[i]
		}
	}
	if pbx == nil || pbx.Webhook == nil || pbx.Webhook.Mapping == nil {
		return fmt.Errorf("account %s has no pbx %q with a mapping: name one with -pbx", t.account, t.pbx)
	}
	var body []byte
	var err error
	if t.event == "-" {
		body, err = io.ReadAll(os.Stdin)
	} else {
		body, err = os.ReadFile(t.event)
	}
	if err != nil {
		return err
	}
	r, err := t.request(ctx, trimNewline(string(body)), pbx.Webhook.Mapping.Encoding) // an editor's, and in a form it would be the last field's
	if err != nil {
		return err
	}
	reading, err := pbx.Webhook.Mapping.Read(r, time.Now())
	var refused *gateway.Error
	if errors.As(err, &refused) {
		for _, f := range refused.Fields {
			fmt.Fprintf(a.stdout, "FAIL  event %d: %s %s\n", f.Index, f.Field, f.Reason)
		}
		return errors.New(refused.Message)
	}
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	for _, e := range reading.Events {
		// An event has its call elsewhere in the log.
		if err := encoder.Encode(struct {
			Call string `json:"call"`
			gateway.Event
		}{e.Call, e}); err != nil {
			return err
		}
	}
	for _, f := range reading.Empty {
		fmt.Fprintf(a.stdout, "note  event %d: %s %s\n", f.Index, f.Field, f.Reason)
	}
	fmt.Fprintf(a.stdout, "%d events, %d ignored; signatures and addresses were not checked\n", len(reading.Events), reading.Ignored)
	if len(reading.Events) == 0 {
		fmt.Fprint(a.stdout, "nothing comes of it: the mapping may look at what is not in the body, which -path, -query and -header give\n")
	}
	return nil
}

// request is what the PBX would have sent.
func (t *trial) request(ctx context.Context, body string, encoding webhook.Encoding) (*http.Request, error) {
	query := t.query
	if encoding == webhook.EncodingQuery && query == "" {
		query = body
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Path: "/", RawQuery: query}).String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header = t.header.Clone()
	if t.contentType != "" {
		r.Header.Set("Content-Type", t.contentType)
	}
	r.SetPathValue("rest", t.path)
	return r, nil
}
