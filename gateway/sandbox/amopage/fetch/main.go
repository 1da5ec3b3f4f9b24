// Command fetch brings the browser libraries of the sandbox page into third_party, as their authors published
// them: go generate ./gateway/sandbox. It needs npm, and refuses an archive whose SHA-256 is not the one below.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

type library struct {
	pkg    string            // name@version
	sha256 string            // of the package's archive
	files  map[string]string // path in the archive → path in third_party
}

func libraries() []library {
	return []library{
		{
			pkg:    "jquery@2.1.3", // the version that amoCRM's pages have
			sha256: "30dc44708bae93c3acecb64e222fdbdde52ab2b91228e5fc93f0290b03ef130f",
			files: map[string]string{
				"package/dist/jquery.js":  "jquery/jquery.js",
				"package/MIT-LICENSE.txt": "jquery/MIT-LICENSE.txt",
			},
		},
		{
			// The package names its licence but does not carry the text, so requirejs/LICENSE is kept by hand.
			pkg:    "requirejs@2.3.8",
			sha256: "777158e89275e16bd51aec3ef714fbcb5dc45789e7078659933bc814916d7dec",
			files:  map[string]string{"package/require.js": "requirejs/require.js"},
		},
		{
			pkg:    "twig@0.8.9", // the version that amoCRM's pages have
			sha256: "2979b9c754cb90e5cbcefddca0e04188ef3a01c41a05d8daa75d8369a9ec9e9f",
			files:  map[string]string{"package/twig.js": "twig/twig.js", "package/LICENSE": "twig/LICENSE"},
		},
		{
			pkg:    "underscore@1.9.1", // the version that amoCRM's pages have
			sha256: "64e15c0c42a76a88d2b8e22d44e724ac20f544e4a88a8237739c2bc2fb370537",
			files:  map[string]string{"package/underscore.js": "underscore/underscore.js", "package/LICENSE": "underscore/LICENSE"},
		},
	}
}

func main() {
	for _, lib := range libraries() {
		if err := fetch(lib, filepath.Join("amopage", "third_party")); err != nil {
			fmt.Fprintf(os.Stderr, "fetch %s: %v\n", lib.pkg, err)
			os.Exit(1)
		}
	}
}

func fetch(lib library, into string) error {
	dir, err := os.MkdirTemp("", "fetch")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	pack := exec.Command("npm", "pack", "--silent", "--pack-destination", dir, lib.pkg)
	pack.Stderr = os.Stderr
	if err := pack.Run(); err != nil {
		return fmt.Errorf("npm pack: %w", err)
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil {
		return err
	}
	if len(archives) != 1 {
		return fmt.Errorf("npm pack left %d archives, want 1", len(archives))
	}
	data, err := os.ReadFile(archives[0])
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != lib.sha256 {
		return fmt.Errorf("the archive's SHA-256 is %x, want %s", sum, lib.sha256)
	}
	return unpack(data, lib.files, into)
}

// unpack writes the named files of a .tgz archive, and fails if one of them is not in it.
func unpack(data []byte, files map[string]string, into string) error {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	found := 0
	for tr := tar.NewReader(zr); ; {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, wanted := files[header.Name]
		if !wanted {
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			return err
		}
		target := filepath.Join(into, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return err
		}
		found++
	}
	if found != len(files) {
		return fmt.Errorf("%d of %d files are in the archive", found, len(files))
	}
	return nil
}
