package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"ringcast/gateway/sandbox"
	"ringcast/static/browsertest"
)

// TestBrowserExamplePageControlsCalls does with a call what examples/page has buttons for, and looks at the telephones.
func TestBrowserExamplePageControlsCalls(t *testing.T) {
	t.Parallel()
	files := httptest.NewServer(http.FileServer(http.Dir("../../examples/page")))
	t.Cleanup(files.Close)
	p, pbx := startWithPBX(t, &site{Server: files}, "")
	browser := browsertest.New(t)
	open := func(name, user string, width int64) *page {
		page := openPage(browser, t, name, files.URL+"/#gateway="+p.web, width, 760)
		page.wait(fmt.Sprintf(`(() => { const form = document.querySelector('#setup'); form.token.value = %q; form.requestSubmit(); return true; })()`,
			tokenOf(t, "acme", user)))
		page.wait(`document.querySelector('#state').dataset.name === 'live'`)
		return page
	}
	anna, boris := open("control-anna", "88888", 760), open("control-boris", "99999", 390)
	phones := func(a, b sandbox.PartyState) {
		t.Helper()
		eventually(t, fmt.Sprintf("telephones that are %s and %s", a, b), func() bool {
			phones := pbx.Snapshot().Phones
			return phones[0].State == a && phones[1].State == b
		})
	}
	muted := func(is bool) {
		t.Helper()
		eventually(t, "the microphone", func() bool { return pbx.Snapshot().Phones[0].Muted == is })
	}
	const (
		card    = `document.querySelector('#now .call')`
		trouble = `document.querySelector('#trouble').textContent`
	)
	handTo := func(to string) {
		anna.click("#now .transfer")
		anna.wait(card + `.querySelector('.person.online')`)
		anna.click("#now .hand .person")
		anna.want(card+`.querySelector('.to').value`, to)
	}

	call, err := pbx.Ring("+79991112233", "Ivan Petrov", "101")
	if err != nil {
		t.Fatal(err)
	}
	anna.wait(card + `?.dataset.state === 'ringing'`)
	anna.picture("rings")
	anna.click("#now .answer")
	phones(sandbox.PartyTalking, sandbox.PartyIdle)

	anna.click("#now .hold")
	phones(sandbox.PartyHeld, sandbox.PartyIdle)
	anna.wait(card + `.querySelector('.hold').textContent === 'Resume'`)
	anna.picture("held")
	anna.click("#now .hold")
	phones(sandbox.PartyTalking, sandbox.PartyIdle)
	anna.click("#now .mute")
	muted(true)
	anna.wait(card + `.querySelector('.mute').textContent === 'Unmute'`)
	anna.click("#now .mute")
	muted(false)

	// A consultation that comes to nothing, and one that ends with the two joined.
	handTo("102")
	anna.picture("transfer")
	anna.click(`#now .hand button[value=ask]`)
	phones(sandbox.PartyCalling, sandbox.PartyRinging)
	anna.wait(`document.querySelectorAll('#now .call').length === 2`)
	anna.picture("consults")
	boris.wait(card + `?.dataset.state === 'ringing'`)
	boris.click("#now .hangup")
	phones(sandbox.PartyHeld, sandbox.PartyIdle)
	anna.wait(`document.querySelectorAll('#now .call').length === 1`)
	anna.click("#now .cancel")
	phones(sandbox.PartyTalking, sandbox.PartyIdle)
	anna.wait(card + `.querySelector('.cancel').hidden`)
	handTo("102")
	anna.click(`#now .hand button[value=ask]`)
	boris.wait(card + `?.dataset.state === 'ringing'`)
	boris.click("#now .answer")
	phones(sandbox.PartyTalking, sandbox.PartyTalking)
	anna.click(`#now [data-consults=yes] .complete`)
	phones(sandbox.PartyIdle, sandbox.PartyTalking)
	boris.wait(`document.querySelector('#now .call[data-state=talking] .who')?.textContent === 'Ivan Petrov'`)

	// Back to Anna, who parks it and takes it back.
	boris.click("#now .transfer")
	boris.picture("small")
	boris.click("#now .hand .person")
	boris.click("#now .hand button:not([value=ask]):not(.person)")
	phones(sandbox.PartyRinging, sandbox.PartyIdle)
	anna.click("#now .answer")
	phones(sandbox.PartyTalking, sandbox.PartyIdle)
	anna.click("#now .park")
	anna.wait(`document.querySelector('#ended .what')?.textContent.endsWith('Parked at 701')`)
	anna.picture("parked")
	anna.click("#ended [data-slot] .again")
	phones(sandbox.PartyTalking, sandbox.PartyIdle)
	anna.want(trouble, "")

	// What is refused is said.
	if err := pbx.Register("102", false); err != nil {
		t.Fatal(err)
	}
	anna.wait(card + `?.dataset.state === 'talking'`)
	handTo("102")
	anna.click("#now .hand button:not([value=ask]):not(.person)")
	anna.wait(trouble + ` === 'The telephone is not connected.'`)
	anna.picture("refused")
	anna.click("#now .hangup")
	phones(sandbox.PartyIdle, sandbox.PartyIdle)
	anna.wait(`document.querySelector('#colleagues .person').title === 'here'`)
	if live := pbx.Snapshot().Calls; len(live) != 0 {
		t.Errorf("live still: %+v (the first was %s)", live, call)
	}
}
