package sandbox

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// routeREST adds the HTTP API: a session by cookie, and what a session may do.
func (p *Phonet) routeREST(mux *http.ServeMux) {
	mux.HandleFunc("POST /rest/security/authorize", p.serveLogin)
	for pattern, serve := range map[string]func(http.ResponseWriter, *http.Request){
		"GET /rest/users":                      p.serveUsers,
		"POST /rest/user/makeCall":             p.serveMakeCall,
		"GET /rest/calls/active/v3":            p.serveActive,
		"GET /rest/calls/active/{uuid}/hangup": p.serveHangup,
		"GET /rest/calls/company.api":          p.serveHistory,
		"GET /rest/calls/users.api":            p.serveHistory,
		"GET /rest/calls/missed.api":           p.serveHistory,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie("JSESSIONID")
			p.mu.Lock()
			defer p.mu.Unlock()
			if err != nil || !p.sessions[cookie.Value] {
				http.Error(w, "log in first", http.StatusForbidden)
				return
			}
			if p.cut {
				http.Error(w, "", http.StatusServiceUnavailable)
				return
			}
			serve(w, r)
		})
	}
}

// Expire ends all sessions of the HTTP API: the next request of each is answered 403.
func (p *Phonet) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.sessions)
}

// FailHistory has the history answered with a status until it is told 0.
func (p *Phonet) FailHistory(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history = status
}

// Logins is how often somebody has logged in.
func (p *Phonet) Logins() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logins
}

func (p *Phonet) serveLogin(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Domain string `json:"domain"`
		APIKey string `json:"apiKey"`
	}
	if !phonetBody(w, r, &in) {
		return
	}
	if in.Domain != p.cfg.Domain || in.APIKey != p.cfg.APIKey {
		http.Error(w, "wrong apiKey "+in.APIKey, http.StatusForbidden)
		return
	}
	cookie := newCookie()
	p.mu.Lock()
	p.sessions[cookie] = true
	p.logins++
	p.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: cookie, Path: "/", HttpOnly: true}) //nolint:gosec // for tests over http, too
}

func (p *Phonet) serveUsers(w http.ResponseWriter, _ *http.Request) {
	type user struct {
		ID          int    `json:"id"`
		DisplayName string `json:"displayName"`
		Ext         string `json:"ext"`
		Email       string `json:"email"`
	}
	users := []user{}
	for _, e := range p.cfg.Employees {
		users = append(users, user{e.ID, e.Name, e.Ext, e.Email})
	}
	phonetWriteJSON(w, users)
}

func (p *Phonet) serveMakeCall(w http.ResponseWriter, r *http.Request) {
	var in struct {
		LegExt      string `json:"legExt"`
		OtherLegNum string `json:"otherLegNum"`
	}
	if !phonetBody(w, r, &in) {
		return
	}
	c, err := p.dial(in.LegExt, in.OtherLegNum)
	if err == nil && c.direction == phonetOutgoing && !strings.HasPrefix(in.OtherLegNum, "+") {
		err = gateway.Errorf(gateway.CodeBadNumber, "a number begins with a plus")
	}
	if err != nil {
		http.Error(w, gateway.Shown(err).Message, http.StatusBadRequest)
		return
	}
	p.begin(c)
	phonetWriteJSON(w, map[string]string{"uuid": c.uuid})
}

// phonetRow is a row of the live calls. Its times are seconds and its legs have no type, as in the samples that there
// are of it.
type phonetRow struct {
	UUID        string           `json:"uuid"`
	ParentUUID  *string          `json:"parentUuid"`
	LastEvent   string           `json:"lastEvent"`
	DialAt      int64            `json:"dialAt"`
	BridgeAt    *int64           `json:"bridgeAt"`
	LgDirection int              `json:"lgDirection"`
	Leg         *phonetBareLeg   `json:"leg"`
	Leg2        *phonetBareLeg   `json:"leg2"`
	OtherLegs   []phonetOtherLeg `json:"otherLegs"`
	TrunkNum    *string          `json:"trunkNum"`
	TrunkName   *string          `json:"trunkName"`
}

type phonetBareLeg struct {
	ID          int     `json:"id"`
	Ext         *string `json:"ext"`
	DisplayName string  `json:"displayName"`
}

func (l *phonetLeg) bare() *phonetBareLeg {
	if l == nil {
		return nil
	}
	return &phonetBareLeg{l.ID, l.Ext, l.DisplayName}
}

func (p *Phonet) serveActive(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" {
		http.Error(w, "no parameters here", http.StatusBadRequest)
		return
	}
	rows := []phonetRow{}
	for _, c := range p.calls {
		if !c.live() {
			continue
		}
		m := p.message(c, "")
		row := phonetRow{
			UUID: m.UUID, ParentUUID: m.ParentUUID, LastEvent: "call.dial", DialAt: m.DialAt / 1000, LgDirection: m.LgDirection,
			Leg: m.Leg.bare(), Leg2: m.Leg2.bare(), OtherLegs: m.OtherLegs, TrunkNum: m.TrunkNum, TrunkName: m.TrunkName,
		}
		if m.BridgeAt != nil {
			row.LastEvent, row.BridgeAt = "call.bridge", new(*m.BridgeAt/1000)
		}
		rows = append(rows, row)
	}
	if p.cfg.NewFirst {
		slices.Reverse(rows)
	}
	phonetWriteJSON(w, rows)
}

