package amocrm

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"ringcast/gateway"
)

// contactBody is a new contact.
type contactBody struct {
	Name        string      `json:"name"`
	Responsible int64       `json:"responsible_user_id,omitempty"`
	Fields      []fieldBody `json:"custom_fields_values,omitempty"`
	RequestID   string      `json:"request_id,omitempty"`
}

type fieldBody struct {
	Code   string      `json:"field_code"`
	Values []valueBody `json:"values"`
}

type valueBody struct {
	Value string `json:"value"`
	Kind  string `json:"enum_code,omitempty"`
}

// contact is whoever called, as the CRM does not know him yet.
func (f *facts) contact() contactBody {
	c := contactBody{Name: f.title()}
	if f.phone != "" {
		c.Fields = []fieldBody{{Code: "PHONE", Values: []valueBody{{Value: f.phone, Kind: "WORK"}}}}
	}
	return c
}

// leadBody is a new lead; contacts of an unsorted item stand beside it.
type leadBody struct {
	Name        string    `json:"name"`
	Pipeline    int64     `json:"pipeline_id,omitempty"`
	Responsible int64     `json:"responsible_user_id,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Embedded    *newParts `json:"_embedded,omitempty"`
}

type newParts struct {
	Leads    []leadBody    `json:"leads,omitempty"`
	Contacts []contactBody `json:"contacts,omitempty"`
}

func (l *CallLog) leadName(f *facts) string { return l.rules.Source + ": " + f.title() }

// sipBody is a call that nobody's number made, for a person to take.
type sipBody struct {
	RequestID  string      `json:"request_id"`
	SourceUID  string      `json:"source_uid"`
	SourceName string      `json:"source_name"`
	Pipeline   int64       `json:"pipeline_id,omitempty"`
	CreatedAt  int64       `json:"created_at"`
	Metadata   sipMetadata `json:"metadata"`
	Embedded   newParts    `json:"_embedded"`
}

// sipMetadata has the caller in From and in Phone: which of the two is shown once it is accepted, the platforms' pages
// do not agree on.
type sipMetadata struct {
	From        string `json:"from"`
	Phone       string `json:"phone"`
	CalledAt    int64  `json:"called_at"`
	Duration    int    `json:"duration"`
	Link        string `json:"link,omitempty"`
	ServiceCode string `json:"service_code"`
	Uniq        string `json:"uniq"`
	Event       bool   `json:"is_call_event_needed"` // it is to have a call note, too
	By          any    `json:"call_responsible,omitempty"`
}

// unsorted is an item as it is read, or as its making is answered.
type unsorted struct {
	UID      string `json:"uid"`
	Category string `json:"category"`
	Metadata struct {
		From  any `json:"from"`
		Phone any `json:"phone"`
		Uniq  any `json:"uniq"`
	} `json:"metadata"`
	CreatedAt int64 `json:"created_at"`
	Embedded  struct {
		Leads    []link `json:"leads"`
		Contacts []link `json:"contacts"`
	} `json:"_embedded"`
}

// entry is where the item is.
func (u *unsorted) entry() *entry {
	e := &entry{Unsorted: u.UID}
	if len(u.Embedded.Leads) > 0 {
		e.Lead = u.Embedded.Leads[0].ID
		e.Entity = entity{kindLeads, e.Lead}
	}
	if len(u.Embedded.Contacts) > 0 {
		e.Entity = entity{kindContacts, u.Embedded.Contacts[0].ID}
	}
	return e
}

const serviceCode = "ringcast"

// addUnsorted makes an item of a call.
func (l *CallLog) addUnsorted(ctx context.Context, f *facts) (*entry, error) {
	var answer struct {
		Embedded struct {
			Unsorted []unsorted `json:"unsorted"`
		} `json:"_embedded"`
	}
	p := f.params(l.rules.Source)
	err := l.write(ctx, f, "/api/v4/leads/unsorted/sip", &answer, func() any {
		p = f.params(l.rules.Source)
		return []sipBody{{
			RequestID: requestID, SourceUID: serviceCode + "-" + l.cfg.Account, SourceName: l.rules.Source, Pipeline: l.rules.Pipeline, CreatedAt: f.started.Unix(),
			Metadata: sipMetadata{
				From: p.Phone, Phone: p.Phone, CalledAt: f.started.Unix(), Duration: f.duration, Link: f.link, ServiceCode: serviceCode,
				Uniq: f.uniq, Event: true, By: p.By,
			},
			Embedded: newParts{Leads: []leadBody{{Name: l.leadName(f)}}, Contacts: []contactBody{f.contact()}},
		}}
	})
	if err != nil {
		return nil, fmt.Errorf("unsorted: %w", err)
	}
	made := &entry{}
	if len(answer.Embedded.Unsorted) > 0 {
		made = answer.Embedded.Unsorted[0].entry()
	}
	made.Digest = p.digest()
	return made, nil
}

// unsortedOff says whether the account does without unsorted: then it takes no items.
func (l *CallLog) unsortedOff(ctx context.Context) (bool, error) {
	var account struct {
		On *bool `json:"is_unsorted_on"`
	}
	if err := l.get(ctx, "/api/v4/account", nil, &account); err != nil {
		return false, fmt.Errorf("account: %w", err)
	}
	return account.On != nil && !*account.On, nil
}

// clockLeeway is how far the CRM's clock may be off ours.
const clockLeeway = time.Hour

// findUnsorted returns the newest item of calls since a time that is the one; nil: there is none.
func (l *CallLog) findUnsorted(ctx context.Context, since time.Time, is func(*unsorted) bool) (*entry, error) {
	var found *entry
	query := url.Values{"filter[category][]": {"sip"}, "order[created_at]": {"desc"}}
	err := pages(ctx, l, "/api/v4/leads/unsorted", "unsorted", query, func(u unsorted) bool {
		if is(&u) {
			found = u.entry()
		}
		return found != nil || u.CreatedAt > 0 && time.Unix(u.CreatedAt, 0).Before(since.Add(-clockLeeway))
	})
	return found, err
}

func (f *facts) isUnsorted(u *unsorted) bool { return text(u.Metadata.Uniq) == f.uniq }

// isCallers says whether an item is of the same caller.
func (f *facts) isCallers(u *unsorted) bool {
	for _, raw := range []any{u.Metadata.From, u.Metadata.Phone} {
		if gateway.SameNumber(gateway.Number{Raw: text(raw)}, f.number) {
			return true
		}
	}
	return false
}

// addContact makes a contact of whoever called.
func (l *CallLog) addContact(ctx context.Context, f *facts) (entity, error) {
	var answer struct {
		Embedded struct {
			Contacts []link `json:"contacts"`
		} `json:"_embedded"`
	}
	err := l.write(ctx, f, "/api/v4/contacts", &answer, func() any {
		c := f.contact()
		c.Responsible, c.RequestID = f.user, requestID
		return []contactBody{c}
	})
	if err == nil && len(answer.Embedded.Contacts) == 0 {
		err = errors.New("the CRM does not say which it made")
	}
	if err != nil {
		return entity{}, fmt.Errorf("new contact: %w", err)
	}
	return entity{kindContacts, answer.Embedded.Contacts[0].ID}, nil
}

// addLead makes a lead, and a contact of whoever called.
func (l *CallLog) addLead(ctx context.Context, f *facts) (entity, error) {
	var answer []link
	err := l.write(ctx, f, "/api/v4/leads/complex", &answer, func() any {
		return []leadBody{{
			Name: l.leadName(f), Pipeline: l.rules.Pipeline, Responsible: f.user, RequestID: requestID,
			Embedded: &newParts{Contacts: []contactBody{f.contact()}},
		}}
	})
	if err == nil && len(answer) == 0 {
		err = errors.New("the CRM does not say which it made")
	}
	if err != nil {
		return entity{}, fmt.Errorf("new lead: %w", err)
	}
	return entity{kindLeads, answer[0].ID}, nil
}

// addUnknown does what the rules say of a call with a number that nobody has.
func (l *CallLog) addUnknown(ctx context.Context, f *facts, fate Fate) (*entry, error) {
	var at entity
	var err error
	switch fate {
	case FateContact:
		at, err = l.addContact(ctx, f)
	case FateLead:
		at, err = l.addLead(ctx, f)
	default:
		made, refusal := l.addUnsorted(ctx, f)
		if !isDenied(refusal) {
			return made, refusal
		}
		off, offErr := l.unsortedOff(ctx)
		if offErr != nil || !off {
			return nil, errors.Join(refusal, offErr)
		}
		at, err = l.addLead(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	l.remember(ctx, f, madeOf(f, &entry{Entity: at}))
	return l.addNote(ctx, f, at)
}
