package widget

import (
	"slices"

	"github.com/tdewolff/parse/v2/js"
)

// request tells whether a request is made at a token.
func (r *codeCheck) request(i int) bool {
	switch r.text(i) {
	case "fetch", "ajax", "crm_post", "$authorizedAjax", "getJSON", "sendBeacon":
		return r.call(i) >= 0 || r.isHanded(i) || r.isMember(i+2) && r.isAny(i+2, "call", "apply")
	case "get", "post":
		return r.isMember(i) && r.isAny(i-2, "$", "jQuery") && r.call(i) >= 0
	case "XMLHttpRequest", "EventSource", "WebSocket":
		return r.isAny(i-1, "new")
	}
	return false
}

// requests finds requests that are made many times: in a loop, or by a function that is called in one.
func (r *codeCheck) requests() {
	g := r.callGraph()
	asks := make([]bool, len(r.bodies))
	for asking := g.asking; len(asking) > 0; asking = asking[1:] {
		if b := asking[0]; !asks[b] {
			asks[b] = true
			asking = append(asking, g.callers[b]...)
		}
	}
	for i := range r.tokens {
		if b, ok := g.called[i]; ok && !r.looped[i] && asks[b] && r.bodies[b].from <= i && i < r.bodies[b].to && !r.counts(i) {
			r.found("code.polling", i, "%s makes a request and calls itself: let it end after some tries, or let the server say what is new", r.text(i))
		}
		if !r.looped[i] {
			continue
		}
		if r.request(i) {
			r.found("code.request-in-loop", i, "ask once for all, or one after the other as events come")
		} else if b, ok := g.called[i]; ok && asks[b] {
			r.found("code.request-in-loop", i, "%s makes a request: ask once for all, or one after the other as events come", r.text(i))
		}
	}
}

// callGraph is who calls whom among the named functions of a script, which are numbers into its bodies.
type callGraph struct {
	asking  []int         // those that make a request themselves
	callers map[int][]int // who calls a function
	called  map[int]int   // by token: which function is meant
}

func (r *codeCheck) callGraph() callGraph {
	g := callGraph{callers: map[int][]int{}, called: map[int]int{}}
	spans, named := make([]span, len(r.bodies)), map[string][]int{}
	for b, of := range r.bodies {
		spans[b] = of.span
		if len(named[of.name]) < maxNamesakes {
			named[of.name] = append(named[of.name], b)
		}
	}
	inner := r.innermost(spans)
	for i := range r.tokens {
		in := inner[i]
		if r.request(i) {
			if in >= 0 {
				g.asking = append(g.asking, in)
			}
			continue
		}
		if len(named[r.text(i)]) == 0 || !r.isName(i) || r.call(i) < 0 && !r.isArgument(i) {
			continue
		}
		b := r.meant(i, named[r.text(i)], inner)
		if b < 0 || r.call(i) < 0 && !r.isHanded(i) && inner[i] != b {
			continue
		}
		g.called[i] = b
		if in >= 0 && in != b {
			g.callers[b] = append(g.callers[b], in)
		}
	}
	return g
}

// meant returns which of the functions of that name a call means, -1 if none: for this.name() a method of the class
// or object that the call stands in, for name() the nearest that can be seen from there.
func (r *codeCheck) meant(i int, named, inner []int) int {
	owners, best := r.owners(i, inner), -1
	for _, b := range named {
		of := r.bodies[b]
		seen := of.scope < 0 || of.scope < i && i < r.end(of.scope)
		if slices.Contains(owners, of.owner) && (seen || of.owner != nobody) && (best < 0 || of.scope > r.bodies[best].scope) {
			best = b
		}
	}
	return best
}

// isHanded tells whether a function is handed by its name to a method that calls it many times: list.forEach(name),
// setInterval(self.name.bind(self)).
func (r *codeCheck) isHanded(i int) bool {
	start := r.startOf(i)
	return r.isArgument(i) && r.kind(start-1) == js.OpenParenToken && r.isAny(start-2, repeating...)
}

// isArgument tells whether a name alone, or bound, is an argument.
func (r *codeCheck) isArgument(i int) bool {
	before := r.kind(r.startOf(i) - 1)
	after := r.kind(i+1) == js.CommaToken || r.kind(i+1) == js.CloseParenToken || r.isMember(i+2) && r.isAny(i+2, "bind")
	return after && (before == js.OpenParenToken || before == js.CommaToken)
}

// startOf returns where this.name begins: at this.
func (r *codeCheck) startOf(i int) int {
	if r.isMember(i) && r.isAny(i-2, "this", "self") && !r.isMember(i-2) {
		return i - 2
	}
	return i
}

// counts tells whether a call hands on a number that grows or falls, as those do that end after some tries.
func (r *codeCheck) counts(i int) bool {
	open := r.call(i)
	if open < 0 {
		return false
	}
	for n := open; n < r.end(open); n++ {
		switch r.kind(n) {
		case js.AddToken, js.SubToken, js.IncrToken, js.DecrToken:
			return true
		}
	}
	return false
}

// owners returns whose methods the call of a name can mean: this.name() is one of the class or object that the call
// stands in, name() is nobody's.
func (r *codeCheck) owners(i int, inner []int) []int {
	if !r.isMember(i) {
		return []int{nobody}
	}
	if !r.isAny(i-2, "this", "self") || r.isMember(i-2) {
		return nil
	}
	out := []int{self}
	for b := inner[i]; b >= 0; {
		if owner := r.bodies[b].owner; owner >= 0 {
			out = append(out, owner)
		}
		from := r.bodies[b].from
		if from == 0 || inner[from-1] == b {
			break
		}
		b = inner[from-1]
	}
	return out
}
