package phonet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringcast/gateway"
)

const (
	maxAnswer = 8 << 20 // bytes
	pageSize  = 50      // the most that a page of the history holds
	maxPages  = 40
)

const (
	pathActive  = "/rest/calls/active/v3"
	pathUsers   = "/rest/users"
	pathHistory = "/rest/calls/" // and which
)

// errNoREST is a PBX that has no HTTP API, or not this part of it.
var errNoREST = errors.New("the PBX has no HTTP API here")

// errRefused is a key, domain or subscriber that the PBX does not take.
var errRefused = errors.New("refused")

// statusError is any other answer than the one hoped for.
type statusError struct {
	code int
	text string // of its body, for people
	name string // that its body gives to what is wrong
}

func (e *statusError) Error() string {
	return strings.TrimSuffix(fmt.Sprintf("the PBX answers %d %s: %s", e.code, http.StatusText(e.code), e.text), ": ")
}

// rest is a session of the HTTP API. Safe for concurrent use.
type rest struct {
	base   string // https://domain
	tap    func(from string, raw []byte)
	domain string
	key    string
	client *http.Client

	mu     sync.Mutex
	logins int // so often has it logged in: who was refused under an older login need not log in again
}

func newREST(cfg *Config) *rest {
	jar, _ := cookiejar.New(nil) // fails never
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	return &rest{base: cfg.BaseURL, tap: cfg.Tap, domain: cfg.Domain, key: cfg.APIKey, client: &http.Client{
		Transport: transport, Jar: jar, Timeout: cfg.DialTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // to a page for people
	}}
}

func (r *rest) loggedIn() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logins
}

// login opens a session, unless somebody has done so since the one that was the after-th.
func (r *rest) login(ctx context.Context, after int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.logins > after {
		return nil
	}
	body, err := json.Marshal(map[string]string{"domain": r.domain, "apiKey": r.key})
	if err != nil {
		return err
	}
	_, err = r.exchange(ctx, http.MethodPost, "/rest/security/authorize", body)
	var no *statusError
	if errors.As(err, &no) && no.code < 500 && no.code != http.StatusTooManyRequests {
		return fmt.Errorf("%w: it does not take the domain and key (%w)", errRefused, err)
	}
	if err != nil {
		return err
	}
	r.logins++
	return nil
}

// do makes a request, logging in before it and, when the session has run out, once again. The answer is decoded
// into out, if that is not nil.
func (r *rest) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	if err := r.login(ctx, 0); err != nil {
		return err
	}
	login := r.loggedIn()
	data, err := r.exchange(ctx, method, path, body)
	if isRefusal(err) || err == nil && isPage(data) {
		if err := r.login(ctx, login); err != nil {
			return err
		}
		data, err = r.exchange(ctx, method, path, body)
	}
	switch {
	case isRefusal(err):
		return fmt.Errorf("%w: this key may not do that (%w)", errRefused, err)
	case err != nil || out == nil:
		return err
	}
	if method == http.MethodGet {
		r.tap(path, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: not what was expected: %w", path, err)
	}
	return nil
}

// isRefusal says whether a session has run out, or never was.
func isRefusal(err error) bool {
	var no *statusError
	return errors.As(err, &no) && (no.code == http.StatusForbidden || no.code == http.StatusUnauthorized || no.code == http.StatusFound)
}

// isPage says whether an answer is a page for people: that to log in, say.
func isPage(data []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(data, " \r\n\t"), []byte("<")) }

// exchange makes one request and returns the body of a good answer.
func (r *rest) exchange(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusMethodNotAllowed, res.StatusCode == http.StatusNotImplemented:
		return nil, fmt.Errorf("%w (%s answers %d)", errNoREST, strings.SplitN(path, "?", 2)[0], res.StatusCode)
	case res.StatusCode/100 != 2:
		return nil, refused(res.StatusCode, data)
	}
	return data, nil
}

// refused is an answer that is not good, of a body of which people may want to read: where it is JSON, what that says.
func refused(code int, body []byte) *statusError {
	var said struct {
		Code    text `json:"code"`
		Detail  text `json:"detail"`
		Message text `json:"message"`
	}
	_ = json.Unmarshal(body, &said) // it may be anything
	words := strings.Join(strings.Fields(cmp.Or(string(said.Detail), string(said.Message), string(body))), " ")
	if words == "" || isPage(body) {
		return &statusError{code: code}
	}
	return &statusError{code, fmt.Sprintf("%.120q", words), string(said.Code)}
}

// activeRow is a row of the calls that live.
type activeRow struct {
	callMessage
	LastEvent text `json:"lastEvent"`
}

// active returns the calls that live.
func (r *rest) active(ctx context.Context) ([]fact, error) {
	var data json.RawMessage
	if err := r.do(ctx, http.MethodGet, pathActive, nil, &data); err != nil {
		return nil, err
	}
	return decodeActive(data)
}

func decodeActive(data []byte) ([]fact, error) {
	var rows []activeRow
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, fmt.Errorf("%s: not what was expected: %w", pathActive, err)
	}
	if rows == nil {
		return nil, errors.New("the live calls are null, which may mean anything")
	}
	facts := make([]fact, 0, len(rows))
	for _, row := range rows {
		row.Event = string(row.LastEvent)
		if row.Event != eventHangup {
			f := factOf(row.callMessage)
			f.listed = true
			facts = append(facts, f)
		}
	}
	return facts, nil
}

