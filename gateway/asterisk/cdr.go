package asterisk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

// CDR says where Asterisk keeps its call detail records. From them the link takes the calls that were made while it did
// not listen (gateway.PastSink). File or Driver is needed, the rest has defaults.
type CDR struct {
	File   string   // of cdr_csv or cdr_custom, on this machine; Master.csv as a rule. The rotated ones beside it are read, too
	Fields []string // what stands in a row, by the names of CDR(…), "" for what is of no use; default: as cdr_csv has it

	Driver string // of database/sql, "mysql" or "postgres"; its package must be linked in
	DSN    string
	Table  string // "cdr"

	Days int            // calls that ended longer ago are not fetched, and the log says so; 3
	Zone *time.Location // in which Asterisk writes times; time.Local
}

const (
	cdrDays    = 3
	cdrTable   = "cdr"
	cdrMark    = time.Minute      // how often it is noted that all is in the log
	cdrSlack   = time.Minute      // around the time in which nobody listened: what else is in it is known by its id
	cdrReading = 10 * time.Minute // a pass over the records has
	cdrRegret  = 24 * time.Hour   // in which calls that are too old can still be had with a greater Days
	maxCDRs    = 1_000_000        // of a pass: the memory that a list can take
	badNamed   = 5                // records of a pass that cannot be read and are named in the log, the others are counted
	zoneSample = 100              // records of a pass whose times are compared with their Uniqueids
	zoneRows   = 3                // so many of them have to be at odds before the zone is blamed
)

// cdrPasses are the times after the link has come up at which the records are read: they come when a call ends, or, where
// cdr.conf has batch = yes, up to 5 minutes later.
var cdrPasses = [...]time.Duration{0, 30 * time.Second, 2 * time.Minute, 6 * time.Minute}

// records is a list of past calls.
type records interface {
	// read calls fn for the records of calls that ended since a moment, and perhaps for some that ended before, in no
	// order. What cannot be read it tells bad, and goes on.
	read(ctx context.Context, since time.Time, fn func(cdr), bad func(error)) error

	// last returns the record that was written last. errNoRecords: there is none.
	last(ctx context.Context) (cdr, error)
}

var errNoRecords = errors.New("there are no records in it yet")

func (c CDR) withDefaults() CDR {
	if c.Days <= 0 {
		c.Days = cdrDays
	}
	if c.Zone == nil {
		c.Zone = time.Local
	}
	if c.Fields == nil {
		c.Fields = CSVFields()
	}
	orString(&c.Table, cdrTable)
	return c
}

func (c CDR) records() records {
	if c.Driver != "" {
		return &cdrDatabase{driver: c.Driver, dsn: c.DSN, table: c.Table, zone: c.Zone}
	}
	return &cdrFiles{path: c.File, fields: c.Fields, zone: c.Zone}
}

// unheard is what the link has not heard of and is to be fetched. A nil one is nothing.
type unheard struct {
	*Link
	sink    gateway.PastSink
	records records
	since   time.Time // when the link listened last; zero: never before
	gap     time.Time // when it did indeed, where since is as far back as Days allows; zero: that is far enough
}

// unheard finds out since when nobody has listened. It is asked before the link tells anything.
func (l *Link) unheard(ctx context.Context, sink gateway.Sink) (*unheard, error) {
	past, ok := sink.(gateway.PastSink)
	if !ok || l.cfg.CDR == nil {
		return nil, nil
	}
	since, err := past.Unheard(ctx)
	if err != nil {
		return nil, fmt.Errorf("since when nobody listened is not known: %w", err)
	}
	u := &unheard{Link: l, sink: past, records: l.cfg.CDR.records(), since: since}
	if oldest := l.cfg.now().AddDate(0, 0, -l.cfg.CDR.Days); !since.IsZero() && since.Before(oldest) {
		u.since, u.gap = oldest, since
	}
	return u, nil
}

