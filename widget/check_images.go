package widget

import (
	"bytes"
	"image"
	"image/color"
	_ "image/gif"  // amoCRM takes it
	_ "image/jpeg" // and this
	_ "image/png"
	"slices"
	"strings"
)

const (
	maxImage              = 300 << 10 // bytes
	maxPixels             = 4 << 20   // that are decoded to see whether an image is whole
	logoMargin            = 10        // pixels, of logo_main
	tourWidth, tourHeight = 1188, 616
)

// logo is an image that the CRM shows for a widget.
type logo struct {
	name          string // without folder and extension
	width, height int
	location      string // only with it; "": always
}

func logos() []logo {
	return []logo{
		{"logo_main", 400, 272, ""},
		{"logo_medium", 240, 84, ""},
		{"logo", 130, 100, ""},
		{"logo_small", 108, 108, ""},
		{"logo_min", 84, 84, ""},
		{"logo_dp", 174, 109, "digital_pipeline"},
	}
}

func (c *check) checkImages() {
	kinds := c.opt.Platform.imageKinds()
	for _, l := range logos() {
		wanted := l.location == "" || c.manifest.inPlace(l.location)
		found := ""
		for _, kind := range []string{".png", ".jpeg", ".jpg", ".gif"} {
			f := c.files["images/"+l.name+kind]
			if f == nil {
				continue
			}
			if found != "" {
				c.add("archive.twice", f.name, 0, "%s is there, too: keep one of them", found)
			}
			found = f.name
			f.used = f.used || wanted
			width, height, ok := c.checkImage(f)
			if !ok {
				continue
			}
			if width != l.width || height != l.height {
				c.add("images.size", f.name, 0, "it has %d × %d pixels: make it %d × %d", width, height, l.width, l.height)
			} else if l.name == "logo_main" && !hasMargin(f.data, logoMargin) {
				c.add("images.margin", f.name, 0, "leave %d pixels at each side empty", logoMargin)
			}
		}
		if found == "" && wanted {
			c.add("images.missing", "images/"+l.name+kinds[0], 0, "add it, with %d × %d pixels", l.width, l.height)
		}
	}
	for name, f := range c.files {
		switch extension(name) {
		case ".png", ".jpeg", ".jpg", ".gif":
			if !f.seen {
				c.checkImage(f)
			}
		case ".webp", ".ico":
			c.checkWeight(f)
		}
	}
	icon := false
	for name, f := range c.files {
		if f.used = f.used || extension(name) == ".svg" && strings.HasPrefix(name, "images/"); extension(name) == ".svg" {
			icon = true
			c.checkKind(f)
		}
	}
	if c.opt.Platform == Kommo && !icon {
		c.add("images.svg", "", 0, "have one at hand for the listing")
	}
}

// checkKind refuses what the platform does not take, and what is too heavy.
func (c *check) checkKind(f *file) bool {
	if kinds := c.opt.Platform.imageKinds(); !slices.Contains(kinds, extension(f.name)) {
		c.add("images.format", f.name, 0, "%s takes %s", c.opt.Platform, strings.Join(kinds, ", "))
		return false
	}
	c.checkWeight(f)
	return true
}

func (c *check) checkWeight(f *file) {
	if len(f.data) > maxImage {
		c.add("images.weight", f.name, 0, "it has %d KB: make it %d at most", len(f.data)>>10, maxImage>>10)
	}
}

// checkImage returns an image's size in pixels, if it is one.
func (c *check) checkImage(f *file) (width, height int, ok bool) {
	f.seen = true
	if !c.checkKind(f) {
		return 0, 0, false
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(f.data))
	if err == nil && cfg.Width*cfg.Height <= maxPixels {
		_, _, err = image.Decode(bytes.NewReader(f.data))
	}
	ext := strings.Replace(strings.TrimPrefix(extension(f.name), "."), "jpg", "jpeg", 1)
	switch {
	case err != nil:
		c.add("images.format", f.name, 0, "it cannot be read: %v", err)
		return 0, 0, false
	case format != ext:
		c.add("images.format", f.name, 0, "it is a %s: call it that, or make it a %s", format, ext)
	}
	return cfg.Width, cfg.Height, true
}

// hasMargin tells whether the outer pixels of an image, n at each side, all look the same.
func hasMargin(data []byte, n int) bool {
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return false
	}
	b := img.Bounds()
	inner := b.Inset(n)
	want := seen(img.At(b.Min.X, b.Min.Y))
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if (image.Point{X: x, Y: y}).In(inner) {
				x = inner.Max.X
			}
			if seen(img.At(x, y)) != want {
				return false
			}
		}
	}
	return true
}

// seen is a colour without what cannot be seen of it.
func seen(c color.Color) color.NRGBA {
	n, ok := color.NRGBAModel.Convert(c).(color.NRGBA)
	if !ok || n.A == 0 {
		return color.NRGBA{}
	}
	return n
}
