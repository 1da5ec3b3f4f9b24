package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/rs/cors"

	"ringcast/gateway"
	"ringcast/gateway/recordings"
)

// openRecordings makes what hands out recordings, of those PBXes whose config says where they are.
func (n *node) openRecordings() error {
	session, err := n.cfg.LoadSessionKey()
	if err != nil {
		return err
	}
	cfg := recordings.Config{
		PublicURL: n.cfg.PublicURL, Accounts: map[string]recordings.Account{}, Logger: n.logger,
		Call:    func(account, id string) (*gateway.Call, bool) { return n.gateway.Call(account, id) },
		Streams: n.cfg.Recordings.Streams, AccountStreams: n.cfg.Recordings.AccountStreams,
	}
	for _, key := range n.cfg.Recordings.Keys {
		cfg.Keys = append(cfg.Keys, []byte(key))
	}
	cfg.Keys = append(cfg.Keys, []byte(session)) // of links that were made before there was a key for them
	for _, account := range n.cfg.Accounts {
		a := recordings.Account{Lasts: account.Recordings.LinksLast, Wait: account.Recordings.Wait, PBX: map[string]recordings.PBX{}}
		for _, pbx := range account.PBX {
			if pbx.Recordings == nil {
				continue
			}
			source, err := pbx.Recordings.source()
			if err != nil {
				return fmt.Errorf("account %s, pbx %s: %w", account.ID, pbx.ID, err)
			}
			a.PBX[pbx.ID] = recordings.PBX{From: pbx.Recordings.From, Source: source}
		}
		cfg.Accounts[account.ID] = a
	}
	n.recordings, err = recordings.New(cfg)
	return err
}

func (c *PBXRecordings) source() (recordings.Source, error) {
	switch {
	case c.URL != "":
		return recordings.Web(recordings.WebConfig{URL: c.URL, User: c.User, Password: c.Password, Token: string(c.Token)})
	case c.S3 != nil:
		return recordings.S3(recordings.S3Config{
			Endpoint: c.S3.Endpoint, Bucket: c.S3.Bucket, Prefix: c.S3.Prefix, Region: c.S3.Region,
			AccessKey: c.S3.AccessKey, SecretKey: string(c.S3.SecretKey),
		})
	default:
		return recordings.Folder(c.Folder, time.Now), nil
	}
}

// recordingRoutes serve recordings to whoever has a link. That is all that is asked: a player sends no token.
func (n *node) recordingRoutes() {
	pages := cors.New(cors.Options{
		AllowOriginFunc: n.origins.Allowed,
		AllowedMethods:  []string{http.MethodGet, http.MethodHead},
		AllowedHeaders:  []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"},
		ExposedHeaders:  []string{"Accept-Ranges", "Content-Range", "Content-Length", "Content-Disposition", "ETag", "Retry-After"},
		MaxAge:          7200,
	}).Handler(n.recordings)
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		n.mux.Handle(method+" "+recordings.Path, pages)
	}
	n.web.http.RegisterOnShutdown(n.recordings.Close)
}

// recordings tells whether a PBX's recordings can be had.
func (r *report) recordings(ctx context.Context, name string, pbx PBXConfig) {
	if pbx.Recordings == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	source, err := pbx.Recordings.source()
	var notes []string
	if err == nil {
		notes, err = source.Check(ctx)
	}
	r.say(name+": recordings "+pbx.Recordings.where(), err)
	r.notes(notes)
}

// where is for people.
func (c *PBXRecordings) where() string {
	switch {
	case c.URL != "":
		return "at " + c.URL
	case c.S3 != nil:
		return "in S3 at " + c.S3.Endpoint + "/" + c.S3.Bucket
	default:
		return "in the folder " + c.Folder
	}
}
