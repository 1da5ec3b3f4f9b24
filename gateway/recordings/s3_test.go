package recordings

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	accessKey = "AKIAIOSFODNN7EXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// bucketServer is as much of S3 as reading takes, and as strict about who asks: it works the signature out by itself.
func bucketServer(t *testing.T, objects map[string][]byte) (url string) {
	t.Helper()
	refuse := func(w http.ResponseWriter, status int, code string) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>says the server</Message></Error>", code)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		var signed string
		_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
		list, _, _ = strings.Cut(list, ",")
		if err == nil {
			signed = signature(r, strings.Split(list, ";"), at, "eu-central-1", secretKey)
		}
		data, there := objects[r.URL.EscapedPath()]
		switch {
		case !strings.Contains(r.Header.Get("Authorization"), "Credential="+accessKey+"/"):
			refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
		case signed == "" || !strings.HasSuffix(r.Header.Get("Authorization"), "Signature="+signed) || !slices.Contains(strings.Split(list, ";"), "host"):
			refuse(w, http.StatusForbidden, "SignatureDoesNotMatch")
		case !strings.HasPrefix(r.URL.Path, "/calls/"):
			refuse(w, http.StatusNotFound, "NoSuchBucket")
		case !there:
			refuse(w, http.StatusNotFound, "NoSuchKey")
		default:
			http.ServeContent(w, r, "", at, strings.NewReader(string(data)))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// signature is what AWS describes as "Signature Version 4", for a request without a body.
func signature(r *http.Request, headers []string, at time.Time, region, secret string) string {
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, h := range headers {
		value := r.Header.Get(h)
		if h == "host" {
			value = r.Host
		}
		canonical += h + ":" + value + "\n"
	}
	canonical += "\n" + strings.Join(headers, ";") + "\n" + r.Header.Get("X-Amz-Content-Sha256")
	sum := sha256.Sum256([]byte(canonical))
	scope := at.Format("20060102") + "/" + region + "/s3/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + at.Format("20060102T150405Z") + "\n" + scope + "\n" + hex.EncodeToString(sum[:])
	with := []byte("AWS4" + secret)
	for _, part := range append(strings.Split(scope, "/"), text) {
		h := hmac.New(sha256.New, with)
		h.Write([]byte(part))
		with = h.Sum(nil)
	}
	return hex.EncodeToString(with)
}

// TestSignatureOfTheManual holds the server of these tests to the example that AWS gives.
func TestSignatureOfTheManual(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://examplebucket.s3.amazonaws.com/test.txt", nil)
	r.Header.Set("Range", "bytes=0-9")
	r.Header.Set("X-Amz-Content-Sha256", emptySum)
	r.Header.Set("X-Amz-Date", "20130524T000000Z")
	got := signature(r, []string{"host", "range", "x-amz-content-sha256", "x-amz-date"}, time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC), "us-east-1", secretKey)
	if want := "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func (r *rig) s3(cfg S3Config) Source {
	r.Helper()
	s, err := S3(cfg)
	if err != nil {
		r.Fatal(err)
	}
	if s, ok := s.(*s3); ok {
		r.Cleanup(s.client.CloseIdleConnections)
	}
	return s
}

func TestARecordingInS3(t *testing.T) {
	t.Parallel()
	data := tone(10_000)
	url := bucketServer(t, map[string][]byte{"/calls/acme/2026/in%20%2B79%28%D1%8F%29.wav": data})
	bucket := S3Config{Endpoint: url, Bucket: "calls", Prefix: "acme/", Region: "eu-central-1", AccessKey: accessKey, SecretKey: secretKey}
	r := newRig(t, func(r *rig) { r.from(r.s3(bucket)) })
	link := r.link("file:/spool/2026/in +79(я).wav")
	res := r.get(link)
	if got := r.body(res, http.StatusOK); got != string(data) || res.Header.Get("Content-Type") != "audio/wav" {
		t.Errorf("%d bytes, %v", len(got), res.Header)
	}
	if got := r.body(r.get(link, "Range", "bytes=5000-5009"), http.StatusPartialContent); got != string(data[5000:5010]) {
		t.Errorf("%q", got)
	}
	r.refused(r.get(r.link("file:/spool/b.wav")), http.StatusNotFound, "the recording is gone")
}

func TestCheckOfABucket(t *testing.T) {
	t.Parallel()
	url := bucketServer(t, nil)
	r := newRig(t)
	good := S3Config{Endpoint: url, Bucket: "calls", Region: "eu-central-1", AccessKey: accessKey, SecretKey: secretKey}
	for says, change := range map[string]func(*S3Config){
		"":                      func(*S3Config) {},
		"InvalidAccessKeyId":    func(c *S3Config) { c.AccessKey = "AKIA0" },
		"SignatureDoesNotMatch": func(c *S3Config) { c.SecretKey = "wrong" },
		"NoSuchBucket":          func(c *S3Config) { c.Bucket = "other" },
		"refused":               func(c *S3Config) { c.Endpoint = "http://127.0.0.1:1" },
	} {
		c := good
		change(&c)
		if _, err := r.s3(c).Check(t.Context()); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
	for code, ok := range map[string]bool{"AccessDenied": true, "x": false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
		}))
		c := good
		c.Endpoint = server.URL
		notes, err := r.s3(c).Check(t.Context())
		if (err == nil) != ok || len(notes) != map[bool]int{true: 1}[ok] {
			t.Errorf("%s: %q, %v", code, notes, err)
		}
		server.Close()
	}
	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()
	good.Endpoint = page.URL
	if _, err := r.s3(good).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "not as S3 does") {
		t.Errorf("%v", err)
	}
}
