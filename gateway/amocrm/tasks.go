package amocrm

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// followUp is the type of a task to call somebody.
const followUp = 1

// taskBody is a task, as it is written and as it is read.
type taskBody struct {
	ID          int64  `json:"id,omitempty"`
	Text        string `json:"text"`
	Till        int64  `json:"complete_till"`
	Type        int    `json:"task_type_id"`
	Entity      int64  `json:"entity_id,omitempty"`
	Kind        string `json:"entity_type,omitempty"`
	Responsible int64  `json:"responsible_user_id,omitempty"`
	CreatedAt   int64  `json:"created_at,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// addTask makes the task of a missed call and notes it in the entry. If unsure, it looks for it first.
func (l *CallLog) addTask(ctx context.Context, f *facts, at *entry, unsure bool) error {
	rule := l.rules.MissedTask
	if rule == nil || !f.inbound || f.answered || f.phone == "" || at.Task != 0 {
		return nil
	}
	t := taskBody{Text: f.fill(rule.Text), Till: f.ended.Add(rule.Within).Unix(), Type: followUp, Responsible: f.user, RequestID: requestID}
	if at.Unsorted == "" { // what is in unsorted has no tasks yet
		t.Entity, t.Kind = at.Entity.ID, at.Entity.Kind
	}
	if rule.To != "" {
		t.Responsible, _ = strconv.ParseInt(rule.To, 10, 64) // the config was checked
	} else if responsible, err := l.responsible(ctx, entity{t.Kind, t.Entity}); err != nil {
		return err
	} else if responsible > 0 {
		t.Responsible = responsible
	}
	if unsure {
		made, err := l.findTask(ctx, &t, f.ended)
		if at.Task = made; err != nil || made != 0 {
			return err
		}
	}
	var answer struct {
		Embedded struct {
			Tasks []link `json:"tasks"`
		} `json:"_embedded"`
	}
	user := f.user
	err := l.write(ctx, f, "/api/v4/tasks", &answer, func() any {
		if f.user != user && rule.To == "" { // the CRM does not know him
			t.Responsible = 0
		}
		return []taskBody{t}
	})
	if err != nil {
		return fmt.Errorf("task of a missed call: %w", err)
	}
	if len(answer.Embedded.Tasks) > 0 {
		at.Task = answer.Embedded.Tasks[0].ID
	}
	return nil
}

// findTask returns the id of a task since a time that says the same by the same second; 0: there is none.
func (l *CallLog) findTask(ctx context.Context, t *taskBody, since time.Time) (int64, error) {
	query := url.Values{"order[created_at]": {"desc"}}
	if t.Entity != 0 {
		query.Set("filter[entity_type]", t.Kind)
		query.Set("filter[entity_id][]", strconv.FormatInt(t.Entity, 10))
	}
	var id int64
	err := pages(ctx, l, "/api/v4/tasks", "tasks", query, func(o taskBody) bool {
		if o.Text == t.Text && o.Till == t.Till && (t.Entity == 0 || o.Entity == t.Entity) {
			id = o.ID
		}
		return id != 0 || o.CreatedAt > 0 && time.Unix(o.CreatedAt, 0).Before(since.Add(-clockLeeway))
	})
	return id, err
}
