package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// amoHandler answers a request of a signed-in user; its error is written as a problem document.
type amoHandler = func(w http.ResponseWriter, r *http.Request, user AmoUser) error

// restRoutes are the parts of amoCRM's API that a telephony widget calls with the user's session.
func (a *Amo) restRoutes(handle func(pattern string, h amoHandler)) {
	for _, kind := range amoKinds {
		at := "/api/v4/" + kind
		handle("GET "+at, a.listEntities(kind))
		handle("POST "+at, a.addEntities(kind))
		handle("PATCH "+at, a.changeEntities(kind))
		handle("GET "+at+"/{id}", a.getEntity(kind))
		handle("GET "+at+"/notes", a.listNotes(kind))
		handle("POST "+at+"/notes", a.addNotes(kind))
		handle("PATCH "+at+"/notes", a.changeNotes(kind))
		handle("PATCH "+at+"/{id}/notes/{note}", a.changeNotes(kind))
		handle("GET "+at+"/{id}/notes", a.listNotes(kind))
		handle("POST "+at+"/{id}/notes", a.addNotes(kind))
	}
	handle("POST /api/v4/leads/complex", a.addComplex)
	handle("GET /api/v4/tasks", a.listTasks)
	handle("POST /api/v4/tasks", a.addTasks)
	handle("GET /api/v4/account", a.getAccount)
	handle("GET /api/v4/users", a.listUsers)
	handle("GET /api/v4/users/{id}", a.getUser)
	handle("GET /api/v4/leads/pipelines", a.listPipelines)
	handle("POST /api/v4/calls", a.addCalls)
	handle("/api/v4/calls", func(http.ResponseWriter, *http.Request, AmoUser) error {
		return amoProblem{Status: http.StatusMethodNotAllowed, Detail: "Method not allowed"}
	})
	a.unsortedRoutes(handle)
	handle("POST /api/v2/events", a.addEvents)
	handle("POST /api/v2/events/{$}", a.addEvents)
	handle("/api/", func(http.ResponseWriter, *http.Request, AmoUser) error {
		return amoProblem{Status: http.StatusNotFound, Detail: "Not found"}
	})
}

// amoQuery is what a list is asked for.
type amoQuery struct {
	text        string
	with        []string
	filter      map[string][]string // field → values
	order       string
	desc        bool
	limit, page int
}

func readQuery(values url.Values, orders ...string) (amoQuery, error) {
	q := amoQuery{text: values.Get("query"), filter: map[string][]string{}, limit: 50, page: 1}
	if with := values.Get("with"); with != "" {
		q.with = strings.Split(with, ",")
	}
	errs := []amoFieldError{}
	for name, to := range map[string]*int{"limit": &q.limit, "page": &q.page} {
		if !values.Has(name) {
			continue
		}
		n, err := strconv.Atoi(values.Get(name))
		if err != nil || n < 1 || n > 250 {
			errs = append(errs, amoFieldError{Request: "0", Code: "InvalidType", Path: name, Detail: "must be from 1 to 250"})
		}
		*to = n
	}
	for name, given := range values {
		field, isFilter := strings.CutPrefix(name, "filter[")
		if isFilter { // filter[id]=1, filter[id][]=1 and filter[id][0]=1 say the same
			field, rest, _ := strings.Cut(field, "]")
			if rest == "[from]" || rest == "[to]" {
				field += rest
			}
			q.filter[field] = append(q.filter[field], given...)
		}
		if field, ok := strings.CutPrefix(name, "order["); ok {
			q.order, q.desc = strings.TrimSuffix(field, "]"), given[0] == "desc"
			if !slices.Contains(orders, q.order) || given[0] != "asc" && given[0] != "desc" {
				errs = append(errs, amoFieldError{Request: "0", Code: "NotSupportedChoice", Path: name, Detail: "The value you selected is not a valid choice."})
			}
		}
	}
	return q, invalid(errs)
}

