package widgettest_test

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"testing"

	"ringcast/static"
	"ringcast/widget"
	"ringcast/widget/widgettest"
)

func TestPackIsBuild(t *testing.T) {
	t.Parallel()
	const url = "http://127.0.0.1:4242"
	cfg := widget.Config{URL: url, ClientJS: static.ClientJS, Platform: widget.Kommo}
	var built bytes.Buffer
	if err := widget.Build(&built, cfg); err != nil {
		t.Fatal(err)
	}
	if want, got := unpack(t, built.Bytes()), unpack(t, widgettest.Pack(t, cfg)); !maps.Equal(got, want) {
		t.Errorf("%d files, want %d; config.js is\n%s\nwant\n%s", len(got), len(want), got["config.js"], want["config.js"])
	}
}

func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range zr.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(data)
	}
	return files
}