// fetch brings the calls of which the link has not heard into the log, a while long, as their records come; and then notes
// now and then that all is in the log, until ctx ends. again is when the link began to listen.
func (u *unheard) fetch(ctx context.Context, again time.Time) {
	if u == nil {
		return
	}
	if u.since.IsZero() {
		u.cfg.Logger.Info("calls made from now on while Ringcast is down will be fetched from Asterisk's records")
	} else if u.sayTooOld(); !u.passes(ctx, again) {
		return
	}
	tick := time.NewTicker(cdrMark)
	defer tick.Stop()
	for {
		if err := u.sink.Heard(ctx, u.upTo()); err != nil && ctx.Err() == nil {
			u.cfg.Logger.Warn("up to when calls are in the log is not noted", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sayTooOld tells the operator, once, of calls that Days keeps from being fetched.
func (u *unheard) sayTooOld() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gap.IsZero() || u.gap.Equal(u.tooOld) {
		return
	}
	u.tooOld, u.regret = u.gap, u.cfg.now().Add(cdrRegret)
	u.cfg.Logger.Error("calls made while nobody listened are not fetched: they are older than days allows. To have them raise it, and restart within a day",
		"from", u.gap, "to", u.since, "days", u.cfg.CDR.Days)
}

// upTo is up to when all calls are in the log, or never will be.
func (u *unheard) upTo() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.cfg.now()
	if !u.gap.IsZero() && now.Before(u.regret) {
		return u.gap
	}
	return now
}

// passes reads the records again and again until those that come late have come. What fails is tried with the next
// pass, and the last one until it succeeds.
func (u *unheard) passes(ctx context.Context, again time.Time) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := 0; ; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
		err := u.pass(ctx, again)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			u.cfg.Logger.Error("calls made while nobody listened are not fetched yet", "since", u.since, "err", err)
		}
		if n < len(cdrPasses)-1 {
			n++
		} else if err == nil {
			return true
		}
		timer.Reset(max(cdrPasses[n]-cdrPasses[n-1], cdrPasses[1]))
	}
}

// pass reads the records once.
func (u *unheard) pass(ctx context.Context, again time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cdrReading, fmt.Errorf("reading the records took more than %v", cdrReading))
	defer cancel()
	from, to := u.since.Add(-cdrSlack), again.Add(cdrSlack)
	var rows, sample []cdr
	skipped, many := 0, 0
	err := u.records.read(ctx, from, func(r cdr) {
		if len(sample) < zoneSample { // whatever its time: in a wrong zone it is of another outage, or of none
			sample = append(sample, r)
		}
		switch {
		case r.end.Before(from) || r.start.After(to):
		case len(rows) == maxCDRs:
			many++
		default:
			rows = append(rows, r)
		}
	}, func(err error) {
		if skipped++; skipped <= badNamed {
			u.cfg.Logger.Warn("a call detail record cannot be read", "err", err)
		}
	})
	if skipped > badNamed {
		u.cfg.Logger.Warn("call detail records cannot be read", "records", skipped)
	}
	if many > 0 {
		u.cfg.Logger.Error("too many call detail records at once: some calls are not fetched", "records", many)
	}
	if err != nil {
		return err
	}
	if off := zoneOff(sample); off != 0 && len(sample) >= zoneRows {
		return wrongZone(off, u.cfg.CDR.Zone)
	}
	calls := u.cfg.pastCalls(rows)
	calls = slices.DeleteFunc(calls, func(c gateway.PastCall) bool { return c.Events[0].At.After(again) || u.knows(c) })
	done, err := u.sink.Backfill(ctx, calls, again)
	if done.Added+done.Mended > 0 {
		u.cfg.Logger.Info("calls made while nobody listened are in the log", "since", u.since, "added", done.Added, "mended", done.Mended)
	}
	return err
}

func wrongZone(off time.Duration, zone *time.Location) error {
	return fmt.Errorf("the records' times are %+g hours from what they say in the zone %s: set zone to the one that Asterisk writes in, UTC if usegmtime = yes",
		off.Hours(), zone)
}

// knows says whether a call lives: its end is still to come, and will be heard.
func (u *unheard) knows(c gateway.PastCall) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(slices.Concat([]string{c.ID}, c.Also), func(id string) bool {
		return u.correlator.calls[id] != nil
	})
}

// CheckCDR tries whether the call detail records can be read, and returns when the last of them ended, the zero time if
// there is none. It says in words what is wrong and how to mend it.
func CheckCDR(ctx context.Context, c CDR) (time.Time, error) {
	c = c.withDefaults()
	last, err := c.records().last(ctx)
	if errors.Is(err, errNoRecords) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	if off := zoneOff([]cdr{last}); off != 0 {
		return last.end, wrongZone(off, c.Zone)
	}
	return last.end, nil
}

// begin runs fetch in a group.
func (u *unheard) begin(ctx context.Context, group *sync.WaitGroup, again time.Time) {
	if u != nil {
		group.Go(func() { u.fetch(ctx, again) })
	}
}

// CSVFields returns what stands in a row of cdr_csv, by the names of CDR(…). Those from uniqueid on are there if
// cdr.conf says so: loguniqueid, loguserfield, and newcdrcolumns for the last three.
func CSVFields() []string {
	return strings.Fields("accountcode src dst dcontext clid channel dstchannel lastapp lastdata start answer end duration billsec " +
		"disposition amaflags uniqueid userfield peeraccount linkedid sequence")
}
