package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// The journal is a durable reader of the log that brings every ended call into its account's CRM, however long that
// is away. It runs where the account's partition is owned, so one node at a time saves an account's calls:
//
//   - The reader (journal_read.go) holds an ended call until it is due, then adds it to its account's lane of the work
//     queue. Its position in the log, up to which everything is in the queue or was nothing for it, is in the store,
//     and the log is not purged past it.
//   - Each account has a lane of its own (journal_lane.go), worked on from both ends, so that neither another account's
//     outage nor its own backlog keeps a new call waiting. An account whose CRM refuses is asked once in a while, and
//     what waits for it lies in the queue, on disk.
//   - A key per call in the store (journal_save.go) says how far saving it has come. It is written before the CRM is
//     asked and after it has answered, by compare-and-set: what was saved is not saved again, and what may have been
//     is looked up first, once the CRM cannot be at it any more.
const (
	keyJournal         = "journal"          // journal.ACCOUNT.CALL: how far saving a call has come
	keyJournalPosition = "journal-position" // journal-position.PARTITION: how far the log is read
	keyJournalTrouble  = "journal-trouble"  // journal-trouble.ACCOUNT: its CRM takes no calls

	laneDue    = "due/"    // with the account: calls to be saved
	laneParked = "parked/" // likewise: calls that wait for a person
)

// JournalConfig is what the journal is made of.
type JournalConfig struct {
	Queue    WorkQueue                      // nil: there is no journal
	CRMs     CRMs                           // may begin to return an account's CRM at any time
	Recorded func(account, pbx string) bool // whether a PBX records its answered calls, so that the recording is waited for; nil: none does

	After    time.Duration // how long after its end, or what is heard of it later, a call is saved; default 5 s
	Retry    time.Duration // before a call that failed is tried again the first time, then twice that, and so on; default 1 s
	MaxRetry time.Duration // at most; default 5 min

	// How long after a request that it did not answer a CRM may still carry it out; default 90 s. Before that the call is
	// neither looked for nor written again: what is carried out behind the look would be there twice.
	Late time.Duration

	Held int // ended calls of a partition that wait in memory until they are due; default 10,000. With more, what is due next goes early

	// How long it is remembered that a call was saved; default 72 h. Longer than anything more can be heard of it, and
	// than what a PBX's own list of past calls is read for after an outage: or it is saved once more.
	Keep time.Duration
}

func (c JournalConfig) withDefaults() JournalConfig {
	if c.Recorded == nil {
		c.Recorded = func(string, string) bool { return false }
	}
	for _, d := range []struct {
		value *time.Duration
		is    time.Duration
	}{{&c.After, 5 * time.Second}, {&c.Retry, time.Second}, {&c.MaxRetry, 5 * time.Minute}, {&c.Late, lateTime}, {&c.Keep, 72 * time.Hour}} {
		if *d.value == 0 {
			*d.value = d.is
		}
	}
	if c.Held == 0 {
		c.Held = 10_000
	}
	return c
}

// What became of a try to save a call, for metrics.
const (
	JournalSaved  = "saved"
	JournalFailed = "failed"
	JournalParked = "parked"
)

// lateTime is more than a front end or an application keeps a request whose client has gone.
const lateTime = 90 * time.Second

// savesAtOnce is how many Saves a node has under way. It bounds what CRMs that hang can cost it.
const savesAtOnce = 512

// journal is what all terms of this node share.
type journal struct {
	JournalConfig
	log      Log
	store    Store
	logger   *slog.Logger
	now      func() time.Time
	metrics  Metrics
	epoch    string
	call     func(account, id string) (*Call, bool) // as it is now
	number   func(account, raw string) Number
	awaited  func(c *Call) bool // a result window is open
	parts    func(account string) int
	inFlight chan struct{}

	mu    sync.Mutex
	terms map[int]*journalTerm // by partition
}

// newJournal returns nil when there is none.
func newJournal(g *Gateway) *journal {
	if g.cfg.Journal.Queue == nil {
		return nil
	}
	return &journal{
		JournalConfig: g.cfg.Journal.withDefaults(), log: g.cfg.Log, store: g.cfg.Store, logger: g.cfg.Logger, now: g.cfg.Now,
		metrics: g.cfg.Metrics, epoch: g.feed.epoch, call: g.feed.call, number: g.number, awaited: g.resultAwaited, parts: g.partition,
		inFlight: make(chan struct{}, savesAtOnce), terms: map[int]*journalTerm{},
	}
}

