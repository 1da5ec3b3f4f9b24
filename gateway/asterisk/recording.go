package asterisk

import (
	"context"
	"net/url"
	"path"
	"strings"
)

const (
	fileVariable = "MIXMONITOR_FILENAME" // set on the channel that is recorded

	maxTraced = 4096 // recordings of which the file is asked for at a time
	tracers   = 4    // so many at once, for an Asterisk that is far away
)

// recorded is a channel whose recording has begun: MixMonitorStart says that, and not where.
type recorded struct{ id, name string }

// trace finds out in which files the recordings are that begin, until the connection ends. The answers
// become what Asterisk tells by itself those who may see variables.
func (c *client) trace(ctx context.Context) {
	for {
		select {
		case r := <-c.recordings:
			m, err := c.do(ctx, newAction("Getvar", field{"Channel", r.name}, field{"Variable", fileVariable}))
			if file := m.get("Value"); err == nil && file != "" {
				m := message{{"Event", "VarSet"}, {"Uniqueid", r.id}, {"Variable", fileVariable}, {"Value", file}}
				at := c.now()
				c.tap(at, []byte(m.text()))
				c.put(m, at, len(r.id)+len(file))
			}
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// traceLive has the recordings looked for that began before the connection did.
func (l *Link) traceLive(ctx context.Context, c *client) {
	l.mu.Lock()
	live := make([]recorded, 0, len(l.correlator.channels))
	for _, ch := range l.correlator.channels {
		live = append(live, recorded{ch.id, ch.name})
	}
	l.mu.Unlock()
	for _, r := range live {
		select {
		case c.recordings <- r:
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// recordingAt says where a recording can be had: Config.Recordings, filled in, or its path at the PBX.
func (cfg *Config) recordingAt(file string) string {
	if !path.IsAbs(file) {
		file = path.Join(cfg.RecordingsDir, file)
	}
	file = path.Clean(file)
	within, ok := strings.CutPrefix(file, strings.TrimSuffix(cfg.RecordingsDir, "/")+"/")
	if cfg.Recordings == "" || !ok && strings.Contains(cfg.Recordings, "{path}") {
		return "file:" + file
	}
	return strings.NewReplacer("{path}", escapePath(within), "{file}", escapePath(path.Base(file))).Replace(cfg.Recordings)
}

// escapePath makes a path fit for a URL, before and after its question mark.
func escapePath(file string) string {
	parts := strings.Split(file, "/")
	for i, part := range parts {
		parts[i] = strings.NewReplacer("+", "%2B", "&", "%26", "=", "%3D").Replace(url.PathEscape(part))
	}
	return strings.Join(parts, "/")
}
