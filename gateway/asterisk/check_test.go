package asterisk

import (
	"net"
	"strings"
	"testing"
)

func TestCheckSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	silent := func(message, func(string)) {}
	for name, c := range map[string]struct {
		set  func(f *fake, cfg *Config)
		want []string // "": all is well
	}{
		"all is well":    {func(*fake, *Config) {}, nil},
		"plain login":    {func(f *fake, _ *Config) { f.deny("Challenge", "Must specify AuthType") }, nil},
		"wrong secret":   {func(_ *fake, cfg *Config) { cfg.Secret = "wrong" }, []string{"login refused", `"gateway"`, "manager.conf"}},
		"no listing":     {func(f *fake, _ *Config) { f.deny("CoreShowChannels", "Permission denied") }, []string{"write = reporting"}},
		"no originate":   {func(f *fake, _ *Config) { f.deny("Originate", "Permission denied") }, []string{"write = originate"}},
		"no call events": {func(f *fake, _ *Config) { f.on("Originate", silent) }, []string{"read = call"}},
		"two at once": {func(f *fake, _ *Config) {
			f.deny("Hangup", "Permission denied")
			f.deny("Originate", "Permission denied")
		}, []string{"write = call", "write = originate"}},
		"no port":    {func(_ *fake, cfg *Config) { cfg.Address = "pbx" }, []string{"host:5038"}},
		"no service": {func(_ *fake, cfg *Config) { cfg.Address = freePort(t) }, []string{"nothing listens", "manager.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.on("Originate", func(m message, reply func(string)) {
				reply(encodeMessage(event("OriginateResponse", "ActionID", m.get("ActionID"), "Response", "Failure", "Reason", "0")))
			})
			cfg := f.config()
			c.set(f, &cfg)
			err := Check(t.Context(), cfg)
			if (err != nil) != (c.want != nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

// freePort returns an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // over
	return l.Addr().String()
}
