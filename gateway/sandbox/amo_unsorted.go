package sandbox

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AmoUnsorted is a call that waits among the unsorted leads until somebody accepts or declines it.
type AmoUnsorted struct {
	UID        string
	State      string // AmoWaiting, AmoAccepted, AmoDeclined
	SourceUID  string
	SourceName string
	Service    string // metadata.service_code
	From, To   string // metadata.from and metadata.phone
	CalledAt   time.Time
	CreatedAt  time.Time
	Pipeline   int64
	Call       AmoCall    // what metadata says of it
	Logged     bool       // is_call_event_needed: it stands in the card of the lead, too
	Lead       AmoLead    // has no id of its own until it is accepted
	Contact    AmoContact // the same; no phones: it will not be found by its number
	Company    string
}

// What can become of a call in unsorted.
const (
	AmoWaiting  = "waiting"
	AmoAccepted = "accepted"
	AmoDeclined = "declined"
)

// amoUnsorted is one as it is kept. What is to be made of it exists nowhere else until it is accepted.
type amoUnsorted struct {
	AmoUnsorted

	call                   *AmoCall
	event                  bool
	lead, contact, company *amoEntity // nil: none was sent
}

// Unsorted returns what ever came to unsorted, oldest first.
func (a *Amo) Unsorted() []AmoUnsorted {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []AmoUnsorted{}
	for _, u := range a.unsorted {
		told := u.AmoUnsorted
		told.Call, told.Logged = *u.call, u.event
		if u.lead != nil {
			told.Lead = AmoLead{ID: u.lead.ID, Name: u.lead.Name, Price: u.lead.Price, Status: u.lead.Status, Responsible: u.lead.Responsible}
		}
		if u.contact != nil {
			told.Contact = AmoContact{ID: u.contact.ID, Name: u.contact.Name, Phones: slices.Clone(u.contact.Phones), Responsible: u.contact.Responsible}
		}
		if u.company != nil {
			told.Company = u.company.Name
		}
		list = append(list, told)
	}
	return list
}

func (a *Amo) unsortedRoutes(handle func(pattern string, h amoHandler)) {
	handle("POST /api/v4/leads/unsorted/sip", a.addUnsorted)
	handle("GET /api/v4/leads/unsorted", a.listUnsorted)
	handle("GET /api/v4/leads/unsorted/summary", a.summariseUnsorted)
	handle("GET /api/v4/leads/{id}/{uid}", a.getUnsorted) // …/unsorted/{uid} would clash with …/{id}/notes
	handle("POST /api/v4/leads/unsorted/{uid}/accept", a.acceptUnsorted)
	handle("DELETE /api/v4/leads/unsorted/{uid}/decline", a.declineUnsorted)
	handle("POST /api/v4/leads/unsorted/{uid}/link", func(http.ResponseWriter, *http.Request, AmoUser) error {
		return badRequest("Only chats and mail can be linked")
	})
}

