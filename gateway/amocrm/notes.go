package amocrm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// noteBody is a note of a call, as it is written.
type noteBody struct {
	ID          int64      `json:"id,omitempty"`
	EntityID    int64      `json:"entity_id,omitempty"`
	Type        string     `json:"note_type"`
	Params      callParams `json:"params"`
	CreatedBy   int64      `json:"created_by,omitempty"`
	Responsible int64      `json:"responsible_user_id,omitempty"`
	CreatedAt   int64      `json:"created_at,omitempty"`
	RequestID   string     `json:"request_id,omitempty"`
}

// note is one as it is read.
type note struct {
	ID       int64  `json:"id"`
	EntityID int64  `json:"entity_id"`
	Type     string `json:"note_type"`
	Params   struct {
		Uniq any `json:"uniq"`
	} `json:"params"`
}

// addNote writes a call on an entity.
func (l *CallLog) addNote(ctx context.Context, f *facts, e entity) (*entry, error) {
	var answer struct {
		Embedded struct {
			Notes []link `json:"notes"`
		} `json:"_embedded"`
	}
	err := l.write(ctx, f, "/api/v4/"+e.Kind+"/notes", &answer, func() any {
		return []noteBody{{
			EntityID: e.ID, Type: f.noteType(), Params: f.params(l.rules.Source), CreatedBy: f.user, Responsible: f.user,
			CreatedAt: f.started.Unix(), RequestID: requestID,
		}}
	})
	if err != nil {
		return nil, fmt.Errorf("call note on %s %d: %w", e.Kind, e.ID, err)
	}
	made := &entry{Entity: e, Digest: f.params(l.rules.Source).digest()}
	if len(answer.Embedded.Notes) > 0 {
		made.Note = answer.Embedded.Notes[0].ID
	}
	return made, nil
}

// findNote returns the note of a call among those of some entities of one kind; nil: there is none.
func (l *CallLog) findNote(ctx context.Context, f *facts, kind string, of ...int64) (*entry, error) {
	var found *entry
	for chunk := range slices.Chunk(of, pageSize) {
		path := "/api/v4/" + kind + "/notes"
		query := url.Values{"filter[note_type][]": {f.noteType()}, "order[id]": {"desc"}}
		if len(chunk) == 1 {
			path = entity{kind, chunk[0]}.path() + "/notes"
		} else {
			for _, id := range chunk {
				query.Add("filter[entity_id][]", strconv.FormatInt(id, 10))
			}
		}
		err := pages(ctx, l, path, "notes", query, func(n note) bool {
			if text(n.Params.Uniq) != f.uniq {
				return false
			}
			found = &entry{Entity: entity{kind, n.EntityID}, Note: n.ID}
			return true
		})
		if isStatus(err, http.StatusNotFound) { // an entity that was deleted, or merged into another
			continue
		}
		if err != nil || found != nil {
			return found, err
		}
	}
	return nil, nil
}

// findNoteOfAny returns the note of a call wherever one who has the number may have it.
func (l *CallLog) findNoteOfAny(ctx context.Context, f *facts, found []entityBody, more ...entity) (*entry, error) {
	of := map[string][]int64{}
	add := func(kind string, ids ...int64) {
		for _, id := range ids {
			if id != 0 && !slices.Contains(of[kind], id) {
				of[kind] = append(of[kind], id)
			}
		}
	}
	for _, h := range found {
		add(h.Kind, h.ID)
		add(kindLeads, ids(h.Embedded.Leads)...)
		add(kindCustomers, ids(h.Embedded.Customers)...)
	}
	for _, e := range more {
		add(e.Kind, e.ID)
	}
	for _, kind := range []string{kindLeads, kindContacts, kindCompanies, kindCustomers} {
		if at, err := l.findNote(ctx, f, kind, of[kind]...); at != nil || err != nil {
			return at, err
		}
	}
	return nil, nil
}

// changeNote writes a later version of a call over its note. It returns false where the CRM does not let it.
func (l *CallLog) changeNote(ctx context.Context, f *facts, at *entry) (bool, error) {
	err := l.cfg.API.Do(ctx, l.cfg.Account, Request{Method: http.MethodPatch, Path: "/api/v4/" + at.Entity.Kind + "/notes", Body: []noteBody{{
		ID: at.Note, EntityID: at.Entity.ID, Type: f.noteType(), Params: f.params(l.rules.Source),
	}}}, nil)
	switch {
	case err == nil:
		return true, nil
	case isDenied(err):
		return false, nil
	default:
		return false, fmt.Errorf("change of a call note: %w", err)
	}
}
