package widget

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// manifestJSON is the manifest of this widget, in the order in which it is written.
type manifestJSON struct {
	Widget    widgetJSON      `json:"widget"`
	Locations []string        `json:"locations"`
	Tour      *tourJSON       `json:"tour,omitempty"`
	Settings  json.RawMessage `json:"settings"`
}

type widgetJSON struct {
	Name             string       `json:"name"`
	Description      string       `json:"description"`
	ShortDescription string       `json:"short_description"`
	Version          string       `json:"version"`
	InterfaceVersion int          `json:"interface_version"`
	InitOnce         bool         `json:"init_once"`
	Locale           []string     `json:"locale"`
	Installation     bool         `json:"installation"`
	Support          *supportJSON `json:"support,omitempty"`
}

type supportJSON struct {
	Link  string `json:"link,omitempty"`
	Email string `json:"email,omitempty"`
}

type tourJSON struct {
	Is          bool                `json:"is_tour"`
	Images      map[string][]string `json:"tour_images"`
	Description string              `json:"tour_description"`
}

// tourPicture is a picture of the tour in a language: images/tour_1_ru.png.
var tourPicture = regexp.MustCompile(`^images/tour_\d+_([a-z]{2})\.png$`)

// localize leaves in the files what the config's languages need, and writes that into the manifest.
func localize(files map[string][]byte, cfg Config) error {
	locales, err := chooseLocales(files, cfg)
	if err != nil {
		return err
	}
	var m manifestJSON
	dec := json.NewDecoder(bytes.NewReader(files[manifestFile]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	m.Widget.Locale = locales
	if s := cfg.Support; s.Email != "" || s.Link != "" {
		m.Widget.Support = &supportJSON{Link: s.Link, Email: s.Email}
	}
	m.Tour = takeTour(files, locales)
	manifest, err := marshal(m)
	if err != nil {
		return err
	}
	files[manifestFile] = manifest
	for name := range files {
		lang, ok := strings.CutPrefix(name, "i18n/")
		if ok && !slices.Contains(locales, strings.TrimSuffix(lang, ".json")) {
			delete(files, name)
		}
	}
	if cfg.PrivacyURL == "" {
		return nil
	}
	for _, lang := range locales {
		if err := linkPrivacy(files, "i18n/"+lang+".json", cfg.PrivacyURL); err != nil {
			return err
		}
	}
	return nil
}

func chooseLocales(files map[string][]byte, cfg Config) ([]string, error) {
	platform := cfg.Platform
	if platform == "" {
		platform = AmoCRM
	}
	has := func(lang string) bool { return files["i18n/"+lang+".json"] != nil }
	for _, lang := range cfg.Locales {
		if !platform.knows(lang) || !has(lang) {
			return nil, fmt.Errorf("language %q: there are no texts in it, or %s does not know it", lang, platform)
		}
	}
	if len(cfg.Locales) > 0 {
		return cfg.Locales, nil
	}
	locales := slices.DeleteFunc(platform.Locales(), func(lang string) bool { return !has(lang) })
	if len(locales) == 0 {
		return nil, fmt.Errorf("there are no texts in a language of %s", platform)
	}
	return locales, nil
}

// takeTour returns the tour if there are pictures in every language, and leaves out of the files what is not in it.
func takeTour(files map[string][]byte, locales []string) *tourJSON {
	tour := &tourJSON{Is: true, Images: map[string][]string{}, Description: "widget.tour_description"}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if m := tourPicture.FindStringSubmatch(name); m != nil {
			tour.Images[m[1]] = append(tour.Images[m[1]], "/"+name)
		}
	}
	whole := !slices.ContainsFunc(locales, func(lang string) bool { return len(tour.Images[lang]) == 0 })
	for lang, pictures := range tour.Images {
		if whole && slices.Contains(locales, lang) {
			continue
		}
		for _, name := range pictures {
			delete(files, name[1:])
		}
		delete(tour.Images, lang)
	}
	if !whole {
		return nil
	}
	return tour
}

// linkPrivacy puts the link to the privacy policy behind a language's description.
func linkPrivacy(files map[string][]byte, name, address string) error {
	var texts map[string]map[string]string
	if err := json.Unmarshal(files[name], &texts); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	label := texts["consent"]["privacy"]
	if label == "" || texts["widget"]["description"] == "" {
		return fmt.Errorf("%s: consent.privacy and widget.description are needed for the link to the privacy policy", name)
	}
	texts["widget"]["description"] += fmt.Sprintf(` <a href="%s" target="_blank">%s</a>`, html.EscapeString(address), html.EscapeString(label))
	data, err := marshal(texts)
	files[name] = data
	return err
}

// marshal writes JSON for people to read.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(value)
	return out.Bytes(), err
}