// finishedRow is a row of the history.
type finishedRow struct {
	UUID         text      `json:"uuid"`
	ParentUUID   text      `json:"parentUuid"`
	EndAt        millis    `json:"endAt"`
	LgDirection  direction `json:"lgDirection"`
	OtherLegNum  text      `json:"otherLegNum"`
	OtherLegName text      `json:"otherLegName"`
	Leg          *leg      `json:"leg"`
	Leg2         *leg      `json:"leg2"`
	BillSecs     number    `json:"billSecs"` // of talk
	Duration     number    `json:"duration"` // of the whole, in seconds
	Disposition  *number   `json:"disposition"`
	AudioRecURL  text      `json:"audioRecUrl"`
	Transfers    text      `json:"transferHistory"` // such as "003 > 001"
	Trunk        text      `json:"trunk"`
}

// history returns the calls that ended since a time: the external ones, and those of the users.
func (r *rest) history(ctx context.Context, since time.Time) ([]fact, error) {
	var facts []fact
	for _, list := range []string{"company.api", "users.api"} {
		for page := range maxPages {
			query := url.Values{
				"timeFrom": {strconv.FormatInt(since.UnixMilli(), 10)},
				"timeTo":   {strconv.FormatInt(time.Now().Add(time.Hour).UnixMilli(), 10)}, // whatever its clock says
				"limit":    {strconv.Itoa(pageSize)},
				"offset":   {strconv.Itoa(page * pageSize)},
			}
			var rows []finishedRow
			if err := r.do(ctx, http.MethodGet, pathHistory+list+"?"+query.Encode(), nil, &rows); err != nil {
				return facts, err
			}
			for _, row := range rows {
				facts = append(facts, row.fact(r.base))
			}
			if len(rows) < pageSize {
				break
			}
		}
	}
	return facts, nil
}

// causeOf is what a disposition says, "" when there is none.
func causeOf(disposition *number) gateway.Cause {
	if disposition == nil {
		return ""
	}
	switch *disposition {
	case 0:
		return gateway.CauseNormal
	case 1:
		return gateway.CauseNoAnswer
	case 4:
		return gateway.CauseBusy
	default: // 2: a direction is overloaded; 3: an error of the PBX
		return gateway.CauseFailed
	}
}

func (row finishedRow) fact(base string) fact {
	f := factOf(callMessage{
		UUID: row.UUID, ParentUUID: textOrNull(row.ParentUUID), LgDirection: row.LgDirection, Leg: row.Leg, Leg2: row.Leg2,
		OtherLegs: otherLegs{{Num: row.OtherLegNum, Name: textOrNull(row.OtherLegName)}}, TrunkNum: textOrNull(row.Trunk),
	})
	end := row.EndAt.time()
	f.endAt, f.over, f.settled, f.cause = end, true, true, causeOf(row.Disposition)
	if talk := seconds(row.BillSecs); talk > 0 || f.cause == gateway.CauseNormal {
		f.bridged, f.bridgeAt = true, end.Add(-talk)
	}
	f.dialAt = end.Add(-max(seconds(row.Duration), seconds(row.BillSecs)))
	if f.parent != "" { // it counts in whole seconds, and the others cease to ring at the answer, not before it
		f.dialAt = f.dialAt.Add(-999 * time.Millisecond)
		if f.bridged {
			f.bridgeAt = f.bridgeAt.Add(-999 * time.Millisecond)
		}
	}
	for _, ext := range strings.Split(string(row.Transfers), ">") {
		if ext = strings.TrimSpace(ext); ext != "" && ext != f.ext && f.bridged {
			f.handed = append(f.handed, ext)
		}
	}
	f.recording = recordingURL(base, string(row.AudioRecURL))
	return f
}

func seconds(n number) time.Duration {
	return time.Duration(min(max(n, 0), 7*24*60*60)) * time.Second
}

const maxURL = 2048 // characters, for what the gateway passes on

// recordingURL returns an http or https URL, or "".
func recordingURL(base, text string) string {
	at, err := url.Parse(base)
	if err != nil || text == "" {
		return ""
	}
	u, err := at.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || len(u.String()) > maxURL {
		return ""
	}
	return u.String()
}

// restUser is an employee.
type restUser struct {
	Ext   text `json:"ext"`
	Email text `json:"email"`
}

func (r *rest) users(ctx context.Context) (users []restUser, err error) {
	err = r.do(ctx, http.MethodGet, pathUsers, nil, &users)
	return users, err
}

// makeCall has the PBX ring an extension and then call a number; it returns the call's uuid.
func (r *rest) makeCall(ctx context.Context, extension, number string) (uuid string, err error) {
	var made struct {
		UUID text `json:"uuid"`
	}
	err = r.do(ctx, http.MethodPost, "/rest/user/makeCall", map[string]string{"legExt": extension, "otherLegNum": number}, &made)
	return string(made.UUID), err
}

func (r *rest) hangup(ctx context.Context, uuid string) error {
	return r.do(ctx, http.MethodGet, "/rest/calls/active/"+url.PathEscape(uuid)+"/hangup", nil, nil)
}

// masked is an error whose text does not carry the key, however it came into it.
func (r *rest) masked(err error) error {
	if err == nil {
		return nil
	}
	return maskedError{err, mask(err.Error(), r.key)}
}

type maskedError struct {
	err  error
	text string
}

func (e maskedError) Error() string { return e.text }
func (e maskedError) Unwrap() error { return e.err }

// mask takes a key out of a text, as it is and as queries and JSON write it.
func mask(text, key string) string {
	quoted, _ := json.Marshal(key)
	for _, form := range []string{key, url.QueryEscape(key), url.PathEscape(key), strings.Trim(string(quoted), `"`)} {
		if len(form) > 0 {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return text
}
