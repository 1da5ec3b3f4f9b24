package widget

import "github.com/tdewolff/parse/v2/js"

// entry is about script.js alone.
func (r *codeCheck) entry() {
	defines := 0
	for i := range r.tokens {
		if r.isAny(i, "define") && r.isGlobal(i) && r.call(i) >= 0 {
			defines++
			r.factory(r.call(i))
		}
	}
	if defines != 1 {
		r.found("code.constructor", 0, "it has %d calls of define, one is wanted", defines)
	}
	r.callbacks()
}

// factory looks at what the function returns that is handed to define.
func (r *codeCheck) factory(open int) {
	args := r.arguments(open)
	if len(args) == 0 {
		return
	}
	last := args[len(args)-1]
	body := -1
	for i := last.from; i < last.to && body < 0; i++ {
		switch {
		case r.kind(i) == js.ArrowToken && r.kind(i+1) != js.OpenBraceToken:
			r.constructor(span{i + 1, last.to}, last)
			return
		case r.kind(i) == js.OpenBraceToken:
			body = i
		case r.kind(i) == js.OpenParenToken:
			i = r.skip(i)
		}
	}
	if body < 0 {
		return
	}
	within := span{body + 1, r.end(body)}
	for i := within.from; i < within.to; i++ {
		if r.isAny(i, "return") && !r.isMember(i) {
			r.constructor(span{i + 1, r.expression(i + 1)}, within)
		}
		i = r.skip(i)
	}
}

// constructor finds a value, or what has its name, that cannot be a widget's constructor.
func (r *codeCheck) constructor(value, within span) {
	if what := r.noConstructor(value.from); what != "" {
		r.found("code.constructor", value.from, "return a function, not %s: the CRM replaces its prototype, and calls it with new", what)
		return
	}
	if value.to != value.from+1 || !r.isName(value.from) {
		return
	}
	for i := within.from; i < within.to; i++ {
		if what := r.noConstructor(i + 2); r.text(i) == r.text(value.from) && !r.isMember(i) {
			switch {
			case r.kind(i+1) == js.EqToken && what != "":
				r.found("code.constructor", i, "%s wants to be a function, not %s: the CRM replaces its prototype, and calls it with new", r.text(i), what)
			case r.isAny(i-1, "class"):
				r.found("code.constructor", i, "%s wants to be a function, not a class: the CRM replaces its prototype, and calls it with new", r.text(i))
			}
		}
		i = r.skip(i)
	}
}

// noConstructor tells what begins at a token if the CRM can make no widget of it.
func (r *codeCheck) noConstructor(i int) string {
	if r.isAny(i, "async") {
		i++
	}
	switch {
	case r.isAny(i, "class"):
		return "a class"
	case r.kind(i) == js.OpenParenToken && r.kind(r.end(i)+1) == js.ArrowToken, r.isName(i) && r.kind(i+1) == js.ArrowToken:
		return "an arrow function"
	}
	return ""
}

// callbacks finds callbacks that are missing, and such as are no functions.
func (r *codeCheck) callbacks() {
	names := []string{"render", "init", "bind_actions", "settings", "onSave", "destroy"}
	members, whole := r.callbackMembers()
	for _, name := range names {
		value, found := members[name]
		switch {
		case !r.names[name] || whole && !found:
			r.found("code.callbacks", 0, "there is no %s: without it the CRM does not run the widget, or cannot stop it", name)
		case found && (r.isLiteral(value) || js.IsNumeric(r.kind(value)) || r.isAny(value, "true", "false", "null", "undefined", "{", "[")):
			r.found("code.callbacks", value, "%s wants to be a function", name)
		}
	}
}

// callbackMembers returns where the values of the callbacks begin, by name, and whether these are all.
func (r *codeCheck) callbackMembers() (members map[string]int, whole bool) {
	members = map[string]int{}
	for i := range r.tokens {
		if !r.isAny(i, "callbacks") {
			continue
		}
		if r.kind(i+1) == js.DotToken && r.kind(i+3) == js.EqToken {
			members[r.text(i+2)] = i + 4
		}
		if open := i + 2; (r.kind(i+1) == js.EqToken || r.kind(i+1) == js.ColonToken) && r.kind(open) == js.OpenBraceToken {
			whole = true
			for _, m := range r.arguments(open) {
				at := m.from
				if r.isAny(at, "async", "*") && r.kind(at+1) != js.ColonToken {
					at++
				}
				if r.kind(at) == js.EllipsisToken || r.kind(at) == js.OpenBracketToken {
					whole = false
				}
				members[r.text(at)] = at + 1
				if r.kind(at+1) == js.ColonToken {
					members[r.text(at)] = at + 2
				}
			}
		}
	}
	return members, whole
}