// addUnsorted takes calls of unknown numbers.
func (a *Amo) addUnsorted(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if a.cfg.NoUnsorted {
		return amoProblem{Status: http.StatusForbidden, Detail: "Unsorted is switched off"}
	}
	items, errs, err := readItems(r, 250)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := []*amoUnsorted{}
	for _, in := range items {
		waiting = append(waiting, a.readUnsorted(in, user))
	}
	if err := invalid(*errs); err != nil {
		return err
	}
	made := []map[string]any{}
	for i, u := range waiting {
		u.UID, u.State = strings.ReplaceAll(amoUUID(), "-", "")+strconv.FormatInt(a.nextID(), 10), AmoWaiting
		for _, e := range u.parts() {
			e.ID = a.nextID()
			e.created, e.updated = u.CreatedAt, u.CreatedAt
			a.named(e)
		}
		a.unsorted = append(a.unsorted, u)
		if u.event {
			a.calls = append(a.calls, u.call)
		}
		made = append(made, map[string]any{
			"uid": u.UID, "request_id": items[i].request, "account_id": a.cfg.Account, "_links": amoSelf("/api/v4/leads/unsorted/" + u.UID),
			"_embedded": u.embedded(),
		})
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_total_items": len(made), "_embedded": map[string]any{"unsorted": made}})
	return nil
}

// readUnsorted reads one. The caller holds the lock.
func (a *Amo) readUnsorted(in amoIn, user AmoUser) *amoUnsorted {
	in.only("request_id", "source_uid", "source_name", "pipeline_id", "created_at", "metadata", "_embedded")
	for _, name := range []string{"source_uid", "source_name", "metadata"} {
		in.required(name)
	}
	u := &amoUnsorted{AmoUnsorted: AmoUnsorted{SourceUID: in.text("source_uid"), SourceName: in.text("source_name"), Pipeline: amoPipeline}}
	if in.has("pipeline_id") && in.number("pipeline_id") != amoPipeline {
		in.notOffered("pipeline_id")
	}
	if u.CreatedAt = time.Now(); in.has("created_at") {
		u.CreatedAt = time.Unix(in.number("created_at"), 0)
	}
	a.readSIP(in.object("metadata"), u)
	if a.cfg.RefuseDoubles && slices.ContainsFunc(a.unsorted, func(old *amoUnsorted) bool {
		return old.SourceUID == u.SourceUID && old.call.Uniq == u.call.Uniq
	}) {
		in.fail("metadata", "AlreadyExists", "It was added before.")
	}
	u.call.User, u.call.CreatedAt = user.ID, u.CalledAt
	u.lead = &amoEntity{Kind: amoLeads, Responsible: user.ID, Status: amoFirstStatus}
	if in.has("_embedded") {
		embedded := in.object("_embedded")
		embedded.only(amoLeads, amoContacts, amoCompanies)
		if lead := a.part(embedded, amoLeads, user); lead != nil {
			u.lead = lead
		}
		u.contact, u.company = a.part(embedded, amoContacts, user), a.part(embedded, amoCompanies, user)
	}
	return u
}

// readSIP reads the metadata of a call. The caller holds the lock.
func (a *Amo) readSIP(in amoIn, u *amoUnsorted) {
	if in.values == nil {
		u.call = &AmoCall{}
		return
	}
	in.only("from", "phone", "called_at", "duration", "link", "service_code", "uniq", "is_call_event_needed", "call_responsible")
	for _, name := range []string{"phone", "called_at", "duration", "service_code", "uniq"} {
		in.required(name)
	}
	u.call = a.call(in, AmoViaUnsorted)
	u.From, u.To, u.Service = in.text("from"), u.call.Phone, in.text("service_code")
	u.CalledAt, u.event = time.Unix(in.number("called_at"), 0), in.flag("is_call_event_needed")
	u.call.Direction, u.call.Source = "inbound", u.SourceName
	u.call.Phone = cmp.Or(u.From, u.To)
}

// parts are the entities that come of it.
func (u *amoUnsorted) parts() []*amoEntity {
	return slices.DeleteFunc([]*amoEntity{u.lead, u.contact, u.company}, func(e *amoEntity) bool { return e == nil || e.ID != 0 && !e.created.IsZero() })
}

func (u *amoUnsorted) embedded() map[string]any {
	list := func(e *amoEntity) []map[string]any {
		if e == nil {
			return []map[string]any{}
		}
		return []map[string]any{{"id": e.ID, "_links": amoSelf(e.path())}}
	}
	return map[string]any{amoLeads: list(u.lead), amoContacts: list(u.contact), amoCompanies: list(u.company)}
}

func (u *amoUnsorted) body(account int64) map[string]any {
	metadata := u.call.params()
	delete(metadata, "source")
	metadata["from"], metadata["phone"], metadata["called_at"], metadata["service_code"] = u.From, u.To, u.CalledAt.Unix(), u.Service
	return map[string]any{
		"uid": u.UID, "source_uid": u.SourceUID, "source_name": u.SourceName, "category": "sip", "pipeline_id": u.Pipeline,
		"created_at": u.CreatedAt.Unix(), "account_id": account, "metadata": metadata, "_embedded": u.embedded(),
		"_links": amoSelf("/api/v4/leads/unsorted/" + u.UID),
	}
}

func (a *Amo) listUnsorted(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	q, err := readQuery(r.URL.Query(), "created_at", "updated_at")
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := slices.DeleteFunc(slices.Clone(a.unsorted), func(u *amoUnsorted) bool {
		return u.State != AmoWaiting || !q.acceptsText("category", "sip") || !q.acceptsText("uid", u.UID) || !q.accepts("pipeline_id", u.Pipeline)
	})
	byTime := func(x, y *amoUnsorted) int { return x.CreatedAt.Compare(y.CreatedAt) }
	arrange(waiting, q, map[string]func(x, y *amoUnsorted) int{"created_at": byTime, "updated_at": byTime})
	writeList(w, r, q, "unsorted", waiting, func(u *amoUnsorted) map[string]any { return u.body(a.cfg.Account) })
	return nil
}

// waiting returns one that is neither accepted nor declined. The caller holds the lock.
func (a *Amo) waiting(uid string) (*amoUnsorted, error) {
	i := slices.IndexFunc(a.unsorted, func(u *amoUnsorted) bool { return u.UID == uid && u.State == AmoWaiting })
	if i < 0 {
		return nil, amoProblem{Status: http.StatusNotFound, Detail: "Entity not found"}
	}
	return a.unsorted[i], nil
}

func (a *Amo) getUnsorted(w http.ResponseWriter, r *http.Request, _ AmoUser) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.waiting(r.PathValue("uid"))
	if err != nil || r.PathValue("id") != "unsorted" {
		return amoProblem{Status: http.StatusNotFound, Detail: "Entity not found"}
	}
	writeAmo(w, http.StatusOK, halJSON, u.body(a.cfg.Account))
	return nil
}

