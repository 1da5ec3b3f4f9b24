package sandbox

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

// PhonetRefusal is how a pretend Phonet turns away a socket with a wrong domain, key or subscriber. What the real one
// does is not documented.
type PhonetRefusal string

// The ways to refuse.
const (
	PhonetRefusesByStatus PhonetRefusal = ""      // 403 instead of the upgrade
	PhonetRefusesByClose  PhonetRefusal = "close" // opens, and closes with 1008
	PhonetRefusesByError  PhonetRefusal = "error" // opens, and sends an event error
)

// PhonetConfig describes a pretend Phonet PBX. Domain and APIKey are needed.
type PhonetConfig struct {
	Domain, APIKey string
	Employees      []PhonetEmployee
	Groups         []PhonetGroup
	Trunk          string // the company's own number, as Phonet writes it; default 567850550

	Refusal    PhonetRefusal
	NoREST     bool // the HTTP API answers 404
	HideGroups bool // members hear of their own calls only, not of their group's
	DialFirst  bool // call.dial of a click comes before its success
	Twice      bool // everything is said twice
	NewFirst   bool // the calls that live are listed newest first

	Logger *slog.Logger // default: none
}

// PhonetEmployee is an employee of a pretend Phonet PBX.
type PhonetEmployee struct {
	ID         int
	Name       string
	Ext, Email string
}

// PhonetGroup is a department: a call to it rings all its members.
type PhonetGroup struct {
	ID      int
	Name    string
	Ext     string
	Members []string // extensions
}

// Phonet is a pretend Phonet PBX: Handler serves its socket and its HTTP API, and the methods are what people do at
// its telephones. It is as strict as the vendor's page lets the real one be thought. Methods fail with a
// *gateway.Error.
type Phonet struct {
	cfg PhonetConfig
	log *slog.Logger

	mu       sync.Mutex
	calls    []*phonetCall // oldest first, ended ones too
	absent   map[string]bool
	sockets  map[*phonetSocket]struct{}
	sessions map[string]bool // cookies
	cut      bool
	cutAfter int // messages; negative: never
	history  int // what the history is answered with instead; 0: nothing
	told     int
	serial   int
	clock    time.Time
	logins   int
}

// phonetCall is a call: of a menu, a group or an employee. Times are zero until they are.
type phonetCall struct {
	uuid      string
	parent    *phonetCall
	direction int
	leg, leg2 *phonetLeg
	number    string
	name      string
	watchers  []string // extensions whose subscribers hear of it

	dialAt, bridgeAt, endAt time.Time
	disposition             int
	transfers               string
}

// phonetLeg is who takes part.
type phonetLeg struct {
	ID          int     `json:"id"`
	Type        int     `json:"type"`
	DisplayName string  `json:"displayName"`
	Ext         *string `json:"ext"`
}

// lgDirection, and the types of legs, by the vendor's page.
const (
	phonetInternal = 1
	phonetOutgoing = 2
	phonetIncoming = 4
	phonetAway     = 32
	phonetBack     = 64

	phonetUserLeg  = 1
	phonetGroupLeg = 2
	phonetMenuLeg  = 4
)

// NewPhonet returns a PBX whose telephones are all idle. It fails for an employee or a group without an extension of
// their own.
func NewPhonet(cfg PhonetConfig) (*Phonet, error) {
	cfg.Trunk = cmp.Or(cfg.Trunk, "567850550")
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	taken := map[string]bool{"": true}
	for _, e := range cfg.Employees {
		if taken[e.Ext] {
			return nil, fmt.Errorf("sandbox: employee %q needs an extension of his own", e.Name)
		}
		taken[e.Ext] = true
	}
	for _, g := range cfg.Groups {
		if taken[g.Ext] {
			return nil, fmt.Errorf("sandbox: group %q needs an extension of its own", g.Name)
		}
		taken[g.Ext] = true
	}
	return &Phonet{
		cfg: cfg, log: cfg.Logger, cutAfter: -1,
		absent: map[string]bool{}, sockets: map[*phonetSocket]struct{}{}, sessions: map[string]bool{},
	}, nil
}

// Handler serves GET /live/connector/v3/easy and /rest/.
func (p *Phonet) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live/connector/v3/easy", p.serveSocket)
	if !p.cfg.NoREST {
		p.routeREST(mux)
	}
	return mux
}

// Ring has an outside number call an employee or a group, through a menu if one is named. It returns the uuid of the
// topmost call.
func (p *Phonet) Ring(number, name, extension, menu string) (uuid string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var parent *phonetCall
	if menu != "" {
		parent = p.begin(&phonetCall{
			direction: phonetIncoming, number: number, name: name,
			leg: &phonetLeg{ID: 7, Type: phonetMenuLeg, DisplayName: menu}, watchers: p.reach(extension),
		})
	}
	c, err := p.ring(parent, number, name, extension)
	if err != nil {
		return "", err
	}
	return cmp.Or(parent, c).uuid, nil
}

