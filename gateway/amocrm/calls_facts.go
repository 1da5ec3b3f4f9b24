package amocrm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"ringcast/gateway"
)

// The values of call_status.
const (
	statusAway     = 3
	statusTalked   = 4
	statusNoAnswer = 6
	statusBusy     = 7
)

// findable is how many digits a number has at least that the CRM can find somebody by: of fewer, such as a service's or a
// colleague's, it would find anybody.
const findable = 6

// facts are what the CRM is told of a call.
type facts struct {
	uniq     string         // the same in all versions of the call
	number   gateway.Number // of the outside party
	phone    string         // it, as it is sent; "": withheld
	name     string         // of the outside party, where the PBX knows it
	line     string
	inbound  bool
	answered bool
	internal bool

	user     int64  // whose call it is; 0: nobody's that the CRM knows
	userName string // his name there, if it does not know him

	duration int // seconds of talk
	status   int
	result   string
	link     string
	about    entity // what the user says that the call is about

	started, ended, seen time.Time

	begun bool // something of it may be in the CRM that the journal does not know of
}

// factsOf reads them from a call whose recording is at link.
func factsOf(c *gateway.Call, link string) *facts {
	f := &facts{
		uniq: c.ID, number: c.From, name: c.Name, line: c.Line, link: link,
		inbound: c.Direction == gateway.Inbound, answered: !c.AnsweredAt.IsZero(), internal: c.Direction == gateway.Internal,
		status: callStatus(c), duration: int(talk(c).Round(time.Second) / time.Second),
		started: c.StartedAt, ended: c.EndedAt, seen: c.Seen,
	}
	if !f.inbound {
		f.number = c.To
	}
	f.phone = cmp.Or(f.number.E164, f.number.Raw)
	if who := whose(c); who != nil {
		f.user, _ = strconv.ParseInt(who.User, 10, 64) // of another kind of id the CRM is told the name
		f.userName = cmp.Or(who.Name, who.Extension)
	}
	if c.Result != nil {
		f.result = c.Result.Text
		if c.Result.Entity != nil {
			f.about = parseEntity(c.Result.Entity)
		}
	}
	return f
}

// whose is the person whose call it is: who made it, who answered it, or who was rung first.
func whose(c *gateway.Call) *gateway.Person {
	if c.Direction == gateway.Inbound && c.AnsweredBy != nil && c.AnsweredBy.User != "" {
		return c.AnsweredBy
	}
	var best *gateway.Leg
	weight := func(l *gateway.Leg) int {
		switch {
		case l.Caller:
			return 3
		case !l.AnsweredAt.IsZero():
			return 2
		default:
			return 1
		}
	}
	for i := range c.Legs {
		leg := &c.Legs[i]
		if leg.User == "" {
			continue
		}
		if best == nil || weight(leg) > weight(best) || weight(leg) == weight(best) && leg.RangAt.Before(best.RangAt) {
			best = leg
		}
	}
	if best == nil {
		return nil
	}
	return &best.Person
}

// talk is how long people of the company talked in a call. What happened where the PBX could not see, at a mobile that
// the call was forwarded to, counts from the answer to the end.
func talk(c *gateway.Call) time.Duration {
	if c.AnsweredAt.IsZero() {
		return 0
	}
	whole := max(0, c.EndedAt.Sub(c.AnsweredAt))
	var sum, longest time.Duration
	for i := range c.Legs {
		sum += c.Legs[i].Talked
		longest = max(longest, c.Legs[i].Talked)
	}
	switch {
	case sum == 0:
		return whole
	case c.Direction == gateway.Internal: // both ends are the company's
		return longest
	default:
		return min(sum, whole)
	}
}

func callStatus(c *gateway.Call) int {
	if !c.AnsweredAt.IsZero() {
		return statusTalked
	}
	count := map[gateway.Outcome]int{}
	for i := range c.Legs {
		count[c.Legs[i].Outcome]++
	}
	n := len(c.Legs)
	switch {
	case n == 0:
		return statusNoAnswer
	case count[gateway.Busy] == n, c.Direction != gateway.Inbound && count[gateway.Busy]+count[gateway.Rejected] > 0:
		return statusBusy
	case c.Direction != gateway.Inbound && count[gateway.Failed] > 0:
		return statusAway
	default:
		return statusNoAnswer
	}
}

// reachable says whether the CRM can find somebody by the number.
func (f *facts) reachable() bool { return len(gateway.Digits(f.phone)) >= findable }

// by is call_responsible: the user's id, or the name of one whom the CRM does not know.
func (f *facts) by() any {
	switch {
	case f.user > 0:
		return f.user
	case f.userName != "":
		return f.userName
	default:
		return nil
	}
}

func (f *facts) direction() string {
	if f.inbound {
		return "inbound"
	}
	return "outbound"
}

func (f *facts) noteType() string {
	if f.inbound {
		return "call_in"
	}
	return "call_out"
}

// title names a new entity: who called, or with which number.
func (f *facts) title() string { return cmp.Or(f.name, f.phone, "anonymous") }

// fill puts the call into a text's {phone}, {name} and {line}.
func (f *facts) fill(text string) string {
	return strings.NewReplacer("{phone}", cmp.Or(f.phone, "anonymous"), "{name}", f.title(), "{line}", f.line).Replace(text)
}

// callParams are what a call's note says of it.
type callParams struct {
	Uniq     string `json:"uniq"`
	Duration int    `json:"duration"`
	Source   string `json:"source"`
	Link     string `json:"link,omitempty"`
	Phone    string `json:"phone"`
	Result   string `json:"call_result,omitempty"`
	Status   int    `json:"call_status,omitempty"`
	By       any    `json:"call_responsible,omitempty"` // number or text
}

func (f *facts) params(source string) callParams {
	return callParams{
		Uniq: f.uniq, Duration: f.duration, Source: source, Link: f.link, Phone: cmp.Or(f.phone, "anonymous"), Result: f.result, Status: f.status, By: f.by(),
	}
}

// digest tells versions of a call apart by what the CRM would be told.
func (p callParams) digest() string {
	data, err := json.Marshal(p)
	if err != nil {
		return "" // of no version
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
