package recordings

import (
	"net/http"
	"regexp"
	"strconv"
)

// partForm is one range of bytes. Numbers of more digits are no positions in a file.
var partForm = regexp.MustCompile(`^bytes=(\d{0,15})-(\d{0,15})$`) // never changed

// onePart leaves a request the range that it asks for if that is one, and the whole otherwise. Players ask for one;
// many, or such as overlap, are a way to have a small request make much work.
func onePart(h http.Header) {
	ranges := h.Values("Range")
	if len(ranges) != 1 || !partForm.MatchString(ranges[0]) || ranges[0] == "bytes=-" {
		h.Del("Range")
		h.Del("If-Range")
	}
}

// part returns where in a file of that size a range begins, and its length. ok is false when no byte of it is there.
func part(rang string, size int64) (start, length int64, ok bool) {
	m := partForm.FindStringSubmatch(rang)
	if m == nil {
		return 0, 0, false
	}
	first, err := strconv.ParseInt(m[1], 10, 64)
	last, lastErr := strconv.ParseInt(m[2], 10, 64)
	switch {
	case err != nil && lastErr != nil:
		return 0, 0, false
	case err != nil: // the last bytes
		first, last = max(size-last, 0), size-1
	case lastErr != nil || last >= size:
		last = size - 1
	}
	return first, last - first + 1, first <= last
}
