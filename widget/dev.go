package widget

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
)

// Development serves a widget's source folder as it is at the moment, to pages that have the archive of WriteLoader. It
// is for a developer's own machine. Who may ask is up to the caller.
type Development struct {
	cfg  Config
	base string
	mux  *http.ServeMux
}

// NewDevelopment serves cfg.Source at base, such as "http://127.0.0.1:8788".
func NewDevelopment(cfg Config, base string) *Development {
	d := &Development{cfg: cfg, base: base, mux: http.NewServeMux()}
	d.mux.HandleFunc("GET /stamp", d.stamp)
	d.mux.HandleFunc("GET /dev.js", d.module)
	d.mux.HandleFunc("GET /{file...}", d.file)
	return d
}

// ServeHTTP answers a page's request. Nothing is ever kept by the browser.
func (d *Development) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	d.mux.ServeHTTP(w, r)
}

// files returns the files as they are now, and a stamp that differs whenever they do.
func (d *Development) files() (files map[string][]byte, stamp string, err error) {
	cfg := d.cfg
	cfg.Version = "%VERSION%"
	if files, err = collect(cfg, d.base); err != nil {
		sum := sha256.Sum256([]byte(err.Error()))
		return nil, "broken-" + hex.EncodeToString(sum[:])[:12], err // another mistake is news, too
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%q %d\n", name, len(files[name]))
		sum.Write(files[name])
	}
	stamp = hex.EncodeToString(sum.Sum(nil))[:12]
	for name, data := range files {
		if !binaries[path.Ext(name)] {
			files[name] = bytes.ReplaceAll(data, []byte("%VERSION%"), []byte(stamp))
		}
	}
	return files, stamp, nil
}

func (d *Development) file(w http.ResponseWriter, r *http.Request) {
	files, _, err := d.files()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	name := r.PathValue("file")
	data, ok := files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) {
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".twig":
		kind = "text/html; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(data) // the page went: nobody to tell
}

// module is the loader's other half: the texts, and what reloads the page after a change. It depends on nothing, so
// that it works while the widget itself is broken.
func (d *Development) module(w http.ResponseWriter, _ *http.Request) {
	files, stamp, err := d.files()
	texts := map[string]json.RawMessage{}
	var broken []string
	if err != nil {
		broken = append(broken, err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		lang, ok := strings.CutPrefix(name, "i18n/")
		if !ok {
			continue
		}
		_, err := parseObject(files[name])
		if at := (*flawError)(nil); errors.As(err, &at) {
			broken = append(broken, fmt.Sprintf("%s:%d: %v", name, at.line, at))
			continue
		}
		texts[strings.TrimSuffix(lang, ".json")] = files[name]
	}
	values, err := json.Marshal(map[string]any{"base": d.base, "stamp": stamp, "texts": texts, "error": strings.Join(broken, "\n")})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = fmt.Fprintf(w, devModule, values) // the page went: nobody to tell
}

const devModule = `/* Reloads this page when a file of the widget has changed, and says on it what is broken. */
define([], function () {
  'use strict';

  const dev = %s;
  const every = 500; /* ms */

  const show = (text) => {
    const sign = document.createElement('pre');
    sign.className = 'ringcast-dev-error';
    sign.style.cssText = 'position: fixed; z-index: 99999; left: 0; right: 0; bottom: 0; margin: 0; padding: 12px 16px; background: #b91c1c; color: #fff; font: 13px/1.5 monospace; white-space: pre-wrap';
    sign.textContent = 'ringcast widget -dev: ' + text;
    document.body.appendChild(sign);
  };

  /* It asks again and again: a stream would take one of the six connections that all tabs together have. */
  const look = () => fetch(dev.base + '/stamp').then((res) => res.ok ? res.text() : dev.stamp, () => dev.stamp).then((stamp) => {
    if (stamp === dev.stamp) setTimeout(look, every);
    else window.location.reload();
  });

  if (dev.error) show(dev.error);
  look();
  return dev;
});
`

// stamp tells a page whether it has the files as they are. Each page that asks has the folder read: that is little
// work, and works on every system.
func (d *Development) stamp(w http.ResponseWriter, _ *http.Request) {
	_, stamp, _ := d.files() // dev.js tells what is broken
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, stamp) // the page went: nobody to tell
}

// WriteLoader writes the archive that a developer uploads once: it has the widget's name and settings, and takes
// everything else from a Development at base. It is not for publishing.
func WriteLoader(w io.Writer, cfg Config, base string) error {
	cfg, err := cfg.withVersion()
	if err != nil {
		return fmt.Errorf("build the loader: %w", err)
	}
	files, err := collect(cfg, base)
	if err != nil {
		return fmt.Errorf("build the loader: %w", err)
	}
	for name := range files {
		switch dir := path.Dir(name); {
		case dir == "i18n", dir == "images", name == manifestFile:
		default:
			delete(files, name)
		}
	}
	from, err := json.Marshal(base)
	if err != nil {
		return err
	}
	files["script.js"] = fmt.Appendf(nil, loaderScript, from, from)
	archive, err := pack(files)
	if err != nil {
		return fmt.Errorf("build the loader: %w", err)
	}
	_, err = w.Write(archive)
	return err
}

const loaderScript = `/* For developing: the widget itself comes from a server on the developer's machine, which says when it changes. */
define([%s + '/dev.js', %s + '/script.js'], function (dev, Widget) {
  'use strict';

  return function DevelopedWidget(...args) {
    Widget.apply(this, args);
    const { callbacks } = this;
    const speak = () => { /* the CRM has the texts of the day this was uploaded */
      const app = window.APP || window.AMOCRM;
      const texts = dev.texts[app.lang_id] || dev.texts.en;
      if (texts) this.set_lang(texts);
    };
    Object.entries(callbacks).filter(([, run]) => typeof run === 'function').forEach(([name, run]) => {
      callbacks[name] = (...given) => {
        speak();
        return run.apply(callbacks, given);
      };
    });
    return this;
  };
});
`
