package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What the encoder writes is what encoding/json writes, also for members that are added one day: every field
// of every value is filled here by reflection.

func TestEncoderWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c, v := new(Call), new(View)
		fill(t, reflect.ValueOf(c).Elem())
		fill(t, reflect.ValueOf(v).Elem())
		sameJSON(t, c, func(e *encoder) { e.call(c) })
		sameJSON(t, v, func(e *encoder) { e.view(v) })
	})
}

// A record is read as it was written, whatever it is of.
func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c Call
		var records []*Record
		for _, event := range rapid.Permutation(history(t)).Draw(t, "order") {
			after, _ := Tracker{Keep: rapid.SampledFrom([]int{0, 3}).Draw(t, "keep")}.Apply(c, event)
			after.Account, after.ID, after.Seen = "acme", "office:c1", times.Draw(t, "seen")
			records = append(records, &Record{Account: "acme", At: times.Draw(t, "at"), Event: event.Type, EventID: event.ID, Users: []string{"u1"}, Call: &after})
			c = after
		}
		records = append(records,
			&Record{Account: "acme", Command: &CommandRecord{User: "u1", ID: "7", Reply: &Reply{ID: "7", Error: &ReplyError{Code: CodeBusy, Message: "<Анна>"}}}},
			&Record{Account: "acme", Claim: &ClaimRecord{User: "u1", Call: "office:c1", What: "notify", Client: "a"}})
		data, err := encodeEntry(records...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeEntry(data)
		if err != nil || !reflect.DeepEqual(sane(again), sane(records)) {
			t.Fatalf("%v; %s", err, data)
		}
	})
}

// sane returns records as JSON, which has one form for what is invalid UTF-8, and for what is empty.
func sane(records []*Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		data, err := json.Marshal(r)
		all[i] = fmt.Sprint(string(data), err)
	}
	return all
}

// A log of the first version is read still.
func TestFirstVersionOfEntries(t *testing.T) {
	t.Parallel()
	r := endedRecord()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeEntry(append(append([]byte(entryHead1), data...), '\n'))
	if err != nil || len(again) != 1 || !reflect.DeepEqual(again[0], r) {
		t.Errorf("%v\n%+v\n%+v", err, again[0].Call, r.Call)
	}
}

func FuzzEncode(f *testing.F) {
	f.Add("acme", "Анна <b>&\"\\\u2028\xff", int64(1), int64(0), 2)
	f.Fuzz(func(t *testing.T, a, b string, sec, nsec int64, n int) {
		at := time.Unix(sec, nsec).UTC()
		p := Person{User: a, Name: b, Extension: a}
		call := &Call{Account: a, ID: b, Version: n, Seen: at, Events: []Event{{Type: EventType(a), At: at, People: []Person{p}, Extensions: []string{a, b}}}}
		call.Known = Known{From: Number{Raw: a, E164: b}, StartedAt: at, Legs: []Leg{{Person: p, Talked: time.Duration(nsec), TakenBy: &p}}}
		sameJSON(t, call, func(e *encoder) { e.call(call) })
		view := &View{ID: a, PhoneRaw: b, StartedAt: Millis(at), EndedAt: (*Millis)(&at), Recording: &b, Peer: &p, Outgoing: len(a)%2 == 0}
		if at.Year() >= 0 && at.Year() <= 9999 {
			sameJSON(t, view, func(e *encoder) { e.view(view) })
		}
	})
}

func sameJSON(t rapid.TB, value any, encode func(e *encoder)) {
	t.Helper()
	want, wantErr := json.Marshal(value)
	e := encoder{data: []byte("head\n")}
	encode(&e)
	if (e.err == nil) != (wantErr == nil) {
		t.Fatalf("error %v, encoding/json says %v", e.err, wantErr)
	}
	if got := bytes.TrimPrefix(e.data, []byte("head\n")); wantErr == nil && !bytes.Equal(got, want) {
		t.Fatalf("wrote\n%s\nencoding/json writes\n%s", got, want)
	}
}

// fill gives every field that is encoded some value, often none.
func fill(t *rapid.T, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(times.Draw(t, "time")))
		return
	}
	if v.Type() == reflect.TypeFor[Millis]() {
		v.Set(reflect.ValueOf(Millis(times.Draw(t, "time"))))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(texts.Draw(t, "text"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "there") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 2).Draw(t, "length")
		if n == 0 && rapid.Bool().Draw(t, "nil") {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("a %v is not encoded yet", v.Type())
	}
}

var (
	texts = rapid.OneOf(rapid.SampledFrom([]string{"", "101", "+7 999", "<&>", "\u2028\"\\\x00\xff", "Анна"}), rapid.String())
	times = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, "µs")).UTC()
	})
)

func BenchmarkEncode(b *testing.B) {
	r := endedRecord()
	view, _ := r.Call.For("u1")
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		var e encoder
		for b.Loop() {
			e.data = e.data[:0]
			e.record(r)
		}
		b.ReportMetric(float64(len(e.data)), "bytes/record")
	})
	b.Run("view", func(b *testing.B) {
		b.ReportAllocs()
		var e encoder
		for b.Loop() {
			e.data = e.data[:0]
			e.view(&view)
		}
		b.ReportMetric(float64(len(e.data)), "bytes/view")
	})
}

// endedRecord is the last record of a call that rang, was answered and hung up.
func endedRecord() *Record {
	at := time.Date(2026, 1, 31, 9, 15, 0, 123456000, time.UTC)
	anna := []Person{{User: "u1", Name: "Anna", Extension: "101"}}
	number := Number{Raw: "+79991112233", E164: "+79991112233"}
	c := Call{Account: "acme", ID: "office:1700000000.12"}
	for i, e := range []Event{
		{Type: EventDial, ID: "e1", Direction: Inbound, From: number, To: number, Line: "+74951234567", Extensions: []string{"101"}, People: anna},
		{Type: EventBridge, ID: "e2", Extensions: []string{"101"}, People: anna},
		{Type: EventHangup, ID: "e3", Cause: CauseNormal},
	} {
		e.At = at.Add(time.Duration(i) * time.Second)
		c, _ = Tracker{}.Apply(c, e)
	}
	return &Record{Account: "acme", At: at, Event: EventHangup, EventID: "e3", Users: []string{"u1"}, Call: &c}
}

// encodeEntry makes an entry's data.
func encodeEntry(records ...*Record) ([]byte, error) {
	e := encoder{data: []byte(entryHead)}
	for _, r := range records {
		e.record(r)
		e.data = append(e.data, '\n')
	}
	return e.data, e.err
}