func (a *Amo) summariseUnsorted(w http.ResponseWriter, _ *http.Request, _ AmoUser) error {
	count := map[string]int{}
	a.mu.Lock()
	for _, u := range a.unsorted {
		count[u.State]++
	}
	total := len(a.unsorted)
	a.mu.Unlock()
	writeAmo(w, http.StatusOK, halJSON, map[string]any{
		"total": total, "accepted": count[AmoAccepted], "declined": count[AmoDeclined], "average_sort_time": 0,
		"categories": map[string]any{"sip": map[string]any{"total": count[AmoWaiting]}}, "_links": amoSelf("/api/v4/leads/unsorted/summary"),
	})
	return nil
}

// sorter reads who accepts or declines, and where the lead goes.
func (a *Amo) sorter(r *http.Request, user AmoUser) (AmoUser, int64, error) {
	var body any
	if r.ContentLength != 0 {
		if err := readAmo(r, &body); err != nil {
			return user, 0, err
		}
	}
	values, _ := body.(map[string]any) // libraries send [] for nothing
	in := amoIn{values: values, request: "0", errs: &[]amoFieldError{}}
	in.only("user_id", "status_id")
	if by, ok := a.user(strconv.FormatInt(in.number("user_id"), 10)); in.has("user_id") && !ok {
		in.notOffered("user_id")
	} else if ok {
		user = by
	}
	return user, in.number("status_id"), invalid(*in.errs)
}

// acceptUnsorted makes the lead, and what belongs to it, real.
func (a *Amo) acceptUnsorted(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	by, status, err := a.sorter(r, user)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.waiting(r.PathValue("uid"))
	if err != nil {
		return err
	}
	u.State = AmoAccepted
	for _, e := range []*amoEntity{u.lead, u.contact, u.company} {
		if e == nil || a.entity(e.Kind, e.ID) != nil {
			continue
		}
		e.Responsible = by.ID
		a.entities[e.Kind] = append(a.entities[e.Kind], e)
	}
	u.lead.Status = cmp.Or(status, u.lead.Status)
	for _, e := range []*amoEntity{u.contact, u.company} {
		if e != nil {
			e.link(u.lead)
		}
	}
	if u.contact != nil && u.company != nil {
		u.contact.link(u.company)
	}
	if u.event {
		a.logCall(u.call, u.lead)
	}
	a.tellSorted(w, u)
	return nil
}

// declineUnsorted throws one away.
func (a *Amo) declineUnsorted(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if _, _, err := a.sorter(r, user); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	u, err := a.waiting(r.PathValue("uid"))
	if err != nil {
		return err
	}
	u.State = AmoDeclined
	a.tellSorted(w, u)
	return nil
}

func (a *Amo) tellSorted(w http.ResponseWriter, u *amoUnsorted) {
	body := u.body(a.cfg.Account)
	for _, name := range []string{"source_uid", "source_name", "metadata"} {
		delete(body, name)
	}
	writeAmo(w, http.StatusOK, halJSON, body)
}

// acceptsText tells whether a filter, if it is set, has a value.
func (q amoQuery) acceptsText(field, value string) bool {
	wanted, ok := q.filter[field]
	return !ok || slices.Contains(wanted, value)
}