// within tells whether a range, if one is set, has a time.
func (q amoQuery) within(field string, t time.Time) bool {
	for _, end := range []string{"[from]", "[to]"} {
		for _, given := range q.filter[field+end] {
			limit, err := strconv.ParseInt(given, 10, 64)
			if err == nil && (end == "[from]" && t.Unix() < limit || end == "[to]" && t.Unix() > limit) {
				return false
			}
		}
	}
	return true
}

// accepts tells whether a filter, if it is set, has a value.
func (q amoQuery) accepts(field string, value int64) bool {
	wanted, ok := q.filter[field]
	return !ok || slices.Contains(wanted, strconv.FormatInt(value, 10))
}

// writeList writes the page of a list that was asked for; an empty one is 204 and no body.
func writeList[T any](w http.ResponseWriter, r *http.Request, q amoQuery, name string, list []T, body func(T) map[string]any) {
	from := min((q.page-1)*q.limit, len(list))
	to := min(from+q.limit, len(list))
	if from == to {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	links := amoSelf(r.URL.RequestURI())
	if to < len(list) {
		next := r.URL.Query()
		next.Set("page", strconv.Itoa(q.page+1))
		links["next"] = map[string]any{"href": r.URL.Path + "?" + next.Encode()}
	}
	items := []map[string]any{}
	for _, item := range list[from:to] {
		items = append(items, body(item))
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_page": q.page, "_links": links, "_embedded": map[string]any{name: items}})
}

func (a *Amo) listEntities(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		q, err := readQuery(r.URL.Query(), "id", "updated_at", "created_at")
		if err != nil {
			return err
		}
		if a.cfg.NoFilter {
			q.filter = nil
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		writeList(w, r, q, kind, a.find(user, kind, q), func(e *amoEntity) map[string]any { return a.body(e, q.with) })
		return nil
	}
}

// arrange sorts as a list is asked to.
func arrange[T any](list []T, q amoQuery, by map[string]func(x, y T) int) {
	compare := by[q.order]
	if compare == nil {
		return
	}
	slices.SortStableFunc(list, func(x, y T) int {
		if q.desc {
			x, y = y, x
		}
		return compare(x, y)
	})
}

// find returns what a user may see of what is asked for. The caller holds the lock.
func (a *Amo) find(user AmoUser, kind string, q amoQuery) []*amoEntity {
	var found []*amoEntity
	for _, e := range a.entities[kind] {
		if user.may(user.right(kind).View, e.Responsible) && (q.text == "" || e.matches(q.text)) &&
			q.accepts("id", e.ID) && q.accepts("responsible_user_id", e.Responsible) {
			found = append(found, e)
		}
	}
	arrange(found, q, map[string]func(x, y *amoEntity) int{
		"id":         func(x, y *amoEntity) int { return cmp.Compare(x.ID, y.ID) },
		"updated_at": func(x, y *amoEntity) int { return x.updated.Compare(y.updated) },
		"created_at": func(x, y *amoEntity) int { return x.created.Compare(y.created) },
	})
	return found
}

func (a *Amo) getEntity(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		q, err := readQuery(r.URL.Query())
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		e, err := a.visible(user, kind, r.PathValue("id"))
		if err != nil {
			return err
		}
		writeAmo(w, http.StatusOK, halJSON, a.body(e, q.with))
		return nil
	}
}

func (a *Amo) addEntities(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		if user.right(kind).Add == "D" {
			return forbidden()
		}
		items, errs, err := readItems(r, 250)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		made := []*amoEntity{}
		for _, in := range items {
			e := &amoEntity{Kind: kind}
			a.fill(e, in, user)
			made = append(made, e)
		}
		if err := invalid(*errs); err != nil {
			return err
		}
		for i, in := range items {
			a.put(made[i], user)
			a.linkEmbedded(made[i], in)
		}
		writeMade(w, kind, items, made)
		return nil
	}
}

