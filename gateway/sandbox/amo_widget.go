package sandbox

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
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
		Support  any      `json:"support"`
	} `json:"widget"`
	Locations []string        `json:"locations"`
	Settings  amoWidgetFields `json:"settings"`
}

// amoWidgetFields are the fields of the settings window. The order in which they stand counts: the page gets them as
// they are written.
type amoWidgetFields struct {
	written json.RawMessage
	byCode  map[string]amoWidgetField
}

func (f *amoWidgetFields) UnmarshalJSON(data []byte) error {
	f.written = bytes.Clone(data)
	return json.Unmarshal(data, &f.byCode)
}

type amoWidgetField struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // text, pass, users, users_lp, custom
	Required bool   `json:"required"`
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

// The states of an installation.
const (
	amoInstall       = "install" // uploaded, or switched off
	amoInstalled     = "installed"
	amoNotConfigured = "not_configured"
)

func (a *Amo) widgetRoutes(mux *http.ServeMux, handle func(pattern string, h amoHandler)) {
	mux.HandleFunc("GET /widget/{code}/{file...}", a.serveWidgetFile)
	mux.HandleFunc("GET /widget-cdn/{code}/{file...}", func(w http.ResponseWriter, r *http.Request) {
		switch path.Ext(r.PathValue("file")) {
		case ".js", ".json": // they come from the widget's path
			http.NotFound(w, r)
		default:
			a.serveWidgetFile(w, r)
		}
	})
	handle("POST /ajax/widgets/list", a.listWidgets)
	handle("POST /ajax/widgets/edit", a.editWidget)
	handle("GET /ajax/v2/integrations/{client}/disposable_token", a.disposableToken)
}

// WidgetSettings returns the widget's saved settings by the manifest's field codes.
func (a *Amo) WidgetSettings() map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.settings)
}

// WidgetStatus returns the state of the widget's installation: install (off), installed or not_configured.
func (a *Amo) WidgetStatus() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// listWidgets tells a page which widgets there are.
func (a *Amo) listWidgets(w http.ResponseWriter, _ *http.Request, _ AmoUser) error {
	list := []map[string]any{}
	if a.widget != nil {
		m := a.widget.manifest
		list = append(list, map[string]any{
			"code": amoWidgetCode, "path": "/widget/" + amoWidgetCode, "cdn_path": a.cdnPath(), "version": m.Widget.Version, "support": m.Widget.Support,
			"init_once": m.Widget.InitOnce, "locale": m.Widget.Locale, "locations": m.Locations, "fields": m.Settings.written,
			"client_uuid": a.cfg.ClientID, "settings": a.WidgetSettings(), "status": a.WidgetStatus(),
		})
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"widgets": list})
	return nil
}

// editWidget saves the settings window. What is an object comes back as JSON in a string, as in the real one.
func (a *Amo) editWidget(w http.ResponseWriter, r *http.Request, user AmoUser) error {
	if !user.Admin {
		return forbidden()
	}
	var body struct {
		Code     string         `json:"code"`
		Status   string         `json:"status"`
		Settings map[string]any `json:"settings"`
	}
	if err := readAmo(r, &body); err != nil {
		return err
	}
	if a.widget == nil || body.Code != amoWidgetCode {
		return amoProblem{Status: http.StatusNotFound, Detail: "Widget not found"}
	}
	if !slices.Contains([]string{amoInstall, amoInstalled, amoNotConfigured}, body.Status) {
		return badRequest("There is no status " + body.Status)
	}
	saved := map[string]any{}
	for code, value := range body.Settings {
		field, ok := a.widget.manifest.Settings.byCode[code]
		if !ok { // the widget's own input in the form
			continue
		}
		written, isText := value.(string)
		if !isText {
			data, err := json.Marshal(value)
			if err != nil {
				return err
			}
			written = string(data)
		}
		if field.Required && written == "" && body.Status == amoInstalled {
			return badRequest("The field " + code + " is required")
		}
		saved[code] = written
	}
	a.mu.Lock()
	before := a.status
	a.status = body.Status
	if body.Status == amoInstalled {
		a.settings = saved
	}
	a.mu.Unlock()
	if a.cfg.Hooks {
		a.switched(r.Context(), before, body.Status)
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"status": body.Status, "settings": a.WidgetSettings()})
	return nil
}

// switched tells the integration that its widget was installed or switched off. What it answers changes nothing.
func (a *Amo) switched(ctx context.Context, before, after string) {
	var err error
	switch {
	case before == after:
	case after == amoInstalled:
		err = a.Install(ctx, a.cfg.ClientID)
	case before == amoInstalled:
		err = a.Uninstall(ctx, a.cfg.ClientID)
	}
	if err != nil {
		a.log.WarnContext(ctx, "sandbox amoCRM: the integration was not told", "err", err)
	}
}

// cdnPath is where Kommo has style sheets, pictures and templates, too; on amoCRM it is the widget's path.
func (a *Amo) cdnPath() string {
	if a.cfg.Platform == KommoPlatform {
		return "/widget-cdn/" + amoWidgetCode
	}
	return "/widget/" + amoWidgetCode
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
	claims := jwt.MapClaims{
		"iss": a.origin(r), "aud": a.aud, "jti": amoUUID(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(amoTokenLife).Unix(),
		"account_id": a.cfg.Account, "subdomain": a.where.Load().subdomain, "client_uuid": a.cfg.ClientID, "user_id": user.ID,
	}
	if a.cfg.Platform != KommoPlatform { // the example in Kommo's documentation does not have it
		claims["is_admin"] = user.Admin
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(a.integration(a.cfg.ClientID).Secret))
	if err != nil {
		return err
	}
	writeAmo(w, http.StatusOK, "application/json", map[string]any{"token": token})
	return nil
}
