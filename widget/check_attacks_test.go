package widget_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io/fs"
	"strings"
	"testing"
	"time"
	"unicode"

	"ringcast/widget"
)

// hold checks an archive that somebody made with evil in mind: it has to end, soon, with findings that can be shown.
func hold(t *testing.T, data []byte) []widget.Finding {
	t.Helper()
	known := map[string]bool{}
	for _, r := range widget.Rules() {
		known[r.Name] = true
	}
	begun := time.Now()
	findings := widget.Check(data, widget.CheckOptions{Publish: true, Published: data[:len(data)/2]})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, f := range findings {
		s := f.String()
		if !known[f.Rule] || len(s) > 1000 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", f)
		}
	}
	return findings
}

// small is an archive without pictures but one, which cost a fuzzer its time.
func small(t testing.TB) archive {
	a := good(t)
	for name := range a {
		if strings.HasPrefix(name, "images/") && name != "images/logo_min.png" {
			delete(a, name)
		}
	}
	return a
}

func FuzzCheck(f *testing.F) {
	f.Add(small(f).zip(f))
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) { hold(t, data) })
}

// FuzzFile puts a file of any name and content into an archive that is good otherwise.
func FuzzFile(f *testing.F) {
	for name, data := range small(f) {
		f.Add(name, data)
	}
	for _, test := range codeRules() {
		a := small(f)
		test.spoil(a)
		f.Add("js/calls.js", a["js/calls.js"])
	}
	f.Add("../../evil", []byte("x"))
	f.Add("style.css", []byte("@media { .a, b {{{ } @keyframes { @media { a(b[c"))
	f.Add("manifest.json", []byte(`{"widget":{"locale":["\u001b[2J"],"name":"\u202e.x"},"tour":{"tour_images":{"\u001b":[1]}},"settings":{"":null},"":{}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if strings.HasSuffix(name, "/") {
			return // a folder has no content
		}
		a := small(t)
		a[name] = data
		hold(t, a.zip(t))
	})
}

func TestZipBombIsNotUnpacked(t *testing.T) {
	t.Parallel()
	a := good(t)
	for i := range 30 {
		a[fmt.Sprintf("bomb/%d.json", i)] = make([]byte, 2<<20)
	}
	if findings := hold(t, a.zip(t)); !has(findings, "archive.size") {
		t.Errorf("%v", findings)
	}
}

func TestImageBombIsNotDecoded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewNRGBA(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	copy(data[16:24], "\x40\x00\x00\x00\x40\x00\x00\x00") // 2^30 pixels wide and high
	sum := crc32.ChecksumIEEE(data[12:29])
	copy(data[29:33], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	a := good(t)
	a["images/logo.png"] = data
	if findings := hold(t, a.zip(t)); !has(findings, "images.size") && !has(findings, "images.format") {
		t.Errorf("%v", findings)
	}
}

func TestFileThatIsNotWholeIsTold(t *testing.T) {
	t.Parallel()
	data := good(t).zip(t)
	const name = "templates/call.twig"
	data[bytes.Index(data, []byte(name))+len(name)+2] ^= 0xff
	for _, f := range hold(t, data) {
		if f.Rule == "archive.zip" && f.File == name {
			return
		}
	}
	t.Error("a file with a wrong checksum is taken")
}

func TestLinksInAnArchiveAreRefused(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	link := &zip.FileHeader{Name: "manifest.json"}
	link.SetMode(fs.ModeSymlink | 0o777)
	for _, h := range []*zip.FileHeader{link, {Name: "script.js"}} {
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte("/etc/passwd"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if findings := hold(t, out.Bytes()); !has(findings, "archive.path") {
		t.Errorf("%v", findings)
	}
}

// TestScriptsThatAreHardToRead would take long, or all of the stack, if they were read without care.
func TestScriptsThatAreHardToRead(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		"!", "(", "[", "{", "a=", "a?", "a=>", "if(a)", "new ", "`${", "a=b=>", "x=()=>{", "for(;;)", "for(;;){fetch();", "a.b(", "/", "/*", "'a'+",
		"class a{", "t('a.b');", "f=()=>g();g=()=>f();", "x.forEach(", "{},", "catch{", "define(['./a'],", "\\", "\u2028", "é",
	} {
		for _, script := range []string{strings.Repeat(part, 60000/len(part)), strings.Repeat(part, 300/len(part)) + strings.Repeat(";a()", 15000)} {
			a := good(t)
			a["js/calls.js"] = []byte(script)
			hold(t, a.zip(t))
		}
	}
}

func TestTextsThatAreHardToRead(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"i18n/en.json": `{"a":`, "i18n/ru.json": `[`, "manifest.json": `{"widget":`, "style.css": "@media{", "templates/call.twig": "<a <!--{#",
	} {
		a := good(t)
		a[name] = []byte(strings.Repeat(part, 60000/len(part)))
		hold(t, a.zip(t))
	}
	a := good(t)
	var keys strings.Builder
	for i := range 25000 {
		fmt.Fprintf(&keys, `,"k%d":"x"`, i)
	}
	a["i18n/en.json"] = []byte(`{"card":{"calling":"{number}"` + keys.String() + `}}`)
	var asks strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&asks, "t('a%d.' + x); load('/a*%d*.css');\n", i, i)
	}
	a["js/calls.js"] = []byte(asks.String())
	hold(t, a.zip(t))
}

func has(findings []widget.Finding, rule string) bool {
	for _, f := range findings {
		if f.Rule == rule {
			return true
		}
	}
	return false
}