// ring rings an employee, or a group and its members.
func (p *Phonet) ring(parent *phonetCall, number, name, extension string) (*phonetCall, error) {
	if e := p.employee(extension); e != nil {
		return p.begin(&phonetCall{
			parent: parent, direction: phonetIncoming, number: number, name: name, leg: e.leg(), watchers: []string{e.Ext},
		}), nil
	}
	for _, g := range p.cfg.Groups {
		if g.Ext != extension {
			continue
		}
		group := p.begin(&phonetCall{
			parent: parent, direction: phonetIncoming, number: number, name: name,
			leg: &phonetLeg{ID: g.ID, Type: phonetGroupLeg, DisplayName: g.Name, Ext: &g.Ext}, watchers: p.reach(extension),
		})
		for _, member := range g.Members {
			if p.busy(member) {
				continue
			}
			if _, err := p.ring(group, number, name, member); err != nil {
				return nil, err
			}
		}
		return group, nil
	}
	return nil, gateway.Errorf(gateway.CodeNotFound, "this PBX has no extension %q", extension)
}

// reach returns whose subscribers hear of a call to a group, or (none) of one to an employee through a menu.
func (p *Phonet) reach(extension string) []string {
	if p.cfg.HideGroups {
		return nil
	}
	for _, g := range p.cfg.Groups {
		if g.Ext == extension {
			return g.Members
		}
	}
	return []string{extension}
}

// Dial has an employee call a number or a colleague.
func (p *Phonet) Dial(extension, to string) (uuid string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.dial(extension, to)
	if err != nil {
		return "", err
	}
	p.begin(c)
	return c.uuid, nil
}

// dial prepares a call; it begins when it is begun.
func (p *Phonet) dial(extension, to string) (*phonetCall, error) {
	e := p.employee(extension)
	switch {
	case e == nil:
		return nil, gateway.Errorf(gateway.CodeNotFound, "this PBX has no extension %q", extension)
	case p.busy(extension):
		return nil, gateway.Errorf(gateway.CodeBusy, "telephone %s is busy", extension)
	case p.absent[extension]:
		return nil, gateway.Errorf(gateway.CodeNotRegistered, "telephone %s is not registered", extension)
	}
	c := &phonetCall{uuid: p.uuid(), leg: e.leg(), watchers: []string{extension}}
	if other := p.employee(to); other != nil {
		c.direction, c.leg2 = phonetInternal, other.leg()
		c.watchers = append(c.watchers, to)
		return c, nil
	}
	if digits := gateway.Digits(to); len(digits) < 7 || strings.TrimPrefix(to, "+") != digits {
		return nil, gateway.Errorf(gateway.CodeBadNumber, "%q is not a number", to)
	}
	c.direction, c.number = phonetOutgoing, "+"+strings.TrimPrefix(to, "+")
	return c, nil
}

// Answer has an employee take the call that rings at his telephone.
func (p *Phonet) Answer(extension string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		called := c.leg
		if c.direction == phonetInternal {
			called = c.leg2
		}
		if c.live() && c.bridgeAt.IsZero() && c.direction != phonetOutgoing && called.is(extension) {
			p.answered(c)
			return nil
		}
	}
	return gateway.Errorf(gateway.CodeRejected, "nothing rings at %s", extension)
}

// OutsideAnswer has the outside party of an outgoing call pick up.
func (p *Phonet) OutsideAnswer(uuid string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.call(uuid)
	if c == nil || c.direction != phonetOutgoing || !c.bridgeAt.IsZero() {
		return gateway.Errorf(gateway.CodeRejected, "no such call rings outside")
	}
	p.answered(c)
	return nil
}

// answered bridges a call. Its siblings stop ringing, and what it came of is answered, too.
func (p *Phonet) answered(c *phonetCall) {
	c.bridgeAt = p.now()
	p.tell(c, "call.bridge")
	for _, sibling := range p.calls {
		if sibling != c && sibling.parent == c.parent && c.parent != nil && sibling.live() {
			p.end(sibling, 1)
		}
	}
	for up := c.parent; up != nil; up = up.parent {
		if up.bridgeAt.IsZero() {
			up.bridgeAt = c.bridgeAt
			p.tell(up, "call.bridge")
		}
	}
}

// HangUp has an employee put down his receiver, or decline what rings.
func (p *Phonet) HangUp(extension string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		if c.live() && (c.leg.is(extension) || c.leg2.is(extension)) {
			p.endAll(c, 1)
			return nil
		}
	}
	return gateway.Errorf(gateway.CodeRejected, "telephone %s is idle", extension)
}

