package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// mayListUsers: only administrators, and no integration that was not made in the account itself.
func mayListUsers(r *http.Request, user AmoUser) bool {
	client := clientOf(r.Context())
	return user.Admin && (client == nil || client.Private)
}

func (a *Amo) listUsers(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	q, err := readQuery(r.URL.Query())
	if err != nil {
		return err
	}
	if !mayListUsers(r, user) {
		return forbidden()
	}
	writeList(w, r, q, "users", a.cfg.Users, func(u AmoUser) map[string]any { return u.body(q.with) })
	return nil
}

func (a *Amo) getUser(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if !mayListUsers(r, user) {
		return forbidden()
	}
	u, ok := a.user(r.PathValue("id"))
	if !ok {
		return amoProblem{Status: http.StatusNotFound, Detail: "Entity not found"}
	}
	writeAmo(w, http.StatusOK, halJSON, u.body(strings.Split(r.URL.Query().Get("with"), ",")))
	return nil
}

func (u AmoUser) body(with []string) map[string]any {
	rights := map[string]any{
		"mail_access": true, "catalog_access": true, "status_rights": []any{}, "is_admin": u.Admin, "is_free": u.Free, "is_active": true,
		"group_id": nil, "role_id": nil,
	}
	for _, kind := range []string{amoLeads, amoContacts, amoCompanies, "tasks"} {
		right := u.right(kind)
		rights[kind] = map[string]any{"view": letter(right.View), "add": letter(right.Add), "edit": letter(right.Edit), "delete": letter(right.Edit), "export": letter(right.View)}
	}
	body := map[string]any{
		"id": u.ID, "name": u.Name, "email": fmt.Sprintf("user%d@example.com", u.ID), "lang": u.Lang, "rights": rights,
		"_links": amoSelf(fmt.Sprintf("/api/v4/users/%d", u.ID)), "_embedded": map[string]any{"roles": []any{}, "groups": []any{}},
	}
	for _, name := range []string{"uuid", "amojo_id", "user_rank", "phone_number"} {
		if slices.Contains(with, name) {
			body[name] = nil
		}
	}
	return body
}

func letter(right string) string {
	if right == "" {
		return "A"
	}
	return right
}

// getAccount tells what the account is. Any token may ask.
func (a *Amo) getAccount(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	sub := a.where.Load().subdomain
	country, currency := "RU", "RUB"
	if a.cfg.Platform == KommoPlatform {
		country, currency = "US", "USD"
	}
	body := map[string]any{
		"id": a.cfg.Account, "name": sub, "subdomain": sub, "current_user_id": user.ID, "language": a.cfg.Lang,
		"country": country, "currency": currency, "created_at": a.start.Unix(), "created_by": 0, "updated_at": a.start.Unix(), "updated_by": 0,
		"is_unsorted_on": !a.cfg.NoUnsorted, "customers_mode": "segments", "is_loss_reason_enabled": true, "is_helpbot_enabled": false,
		"is_technical_account": false, "mobile_feature_version": 0, "currency_symbol": nil, "contact_name_display_order": 1, "_links": amoSelf("/api/v4/account"),
	}
	with := strings.Split(r.URL.Query().Get("with"), ",")
	extra := map[string]any{
		"is_api_filter_enabled": !a.cfg.NoFilter, "version": 12, "uuid": nil, "amojo_id": nil, "drive_url": nil,
	}
	for name, value := range extra {
		if slices.Contains(with, name) {
			body[name] = value
		}
	}
	embedded := map[string]any{}
	if slices.Contains(with, "task_types") {
		types := []map[string]any{}
		for _, t := range a.taskTypes() {
			types = append(types, map[string]any{"id": t.ID, "name": t.Name, "code": nil, "color": nil, "icon_id": nil})
		}
		embedded["task_types"] = types
	}
	if slices.Contains(with, "users_groups") {
		embedded["users_groups"] = []map[string]any{{"id": 0, "name": "Sales", "uuid": nil}}
	}
	if len(embedded) > 0 {
		body["_embedded"] = embedded
	}
	writeAmo(w, http.StatusOK, halJSON, body)
	return nil
}

// listPipelines tells of the one that there is.
func (a *Amo) listPipelines(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	q, err := readQuery(r.URL.Query())
	if err != nil {
		return err
	}
	statuses := []map[string]any{}
	for i, id := range []int64{amoFirstStatus, amoFirstStatus + 1, amoFirstStatus + 2, AmoStatusWon, AmoStatusLost} {
		statuses = append(statuses, map[string]any{
			"id": id, "name": fmt.Sprintf("Step %d", i+1), "sort": i * 10, "is_editable": id < AmoStatusWon, "color": "#fffeb2", "type": 0,
			"pipeline_id": amoPipeline, "account_id": a.cfg.Account,
		})
	}
	pipeline := map[string]any{
		"id": amoPipeline, "name": "Pipeline", "sort": 1, "is_main": true, "is_unsorted_on": !a.cfg.NoUnsorted, "is_archive": false,
		"account_id": a.cfg.Account, "_links": amoSelf(fmt.Sprintf("/api/v4/leads/pipelines/%d", amoPipeline)), "_embedded": map[string]any{"statuses": statuses},
	}
	writeList(w, r, q, "pipelines", []map[string]any{pipeline}, func(p map[string]any) map[string]any { return p })
	return nil
}
