package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"
)

const (
	askedTelephones  = 500                     // of one request; the others stay unchecked
	telephonesAtOnce = 8                       // are asked about
	telephonesTime   = 3 * time.Second         // for the whole answer
	telephonesAtPBX  = 2500 * time.Millisecond // what of that the PBXes have; the rest is for the way to the owner and back
)

// TelephoneReport is what the PBXes of an account say of its extensions.
type TelephoneReport struct {
	PBX        []PBXStatus               `json:"pbx"`        // those that the gateway is linked to, as configured
	Telephones map[string]TelephoneState `json:"telephones"` // by extension
}

// PBXStatus is a PBX of an account, and LinkState.State of the link to it.
type PBXStatus struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// AskTelephones asks all PBXes of an account, on whichever node holds their links, what they know of extensions. It
// answers within 3 s: what was not told by then is TelephoneUnchecked, and so is every extension after the 500th.
func (g *Gateway) AskTelephones(ctx context.Context, account string, extensions []string) TelephoneReport {
	ctx, cancel := context.WithTimeout(ctx, telephonesTime)
	defer cancel()
	report, err := g.askOwnerForTelephones(ctx, account, extensions[:min(len(extensions), askedTelephones)])
	if err != nil {
		g.cfg.Logger.Warn("nobody could say which extensions the PBX knows", "account", account, "err", err)
		report = TelephoneReport{PBX: g.pbxStatus(account), Telephones: map[string]TelephoneState{}}
	}
	for _, ext := range extensions {
		if _, ok := report.Telephones[ext]; !ok {
			report.Telephones[ext] = TelephoneUnchecked
		}
	}
	return report
}

// telephonesQuestion is a question to the owner of an account.
type telephonesQuestion struct {
	Account    string   `json:"account"`
	Extensions []string `json:"extensions"`
}

func (g *Gateway) askOwnerForTelephones(ctx context.Context, account string, extensions []string) (report TelephoneReport, err error) {
	data, err := json.Marshal(telephonesQuestion{account, extensions})
	if err != nil {
		return report, err
	}
	answer, err := g.askOwner(ctx, account, route{patience: linkPatience, repeat: true}, kindPhones, data)
	if err != nil {
		return report, err
	}
	return report, json.Unmarshal(answer, &report)
}

// answerTelephones asks the PBXes whose links this node holds.
func (g *Gateway) answerTelephones(ctx context.Context, _ *owner, data []byte) ([]byte, error) {
	var q telephonesQuestion
	if err := json.Unmarshal(data, &q); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, telephonesAtPBX)
	defer cancel()
	extensions := q.Extensions[:min(len(q.Extensions), askedTelephones)]
	states := make([]TelephoneState, len(extensions))
	var next atomic.Int64
	var askers sync.WaitGroup
	for range min(telephonesAtOnce, len(extensions)) {
		askers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(extensions)); i = next.Add(1) - 1 {
				states[i] = g.telephone(ctx, q.Account, extensions[i])
			}
		})
	}
	askers.Wait()
	report := TelephoneReport{PBX: g.pbxStatus(q.Account), Telephones: make(map[string]TelephoneState, len(extensions))}
	for i, ext := range extensions {
		report.Telephones[ext] = states[i]
	}
	return json.Marshal(report)
}

// telephone is what the PBXes of an account say of an extension. After one that has it connected no other is asked.
func (g *Gateway) telephone(ctx context.Context, account, extension string) (state TelephoneState) {
	for _, l := range g.links[account] {
		if state = state.Or(l.telephone(ctx, extension)); state == TelephoneOK {
			return state
		}
	}
	return state.Or("")
}

func (l *Link) telephone(ctx context.Context, extension string) TelephoneState {
	pbx, ok := l.PBX.(Telephones)
	if !ok || ctx.Err() != nil || l.State().State != "connected" {
		return TelephoneUnchecked
	}
	state, err := askPBX(ctx, func(ctx context.Context) (TelephoneState, error) { return pbx.Telephone(ctx, extension) })
	if err != nil {
		l.gateway.cfg.Logger.Debug("the PBX did not say whether it knows an extension",
			"account", l.Account, "pbx", l.ID, "extension", extension, "err", err)
		return TelephoneUnchecked
	}
	return state
}

// pbxStatus tells how the links of an account are, as this node sees them.
func (g *Gateway) pbxStatus(account string) []PBXStatus {
	all := make([]PBXStatus, 0, len(g.links[account]))
	for _, l := range g.links[account] {
		all = append(all, PBXStatus{l.ID, l.State().State})
	}
	return all
}
