package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ringcast/gateway"
	"ringcast/gateway/amocrm"
)

const (
	settingsPath    = "/v1/settings/amocrm"
	maxSettingsBody = 256 << 10
	settingsTime    = 5 * time.Second // for the store

	settingsBurst = 20                     // requests of an account's administrators at once, and of all its others
	settingsPace  = 500 * time.Millisecond // and one more in each such time
	settingsRetry = 2 * time.Second
)

// settingsPaces are an account's, so that the others cannot keep its administrators out.
type settingsPaces struct{ admins, others *rate.Limiter }

// pacesOf makes each account its paces when it is first asked about. There are no more of them than accounts.
type pacesOf struct {
	mu    sync.Mutex
	paces map[string]settingsPaces
}

func (p *pacesOf) account(id string) settingsPaces {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, ok := p.paces[id]
	if !ok {
		own = newSettingsPaces()
		p.paces[id] = own
	}
	return own
}

func newSettingsPaces() settingsPaces {
	pace := func() *rate.Limiter { return rate.NewLimiter(rate.Every(settingsPace), settingsBurst) }
	return settingsPaces{pace(), pace()}
}

// settingsRoute adds what the widget's settings window asks in amoCRM and Kommo: who has which extension, whether the
// PBX knows them; and where an administrator saves it.
func (n *node) settingsRoute() {
	paces := &pacesOf{paces: map[string]settingsPaces{}}
	settings := n.route("settings", func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodPost {
			return gateway.Errorf(gateway.CodeNotFound, "there is nothing at %s %s", r.Method, r.URL.Path)
		}
		who, err := n.amocrm.Identify(r)
		if err != nil {
			return err
		}
		account, ok := n.account(who.Account)
		if !ok || account.AmoCRM == nil {
			return gateway.Errorf(gateway.CodeNotFound, "there is no account %q", who.Account)
		}
		who.Admin = who.Admin || slices.Contains(account.AmoCRM.Admins, who.User)
		pace := paces.account(who.Account).others
		if who.Admin {
			pace = paces.account(who.Account).admins
		}
		if !pace.Allow() {
			return &gateway.Error{Code: gateway.CodeTooMany, Message: "the settings of this account are asked for too often: slower, please", RetryAfter: settingsRetry}
		}
		return n.serveSettings(w, r, account, who)
	})
	n.mux.Handle(settingsPath, n.origins.Pages(settings, n.logger, func(*http.Request) {
		n.metrics.refused("settings", gateway.CodeOrigin)
	}))
}

// settingsAnswer is what the settings window is told.
type settingsAnswer struct {
	Account string              `json:"account"`
	Admin   bool                `json:"admin"`
	Saved   bool                `json:"saved"`
	Kept    bool                `json:"kept"` // what an administrator asks about is what the gateway holds
	PBX     []gateway.PBXStatus `json:"pbx"`
	Users   []settingsUser      `json:"users"`
}

// settingsUser is a user as the settings would have him, or have him now; Held is what the gateway holds of his.
type settingsUser struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Held       []string            `json:"held"`
	Extensions []settingsExtension `json:"extensions"`
}

type settingsExtension struct {
	Extension string                 `json:"extension"`
	State     gateway.TelephoneState `json:"state"`
}

func (n *node) serveSettings(w http.ResponseWriter, r *http.Request, account AccountConfig, who amocrm.Identity) error {
	if n.draining.Load() {
		return &gateway.Error{Code: gateway.CodeDraining, Message: "this node is going down: try again", RetryAfter: settingsRetry}
	}
	body, err := gateway.ReadBody(w, r, maxSettingsBody)
	if err != nil {
		return err
	}
	in, err := parseSettings(body)
	if err != nil {
		return err
	}
	if in.Save && !who.Admin {
		return gateway.Errorf(gateway.CodeNotAdmin, "only an administrator of the CRM's account may save this; "+
			"who else may, the configuration says in crm.admins")
	}
	users, held, err := n.takeSettings(r.Context(), who, in)
	if err != nil {
		return err
	}
	report := n.gateway.AskTelephones(r.Context(), who.Account, extensionsOf(users, in))
	writeJSON(w, http.StatusOK, settingsAnswer{
		Account: who.Account, Admin: who.Admin, Saved: in.Save, Kept: who.Admin && sameExtensions(users, held), PBX: report.PBX,
		Users: shownSettings(users, held, report.Telephones, account.tells()),
	})
	return nil
}