// number reads a number as one of an account's.
func (g *Gateway) number(account, raw string) Number {
	known, _ := g.cfg.Directory.Account(account)
	return g.numbers.parse(cleanText(raw), known.Region)
}

// resultAwaited says whether somebody has the result window of a call open.
func (g *Gateway) resultAwaited(c *Call) bool {
	for _, user := range c.Users() {
		key := claimKey{c.Account, user, c.ID, ClaimResult}
		logged, ok := g.feed.claim(key) // with several nodes also those that are held, of which another owner may have taken note
		if ok && !logged.held {
			return false
		}
		if ok || g.claims.underWay(key) {
			return true
		}
	}
	return false
}

// run keeps the journal of a partition until ctx ends and what is under way has ended. It does nothing when there is
// no journal.
func (j *journal) run(ctx context.Context, partition int) {
	if j == nil {
		return
	}
	t := &journalTerm{
		journal: j, partition: partition, id: rand.Text(), began: j.now(), held: map[callKey]*heldCall{}, lanes: map[string]*lane{},
		room: make(chan struct{}, 1), look: make(chan struct{}, 1),
	}
	j.mu.Lock()
	j.terms[partition] = t
	j.mu.Unlock()
	t.run(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.terms[partition] == t {
		delete(j.terms, partition)
	}
}

func (j *journal) current() []*journalTerm {
	j.mu.Lock()
	defer j.mu.Unlock()
	var terms []*journalTerm
	for _, t := range j.terms {
		terms = append(terms, t)
	}
	return terms
}

// hurry has everything that is held added to the queue, due or not: the log is full, and cannot be purged of it.
func (j *journal) hurry(ctx context.Context) {
	if j == nil {
		return
	}
	for _, t := range j.current() {
		err := t.settle(ctx, func(*heldCall) bool { return true })
		if err = errors.Join(err, t.savePosition(ctx)); err != nil {
			j.logger.Warn("the log is full and the journal cannot move on", "partition", t.partition, "err", err)
		}
	}
}

// read returns up to which entry of a partition the log is not needed any more; no limit when there is no journal.
func (j *journal) read(ctx context.Context, partition int) (uint64, error) {
	if j == nil {
		return ^uint64(0) - 1, nil
	}
	position, _, err := j.position(ctx, partition)
	return position.Seq, err
}

// journalPosition is how far the log is read.
type journalPosition struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

func positionKey(partition int) string { return fmt.Sprintf("%s.%d", keyJournalPosition, partition) }

// position returns a partition's position and its revision. One of another incarnation of the log means nothing.
func (j *journal) position(ctx context.Context, partition int) (p journalPosition, rev uint64, err error) {
	v, err := j.store.Get(ctx, positionKey(partition))
	if errors.Is(err, ErrNotFound) {
		return journalPosition{Epoch: j.epoch}, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(v.Data, &p)
	}
	if err != nil {
		return p, 0, fmt.Errorf("journal's position: %w", err)
	}
	if p.Epoch != j.epoch {
		p = journalPosition{Epoch: j.epoch}
	}
	return p, v.Rev, nil
}

// journalItem is what an item of the queue holds.
type journalItem struct {
	Call   *Call     `json:"call"`
	Reason string    `json:"reason,omitempty"` // why it is parked
	Since  time.Time `json:"since,omitzero"`   // when it was
}

func (i journalItem) item(lane, id string) (Item, error) {
	data, err := json.Marshal(i)
	return Item{Lane: lane + i.Call.Account, ID: id, Data: data}, err
}

// journalID names a call among all of all accounts, in keys and to operators.
func journalID(account, call string) string {
	sum := sha256.Sum256([]byte(call))
	return keyText.EncodeToString([]byte(account)) + "." + hex.EncodeToString(sum[:16])
}

func cutLane(lane string) (kind, account string) {
	for _, kind := range []string{laneDue, laneParked} {
		if account, ok := strings.CutPrefix(lane, kind); ok {
			return kind, account
		}
	}
	return "", ""
}

// backoff grows with each try, from the first delay to the greatest.
func backoff(tries int, first, most time.Duration) time.Duration {
	if shift := max(tries-1, 0); shift < 20 {
		return min(first<<shift, most)
	}
	return most
}
