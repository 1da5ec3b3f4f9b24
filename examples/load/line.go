package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// line is an HTTP connection that is used by hand: one that can be broken in the middle of anything, and that costs
// this program little.
type line struct {
	conn net.Conn
	in   *bufio.Reader
	host string
}

// line connects to one of the servers.
func (v *visitor) line(ctx context.Context) (*line, error) {
	conn, err := v.dial(ctx)
	if err != nil {
		return nil, err
	}
	return v.crowd.lineOn(conn), nil
}

func (c *crowd) lineOn(conn net.Conn) *line {
	conn = c.secured(conn)
	return &line{conn, bufio.NewReader(conn), conn.RemoteAddr().String()}
}

// open sends a request and returns the answer, of which the body is still to be read and closed. What is not a 200 is
// an error.
func (l *line) open(method, path string, header http.Header, body []byte, patience time.Duration) (*http.Response, error) {
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, l.host)
	_ = header.Write(&request) // it is memory
	if body != nil {
		fmt.Fprintf(&request, "Content-Type: text/plain\r\nContent-Length: %d\r\n", len(body))
	}
	request.WriteString("\r\n")
	request.Write(body)
	if err := l.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := l.conn.Write(request.Bytes()); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = response.Body.Close() }()
		refused := &refusal{Status: response.StatusCode}
		data, _ := io.ReadAll(response.Body)
		if json.Unmarshal(data, refused) != nil {
			refused.Text = fmt.Sprintf("%.200q", data)
		}
		return nil, refused
	}
	return response, nil
}

// ask sends a request and reads the answer's body.
func (l *line) ask(method, path string, header http.Header, body []byte, patience time.Duration) ([]byte, error) {
	response, err := l.open(method, path, header, body, patience)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// post sends JSON, as a page does that wants no preflight, and reads JSON.
func (l *line) post(path string, header http.Header, in, out any, patience time.Duration) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	data, err := l.ask(http.MethodPost, path, header, body, patience)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, out)
}
