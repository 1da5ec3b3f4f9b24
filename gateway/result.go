package gateway

import (
	"context"
	"unicode/utf8"
)

// CallResult is what a call led to, as a user says it.
type CallResult struct {
	Text   string  `json:"text,omitempty"`
	Entity *Entity `json:"entity,omitempty"` // what in the CRM it is about; nil: the CRM's rules say it
	User   string  `json:"user"`             // who says it
}

// Entity names something in the CRM: a contact, a lead.
type Entity struct {
	Type string `json:"type"` // the CRM's word for its kind: 1 to 32 of [a-z_]
	ID   string `json:"id"`   // the CRM's id: 1 to 64 of [-_a-zA-Z0-9]
}

const (
	maxResultText = 2000 // characters
	maxEntityType = 32
	maxEntityID   = 64
)

// checkResult says what is wrong with the form of a result.
func (cmd Command) checkResult() error {
	if n := utf8.RuneCountInString(cmd.Text); n > maxResultText {
		return Errorf(CodeInvalid, "text has %d characters, at most %d are allowed", n, maxResultText)
	}
	if e := cmd.Entity; e != nil && !(isWord(e.Type, maxEntityType, isKind) && isWord(e.ID, maxEntityID, isID)) {
		return Errorf(CodeInvalid, `entity is not {"type":"…","id":"…"}: a word such as contacts, and the CRM's id`)
	}
	return nil
}

func isWord(s string, most int, is func(c byte) bool) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

func isKind(c byte) bool { return 'a' <= c && c <= 'z' || c == '_' }

func isID(c byte) bool {
	return isKind(c) || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}

// result notes what a call led to. The last word counts; the same again changes nothing.
func (g *Gateway) result(ctx context.Context, o *owner, cmd Command) error {
	pbx, call, _ := cutCallID(cmd.Call)
	e := Event{
		Account: cmd.Account, PBX: pbx, Call: call, Type: EventResult, ID: "result " + cmd.User + " " + cmd.ID,
		Result: &CallResult{Text: cleanText(cmd.Text), Entity: cmd.Entity, User: cmd.User},
	}
	e.clean()
	if _, _, err := g.ownCall(cmd); err != nil {
		return err
	}
	return o.submit(ctx, func(d *draft) error {
		c, ok := d.call(e.Account, cmd.Call)
		for n := 0; ok && c.Into != "" && n < maxJoins; n++ { // it lives on there, and is logged as that
			e.Call = c.Into
			c, ok = d.call(e.Account, callID(pbx, e.Call))
		}
		if ok && !c.Result.is(e.Result) {
			d.apply(e)
		}
		return nil
	})
}

// is says whether two results are the same.
func (r *CallResult) is(other *CallResult) bool {
	if r == nil || other == nil {
		return r == other
	}
	return r.Text == other.Text && r.User == other.User && same(r.Entity, other.Entity)
}
