package push

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringcast/gateway"
)

// forgetfulChains know of no chain, so that a fuzzer's tickets are all new.
type forgetfulChains struct{}

func (forgetfulChains) Get(context.Context, string) (gateway.Value, error) {
	return gateway.Value{}, gateway.ErrNotFound
}

func (forgetfulChains) Put(context.Context, string, []byte, uint64) (uint64, error) { return 1, nil }

// fuzzQuery serves a GET with any query, in which TICKET stands for a good one.
func (r *rig) fuzzQuery(t *testing.T, path, query, name, value string) *httptest.ResponseRecorder {
	t.Helper()
	claims := r.server.tickets.chain(identity{account: anna.account, user: anna.user, expires: time.Now().Add(time.Hour)}, "", "")
	text, err := r.server.tickets.sign(claims, 1, time.Now().Add(ticketLife).Unix())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if path == "/v1/sse" { // one that leaves at once, for it would never end
		cancel()
	}
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	req.URL.RawQuery = strings.ReplaceAll(query, "TICKET", text)
	req.Header.Set(name, value)
	rec := httptest.NewRecorder()
	r.server.Handler().ServeHTTP(rec, req)
	return rec
}

func FuzzStreamQuery(f *testing.F) {
	r := newParts(f, func(c *Config) { c.Chains = forgetfulChains{} })
	f.Cleanup(r.close)
	r.gw.publish(anna, 10)
	for _, seed := range []string{
		"ticket=TICKET", "ticket=TICKET&cursor=e1-0&client=a&presence=1&visible=1", "ticket=TICKET&cursor=e1-0%0aid:x", "ticket=x", "",
		"ticket=TICKET&cursor=%00", "ticket=TICKET;%zz", "ticket=TICKET&client=" + strings.Repeat("x", 65),
	} {
		f.Add(seed, "")
		f.Add(seed, "e1-1")
		f.Add(seed, "e\n.1.1")
	}
	f.Fuzz(func(t *testing.T, query, last string) {
		rec := r.fuzzQuery(t, "/v1/sse", query, "Last-Event-ID", last)
		if rec.Code != http.StatusOK {
			if code := problemCode(t, rec.Body.Bytes()); rec.Code >= http.StatusInternalServerError {
				t.Errorf("%q: %d %s", query, rec.Code, code)
			}
			return
		}
		for _, line := range strings.FieldsFunc(rec.Body.String(), func(c rune) bool { return c == '\n' || c == '\r' }) {
			data, isData := strings.CutPrefix(line, "data: ")
			if isData && !json.Valid([]byte(data)) || !isData && !strings.HasPrefix(line, "id: ") && line[0] != ':' {
				t.Errorf("%q: line %q", query, line)
			}
		}
	})
}

func FuzzScriptQuery(f *testing.F) {
	r := newParts(f, func(c *Config) {
		c.Chains = forgetfulChains{}
		c.Limits.PollWait = time.Millisecond
	})
	r.unlimited()
	f.Cleanup(r.close)
	for _, seed := range []string{
		"ticket=TICKET&callback=__ringcast.a", "ticket=TICKET&callback=__ringcast.a&cursor=e1-0&presence=&visible=1&wait=0.1",
		`ticket=TICKET&callback=__ringcast.a&cursor=</script>&command={"id":"1","action":"call","to":"</script>"}`,
		"ticket=x&callback=__ringcast.a", "ticket=TICKET&callback=alert(1)", "ticket=TICKET&callback=__ringcast.a%0a", "",
		"ticket=TICKET&callback=__ringcast.a&wait=NaN", "ticket=TICKET&callback=__ringcast.a&command={", "callback=__ringcast.a&client=\u2028",
		`ticket=TICKET&callback=__ringcast.a&command={"action":"shown","call":"x"}`,
		`ticket=TICKET&callback=__ringcast.a&command={"id":"1","action":"transfer","call":"o:1","to":"102","attended":true,"from":"101"}`,
	} {
		f.Add(seed, "")
		f.Add(seed, goodPage)
	}
	answer := regexp.MustCompile(`^/\*\*/typeof __ringcast\.([a-z][a-z0-9]{0,15})==='function'&&__ringcast\.([a-z][a-z0-9]{0,15})\((\{[^<>&` + "\u2028\u2029" + `\n\r]*\})\);$`)
	f.Fuzz(func(t *testing.T, query, referer string) {
		rec := r.fuzzQuery(t, "/v1/poll.js", query, "Referer", referer)
		if rec.Code != http.StatusOK {
			if code := problemCode(t, rec.Body.Bytes()); rec.Code >= http.StatusInternalServerError {
				t.Errorf("%q: %d %s", query, rec.Code, code)
			}
			return
		}
		parts := answer.FindSubmatch(rec.Body.Bytes())
		if parts == nil || !bytes.Equal(parts[1], parts[2]) || !json.Valid(parts[3]) {
			t.Errorf("%q: %s", query, rec.Body)
		}
	})
}

func FuzzTicket(f *testing.F) {
	r := newParts(f, nil)
	f.Cleanup(r.close)
	good := r.mintTicket(anna, "a")
	stranger := strings.Split(good, ".")
	for _, seed := range []string{good, r.token(anna), "", ".", "..", stranger[0] + ".." + stranger[2], good + ".", " " + good, strings.Repeat("x.", 2000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := r.server.tickets.verify(text)
		switch code := gateway.CodeOf(err); {
		case err == nil && (got.identity().user != anna.user || got.identity().account != anna.account || got.N != 1):
			t.Errorf("%q: %+v", text, got)
		case err != nil && code != gateway.CodeBadToken && code != gateway.CodeTicketUsed:
			t.Errorf("%q: %v", text, err)
		}
	})
}
