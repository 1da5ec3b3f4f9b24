package recordings

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// emptySum is the SHA-256 of nothing: what a GET carries.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// S3Config is a bucket.
type S3Config struct {
	Endpoint string // such as https://s3.eu-central-1.amazonaws.com
	Bucket   string // "": the endpoint's host is the bucket's own
	Prefix   string // of the recordings' keys, "" or with a slash at its end
	Region   string // default us-east-1, which most that are not Amazon take

	AccessKey, SecretKey string
	Stall                time.Duration // it may send nothing for so long; default 30 s
}

// S3 returns the source of recordings in a bucket.
func S3(cfg S3Config) (Source, error) {
	base, err := url.Parse(cfg.Endpoint)
	if err != nil || base.Host == "" || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("recordings: wants the URL of an S3 endpoint, without a query")
	}
	base = base.JoinPath(cfg.Bucket, strings.Trim(cfg.Prefix, "/"))
	region := cmp.Or(cfg.Region, "us-east-1")
	return &s3{newWeb(base, cfg.Stall, func(r *http.Request) *http.Request {
		r.Header.Set("X-Amz-Content-Sha256", emptySum)
		return signer.SignV4(*r, cfg.AccessKey, cfg.SecretKey, "", region)
	})}, nil
}

// s3 is a web server that is told who asks by signatures.
type s3 struct{ *web }

// Check asks for a recording that is not there.
func (s *s3) Check(ctx context.Context) ([]string, error) {
	req, err := s.request(ctx, "ringcast-check")
	if err != nil {
		return nil, err
	}
	res, err := s.client.Do(s.sign(req))
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct{ Code, Message string }
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK && xml.Unmarshal(body, &answer) != nil {
		return nil, fmt.Errorf("it answers %.80q, and not as S3 does: is that the endpoint?", res.Status)
	}
	switch answer.Code {
	case "", "NoSuchKey":
		return nil, nil
	case "AccessDenied":
		return []string{"the key may not list the bucket, so whether it may read recordings is not known: allow s3:GetObject and s3:ListBucket"}, nil
	default:
		return nil, fmt.Errorf("it says %.80s: %.200s", answer.Code, answer.Message)
	}
}
