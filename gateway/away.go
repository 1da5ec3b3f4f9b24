package gateway

import "context"

// keyAway is where nodes tell each other who is away: away.ACCOUNT.EXTENSION. Whoever holds the PBX's link writes it.
const keyAway = "away"

// place is where somebody is or is not, by extension: who sits there may change.
type place userKey

func (p place) key() string { return userKey(p).in(keyAway) }

var _ AwaySink = sink{}

// Away is AwaySink.Away.
func (s sink) Away(extension string, away bool) {
	if s.owner.over() { // another node hears it, too
		return
	}
	board, at := s.link.gateway.presence, place{s.link.Account, extension}
	board.setAway(at, away)
	if board.exchange != nil {
		board.exchange.writeAway(at)
	}
}

// setAway notes that nobody is at a place, or that somebody is back.
func (p *presence) setAway(at place, away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, was := p.away[at]; was == away {
		return
	}
	if away {
		p.away[at] = struct{}{}
	} else {
		delete(p.away, at)
	}
	if u, ok := p.directory.ByExtension(at.account, at.user); ok {
		p.tell(at.account, u.ID)
	}
}

func (p *presence) isAway(at place) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, away := p.away[at]
	return away
}

// anyAway says whether a user is away from one of his places. p.mu is held.
func (p *presence) anyAway(account string, extensions []string) bool {
	for _, ext := range extensions {
		if _, away := p.away[place{account, ext}]; away {
			return true
		}
	}
	return false
}

// awayPlaces returns where nobody is.
func (p *presence) awayPlaces() []place {
	p.mu.RLock()
	defer p.mu.RUnlock()
	places := make([]place, 0, len(p.away))
	for at := range p.away {
		places = append(places, at)
	}
	return places
}

// writeAway has a place written as it is by then.
func (x *exchange) writeAway(at place) {
	x.mu.Lock()
	x.places[at]++
	x.mu.Unlock()
	x.rouse()
}

// beginAway takes in what the store holds, and once it is listed drops what it does not hold. What this node has yet
// to write counts for more.
func (x *exchange) beginAway() (take func(Value), synced func()) {
	listed := map[place]bool{}
	set := func(at place, away bool) {
		x.mu.Lock()
		_, mine := x.places[at]
		x.mu.Unlock()
		if !mine {
			x.board.setAway(at, away)
		}
	}
	take = func(v Value) {
		if at, ok := userBelow(keyAway, v.Key); ok {
			listed[place(at)] = v.Data != nil
			set(place(at), v.Data != nil)
		}
	}
	synced = func() {
		for _, at := range x.board.awayPlaces() {
			if !listed[at] {
				set(at, false)
			}
		}
		clear(listed)
	}
	return take, synced
}

// writePlace writes how a place is now.
func (x *exchange) writePlace(ctx context.Context, at place) error {
	if x.board.isAway(at) {
		_, err := x.store.Put(ctx, at.key(), []byte(keyAway), AnyRevision)
		return err
	}
	return x.store.Delete(ctx, at.key(), AnyRevision)
}
