package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const pollWait = 20 * time.Second

// batch is the answer to a poll.
type batch struct {
	Cursor   string            `json:"cursor"`
	Messages []json.RawMessage `json:"messages"`
	Ticket   string            `json:"ticket"`
	Error    *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		RetryIn []int  `json:"retry_in"`
	} `json:"error"`
}

// takeBatch gives the tab what a poll was answered. Its cursor must be where the messages end.
func (v *visitor) takeBatch(b *batch) error {
	for _, m := range b.Messages {
		if err := v.take(m); err != nil {
			return err
		}
	}
	v.arrived()
	if cursor := v.tab.at(); b.Cursor != cursor {
		return fmt.Errorf("a poll's cursor is %q, and its last message's %q", b.Cursor, cursor)
	}
	return nil
}

func visitPoll(ctx context.Context, v *visitor) error {
	l, err := v.line(ctx)
	if err != nil {
		return err
	}
	for {
		token, err := v.token()
		if err != nil {
			return err
		}
		var b batch
		if err := l.post("/v1/poll", v.crowd.header, map[string]any{
			"token": token, "cursor": v.tab.at(), "client": v.client, "wait": v.wait().Seconds(),
		}, &b, pollWait+answerTime); err != nil {
			return err
		}
		if err := v.takeBatch(&b); err != nil {
			return err
		}
	}
}

// wait is how long a poll is to wait: the first is to say that the session stands.
func (v *visitor) wait() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.live {
		return 0
	}
	return pollWait
}

// visitScript polls by the script rung. Its ticket outlives the visit: what is repeated with it after a cut must be
// answered with the same successor.
func visitScript(ctx context.Context, v *visitor) error {
	l, err := v.line(ctx)
	if err != nil {
		return err
	}
	for {
		if v.ticket == "" {
			t, err := v.newTicket(l)
			if err != nil {
				return err
			}
			v.ticket = t.Ticket
		}
		b, err := v.loadScript(l)
		if err != nil {
			return err
		}
		if b.Error != nil {
			v.ticket, v.bye = "", b.Error.RetryIn
			return &refusal{Status: http.StatusOK, Code: b.Error.Code, Text: b.Error.Message}
		}
		v.ticket = b.Ticket
		if err := v.takeBatch(b); err != nil {
			return err
		}
	}
}

// loadScript does what a page's script element does.
func (v *visitor) loadScript(l *line) (*batch, error) {
	const before, after = "/**/typeof __ringcast.x==='function'&&__ringcast.x(", ");"
	query := url.Values{
		"ticket": {v.ticket}, "callback": {"__ringcast.x"}, "client": {v.client}, "wait": {fmt.Sprint(v.wait().Seconds())},
	}
	if cursor := v.tab.at(); cursor != "" {
		query.Set("cursor", cursor)
	}
	header := http.Header{"Referer": {origin + "/"}, "Sec-Fetch-Dest": {"script"}, "Sec-Fetch-Site": {"cross-site"}}
	script, err := l.ask(http.MethodGet, "/v1/poll.js?"+query.Encode(), header, nil, pollWait+answerTime)
	if err != nil {
		return nil, err
	}
	argument, ok := bytes.CutPrefix(script, []byte(before))
	argument, end := bytes.CutSuffix(bytes.TrimSpace(argument), []byte(after))
	b := &batch{}
	if err := json.Unmarshal(argument, b); !ok || !end || err != nil {
		return nil, fmt.Errorf("not the script of a poll: %.200q", script)
	}
	return b, nil
}
