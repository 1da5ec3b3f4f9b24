package sandbox

import (
	"net/http"
	"strconv"
	"time"
)

func (a *Amo) listNotes(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		q, err := readQuery(r.URL.Query(), "id", "updated_at")
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		var only *amoEntity // nil: the notes of all
		if id := r.PathValue("id"); id != "" {
			if only, err = a.visible(user, kind, id); err != nil {
				return err
			}
		}
		items := []map[string]any{}
		for _, n := range a.notes {
			if n.Kind != kind || only != nil && only.ID != n.Entity || !q.accepts("id", n.ID) {
				continue
			}
			if _, err := a.visible(user, kind, strconv.FormatInt(n.Entity, 10)); err == nil {
				items = append(items, n.body())
			}
		}
		writeList(w, r, q, "notes", items)
		return nil
	}
}

func (n AmoNote) body() map[string]any {
	return map[string]any{
		"id": n.ID, "entity_id": n.Entity, "created_by": n.Author, "created_at": n.CreatedAt.Unix(), "responsible_user_id": n.Author,
		"note_type": n.Type, "params": map[string]any{"text": n.Text},
	}
}

func (a *Amo) addNotes(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		items, errs, err := readItems(r, 250)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		notes := []AmoNote{}
		for _, in := range items {
			n, err := a.note(in, user, kind, r.PathValue("id"))
			if err != nil {
				return err
			}
			notes = append(notes, n)
		}
		if err := invalid(*errs); err != nil {
			return err
		}
		made := []map[string]any{}
		for i, n := range notes {
			n.ID, n.CreatedAt = a.nextID(), time.Now()
			a.notes = append(a.notes, n)
			made = append(made, map[string]any{"id": n.ID, "entity_id": n.Entity, "request_id": items[i].request})
			a.touched(kind, n.Entity)
		}
		writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"notes": made}})
		return nil
	}
}

// note reads one; id is the entity's where the path names it. The caller holds the lock.
func (a *Amo) note(in amoIn, user AmoUser, kind, id string) (AmoNote, error) {
	n := AmoNote{Kind: kind, Author: user.ID, Type: in.text("note_type")}
	if id == "" {
		in.required("entity_id")
		id = strconv.FormatInt(in.number("entity_id"), 10)
	}
	for _, name := range []string{"created_by", "responsible_user_id", "created_at"} {
		in.number(name)
	}
	params := in.object("params")
	switch n.Type {
	case "common":
		if params.required("text") {
			n.Text = params.text("text")
		}
	case "call_in", "call_out":
		for _, name := range []string{"uniq", "source", "phone"} {
			if params.required(name) {
				params.text(name)
			}
		}
		params.number("duration")
		params.text("link")
		n.Text = params.text("call_result")
	default:
		in.notOffered("note_type")
	}
	if len(*in.errs) > 0 {
		return n, nil // they are told together
	}
	e, err := a.visible(user, kind, id)
	if err != nil {
		return n, err
	}
	if !user.may(user.right(kind).Edit, e.Responsible) {
		return n, forbidden()
	}
	n.Entity = e.ID
	return n, nil
}

// touched tells the open cards of an entity that it has something new. The caller holds the lock.
func (a *Amo) touched(kind string, id int64) {
	a.push(amoPush{Kind: "note", Data: map[string]any{"kind": kind, "id": id}}, nil)
}