// fill takes over what a write says of an entity. The caller holds the lock.
func (a *Amo) fill(e *amoEntity, in amoIn, user AmoUser) {
	if in.has("name") {
		e.Name = strings.TrimSpace(in.text("name"))
	}
	if first, last := in.text("first_name"), in.text("last_name"); first+last != "" && !in.has("name") {
		e.Name = strings.TrimSpace(first + " " + last)
	}
	if in.has("responsible_user_id") {
		e.Responsible = in.number("responsible_user_id")
		if _, ok := a.user(strconv.FormatInt(e.Responsible, 10)); !ok {
			in.notOffered("responsible_user_id")
		}
	}
	e.Responsible = cmp.Or(e.Responsible, user.ID)
	for _, name := range []string{"created_by", "updated_by", "created_at", "updated_at", "loss_reason_id"} {
		in.number(name)
	}
	if e.Kind == amoLeads {
		a.fillLead(e, in)
	}
	for _, field := range in.list("custom_fields_values") {
		field.fillInto(e)
	}
	a.checkEmbedded(in)
}

func (a *Amo) fillLead(e *amoEntity, in amoIn) {
	if in.has("price") {
		e.Price = in.number("price")
	}
	if in.has("status_id") {
		e.Status = in.number("status_id")
	}
	e.Status = cmp.Or(e.Status, amoFirstStatus)
	if pipeline := in.number("pipeline_id"); in.has("pipeline_id") && pipeline != amoPipeline {
		in.notOffered("pipeline_id")
	}
}

// fillInto sets one of the custom fields: the number or the address.
func (in amoIn) fillInto(e *amoEntity) {
	in.drop("field_code", "field_id")
	code, id := in.text("field_code"), in.number("field_id")
	values := []string{}
	for _, value := range in.list("values") {
		if value.required("value") {
			values = append(values, value.text("value"))
		}
		value.drop("enum_code", "enum_id")
		value.number("enum_id")
		if enum := value.text("enum_code"); enum != "" && !slices.Contains([]string{"WORK", "WORKDD", "MOB", "FAX", "HOME", "PRIV", "OTHER"}, enum) {
			value.notOffered("enum_code")
		}
	}
	switch {
	case e.Kind != amoContacts && e.Kind != amoCompanies:
		in.notOffered("field_code")
	case code == "PHONE" || id == 1:
		e.Phones = values
	case code == "EMAIL" || id == 2:
		e.Emails = values
	case code == "" && id == 0:
		in.missing("field_id")
	default:
		in.notOffered("field_code")
	}
}

// checkEmbedded looks whether the entities that a write names exist. The caller holds the lock.
func (a *Amo) checkEmbedded(in amoIn) {
	if !in.has("_embedded") {
		return
	}
	embedded := in.object("_embedded")
	for _, kind := range amoKinds {
		for _, link := range embedded.list(kind) {
			if id := link.number("id"); link.has("id") && a.entity(kind, id) == nil {
				link.notOffered("id")
			}
		}
	}
}

// linkEmbedded links an entity with those that a write names by id. The caller holds the lock.
func (a *Amo) linkEmbedded(e *amoEntity, in amoIn) {
	if !in.has("_embedded") {
		return
	}
	embedded := in.object("_embedded")
	for _, kind := range amoKinds {
		for _, link := range embedded.list(kind) {
			if other := a.entity(kind, link.number("id")); other != nil {
				e.link(other)
			}
		}
	}
}

// link links two entities, whichever of them keeps the link.
func (e *amoEntity) link(other *amoEntity) {
	switch {
	case e.Kind == other.Kind || e.linksTo(other) || other.linksTo(e):
	case other.Kind == amoCompanies:
		e.Company = other.ID
	case e.Kind == amoCompanies || other.Kind == amoContacts:
		other.link(e)
	case other.Kind == amoLeads:
		e.Leads = append(e.Leads, other.ID)
	case other.Kind == amoCustomers:
		e.Customers = append(e.Customers, other.ID)
	}
}

