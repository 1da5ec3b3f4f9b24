package sandbox

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	amoWidgetCode  = "ringcast"
	amoTokenLife   = 30 * time.Minute // as the real disposable tokens
	amoWidgetLimit = 10 << 20         // bytes that an archive may unpack to
)

// amoWidget is an installed widget.
type amoWidget struct {
	files    map[string][]byte
	manifest amoManifest
}

type amoManifest struct {
	Widget struct {
		Version  string   `json:"version"`
		InitOnce bool     `json:"init_once"`
		Locale   []string `json:"locale"`
	} `json:"widget"`
	Locations []string `json:"locations"`
}

// newAmoWidget unpacks an archive and refuses what an upload would refuse.
func newAmoWidget(archive []byte) (*amoWidget, error) {
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	w := &amoWidget{files: map[string][]byte{}}
	room := int64(amoWidgetLimit)
	for _, f := range zr.File {
		rc, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(io.LimitReader(rc, room+1))
		if err := errors.Join(err, rc.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if room -= int64(len(data)); room < 0 {
			return nil, errors.New("it is too large")
		}
		w.files[f.Name] = data
	}
	manifest, ok := w.files["manifest.json"]
	if !ok {
		return nil, errors.New("manifest.json is not at its root")
	}
	if err := json.Unmarshal(manifest, &w.manifest); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	needed := []string{"script.js"}
	for _, lang := range w.manifest.Widget.Locale {
		needed = append(needed, "i18n/"+lang+".json")
	}
	for _, logo := range []string{"logo_main", "logo_medium", "logo", "logo_small", "logo_min"} {
		needed = append(needed, "images/"+logo+".png")
	}
	for _, name := range needed {
		if _, ok := w.files[name]; !ok {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	if w.manifest.Widget.Version == "" || len(w.manifest.Widget.Locale) == 0 || len(w.manifest.Locations) == 0 {
		return nil, errors.New("manifest.json: version, locale and locations are needed")
	}
	return w, nil
}

// listWidgets tells a page which widgets to load.
func (a *Amo) listWidgets(w http.ResponseWriter, _ *http.Request, _ AmoUser) error {
	list := []map[string]any{}
	if a.widget != nil {
		m := a.widget.manifest
		list = append(list, map[string]any{
			"code": amoWidgetCode, "path": "/widget/" + amoWidgetCode, "version": m.Widget.Version,
			"init_once": m.Widget.InitOnce, "locale": m.Widget.Locale, "locations": m.Locations,
			"client_uuid": a.cfg.ClientID, "settings": a.cfg.Settings,
		})
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"widgets": list})
	return nil
}

func (a *Amo) serveWidgetFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if a.widget == nil || r.PathValue("code") != amoWidgetCode || a.widget.files[name] == nil {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if strings.HasSuffix(name, ".js") {
		kind = "text/javascript; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(a.widget.files[name]) // the browser went away: nobody is left to tell
}

// disposableToken mints what $authorizedAjax sends as X-Auth-Token: proof, to the integration's own server, of who
// sits at this page.
func (a *Amo) disposableToken(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if r.Header.Get("X-Requested-With") != "XMLHttpRequest" {
		return badRequest("Only for the CRM's own page")
	}
	if r.PathValue("client") != a.cfg.ClientID {
		return amoProblem{Status: http.StatusNotFound, Detail: "Integration not found"}
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": a.origin(r), "aud": a.aud, "jti": amoUUID(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(amoTokenLife).Unix(),
		"account_id": a.cfg.Account, "subdomain": a.cfg.Subdomain, "client_uuid": a.cfg.ClientID,
		"user_id": user.ID, "is_admin": user.Admin,
	}).SignedString([]byte(a.cfg.ClientSecret))
	if err != nil {
		return err
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"token": token})
	return nil
}
