package widget

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What an archive may be: far more than a widget needs, and no burden to whoever checks it.
const (
	maxFiles   = 1000
	maxArchive = 10 << 20 // bytes, unpacked
	maxFile    = 512 << 10
	maxName    = 200
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)
	leftover = regexp.MustCompile(`(?i)(^|/)(__MACOSX|\.git|\.idea|\.vscode|node_modules|tests?|__tests__)/|(^|/)(\.[^/]*|thumbs\.db|desktop\.ini|package(-lock)?\.json)$|[._-](test|spec)\.[a-z]+$|\.(map|bak|orig|tmp|swp|log|zip|rar|psd)$|~$`)
	binaries = map[string]bool{".png": true, ".jpg": true, ".jpeg": true, ".gif": true, ".mp3": true, ".ogg": true, ".wav": true, ".woff": true, ".woff2": true, ".ico": true, ".webp": true}
)

// unpack reads the archive's files. It returns false if there is nothing to look at.
func (c *check) unpack(archive []byte) bool {
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		c.add("archive.zip", "", 0, "it cannot be read: %v", err)
		return false
	}
	if len(zr.File) > maxFiles {
		c.add("archive.size", "", 0, "it has %d files, %d are allowed", len(zr.File), maxFiles)
		return false
	}
	c.files = map[string]*file{}
	spellings := map[string]string{}
	room := maxArchive
	for _, f := range zr.File {
		if strings.HasSuffix(f.Name, "/") && f.UncompressedSize64 == 0 {
			continue // a folder
		}
		name, again := f.Name, (*file)(nil)
		switch {
		case leftover.MatchString(name):
			c.add("archive.leftover", shown(name), 0, "leave it out: the CRM has no use for it")
			continue
		case len(name) > maxName || !nameForm.MatchString(name) || f.Mode()&^fs.ModePerm != 0:
			c.add("archive.path", shown(name), 0, "name it by a relative path of a-z, A-Z, 0-9, dot, dash and underscore")
			continue
		case spellings[strings.ToLower(name)] != "":
			first := spellings[strings.ToLower(name)]
			c.add("archive.twice", name, 0, "the archive has %s, too: keep one of them", first)
			if c.files[first] == nil || first == name {
				continue
			}
			again = c.files[first]
		}
		spellings[strings.ToLower(name)] = name
		data, err := read(f)
		if err != nil {
			c.add("archive.zip", name, 0, "it cannot be unpacked: %v", err)
			continue
		}
		if room -= len(data); room < 0 {
			c.add("archive.size", name, 0, "the files unpack to more than %d MiB", maxArchive>>20)
			return false
		}
		if len(data) > maxFile {
			c.add("archive.size", name, 0, "it is larger than %d KiB", maxFile>>10)
			continue
		}
		c.files[name] = &file{name: name, data: data, used: again != nil}
		if again != nil {
			again.used = true // one of the two is, by whatever spelling
		}
	}
	return c.checkRoot()
}

// read unpacks a file, a byte more than is allowed at most.
func read(f *zip.File) ([]byte, error) {
	const encrypted = 1
	if f.Flags&encrypted != 0 {
		return nil, zip.ErrAlgorithm
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxFile+1))
}

// checkRoot finds out whether the archive is one of a widget at all.
func (c *check) checkRoot() bool {
	if c.files["manifest.json"] == nil {
		for name := range c.files {
			if path.Base(name) == "manifest.json" {
				c.add("archive.root", shown(name), 0, "pack the files themselves, not the folder they are in: manifest.json belongs at the root")
				return false
			}
		}
		c.add("archive.missing", "manifest.json", 0, "there is none, so the CRM knows nothing of the widget")
		return false
	}
	if c.files["script.js"] == nil {
		c.add("archive.missing", "script.js", 0, "there is none: it is what the CRM loads")
	}
	return true
}

func (c *check) checkEncoding() {
	for name, f := range c.files {
		if binaries[path.Ext(name)] {
			continue
		}
		if !utf8.Valid(f.data) {
			c.add("archive.utf8", name, lineOf(f.data, invalidAt(f.data)), "it is not UTF-8: save it as that")
			f.data = bytes.ToValidUTF8(f.data, []byte("?"))
		}
		if bytes.HasPrefix(f.data, []byte("\uFEFF")) {
			c.add("archive.bom", name, 1, "it begins with a byte order mark: save it without")
			f.data = f.data[len("\uFEFF"):]
		}
		if i := bytes.IndexByte(f.data, '\r'); i >= 0 {
			c.add("archive.crlf", name, lineOf(f.data, i), "a line ends with CR: save it with LF alone")
			f.data = bytes.ReplaceAll(bytes.ReplaceAll(f.data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		}
	}
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// lineOf returns the line, from 1, of an offset in a text.
func lineOf(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), len(data))], []byte("\n"))
}

// shown is a name as it can be told, whoever wrote it.
func shown(name string) string {
	if nameForm.MatchString(name) && len(name) <= maxName {
		return name
	}
	const enough = 64
	if len(name) > enough {
		name = name[:enough] + "…"
	}
	return strings.Trim(strconv.Quote(name), `"`)
}