// put keeps a new entity. The caller holds the lock.
func (a *Amo) put(e *amoEntity, user AmoUser) {
	e.ID = a.nextID()
	a.named(e)
	e.Responsible = cmp.Or(e.Responsible, user.ID)
	e.created = time.Now()
	e.updated = e.created
	a.entities[e.Kind] = append(a.entities[e.Kind], e)
}

// named gives a new entity a name if it has none.
func (*Amo) named(e *amoEntity) {
	if e.Name == "" {
		e.Name = strings.TrimSuffix(e.Kind, "s") + " #" + strconv.FormatInt(e.ID, 10)
	}
}

func writeMade(w http.ResponseWriter, kind string, items []amoIn, made []*amoEntity) {
	list := []map[string]any{}
	for i, e := range made {
		list = append(list, map[string]any{"id": e.ID, "request_id": items[i].request, "updated_at": e.updated.Unix(), "_links": amoSelf(e.path())})
	}
	writeAmo(w, http.StatusOK, halJSON, map[string]any{"_embedded": map[string]any{kind: list}})
}

func (a *Amo) changeEntities(kind string) amoHandler {
	return func(w http.ResponseWriter, r *http.Request, user AmoUser) error {
		items, errs, err := readItems(r, 250)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		found, changed := []*amoEntity{}, []*amoEntity{}
		for _, in := range items {
			if !in.required("id") {
				continue
			}
			e, err := a.visible(user, kind, strconv.FormatInt(in.number("id"), 10))
			if err != nil {
				return err
			}
			if !user.may(user.right(kind).Edit, e.Responsible) {
				return forbidden()
			}
			after := *e
			a.fill(&after, in, user)
			found, changed = append(found, e), append(changed, &after)
		}
		if err := invalid(*errs); err != nil {
			return err
		}
		for i, e := range found {
			*e = *changed[i]
			e.updated = time.Now()
			a.linkEmbedded(e, items[i])
		}
		writeMade(w, kind, items, found)
		return nil
	}
}

// addComplex makes leads together with what belongs to them. Its answer is a bare array.
func (a *Amo) addComplex(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	items, errs, err := readItems(r, 50)
	if err != nil {
		return err
	}
	type deal struct{ lead, contact, company *amoEntity }
	deals := []deal{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range items {
		d := deal{lead: &amoEntity{Kind: amoLeads}}
		a.fill(d.lead, in, user)
		if in.has("_embedded") {
			embedded := in.object("_embedded")
			d.contact = a.part(embedded, amoContacts, user)
			d.company = a.part(embedded, amoCompanies, user)
		}
		for _, part := range []*amoEntity{d.lead, d.contact, d.company} {
			if part != nil && part.ID == 0 && user.right(part.Kind).Add == "D" {
				return forbidden()
			}
		}
		deals = append(deals, d)
	}
	if err := invalid(*errs); err != nil {
		return err
	}
	reply := []map[string]any{}
	for i, d := range deals {
		made := map[string]any{"contact_id": nil, "company_id": nil, "request_id": []string{items[i].request}, "merged": false}
		a.put(d.lead, user)
		made["id"] = d.lead.ID
		for name, part := range map[string]*amoEntity{"contact_id": d.contact, "company_id": d.company} {
			if part == nil {
				continue
			}
			if part.ID == 0 {
				a.put(part, user)
			}
			part.link(d.lead)
			made[name] = part.ID
		}
		if d.contact != nil && d.company != nil {
			d.contact.link(d.company)
		}
		reply = append(reply, made)
	}
	writeAmo(w, http.StatusOK, "application/json", reply)
	return nil
}

// part is the one contact or company of a lead that is made: a new one, or one that is there. The caller holds
// the lock.
func (a *Amo) part(embedded amoIn, kind string, user AmoUser) *amoEntity {
	list := embedded.list(kind)
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1 {
		embedded.fail(kind, "InvalidCount", "This collection should contain 1 element or less.")
	}
	in := list[0]
	if in.has("id") {
		return a.entity(kind, in.number("id"))
	}
	e := &amoEntity{Kind: kind}
	a.fill(e, in, user)
	return e
}