// OutsideHangUp has the outside party go, or (of an outgoing call) be busy, with disposition 4, or not there, with 1.
func (p *Phonet) OutsideHangUp(uuid string, disposition int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.call(uuid)
	if c == nil || !c.live() {
		return gateway.Errorf(gateway.CodeNotFound, "no such call")
	}
	for _, below := range slices.Clone(p.calls) {
		if below.live() && below.under(c) {
			p.end(below, disposition)
		}
	}
	p.endAll(c, disposition)
	return nil
}

// endAll ends a call, and what it came of if nobody else is in that.
func (p *Phonet) endAll(c *phonetCall, disposition int) {
	p.end(c, disposition)
	for up := c.parent; up != nil; up = up.parent {
		if up.live() && !slices.ContainsFunc(p.calls, func(o *phonetCall) bool { return o.live() && o.under(up) }) {
			p.end(up, disposition)
		}
	}
}

func (p *Phonet) end(c *phonetCall, disposition int) {
	c.endAt, c.disposition = p.now(), disposition
	if !c.bridgeAt.IsZero() {
		c.disposition = 0
	}
	p.tell(c, "call.hangup")
}

// Transfer has an employee who talks hand his call to a colleague, who takes it: the call keeps its uuid and has
// another leg.
func (p *Phonet) Transfer(extension, to string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	other := p.employee(to)
	for _, c := range p.calls {
		if other != nil && c.live() && !c.bridgeAt.IsZero() && c.leg.is(extension) {
			c.leg, c.watchers, c.transfers = other.leg(), append(slices.Clone(c.watchers), to), extension+" > "+to
			p.tell(c, "call.dial")
			p.tell(c, "call.bridge")
			return nil
		}
	}
	return gateway.Errorf(gateway.CodeRejected, "%s cannot hand a call to %s", extension, to)
}

// Away has an employee go away from his place, or come back.
func (p *Phonet) Away(extension string, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	direction := phonetBack
	if away {
		direction = phonetAway
	}
	if e := p.employee(extension); e != nil {
		p.tell(&phonetCall{uuid: p.uuid(), direction: direction, leg: e.leg(), dialAt: p.now(), watchers: []string{extension}}, "call.dial")
	}
}

// Unregister takes an employee's telephone off the PBX.
func (p *Phonet) Unregister(extension string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.absent[extension] = true
}

// begin begins a call: its telephones ring.
func (p *Phonet) begin(c *phonetCall) *phonetCall {
	c.uuid = cmp.Or(c.uuid, p.uuid())
	c.dialAt = p.now()
	p.calls = append(p.calls, c)
	p.tell(c, "call.dial")
	return c
}

func (p *Phonet) uuid() string {
	p.serial++
	return "23-" + strconv.FormatInt(p.now().Unix(), 10) + "." + strconv.Itoa(p.serial)
}

// now is the PBX's clock: its times are whole milliseconds, and no two things happen in the same one.
func (p *Phonet) now() time.Time {
	now := time.Now().UTC().Truncate(time.Millisecond)
	if !now.After(p.clock) {
		now = p.clock.Add(time.Millisecond)
	}
	p.clock = now
	return now
}

func (p *Phonet) employee(extension string) *PhonetEmployee {
	for i := range p.cfg.Employees {
		if e := &p.cfg.Employees[i]; e.Ext == extension {
			return e
		}
	}
	return nil
}

func (p *Phonet) call(uuid string) *phonetCall {
	for _, c := range p.calls {
		if c.uuid == uuid {
			return c
		}
	}
	return nil
}

// busy says whether an employee's telephone rings or talks.
func (p *Phonet) busy(extension string) bool {
	return slices.ContainsFunc(p.calls, func(c *phonetCall) bool { return c.live() && (c.leg.is(extension) || c.leg2.is(extension)) })
}

func (c *phonetCall) live() bool { return c.endAt.IsZero() }

// under says whether a call came of another.
func (c *phonetCall) under(other *phonetCall) bool {
	for up := c.parent; up != nil; up = up.parent {
		if up == other {
			return true
		}
	}
	return false
}

func (e *PhonetEmployee) leg() *phonetLeg {
	return &phonetLeg{ID: e.ID, Type: phonetUserLeg, DisplayName: e.Name, Ext: &e.Ext}
}

// is says whether a leg is an extension's.
func (l *phonetLeg) is(extension string) bool { return l != nil && l.Ext != nil && *l.Ext == extension }

// newCookie makes a session's.
func newCookie() string { return rand.Text() }

// Live returns the uuids of the calls that live, the topmost and oldest first.
func (p *Phonet) Live() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	uuids := []string{}
	for _, c := range p.calls {
		if c.live() {
			uuids = append(uuids, c.uuid)
		}
	}
	return uuids
}
