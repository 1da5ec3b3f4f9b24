package gateway

import "cmp"

// CallMend is what a person says of a parked call before it is saved again. It stands in the place of what the PBX and
// the users say, for later versions of the call, too.
type CallMend struct {
	Number string  `json:"number,omitempty"` // of the outside party, as people write it; "": as the PBX has it
	Entity *Entity `json:"entity,omitempty"` // what in the CRM the call is about; of no type and no id: the CRM's rules say it
	Text   *string `json:"text,omitempty"`   // what it led to
}

const maxMendNumber = 64 // characters

// check says what is wrong with the form of a mend.
func (m CallMend) check() error {
	if Digits(m.Number) == "" && m.Number != "" || len(m.Number) > maxMendNumber {
		return Errorf(CodeInvalid, "number %.80q is none", m.Number)
	}
	cmd := Command{Text: *cmp.Or(m.Text, new(string))}
	if m.Entity != nil && *m.Entity != (Entity{}) {
		cmd.Entity = m.Entity
	}
	return cmd.checkResult()
}

// over returns a mend that comes after another: what it does not say stays.
func (m CallMend) over(before *CallMend) *CallMend {
	if before != nil {
		m.Number = cmp.Or(m.Number, before.Number)
		m.Entity, m.Text = cmp.Or(m.Entity, before.Entity), cmp.Or(m.Text, before.Text)
	}
	return &m
}

// of returns the call as it was mended. number reads one of an account's.
func (m *CallMend) of(c *Call, number func(account, raw string) Number) *Call {
	if m == nil {
		return c
	}
	mended := *c
	if m.Number != "" {
		party := &mended.From
		if c.Direction == Outbound {
			party = &mended.To
		}
		*party = number(c.Account, m.Number)
	}
	if m.Entity != nil || m.Text != nil {
		result := *cmp.Or(c.Result, new(CallResult))
		if m.Entity != nil {
			result.Entity = nil
			if *m.Entity != (Entity{}) {
				result.Entity = m.Entity
			}
		}
		if m.Text != nil {
			result.Text = cleanText(*m.Text)
		}
		mended.Result = &result
	}
	return &mended
}
