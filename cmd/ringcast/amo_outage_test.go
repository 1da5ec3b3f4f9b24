package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringcast/gateway/sandbox"
)

var crmCalls = flag.Int("crm-calls", 1000, "calls of the tests of the CRM's outage")

const (
	outageAccounts = 4
	outageContacts = 20 // of each
	outageSecond   = 50 * time.Millisecond
)

// crmOutage is a gateway, or a fleet of them, whose accounts' CRMs are away while there are calls.
type crmOutage struct {
	t        *testing.T
	ctx      context.Context
	random   *rand.Rand
	client   *http.Client
	gateways []*served
	boxes    []*crmBox
	since    time.Time // of the first call

	mu     sync.Mutex
	wanted []map[string]string // of each account: by the call's uniq, how it comes into the CRM
	tasks  []map[string]int    // by text and second, how many
	number int
}

func newCRMOutage(ctx context.Context, t *testing.T, nats string, gateways int) *crmOutage {
	t.Helper()
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	o := &crmOutage{
		t: t, ctx: ctx, random: rand.New(rand.NewPCG(seed, 0)), since: time.Now().Add(-time.Hour - time.Duration(*crmCalls)*time.Second).Truncate(time.Second),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}},
	}
	t.Cleanup(o.client.CloseIdleConnections)
	var accounts strings.Builder
	for i := range outageAccounts {
		box := newCRMBox(t, func(cfg *sandbox.AmoConfig) {
			cfg.Private, cfg.Second, cfg.Account = true, outageSecond, cfg.Account+int64(i)
			for c := range outageContacts {
				cfg.Contacts = append(cfg.Contacts, sandbox.AmoContact{ID: int64(1001 + c), Name: "Ivan", Phones: []string{knownPhone(c)}, Responsible: 99999})
			}
		})
		accounts.WriteString(box.privateInTheBox(accountName(i), `, lookup: false, log: {missed_task: {to: responsible, text: "Call {phone} back", within: 1h}}`))
		o.boxes, o.wanted, o.tasks = append(o.boxes, box), append(o.wanted, map[string]string{}), append(o.tasks, map[string]int{})
	}
	for range gateways {
		s := &served{t: t, web: steadyAddress(t), ops: steadyAddress(t), log: &childLog{}, up: make(chan struct{})}
		s.file = configFile(t, fmt.Sprintf("listen: %s\nops_listen: %s\ndurability: fast\ndata_dir: data\nadmin_key: %s\nsession_key: %s\n%saccounts:\n%s",
			s.web, s.ops, adminKey, acmeBackendKey, nats, accounts.String()))
		o.gateways = append(o.gateways, s)
	}
	o.seconds(outageSecond)
	for _, s := range o.gateways {
		s.start()
	}
	return o
}

// seconds has the gateways that are started from now on take so long for a second of the CRM's limits.
func (o *crmOutage) seconds(long time.Duration) {
	for _, s := range o.gateways {
		s.env = []string{childSecond + "=" + long.String()}
	}
}

// outageTime is how long a test of an outage may take.
func outageTime() time.Duration { return 4*time.Minute + time.Duration(*crmCalls)*30*time.Millisecond }

func accountName(i int) string { return fmt.Sprint("acme", i) }
func knownPhone(c int) string  { return fmt.Sprint("+790055501", 10+c) }

// call plays a call of an account, of one of the kinds that there are, and notes what is to come of it.
func (o *crmOutage) call(account int) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.number
	o.number++
	id := fmt.Sprint("c", n)
	known, unknown := knownPhone(o.random.IntN(outageContacts)), fmt.Sprint("+7901", 1000000+n)
	at := o.since.Add(time.Duration(n) * time.Second) // so that no two tasks are alike
	via, phone, task := sandbox.AmoViaCalls, known, false
	var events []string
	switch o.random.IntN(10) {
	case 0, 1:
		via, phone = sandbox.AmoViaUnsorted, unknown
		events = talked(id, "inbound", phone, "+74951234567", "101")
	case 2:
		via, phone, task = sandbox.AmoViaUnsorted, unknown, true
		events = unanswered(id, phone, "102")
	case 3:
		task = true
		events = unanswered(id, phone, "102")
	case 4:
		via = "" // nobody whom the CRM knows
		events = talked(id, "outbound", "101", unknown, "101")
	case 5, 6:
		events = talked(id, "outbound", "101", phone, "101")
	default:
		events = talked(id, "inbound", phone, "+74951234567", "102")
	}
	o.wanted[account]["main:"+id] = via
	ended := at.Add(time.Duration(len(events)) * time.Second)
	if task {
		o.tasks[account][fmt.Sprint("Call ", phone, " back by ", ended.Add(time.Hour).Unix())]++
	}
	for i, e := range events {
		events[i] = strings.TrimSuffix(e, "}") + fmt.Sprintf(`,"id":"%s/%d","at":%q}`, id, i, at.Add(time.Duration(i+1)*time.Second).UTC().Format(time.RFC3339))
	}
	return events
}

