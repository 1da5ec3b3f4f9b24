package sandbox

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// taskTypes are the account's kinds of tasks.
func (a *Amo) taskTypes() []AmoTaskType {
	if a.cfg.TaskTypes != nil {
		return a.cfg.TaskTypes
	}
	if a.cfg.Lang == "ru" {
		return []AmoTaskType{{1, "Связаться"}, {2, "Встреча"}}
	}
	return []AmoTaskType{{1, "Follow-up"}, {2, "Meeting"}}
}

func (a *Amo) addTasks(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if user.right("tasks").Add == "D" {
		return forbidden()
	}
	items, errs, err := readItems(r, 250)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	tasks := []AmoTask{}
	for _, in := range items {
		tasks = append(tasks, a.task(in, user))
	}
	if err := invalid(*errs); err != nil {
		return err
	}
	made := []map[string]any{}
	for i, t := range tasks {
		t.ID = a.nextID()
		a.tasks = append(a.tasks, t)
		made = append(made, map[string]any{"id": t.ID, "request_id": items[i].request, "_links": amoSelf(fmt.Sprintf("/api/v4/tasks/%d", t.ID))})
		a.touched(t.Kind, t.Entity)
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{"tasks": made}})
	return nil
}

// task reads one. The caller holds the lock.
func (a *Amo) task(in amoIn, user AmoUser) AmoTask {
	in.required("text")
	in.required("complete_till")
	in.flag("is_completed")
	for _, name := range []string{"duration", "created_by", "created_at", "updated_at", "updated_by"} {
		in.number(name)
	}
	t := AmoTask{
		Text: in.text("text"), Till: time.Unix(in.number("complete_till"), 0), Type: cmp.Or(in.number("task_type_id"), 1),
		Kind: in.text("entity_type"), Entity: in.number("entity_id"), Responsible: cmp.Or(in.number("responsible_user_id"), user.ID), Author: user.ID,
		CreatedAt: time.Now(),
	}
	if in.has("created_at") {
		t.CreatedAt = time.Unix(in.number("created_at"), 0)
	}
	known := append([]AmoTaskType{{ID: 1}, {ID: 2}}, a.taskTypes()...)
	if !slices.ContainsFunc(known, func(k AmoTaskType) bool { return k.ID == t.Type }) {
		in.notOffered("task_type_id")
	}
	if _, ok := a.user(strconv.FormatInt(t.Responsible, 10)); !ok {
		in.notOffered("responsible_user_id")
	}
	switch {
	case !in.has("entity_type") && !in.has("entity_id"):
	case !in.has("entity_type"):
		in.missing("entity_type")
	case !in.has("entity_id"):
		in.missing("entity_id")
	case !slices.Contains(amoKinds, t.Kind):
		in.notOffered("entity_type")
	default:
		if _, err := a.visible(user, t.Kind, strconv.FormatInt(t.Entity, 10)); err != nil {
			in.notOffered("entity_id")
		}
	}
	return t
}

func (a *Amo) listTasks(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	q, err := readQuery(r.URL.Query(), "id", "complete_till", "created_at")
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	found := []AmoTask{}
	for _, t := range a.tasks {
		if kinds, ok := q.filter["entity_type"]; ok && !slices.Contains(kinds, t.Kind) {
			continue
		}
		if !q.accepts("id", t.ID) || !q.accepts("entity_id", t.Entity) || !q.accepts("responsible_user_id", t.Responsible) ||
			!q.accepts("task_type", t.Type) || !q.accepts("is_completed", 0) || !user.may(user.right("tasks").View, t.Responsible) {
			continue
		}
		found = append(found, t)
	}
	byID := func(x, y AmoTask) int { return cmp.Compare(x.ID, y.ID) }
	arrange(found, q, map[string]func(x, y AmoTask) int{
		"id": byID, "created_at": func(x, y AmoTask) int { return cmp.Or(x.CreatedAt.Compare(y.CreatedAt), byID(x, y)) }, "complete_till": func(x, y AmoTask) int { return x.Till.Compare(y.Till) },
	})
	writeList(w, r, q, "tasks", found, func(t AmoTask) map[string]any { return t.body(a.cfg.Account) })
	return nil
}

func (t AmoTask) body(account int64) map[string]any {
	return map[string]any{
		"id": t.ID, "text": t.Text, "complete_till": t.Till.Unix(), "task_type_id": t.Type, "entity_id": t.Entity, "entity_type": t.Kind,
		"responsible_user_id": t.Responsible, "created_by": t.Author, "created_at": t.CreatedAt.Unix(), "is_completed": false, "duration": 0, "result": []any{}, "account_id": account,
		"_links": amoSelf(fmt.Sprintf("/api/v4/tasks/%d", t.ID)),
	}
}
