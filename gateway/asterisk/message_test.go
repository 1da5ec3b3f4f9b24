package asterisk

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(t *testing.T, r io.Reader) ([]message, error) {
	t.Helper()
	in := newReader(r)
	if _, err := in.banner(); err != nil {
		return nil, err
	}
	var all []message
	for {
		m, err := in.next()
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

const greeting = "Asterisk Call Manager/11.0.0\r\n"

func TestReaderTakesMessagesApart(t *testing.T) {
	t.Parallel()
	const stream = greeting +
		"Response: Success\r\nActionID: a-1\r\nMessage: Authentication accepted\r\n\r\n" +
		"Event: Hangup\nChannel: PJSIP/101-0000004a\nCause-txt: a: b\n\n" + // lone line feeds
		"\r\n\r\n" + // Asterisk's TestEvent ends with two empty lines
		"Event: VarSet\r\nVariable: A\r\nVariable: B\r\nValue:\r\nNot a field\r\nCallerIDNum: <unknown>\r\n\r\n"
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(stream),
		"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, err := readAll(t, r)
			if !errors.Is(err, io.EOF) || len(all) != 3 {
				t.Fatalf("got %d messages, %v", len(all), err)
			}
			if all[0].get("Message") != "Authentication accepted" || all[1].get("Cause-txt") != "a: b" {
				t.Errorf("got %v", all[:2])
			}
			if v := all[2]; v.get("Variable") != "A" || v.get("CallerIDNum") != "" || v.get("Value") != "" || len(v) != 5 {
				t.Errorf("got %v", v)
			}
		})
	}
}

// TestReaderDropsWhatNobodyHeeds, whole, and among variables all but one.
func TestReaderDropsWhatNobodyHeeds(t *testing.T) {
	t.Parallel()
	r := newReader(strings.NewReader("Event: RTCPSent\r\nUniqueid: 1\r\n\r\nResponse: Success\r\n\r\n" +
		"Event: VarSet\r\nVariable: X\r\nValue: 1\r\n\r\nEvent:Hangup\r\nUniqueid: 2\r\n\r\n" +
		"Event: VarSet\r\nVariable: MIXMONITOR_FILENAME\r\nValue: /x.wav\r\n\r\n"))
	r.heeds = func(event []byte) bool { return string(event) != "RTCPSent" }
	for _, want := range []message{
		{{"Response", "Success"}}, {{"Event", "Hangup"}, {"Uniqueid", "2"}},
		{{"Event", "VarSet"}, {"Variable", "MIXMONITOR_FILENAME"}, {"Value", "/x.wav"}},
	} {
		if m, err := r.next(); err != nil || !slices.Equal(m, want) {
			t.Errorf("got %v, %v, want %v", m, err, want)
		}
	}
	if m, err := r.next(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestReaderRefusesOtherServices(t *testing.T) {
	t.Parallel()
	_, err := readAll(t, strings.NewReader("HTTP/1.1 400 Bad Request\r\n\r\n"))
	if err == nil || !strings.Contains(err.Error(), "not an Asterisk manager port") {
		t.Errorf("got %v", err)
	}
}

func TestReaderNamesACutMessage(t *testing.T) {
	t.Parallel()
	_, err := readAll(t, strings.NewReader(greeting+"Event: Hangup\r\nChannel: x\r\n"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestOversizedMessageDoesNotCostTheConnection(t *testing.T) {
	t.Parallel()
	stream := greeting +
		"Event: VarSet\r\nValue: " + strings.Repeat("x", 10*maxLine) + "\r\nVariable: long\r\n\r\n" +
		"Event: VarSet\r\n" + strings.Repeat("Variable: y\r\n", 10*maxFields) + "\r\n" +
		"Event: VarSet\r\n" + strings.Repeat("Variable: "+strings.Repeat("z", maxLine/2)+"\r\n", 100) + "\r\n" +
		"Event: Hangup\r\nUniqueid: 1.1\r\n\r\n"
	all, err := readAll(t, strings.NewReader(stream))
	if !errors.Is(err, io.EOF) || len(all) != 4 {
		t.Fatalf("got %d messages, %v", len(all), err)
	}
	if n := len(all[0].get("Value")); n > maxLine || all[0].get("Variable") != "long" {
		t.Errorf("kept %d bytes of a value", n)
	}
	if len(all[1]) > maxFields || len(all[2])*maxLine/2 > maxMessage {
		t.Errorf("kept %d and %d fields", len(all[1]), len(all[2]))
	}
	if all[3].get("Uniqueid") != "1.1" {
		t.Errorf("lost its place: %v", all[3])
	}
}

func TestLineBreakInAnActionIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"1\r\nAction: Originate", "1\nX: y", "1\x00"} {
		if _, err := newAction("Hangup", field{"Channel", bad}).encode("1"); err == nil {
			t.Errorf("%q went through", bad)
		}
	}
	data, err := newAction("Ping").encode("a-1")
	if err != nil || string(data) != "Action: Ping\r\nActionID: a-1\r\n\r\n" {
		t.Errorf("got %q, %v", data, err)
	}
}

// FuzzParse feeds anything at all to the reader: it must not fail but for the end, and keep its limits.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"in-answered", "16-in-answered"} {
		data, err := os.ReadFile("testdata/" + name + ".ami")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:4096])
	}
	f.Add([]byte(greeting + "Event:\r\n:\n\r\n\n: x\r\r\n\x00: \xff\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReader(bytes.NewReader(data))
		for {
			m, err := r.next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			size := 0
			for _, x := range m {
				size += len(x.key) + len(x.value)
			}
			if len(m) == 0 || len(m) > maxFields || size > 4*maxMessage {
				t.Fatalf("%d fields, %d bytes", len(m), size)
			}
		}
	})
}

// BenchmarkReader reads a real trace as a link does. Most of it nobody heeds, as on a real PBX.
func BenchmarkReader(b *testing.B) {
	for name, wants := range map[string]func([]byte) bool{
		"link":    heeds,
		"all":     nil,
		"nothing": func([]byte) bool { return false },
	} {
		b.Run(name, func(b *testing.B) {
			data, err := os.ReadFile("testdata/in-queue-ringall.ami")
			if err != nil {
				b.Fatal(err)
			}
			events := bytes.Count(data, []byte("\nEvent: "))
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			in := bytes.NewReader(data)
			r := newReader(in)
			r.heeds = wants
			for b.Loop() {
				in.Reset(data)
				for err = nil; err == nil; {
					_, err = r.next()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
		})
	}
}
