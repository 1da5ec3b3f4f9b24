package widget

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

const watchEvery = 300 * time.Millisecond

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
	d.mux.HandleFunc("GET /changes", d.changes)
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
		return nil, "broken", err
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
	for name, data := range files {
		if lang, ok := strings.CutPrefix(name, "i18n/"); ok && json.Valid(data) {
			texts[strings.TrimSuffix(lang, ".json")] = data
		}
	}
	said := ""
	if err != nil {
		said = err.Error()
	}
	values, err := json.Marshal(map[string]any{"base": d.base, "stamp": stamp, "texts": texts, "error": said})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, _ = fmt.Fprintf(w, devModule, values) // the page went: nobody to tell
}

const devModule = `/* Reloads this page when a file of the widget has changed. */
define([], function () {
  'use strict';

  const dev = %s;
  if (dev.error) console.error('ringcast widget -dev: ' + dev.error);
  const changes = new EventSource(dev.base + '/changes');
  changes.onmessage = ({ data }) => {
    if (data !== dev.stamp) window.location.reload();
  };
  return dev;
});
`

// changes tells a page the stamp, and again whenever it becomes another. It looks at the files itself: a folder for
// each page is little work, and works on every system.
func (d *Development) changes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for told := ""; ; {
		if _, stamp, _ := d.files(); stamp != told { // dev.js tells what is broken
			told = stamp
			if _, err := fmt.Fprintf(w, "retry: 500\ndata: %s\n\n", stamp); err != nil {
				return
			}
			if out.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// WriteLoader writes the archive that a developer uploads once: it has the widget's name and settings, and takes
// everything else from a Development at base. It is not for publishing.
func WriteLoader(w io.Writer, cfg Config, base string) error {
	if cfg.Version == "" {
		cfg.Version = Version
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
      this.set_lang(dev.texts[app.lang_id] || dev.texts.en);
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
