package phonet

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// This file is the part of Phonet's HTTP API that goes with a socket: who there is and what is going on, to place a
// call and to end one. Whoever has the key may do so for everybody of the account. There is no list of what is over.

const (
	sessionCookie  = "JSESSIONID"
	sessionLife    = 30 * time.Minute // then the client logs in again
	maxRequestBody = 4 << 10
)

// RESTPath is where the HTTP API begins.
const RESTPath = "/rest/"

func (s *Server) restRoutes(mux *http.ServeMux) {
	handle := func(pattern string, fn gateway.HandlerFunc) {
		mux.Handle(pattern, s.counted(func(w http.ResponseWriter, r *http.Request) error {
			if err := s.checkOrigin(w, r); err != nil {
				return err
			}
			if err := s.gate.request(s.cfg.ClientAddr(r)); err != nil {
				return err
			}
			return fn(w, r)
		}))
	}
	inSession := func(fn func(w http.ResponseWriter, r *http.Request, account string) error) gateway.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) error {
			account, err := s.session(r)
			if err != nil {
				return err
			}
			return fn(w, r, account)
		}
	}
	handle("POST /rest/security/authorize", s.restAuthorize)
	handle("GET /rest/users", inSession(s.restUsers))
	handle("GET /rest/calls/active/v3", inSession(s.restActive))
	handle("POST /rest/user/makeCall", inSession(s.restMakeCall))
	handle("GET /rest/calls/active/{uuid}/hangup", inSession(s.restHangUp))
}

// restAuthorize opens a session, which is a cookie that any node believes.
func (s *Server) restAuthorize(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Domain, APIKey string }
	if err := readServerJSON(w, r, &in); err != nil {
		return err
	}
	if _, err := s.endpoint(in.Domain, in.APIKey); err != nil {
		return err
	}
	domain := strings.ToLower(in.Domain)
	until := strconv.FormatInt(time.Now().Add(sessionLife).Unix(), 10)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where it is TLS: clients on the same machine may go without
		Name: sessionCookie, Value: domain + "~" + until + "~" + s.sign(domain, until), Path: RESTPath,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
	return writeServerJSON(w, struct{}{})
}

func (s *Server) sign(domain, until string) string {
	e := s.endpoints[domain]
	mac := hmac.New(sha256.New, e.key[:])
	_, _ = mac.Write([]byte("session " + domain + " " + until)) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

// session returns whose a request's session is. Clients log in again at a 403.
func (s *Server) session(r *http.Request) (account string, err error) {
	none := gateway.Errorf(gateway.CodeNotPermitted, "there is no session, or it has run out: log in at /rest/security/authorize")
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", none
	}
	parts := strings.Split(cookie.Value, "~")
	if len(parts) != 3 {
		return "", none
	}
	e, known := s.endpoints[parts[0]]
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if !known || err != nil || !hmac.Equal([]byte(s.sign(parts[0], parts[1])), []byte(parts[2])) || time.Now().Unix() >= until {
		return "", none
	}
	return e.account, nil
}

// restEmployee is a user of the list of them, once for each of his inner numbers.
type restEmployee struct {
	ID          number     `json:"id"`
	DisplayName string     `json:"displayName"`
	Ext         textOrNull `json:"ext"`
	Email       textOrNull `json:"email"`
}

func (s *Server) restUsers(w http.ResponseWriter, _ *http.Request, account string) error {
	all, _ := s.cfg.Directory.Account(account)
	employees := []restEmployee{}
	for _, u := range all.Users {
		for i, ext := range append(slices.Clone(u.Extensions), "") {
			if ext != "" || i == 0 {
				e := employee(gateway.Person{User: u.ID, Name: u.Name, Extension: ext})
				employees = append(employees, restEmployee{e.ID, string(e.DisplayName), e.Ext, textOrNull(u.Email)})
			}
		}
	}
	return writeServerJSON(w, employees)
}

// restCall is what goes on at somebody's telephone. Its times are in seconds, as in all of this API but the history.
type restCall struct {
	UUID        text       `json:"uuid"`
	ParentUUID  textOrNull `json:"parentUuid"`
	LastEvent   string     `json:"lastEvent"`
	DialAt      millis     `json:"dialAt"`
	BridgeAt    millis     `json:"bridgeAt"`
	LgDirection direction  `json:"lgDirection"`
	Leg         *leg       `json:"leg"`
	Leg2        *leg       `json:"leg2"`
	OtherLegs   otherLegs  `json:"otherLegs"`
	TrunkNum    textOrNull `json:"trunkNum"`
	TrunkName   textOrNull `json:"trunkName"`
}

