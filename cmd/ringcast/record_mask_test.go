package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var maskedAt = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

func TestMaskHidesSecrets(t *testing.T) {
	t.Parallel()
	m := newMask([]byte("key"), []string{"S3cret+key/with&odd=signs%", `quo"ted\`, "short", "4711", "q&r", ""}, false)
	for text, want := range map[string]string{
		"Event: Newchannel\r\nCallerIDNum: 79991112233\r\n\r\n":                          "",
		"Secret: hush hush\r\nPrivilege: call\r\n":                                       "Secret: *\r\nPrivilege: call\r\n",
		"Secret: \r\nUniqueid: 1795283999.1\r\n":                                         "",
		"Event: VarSet\r\nVariable: DB_PASSWORD\r\nValue: hush hush\r\n\r\n":             "Event: VarSet\r\nVariable: DB_PASSWORD\r\nValue: *\r\n\r\n",
		"Value: Authorization: Digest hush\r\n":                                          "Value: Authorization: Digest *\r\n",
		"Event: AgentCalled\r\nQueue: tokens\r\n":                                        "",
		`{"apiKey":"hush","call":"1"}`:                                                   `{"apiKey":"*","call":"1"}`,
		`{"password":"hu\"sh, hu}sh" , "auth":true,"token":null}`:                        `{"password":"*" , "auth":true,"token":null}`,
		`{"token":12345,"call":""}`:                                                      `{"token":"*","call":""}`,
		"/v1/x?domain=a&apiKey=hush&subscriber=101":                                      "/v1/x?domain=a&apiKey=*&subscriber=101",
		"vpbx_api_key=hush&sign=1&json={}":                                               "vpbx_api_key=*&sign=1&json={}",
		"key=12345678&externalNumber=1":                                                  "key=*&externalNumber=1",
		"json=%7B%22token%22%3A%22hu%2Bsh%22%2C%22call%22%3A%221%22%7D&a=b":              "json=%7B%22token%22%3A%22*%22%2C%22call%22%3A%221%22%7D&a=b",
		"--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nhush\r\n--b--\r\n": "--b\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n*\r\n--b--\r\n",
		"/events/S3cret+key/with&odd=signs%/x":                                           "/events/*/x",
		"a=S3cret%2Bkey%2Fwith%26odd%3Dsigns%25&b=S3cret+key%2Fwith&odd=signs%25":        "a=*&b=*",
		`{"a":"quo\"ted\\"}`:                                                             `{"a":"*"}`,
		"a=short":                                                                        "a=*",
		"Privilege: call\r\nA: short\r\nB: shorter, short of\r\n":                        "Privilege: call\r\nA: *\r\nB: shorter, short of\r\n",
		"Variable: X\r\nValue: short\r\n\r\n":                                            "Variable: X\r\nValue: *\r\n\r\n",
		"Variable: short\nValue: a short one":                                            "Variable: *\nValue: a short one",
		`{"a":"short","b":"shorts","c":["short","short"],"d":"{\"e\":\"short\"}"}`:       `{"a":"*","b":"shorts","c":["*","*"],"d":"{\"e\":\"*\"}"}`,
		`{"pin":4711,"n":47110,"m": 4711}`:                                               `{"pin":"*","n":47110,"m": "*"}`,
		"/x?a=short&b=short&c=4711x":                                                     "/x?a=*&b=*&c=4711x",
		"json=%7B%22a%22%3A%22short%22%7D":                                               "json=%7B%22a%22%3A%22*%22%7D",
		"{\n\"a\":4711\n}":                                                               "{\n\"a\":\"*\"\n}",
		"[\n4711\n]":                                                                     "[\n\"*\"\n]",
		"a=q%26r":                                                                        "a=*",
	} {
		got := regexp.MustCompile(`\*{3}\d{4}`).ReplaceAllString(m.apply(text, maskedAt), "*")
		if want == "" {
			want = text
		}
		if got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	// Two tokens, which tell calls apart, say, are two.
	if one, other := m.apply(`{"token":"A"}`, maskedAt), m.apply(`{"token":"B"}`, maskedAt); one == other {
		t.Error(one)
	}
}

func TestMaskHidesPeople(t *testing.T) {
	t.Parallel()
	m := newMask([]byte("key"), nil, true)
	const somebody, number, short = `Name\d{4}`, `\d{10}`, `(\d{3})\D{2}(\d{3})`
	for text, want := range map[string]string{
		"CallerIDName: Ivan Petrov\r\nExten: 101\r\n": "CallerIDName: " + somebody + "\r\nExten: 101\r\n",
		"ConnectedLineName: <unknown>\r\n":            "ConnectedLineName: <unknown>\r\n",
		`{"name":"Ivan \"P\" Petrov","displayName":"Anna","companyName":null,"caller_name":"И","event_name":"Call Start"}`: `{"name":"` +
			somebody + `","displayName":"` + somebody + `","companyName":null,"caller_name":"` + somebody + `","event_name":"Call Start"}`,
		`{"name":"call.start","trunkName":"Main line"}`:                                       `{"name":"call\.start","trunkName":"Main line"}`,
		"caller_name=Ivan%20Petrov&name=":                                                     "caller_name=" + somebody + "&name=",
		"json=%7B%22name%22%3A%22%D0%98van%22%7D":                                             "json=%7B%22name%22%3A%22" + somebody + "%22%7D",
		"Variable: CALLERID(name)\r\nValue: Ivan\r\n":                                         `Variable: CALLERID\(name\)` + "\r\nValue: " + somebody + "\r\n",
		"Application: Set\r\nAppData: CALLERID(name)=Ivan P\r\n":                              `Application: Set` + "\r\n" + `AppData: CALLERID\(name\)=` + somebody + "\r\n",
		"Queue: q\r\nMemberName: Ivan Petrov\r\n":                                             "Queue: q\r\nMemberName: " + somebody + "\r\n",
		"Variable: AMPUSERCIDNAME\r\nValue: Ivan\r\n":                                         "Variable: AMPUSERCIDNAME\r\nValue: " + somebody + "\r\n",
		`CallerID: "Ivan Petrov" <79991112233>`:                                               `CallerID: "` + somebody + `" <7` + number + `>`,
		"mail=ivan.petrov@acme.example&x=iv%40acme.example":                                   `mail=mail\d{4}@example\.com&x=mail\d{4}@example\.com`,
		"sip:alice@pbx.example.com":                                                           `sip:alice@pbx\.example\.com`,
		"sip:79991112233@10.0.0.1":                                                            `sip:7` + number + `@10\.0\.0\.1`,
		"Uniqueid: 1795283999.12\r\nat: 2026-11-21 17:59:59, 20261121-175959, 20261121175959": "Uniqueid: 1795283999.12\r\nat: 2026-11-21 17:59:59, 20261121-175959, 20261121175959",
		`{"serverTime":"1795283999250","timestamp":1795283999}`:                               `{"serverTime":"1795283999250","timestamp":1795283999}`,
		"%207991112":                         `%20\d{7}`,
		"a=%207991112233":                    `a=%20` + number,
		`"\u04187991112233"`:                 `"\\u0418` + number + `"`,
		"phone=%2B7%20%28999%29%20111-22-33": `phone=%2B7%20%28\d{3}%29%20\d{3}-\d{2}-\d{2}`,
	} {
		got := m.apply(text, maskedAt)
		if !regexp.MustCompile(`^` + want + `$`).MatchString(got) {
			t.Errorf("%q: %q", text, got)
		}
	}
	// However it is written, a number becomes the same other one.
	digits := func(s string) string { return regexp.MustCompile(`\D`).ReplaceAllString(s, "") }
	first := m.apply("9991112233", maskedAt)
	for _, text := range []string{"79991112233", "89991112233", "+7 (999) 111-22-33", "8 999 111-22-33", "+79991112233", "8(999)1112233", "+7-999-111-22-33"} {
		got := digits(m.apply(text, maskedAt))
		if got[1:] != first || got[0] != digits(text)[0] || strings.Contains(got, "1112233") {
			t.Errorf("%q: %q, and %q", text, got, first)
		}
	}
}

// TestMaskedJSONIsJSON: whatever is hidden in it.
func TestMaskedJSONIsJSON(t *testing.T) {
	t.Parallel()
	m := newMask([]byte("key"), []string{"acme-secret"}, true)
	for _, name := range []string{"sample.json"} {
		data, err := os.ReadFile(filepath.Join("../../gateway/phonet/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got := m.apply(string(data), maskedAt)
		if !json.Valid([]byte(got)) || got == string(data) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// TestMaskedRecordingsReplayAlike: but for numbers and names, the same calls come of them.
func TestMaskedRecordingsReplayAlike(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/recordings/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		r, err := readRecording(in)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		hidden := newRecorder(&out, r.recordingHead, newMask([]byte("key"), nil, true), time.Now)
		for m, err := r.next(); err == nil; m, err = r.next() {
			hidden.message(m, m.content())
		}
		if _, err := hidden.flush(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "masked.jsonl")
		write(t, file, out.String())
		if got, want := outcomes(replayed(t, "-in", file)), outcomes(replayed(t, "-in", name)); got != want || want == "" {
			t.Errorf("%s\n%s\nwant\n%s", name, got, want)
		}
	}
}

// outcomes is what became of calls, without who they were with.
func outcomes(calls []seenCall) string {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprint(&b, c.ID, c.Call.Direction, c.Call.StartedAt, c.Call.EndedAt.Sub(c.Call.StartedAt))
		for _, user := range slices.Sorted(maps.Keys(c.Users)) {
			v := c.Users[user]
			fmt.Fprint(&b, " ", user, shownState(v), v.Talk)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func FuzzMask(f *testing.F) {
	for _, seed := range []string{`{"token":"a\"b","name":"И","x":"+7 (999) 111-22-33"}`, "Secret: a\r\nVariable: TOKEN\r\nValue: b\r\n", "json=%7B%22token%22%3A%22a%22&key=12345678", `\u04181234567`} {
		f.Add(seed)
	}
	m := newMask([]byte("key"), []string{"acme-secret", "pbx1", "4711"}, true)
	f.Fuzz(func(t *testing.T, text string) {
		got := m.apply(text, maskedAt)
		if json.Valid([]byte(text)) && !json.Valid([]byte(got)) {
			t.Errorf("%q became %q", text, got)
		}
		if strings.Contains(m.apply("acme-secret "+text, maskedAt), "acme-secret") {
			t.Errorf("the secret is in %q", text)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	m := newMask([]byte("key"), []string{"acme-secret"}, true)
	file, err := os.Open("testdata/recordings/attended-transfer.jsonl")
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	r, err := readRecording(file)
	if err != nil {
		b.Fatal(err)
	}
	var messages []string
	for m, err := r.next(); err == nil; m, err = r.next() {
		messages = append(messages, m.Raw)
	}
	for i := 0; b.Loop(); i++ {
		m.apply(messages[i%len(messages)], maskedAt)
	}
}
