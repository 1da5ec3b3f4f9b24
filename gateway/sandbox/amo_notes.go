package sandbox

import (
	"cmp"
	"net/http"
	"slices"
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
		var of *amoEntity // nil: of all
		if id := r.PathValue("id"); id != "" {
			if of, err = a.visible(user, kind, id); err != nil {
				return err
			}
		}
		found := []AmoNote{}
		for _, n := range a.notes {
			if n.Kind != kind || of != nil && n.Entity != of.ID {
				continue
			}
			_, err := a.visible(user, kind, strconv.FormatInt(n.Entity, 10))
			if err == nil && q.accepts("id", n.ID) && q.accepts("entity_id", n.Entity) &&
				q.acceptsText("note_type", n.Type) && q.within("updated_at", n.updated) {
				found = append(found, n)
			}
		}
		arrange(found, q, map[string]func(x, y AmoNote) int{
			"id": func(x, y AmoNote) int { return cmp.Compare(x.ID, y.ID) }, "updated_at": func(x, y AmoNote) int { return x.updated.Compare(y.updated) },
		})
		writeList(w, r, q, "notes", found, AmoNote.body)
		return nil
	}
}

func (n AmoNote) body() map[string]any {
	params, responsible := map[string]any{"text": n.Text}, n.Author
	if n.Call != nil {
		params, responsible = n.Call.params(), n.Call.User
	}
	return map[string]any{
		"id": n.ID, "entity_id": n.Entity, "created_by": n.Author, "created_at": n.CreatedAt.Unix(), "updated_at": n.updated.Unix(), "responsible_user_id": responsible,
		"note_type": n.Type, "params": params,
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
			if n.Call != nil {
				a.calls = append(a.calls, n.Call)
				a.logCall(n.Call, a.entity(kind, n.Entity))
				n.ID = n.Call.ID
			} else {
				n.ID, n.updated = a.nextID(), time.Now()
				a.notes = append(a.notes, n)
				a.touched(kind, n.Entity)
			}
			made = append(made, map[string]any{"id": n.ID, "entity_id": n.Entity, "request_id": items[i].request})
		}
		writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"notes": made}})
		return nil
	}
}

// changeNotes changes what notes say: those of a list by their ids, or the one that the path names. A call's keeps
// what the request does not name.
func (a *Amo) changeNotes(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		read, one := readItems, r.PathValue("note")
		if one != "" {
			read = func(r *http.Request, _ int) ([]amoIn, *[]amoFieldError, error) { return readItem(r) }
		}
		items, errs, err := read(r, 250)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		changes, made := []func(){}, []map[string]any{}
		for _, in := range items {
			id := one
			if id == "" {
				in.required("id")
				id = strconv.FormatInt(in.number("id"), 10)
			}
			n, err := a.editable(user, kind, id)
			if err != nil {
				return err
			}
			changes = append(changes, a.noteChange(in.object("params"), n))
			made = append(made, map[string]any{"id": n.ID, "entity_id": n.Entity, "request_id": in.request, "updated_at": time.Now().Unix()})
		}
		if err := invalid(*errs); err != nil {
			return err
		}
		for _, change := range changes {
			change()
		}
		if one != "" {
			writeAmo(w, http.StatusOK, halJSON, made[0])
			return nil
		}
		writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"notes": made}})
		return nil
	}
}

// editable returns a note that a user may change. The caller holds the lock.
func (a *Amo) editable(user AmoUser, kind, id string) (*AmoNote, error) {
	i := slices.IndexFunc(a.notes, func(n AmoNote) bool { return n.Kind == kind && strconv.FormatInt(n.ID, 10) == id })
	if i < 0 {
		return nil, amoProblem{Status: http.StatusNotFound, Detail: "Entity not found"}
	}
	e, err := a.visible(user, kind, strconv.FormatInt(a.notes[i].Entity, 10))
	if err == nil && !user.may(user.right(kind).Edit, e.Responsible) {
		err = forbidden()
	}
	return &a.notes[i], err
}

// noteChange reads what is to become of a note. The caller holds the lock.
func (a *Amo) noteChange(params amoIn, n *AmoNote) func() {
	if n.Call == nil {
		text := params.text("text")
		return func() { n.Text, n.updated = text, time.Now() }
	}
	params.only(amoCallFields...)
	next := a.call(params, n.Call.Via)
	return func() {
		n.Call.change(next, params)
		n.Text, n.updated = n.Call.Result, time.Now()
	}
}

// note reads one; id is the entity's where the path names it. The caller holds the lock.
func (a *Amo) note(in amoIn, user AmoUser, kind, id string) (AmoNote, error) {
	n := AmoNote{Kind: kind, Type: in.text("note_type")}
	if id == "" {
		in.required("entity_id")
		id = strconv.FormatInt(in.number("entity_id"), 10)
	}
	in.flag("is_need_to_trigger_digital_pipeline")
	responsible, author, at := a.who(in, user, false)
	n.Author, n.CreatedAt = author, at
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
		n.Call = a.call(params, AmoViaNotes)
		n.Call.User, n.Call.Author, n.Call.CreatedAt = responsible, author, at
		n.Call.Direction = map[string]string{"call_in": "inbound", "call_out": "outbound"}[n.Type]
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