// takeSettings saves what an administrator wants saved, and returns the account's users as they are then: or, if he
// only asks, as they would be; and as the gateway holds them now. Who is no administrator sees himself.
func (n *node) takeSettings(ctx context.Context, who amocrm.Identity, in settingsInput) (users, held []gateway.User, err error) {
	if !who.Admin {
		if user, ok := n.directory.User(who.Account, who.User); ok {
			users = []gateway.User{user}
		}
		return users, users, nil
	}
	if !in.Save {
		account, ok := n.directory.Account(who.Account)
		if !ok {
			return nil, nil, gateway.Errorf(gateway.CodeNotFound, "there is no account %q", who.Account)
		}
		users, _, err = in.applied(account.Users)
		return users, account.Users, err
	}
	ctx, cancel := context.WithTimeout(ctx, settingsTime)
	defer cancel()
	changed := 0
	err = n.directory.Update(ctx, who.Account, func(account gateway.Account) (changes []gateway.User, err error) {
		users, changes, err = in.applied(account.Users)
		changed = len(changes)
		return changes, err
	})
	if err != nil {
		return nil, nil, adminFailure(err)
	}
	n.logger.Info("widget's settings saved", "account", who.Account, "admin", who.User, "users", len(users), "changed", changed)
	return users, users, nil
}

// tells says whether each PBX of an account could tell which extensions it has. One that only posts its events cannot.
func (a *AccountConfig) tells() bool {
	return !slices.ContainsFunc(a.PBX, func(pbx PBXConfig) bool { return pbx.Webhook != nil })
}

// extensionsOf returns the extensions to ask about, those of the users in question first.
func extensionsOf(users []gateway.User, in settingsInput) []string {
	var first, others []string
	for _, u := range users {
		if _, ok := in.Extensions[u.ID]; ok {
			first = append(first, u.Extensions...)
		} else {
			others = append(others, u.Extensions...)
		}
	}
	return append(first, others...)
}

// sameExtensions compares users with those held, who come first among them and in the same order.
func sameExtensions(users, held []gateway.User) bool {
	return slices.EqualFunc(users, held, func(a, b gateway.User) bool { return slices.Equal(a.Extensions, b.Extensions) })
}

// shownSettings says of each user's extensions how they are. Where not every PBX could tell, none is unknown. Those held
// come first among the users, in the same order.
func shownSettings(users, held []gateway.User, states map[string]gateway.TelephoneState, all bool) []settingsUser {
	shown := make([]settingsUser, len(users))
	for i, u := range users {
		shown[i] = settingsUser{ID: u.ID, Name: u.Name, Held: []string{}, Extensions: make([]settingsExtension, len(u.Extensions))}
		if i < len(held) {
			shown[i].Held = append(shown[i].Held, held[i].Extensions...)
		}
		for j, ext := range u.Extensions {
			state := states[ext]
			if !all {
				state = state.Or(gateway.TelephoneUnchecked)
			}
			shown[i].Extensions[j] = settingsExtension{ext, state}
		}
	}
	return shown
}

// parseSettings reads the form of a request; what the values are worth applied finds out. Extensions that are no text,
// null too, are refused; a name that is none is passed over.
func parseSettings(body []byte) (settingsInput, error) {
	var raw struct {
		Extensions map[string]json.RawMessage `json:"extensions"`
		Names      map[string]json.RawMessage `json:"names"`
		Save       bool                       `json:"save"`
	}
	in := settingsInput{Extensions: map[string]string{}, Names: map[string]string{}}
	if err := json.Unmarshal(body, &raw); err != nil {
		return in, gateway.Errorf(gateway.CodeInvalid, `the body is not {"extensions":{"88888":"101, 102"},"names":{"88888":"…"},"save":true}: %w`, err)
	}
	in.Save = raw.Save
	bad := &settingsFaults{}
	for _, id := range slices.Sorted(maps.Keys(raw.Extensions)) {
		var value *string
		if err := json.Unmarshal(raw.Extensions[id], &value); err != nil || value == nil {
			bad.add(id, 0, `is to be a text such as "101, 102", or "" for none`)
			continue
		}
		in.Extensions[id] = *value
	}
	for id, name := range raw.Names {
		var value string
		if json.Unmarshal(name, &value) == nil {
			in.Names[id] = value
		}
	}
	if len(bad.fields) > 0 {
		return in, settingsProblem(bad.fields)
	}
	return in, nil
}

// settingsProblem is the refusal of a request, field by field.
func settingsProblem(bad []gateway.FieldError) error {
	message := "nothing was saved"
	if more := len(bad) - maxSettingsErrors; more > 0 {
		bad, message = bad[:maxSettingsErrors], fmt.Sprintf("nothing was saved; and %d more are wrong", more)
	}
	return &gateway.Error{Code: gateway.CodeInvalid, Message: message, Fields: bad}
}
