package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	defaultStreams        = 200
	defaultAccountStreams = 50
	defaultRecordingWait  = 5 * time.Second
)

// RecordingsConfig is what a node has to say of recordings.
type RecordingsConfig struct {
	Keys           []Secret // that links are signed with, the current one first; none: one made of the session key
	Streams        int      // played at a time
	AccountStreams int      // of one account
}

// AccountRecordings is what an account has to say of them.
type AccountRecordings struct {
	LinksLast time.Duration // after the start of their call; 0: for ever
	Wait      time.Duration // how long a request waits for a file that is still to come
}

// PBXRecordings is where a PBX's recordings are. One of Folder, URL and S3 is set.
type PBXRecordings struct {
	From   []string // what the PBX calls the place: "file:" and a folder there, or a URL
	Folder string   // of this machine

	URL            string // of a web server, and how it is logged in to
	User, Password string
	Token          Secret

	S3 *S3Config
}

// S3Config is a bucket that recordings are in.
type S3Config struct {
	Endpoint  string
	Bucket    string // "": the endpoint's host is its own
	Prefix    string
	Region    string
	AccessKey string
	SecretKey Secret
}

func readRecordings(s *section) RecordingsConfig {
	c := RecordingsConfig{
		Streams:        parsed(s.get("streams"), defaultStreams, parseStreams),
		AccountStreams: parsed(s.get("streams_per_account"), defaultAccountStreams, parseStreams),
	}
	if v := s.get("key"); v.given() {
		for _, key := range v.oneOrList() {
			c.Keys = append(c.Keys, key.secret(minSigningKey))
		}
	}
	s.done()
	return c
}

func readAccountRecordings(s *section) AccountRecordings {
	c := AccountRecordings{
		LinksLast: parsed(s.get("links_last"), 0, parseLinksLast),
		Wait:      parsed(s.get("wait"), defaultRecordingWait, parseRecordingWait),
	}
	s.done()
	return c
}

// readPBXRecordings reads where a PBX's recordings are. home is what it calls that place if the config does not say;
// "": the config has to. nil: they are nowhere, or at an address that v has as text.
func readPBXRecordings(v value, home string) *PBXRecordings {
	if !v.given() {
		return nil
	}
	s := v.section()
	c := &PBXRecordings{Folder: s.get("folder").file(), URL: parsed(s.get("url"), "", parseURL)}
	if url := s.get("url"); strings.Contains(c.URL, "?") {
		url.fail("wants a URL without a query: the folder that the recordings are in")
	}
	c.User = parsed(s.get("user"), "", notEmpty)
	c.Password = string(s.get("password").secret(0))
	c.Token = s.get("token").secret(0)
	if v := s.get("s3"); v.given() {
		c.S3 = readS3(v.section())
	}
	ways := 0
	for _, key := range []string{"folder", "url", "s3"} {
		if s.get(key).given() {
			ways++
		}
	}
	if ways != 1 && !s.broken {
		v.fail("wants one of folder, url and s3: where the recordings are")
	}
	for _, key := range []string{"user", "password", "token"} {
		if v := s.get(key); v.given() && !s.get("url").given() {
			v.fail("is of no use without url")
		}
	}
	if c.URL != "" && ((c.User == "") != (c.Password == "") || c.User != "" && c.Token != "") {
		v.fail("a web server is logged in to with user and password, or with token")
	}
	if from := s.get("from"); from.given() {
		for _, v := range from.oneOrList() {
			c.From = append(c.From, parsed(v, "", parseFrom))
		}
	} else {
		if home != "" {
			c.From = append(c.From, "file:"+home)
		}
		if c.URL != "" {
			c.From = append(c.From, c.URL)
		}
		if c.From == nil && ways == 1 {
			from.fail("is missing: what the addresses that this PBX gives for its recordings begin with, such as https://pbx.example.com/recordings/")
		}
	}
	s.done()
	return c
}

func readS3(s *section) *S3Config {
	c := &S3Config{
		Endpoint:  parsed(s.need("endpoint"), "", parseBaseURL),
		Bucket:    parsed(s.get("bucket"), "", parseBucket),
		Prefix:    parsed(s.get("prefix"), "", anyText),
		Region:    parsed(s.get("region"), "", notEmpty),
		AccessKey: parsed(s.need("access_key"), "", notEmpty),
		SecretKey: s.need("secret_key").secret(0),
	}
	s.done()
	return c
}

func parseStreams(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100_000 {
		return 0, fmt.Errorf("%q: wants a whole number from 1 to 100000", text)
	}
	return n, nil
}

// parseLinksLast takes a time, or for ever, which is 0.
func parseLinksLast(text string) (time.Duration, error) {
	if text == "forever" {
		return 0, nil
	}
	const day = 24 * time.Hour
	d, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var days int
		if days, err = strconv.Atoi(number); err == nil && days <= 36500 {
			d = time.Duration(days) * day
		}
	}
	if err != nil || d < time.Minute {
		return 0, fmt.Errorf("%q: wants forever or a time of a minute at least, such as 12h or 90d", text)
	}
	return d, nil
}

func parseRecordingWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 25*time.Second {
		return 0, fmt.Errorf("%q: wants a time from 0s to 25s, such as 5s", text)
	}
	return d, nil
}

// parseFrom takes what addresses of recordings begin with: a folder of the PBX's, or a URL.
func parseFrom(text string) (string, error) {
	if filepath.IsAbs(text) {
		return "file:" + filepath.Clean(text), nil
	}
	if _, err := parseURL(text); err != nil || strings.Contains(text, "?") {
		return "", fmt.Errorf("%q: wants what the PBX's addresses of recordings begin with: a folder there, or a URL without a query", text)
	}
	return text, nil
}

func parseBucket(text string) (string, error) {
	if text == "" || strings.ContainsAny(text, "/?#% ") {
		return "", fmt.Errorf("%q: wants a bucket's name alone; what is before the recordings in it is prefix", text)
	}
	return text, nil
}
