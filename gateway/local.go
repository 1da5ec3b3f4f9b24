package gateway

import "sync"

// local holds the records that this node's owners are appending, by the ids of their entries: the feed
// need not decode what was just encoded here. Nobody changes a record once it is left here.
type local struct {
	mu      sync.Mutex
	entries map[string][]*Record
}

func (l *local) leave(id string, records []*Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = map[string][]*Record{}
	}
	l.entries[id] = records
}

// take returns and forgets the records of an entry, if they were left here.
func (l *local) take(id string) ([]*Record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	records, ok := l.entries[id]
	delete(l.entries, id)
	return records, ok
}