// some is a random part of n calls, up to three twentieths.
func (o *crmOutage) some(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return n/20 + o.random.IntN(n/10)
}

// calls posts so many calls, of all accounts together.
func (o *crmOutage) calls(n int) {
	var posting sync.WaitGroup
	for account := range o.boxes {
		posting.Go(func() {
			for left := n / len(o.boxes); left > 0; {
				var events []string
				for range min(left, 20) {
					events = append(events, o.call(account)...)
					left--
				}
				if !postEvents(o.ctx, o.t, o.client, accountName(account), events, o.gateways...) {
					return
				}
			}
		})
	}
	posting.Wait()
}

// fail has requests of every CRM go wrong, each with faults of its own choice, until lift.
func (o *crmOutage) fail(faults func(box int) []sandbox.AmoFault) (lift func()) {
	var lifts []func()
	for i, box := range o.boxes {
		for _, f := range faults(i) {
			f.Seed = o.random.Uint64()
			lifts = append(lifts, box.Fail(f))
		}
	}
	return func() {
		for _, lift := range lifts {
			lift()
		}
	}
}

// away is a CRM that takes nothing, each in another manner.
func away(box int) []sandbox.AmoFault {
	return [][]sandbox.AmoFault{
		{{Pattern: "/api/", Status: http.StatusServiceUnavailable}},
		{{Pattern: "/api/", Failure: sandbox.AmoHang}},
		{{Pattern: "/api/", Failure: sandbox.AmoCut}},
		{{Pattern: "/api/", Status: http.StatusForbidden}},
	}[box%4]
}

// moody is a CRM that takes most of what it is asked for, and does not always say so.
func moody(box int) []sandbox.AmoFault {
	faults := []sandbox.AmoFault{
		{Pattern: "POST /api/v4/", Failure: sandbox.AmoLose, Share: .1},
		{Pattern: "POST /api/v4/", Failure: sandbox.AmoHalf, Share: .03},
		{Pattern: "/api/v4/", Status: http.StatusInternalServerError, Share: .05},
		{Pattern: "/api/v4/", Status: http.StatusTooManyRequests, Share: .02},
		{Pattern: "/api/v4/", Failure: sandbox.AmoHang, Share: .02, Times: 5},
		{Pattern: "POST /api/v4/", Failure: sandbox.AmoLate, Late: 30, Share: .03, Times: 5},
	}
	if box == 3 {
		faults = append(faults, sandbox.AmoFault{Pattern: "/api/v4/", Failure: sandbox.AmoBan, Times: 1})
	}
	return faults
}

// done is how many of the calls are in the CRMs, counted once each.
func (o *crmOutage) done() (done, want int) {
	for i, box := range o.boxes {
		there := map[string]bool{}
		for _, c := range box.Calls() {
			there[c.Uniq] = true
		}
		o.mu.Lock()
		for uniq, via := range o.wanted[i] {
			if via == "" {
				continue
			}
			want++
			if there[uniq] {
				done++
			}
		}
		o.mu.Unlock()
	}
	return done, want
}

// until returns when is says so.
func (o *crmOutage) until(what string, is func() bool) {
	o.t.Helper()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-o.ctx.Done():
			done, want := o.done()
			o.t.Fatalf("waited in vain for %s; %d of %d calls are in the CRM:\n%s", what, done, want, o.gateways[0].log.tail())
		}
	}
}

// untilDone returns when so many more calls are in the CRMs.
func (o *crmOutage) untilDone(more int) {
	o.t.Helper()
	before, want := o.done()
	o.until("more calls in the CRM", func() bool {
		done, _ := o.done()
		return done >= min(before+more, want)
	})
}

// untilAllDone returns when nothing waits any more.
func (o *crmOutage) untilAllDone() {
	o.t.Helper()
	o.until("all calls in the CRM", func() bool {
		if done, want := o.done(); done < want {
			return false
		}
		accounts, parked, ok := o.gateways[0].journalOf(o.ctx, o.client)
		if len(parked) > 0 {
			o.t.Fatalf("calls are parked, the first because %s", parked[0].Reason)
		}
		for _, a := range accounts {
			ok = ok && a.Waiting == 0
		}
		return ok
	})
}