func (p *Phonet) serveHangup(w http.ResponseWriter, r *http.Request) {
	c := p.call(r.PathValue("uuid"))
	if c == nil || !c.live() {
		http.NotFound(w, r)
		return
	}
	p.endAll(c, 1)
}

// phonetFinished is a row of the history.
type phonetFinished struct {
	UUID            string     `json:"uuid"`
	ParentUUID      *string    `json:"parentUuid,omitempty"`
	EndAt           int64      `json:"endAt"`
	LgDirection     int        `json:"lgDirection"`
	OtherLegNum     string     `json:"otherLegNum"`
	OtherLegName    *string    `json:"otherLegName"`
	Leg             *phonetLeg `json:"leg"`
	Leg2            *phonetLeg `json:"leg2"`
	BillSecs        int        `json:"billSecs"`
	Duration        int        `json:"duration"`
	Disposition     int        `json:"disposition"`
	TransferHistory *string    `json:"transferHistory"`
	AudioRecURL     *string    `json:"audioRecUrl"`
	Trunk           string     `json:"trunk"`
}

func (p *Phonet) serveHistory(w http.ResponseWriter, r *http.Request) {
	list := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	from, to, limit, offset, ok := phonetRange(r)
	if p.history != 0 {
		http.Error(w, http.StatusText(p.history), p.history)
		return
	}
	if !ok {
		http.Error(w, "wants timeFrom and timeTo in milliseconds, limit 1..50 and offset", http.StatusBadRequest)
		return
	}
	rows := []phonetFinished{}
	for _, c := range slices.SortedFunc(slices.Values(p.calls), func(a, b *phonetCall) int { return cmp.Or(a.endAt.Compare(b.endAt)) }) {
		end := c.endAt.UnixMilli()
		internal, missed := c.direction == phonetInternal, c.bridgeAt.IsZero() && c.direction == phonetIncoming
		wanted := map[string]bool{"company.api": !internal && c.parent == nil, "users.api": c.leg.Type == phonetUserLeg, "missed.api": missed}[list]
		if c.live() || end < from || end > to || !wanted {
			continue
		}
		rows = append(rows, p.finished(c))
	}
	rows = rows[min(offset, len(rows)):]
	phonetWriteJSON(w, rows[:min(limit, len(rows))])
}

func (p *Phonet) finished(c *phonetCall) phonetFinished {
	row := phonetFinished{
		UUID: c.uuid, EndAt: c.endAt.UnixMilli(), LgDirection: c.direction, OtherLegNum: c.number, Leg: c.leg, Leg2: c.leg2,
		Duration: int(c.endAt.Sub(c.dialAt) / time.Second), Disposition: c.disposition, Trunk: p.cfg.Trunk,
	}
	if c.parent != nil {
		row.ParentUUID = &c.parent.uuid
	}
	if c.name != "" {
		row.OtherLegName = &c.name
	}
	if c.transfers != "" {
		row.TransferHistory = &c.transfers
	}
	if !c.bridgeAt.IsZero() {
		row.BillSecs = int(c.endAt.Sub(c.bridgeAt) / time.Second)
		row.AudioRecURL = new("https://" + p.cfg.Domain + "/rest/public/calls/" + c.uuid + "/audio ") // with a stray space, as it is
	}
	return row
}

// phonetRange reads the parameters of a history: milliseconds, 1 to 50 rows, and nothing that is not known.
func phonetRange(r *http.Request) (from, to int64, limit, offset int, ok bool) {
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains([]string{"timeFrom", "timeTo", "limit", "offset", "directions"}, name) {
			return 0, 0, 0, 0, false
		}
	}
	from, err1 := strconv.ParseInt(query.Get("timeFrom"), 10, 64)
	to, err2 := strconv.ParseInt(query.Get("timeTo"), 10, 64)
	limit, err3 := strconv.Atoi(query.Get("limit"))
	offset, err4 := strconv.Atoi(query.Get("offset"))
	ok = err1 == nil && err2 == nil && err3 == nil && err4 == nil && from > 1e12 && to > 1e12 && limit >= 1 && limit <= 50 && offset >= 0
	return from, to, limit, offset, ok
}

func phonetBody(w http.ResponseWriter, r *http.Request, into any) bool {
	data, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err == nil {
		err = phonetStrict(data, into)
	}
	if err != nil || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "JSON is wanted, with the fields that there are", http.StatusBadRequest)
		return false
	}
	return true
}

func phonetWriteJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // else the client has gone
}