func (s *Server) restActive(w http.ResponseWriter, _ *http.Request, account string) error {
	calls := []restCall{}
	s.eachLive(account, func(_ string, _ gateway.View, m callMessage) bool {
		calls = append(calls, restCall{
			m.UUID, m.ParentUUID, m.Event, m.DialAt / 1000, m.BridgeAt / 1000, m.LgDirection, m.Leg, m.Leg2, m.OtherLegs, m.TrunkNum, m.TrunkName,
		})
		return true
	})
	slices.SortFunc(calls, func(a, b restCall) int {
		return cmp.Or(cmp.Compare(a.DialAt, b.DialAt), cmp.Compare(a.UUID, b.UUID), cmp.Compare(a.BridgeAt, b.BridgeAt))
	})
	// A call of two colleagues is one: it rings while it rings at either.
	calls = slices.CompactFunc(calls, func(a, b restCall) bool { return a.UUID == b.UUID && a.LgDirection == dirInternal })
	return writeServerJSON(w, calls)
}

// eachLive calls fn with each user's part of each live call, and the last that his clients were told of it, until fn
// returns false.
func (s *Server) eachLive(account string, fn func(user string, v gateway.View, m callMessage) bool) {
	for _, call := range s.cfg.Gateway.LiveCalls(account) {
		for _, user := range call.Users() {
			v, ok := call.For(user)
			if !ok || v.State == gateway.Ended {
				continue
			}
			told := newTeller(s, account, user).changed(v)
			if !fn(user, v, told[len(told)-1]) {
				return
			}
		}
	}
}

func (s *Server) restMakeCall(w http.ResponseWriter, r *http.Request, account string) error {
	var in struct {
		LegExt      text `json:"legExt"`
		OtherLegNum text `json:"otherLegNum"`
	}
	if err := readServerJSON(w, r, &in); err != nil {
		return err
	}
	user, ok := s.cfg.Directory.ByExtension(account, string(in.LegExt))
	if !ok {
		return gateway.Errorf(gateway.CodeNotFound, "nobody has the inner number that legExt says")
	}
	reply, err := s.restCommand(r, gateway.Command{
		Account: account, User: user.ID, Action: "call", To: string(in.OtherLegNum), From: string(in.LegExt),
	})
	if err != nil {
		return err
	}
	// Its own telephone is the first that rings.
	return writeServerJSON(w, map[string]text{"uuid": partOf(reply.Call, user.ID)})
}

func (s *Server) restHangUp(w http.ResponseWriter, r *http.Request, account string) error {
	uuid, cmd := text(r.PathValue("uuid")), gateway.Command{}
	s.eachLive(account, func(user string, v gateway.View, m callMessage) bool {
		if m.UUID == uuid {
			cmd = gateway.Command{Account: account, User: user, Action: "hangup", Call: v.ID}
		}
		return cmd.Call == ""
	})
	if cmd.Call == "" {
		return gateway.Errorf(gateway.CodeNotFound, "no such call is live")
	}
	if _, err := s.restCommand(r, cmd); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// restCommand has the gateway do something for a user. It does not end with the request: half a dial would help nobody.
func (s *Server) restCommand(r *http.Request, cmd gateway.Command) (gateway.Reply, error) {
	done, err := s.gate.command(cmd.Account, cmd.User)
	if err != nil {
		s.cfg.Metrics.Command(gateway.CodeOf(err))
		return gateway.Reply{}, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commandTime)
	defer cancel()
	cmd.ID = rand.Text()
	reply := s.cfg.Gateway.Command(ctx, cmd)
	switch {
	case reply.Error != nil:
		err = &gateway.Error{Code: reply.Error.Code, Message: reply.Error.Message}
	case !reply.OK:
		err = gateway.Errorf(gateway.CodeInternal, "neither done nor refused")
	}
	s.cfg.Metrics.Command(gateway.CodeOf(err))
	return reply, err
}

func readServerJSON(w http.ResponseWriter, r *http.Request, into any) error {
	body, err := gateway.ReadBody(w, r, maxRequestBody)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, into) != nil { // whose error may quote the body
		return gateway.Errorf(gateway.CodeInvalid, "the body is not the JSON that belongs here")
	}
	return nil
}

func writeServerJSON(w http.ResponseWriter, answer any) error {
	data, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(data) // the client went: nobody to tell
	return nil
}
