package main

import (
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckNotesWhatIsDoubtful in a config that works, on one machine.
func TestCheckNotesWhatIsDoubtful(t *testing.T) {
	t.Parallel()
	crm := httptest.NewServer(anyCRM())
	t.Cleanup(crm.Close)
	good := strings.Replace(withCRM(crm.URL, crm.URL, ""), "client_secret: s,", "client_secret: a-secret-of-the-integration,", 1)
	const redirect = "https://calls.example.com/oauth"
	for name, test := range map[string]struct{ old, new, says string }{
		"nothing":                    {"", "", ""},
		"no public_url":              {"public_url: https://calls.example.com\n", "", "public_url is not set"},
		"redirect_uri over http":     {redirect, "http://calls.example.com/oauth", "redirect_uri begins with http:"},
		"redirect_uri elsewhere":     {redirect, "https://other.example.com/oauth", "redirect_uri is on other.example.com, and public_url on calls.example.com"},
		"a cut secret":               {"a-secret-of-the-integration", "a-secret", "client_secret is shorter than 16 characters"},
		"a user without a telephone": {"extensions: [\"101\"]}]\n  - id: plain", "extensions: []}]\n  - id: plain", "user 88888 (Anna) of account acme has no extensions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			yaml := strings.Replace(good, test.old, test.new, 1)
			if name != "nothing" && yaml == good {
				t.Fatal("nothing was changed")
			}
			code, stdout, stderr := ringcast(t, "check", "-config", configFile(t, yaml))
			notes := strings.Count(stdout, "note: ")
			if code != 0 || test.says == "" && notes > 0 || test.says != "" && (notes != 1 || !strings.Contains(stdout, "note: ") || !strings.Contains(stdout, test.says)) {
				t.Errorf("exit code %d, %q:\n%s", code, stderr, stdout)
			}
		})
	}
}

// TestCheckLeavesNoDataDir: root may check before the service's user serves, who could not write to what is root's.
func TestCheckLeavesNoDataDir(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]string{"nothing is there": "", "an empty one is there": "data"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := configFile(t, strings.Replace(twoAccounts, "data_dir: data", "data_dir: data/of/ringcast", 1))
			dir := filepath.Dir(file)
			if there != "" {
				if err := os.Mkdir(filepath.Join(dir, there), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if code, stdout, stderr := ringcast(t, "check", "-config", file); code != 0 || !strings.Contains(stdout, "ok    log in "+filepath.Join(dir, "data/of/ringcast")) {
				t.Errorf("exit code %d, %q:\n%s", code, stderr, stdout)
			}
			err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				if path != dir && path != file && path != filepath.Join(dir, there) {
					err = errors.Join(err, errors.New(path+" is left"))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("where nothing can be made", func(t *testing.T) {
		t.Parallel()
		file := configFile(t, strings.Replace(twoAccounts, "data_dir: data", "data_dir: ringcast.yaml/data", 1))
		if code, stdout, _ := ringcast(t, "check", "-config", file); code != 1 || !strings.Contains(stdout, "FAIL  log in ") {
			t.Errorf("exit code %d:\n%s", code, stdout)
		}
	})
}
