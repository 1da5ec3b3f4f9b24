package push

import "testing"

func TestOrigins(t *testing.T) {
	t.Parallel()
	o, err := NewOrigins([]string{"https://*.amocrm.ru", "https://crm.example.com", "http://127.0.0.1:8080"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://acme.amocrm.ru":            true,
		"https://a.b.amocrm.ru":             true,
		"HTTPS://Acme.AmoCRM.ru":            true,
		"https://crm.example.com":           true,
		"http://127.0.0.1:8080":             true,
		"":                                  false,
		"null":                              false,
		"http://acme.amocrm.ru":             false,
		"https://amocrm.ru":                 false,
		"https://.amocrm.ru":                false,
		"https://evilamocrm.ru":             false,
		"https://acme.amocrm.ru.evil.com":   false,
		"https://acme.amocrm.ru:444":        false,
		"https://evil.com#.amocrm.ru":       false,
		"https://evil.com/.amocrm.ru":       false,
		"https://evil.com\\.amocrm.ru":      false,
		"https://evil.com?.amocrm.ru":       false,
		"https://user@acme.amocrm.ru":       false,
		"https://crm.example.com:8443":      false,
		"http://crm.example.com":            false,
		"https://x.crm.example.com":         false,
		"http://127.0.0.1":                  false,
		"https://*.amocrm.ru":               false,
		"chrome-extension://acme.amocrm.ru": false,
	} {
		if got := o.Allowed(origin); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

func TestBadOriginPatternsAreRefused(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "*", "https://*", "https://*.", "https://", "crm.example.com", "https://crm.example.com/", "https://a.*.com", "http://*.example.com", "null", "https://*.a.*"} {
		if _, err := NewOrigins([]string{p}); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
}

func TestNoOriginsAllowNobody(t *testing.T) {
	t.Parallel()
	o, err := NewOrigins(nil)
	if err != nil || o.Allowed("https://acme.amocrm.ru") {
		t.Errorf("allowed (%v)", err)
	}
}

func TestOriginsThatComeAndGo(t *testing.T) {
	t.Parallel()
	o, err := NewOrigins([]string{"https://*.amocrm.ru"})
	if err != nil {
		t.Fatal(err)
	}
	o.Extend([]string{"https://Acme.kommo.com", "https://*.kommo.com", "", "http://127.0.0.1:8081"})
	for origin, want := range map[string]bool{
		"https://acme.kommo.com": true, "http://127.0.0.1:8081": true, "https://acme.amocrm.ru": true,
		"https://globex.kommo.com": false, "http://acme.kommo.com": false, "https://*.kommo.com": false, "": false,
	} {
		if o.Allowed(origin) != want {
			t.Errorf("%q is allowed: %v, want %v", origin, !want, want)
		}
	}
	o.Extend(nil)
	if o.Allowed("https://acme.kommo.com") || !o.Allowed("https://acme.amocrm.ru") {
		t.Error("what was taken back is allowed, or what stays is not")
	}
}