// compare checks that each call, and each task, is there once, and where it is to be.
func (o *crmOutage) compare() {
	o.t.Helper()
	requests, lost := 0, 0
	for i, box := range o.boxes {
		there := map[string][]string{}
		for _, c := range box.Calls() {
			there[c.Uniq] = append(there[c.Uniq], c.Via)
		}
		for uniq, via := range o.wanted[i] {
			if got := there[uniq]; via == "" && len(got) != 0 || via != "" && !slices.Equal(got, []string{via}) {
				o.t.Errorf("%s of %s is there as %q, want it once as %q", uniq, accountName(i), got, via)
			}
			delete(there, uniq)
		}
		for uniq := range there {
			o.t.Errorf("%s of %s is there, and nobody called", uniq, accountName(i))
		}
		tasks := map[string]int{}
		for _, task := range box.Tasks() {
			tasks[fmt.Sprint(task.Text, " by ", task.Till.Unix())]++
		}
		for task, n := range o.tasks[i] {
			if tasks[task] != n {
				o.t.Errorf("%s: the task %q is there %d times, want %d", accountName(i), task, tasks[task], n)
			}
			delete(tasks, task)
		}
		for task := range tasks {
			o.t.Errorf("%s: a task %q of no missed call", accountName(i), task)
		}
		for _, r := range box.Requests() {
			requests++
			if r.Status == 0 {
				lost++
			}
		}
		box.keepsTheLimits(outageSecond)
	}
	o.t.Logf("%d calls, %d requests, of which %d had no answer", o.number, requests, lost)
}

// backlogKeepsNobodyWaiting has a call while hundreds wait for the CRM that has just come back: who is called hears of
// it at once, and it is in the CRM before the backlog is. The gateway is to ask for seven a second, as in life: the
// backlog then lasts for a minute, however busy the machine is.
func (o *crmOutage) backlogKeepsNobodyWaiting() {
	o.t.Helper()
	box := o.boxes[0]
	const live, number = "live", "+79019999999"
	events := talked(live, "inbound", number, "+74951234567", "101")
	o.until("the backlog on its way", func() bool { return len(box.Calls()) > 0 })
	before := len(box.Requests())
	postEvents(o.ctx, o.t, o.client, accountName(0), events[:1], o.gateways...)
	o.until("the live call's notification", func() bool {
		return slices.ContainsFunc(box.Events(), func(e sandbox.AmoEvent) bool { return e.Phone == number })
	})
	asked := -1 // the last one is its: nothing else rings
	for i, r := range box.Requests()[before:] {
		if r.Path == "/api/v2/events" {
			asked = i
		}
	}
	if asked < 0 || asked > 28 { // seven a second, and a gateway waits for a moment whether more telephones ring
		o.t.Errorf("a live call's notification came after %d requests of the backlog", asked)
	}
	o.mu.Lock()
	o.wanted[0]["main:"+live] = sandbox.AmoViaUnsorted
	o.mu.Unlock()
	postEvents(o.ctx, o.t, o.client, accountName(0), events[1:], o.gateways...)
	o.until("the live call in the CRM", func() bool { return len(box.logged("main:"+live)) > 0 })
	done, want := o.done()
	if done == want {
		o.t.Error("the live call was saved when nothing else was left")
	}
	o.t.Logf("the live call was notified after %d requests, and saved as one of the first %d of %d calls", asked, done, want)
}

// checkLogs fails the test for what no log of a gateway should have, whatever its CRM does.
func (o *crmOutage) checkLogs() {
	o.t.Helper()
	for _, s := range o.gateways {
		s.log.mu.Lock()
		for _, line := range s.log.faults {
			if !strings.Contains(line, "level=WARN") && !strings.Contains(line, "the CRM has blocked this address") {
				o.t.Errorf("in the log: %s", line)
			}
		}
		s.log.mu.Unlock()
	}
}

// TestCRMOutage has the CRMs of four accounts away, each in its own manner, and then answer as they please, while there
// are calls and the gateway is killed again and again.
func TestCRMOutage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), outageTime())
	defer cancel()
	o := newCRMOutage(ctx, t, "", 1)
	s := o.gateways[0]
	again := func() { s.kill(); s.start() }

	lift := o.fail(away)
	o.calls(*crmCalls / 2)
	o.seconds(time.Second)
	again()
	o.calls(*crmCalls / 4)
	lift()
	o.backlogKeepsNobodyWaiting()
	o.seconds(outageSecond)
	again()

	lift = o.fail(moody)
	var posting sync.WaitGroup
	posting.Go(func() { o.calls(*crmCalls / 4) })
	for range 3 {
		o.untilDone(o.some(*crmCalls))
		again()
	}
	posting.Wait()
	o.untilDone(*crmCalls / 10)
	lift()
	o.untilAllDone()
	s.terminate()
	o.compare()
	o.checkLogs()
}
