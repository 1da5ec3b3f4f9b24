package sandbox_test

import (
	"testing"

	"ringcast/gateway/sandbox"
)

// What the result window must not lose: what was typed, and what the CRM has already.

func testResultPartial(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	b.write("contact", "Olga Berg")
	b.write("note", "Saw us at the fair.")
	b.click(".ringcast-result__switch")
	b.write("text", "Send the catalogue")
	mend := s.amo.Refuse("POST /api/v4/tasks", 429, "")
	b.save()
	b.wait(resultFoot)
	b.want(`/^The task was not set: .*Wait a minute/.test(`+resultFoot+`)`, "true")
	b.want(`[...document.querySelectorAll('.ringcast-result__done li')].map((li) => li.textContent).join()`, "Lead created: Call: Olga Berg,Note saved.")
	b.picture("result-partial")
	mend()
	b.save()
	b.wait(noResult)
	if leads, notes, tasks := s.amo.Leads(), s.amo.Notes(), s.amo.Tasks(); len(leads) != 7 || len(notes) != 1 || len(tasks) != 1 || tasks[0].Entity != leads[6].ID {
		t.Errorf("leads %+v, notes %+v, tasks %+v", leads, notes, tasks)
	}
}

func testResultRefusals(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.write("note", "x")
	b.click(".ringcast-result__switch")
	b.save()
	b.wait(beside("text"))
	b.want(`document.activeElement === document.querySelector('`+resultField("text")+`')`, "true")
	b.write("text", "Call back")
	s.amo.Refuse("POST /api/v4/leads/3001/notes", 403, "")
	b.save()
	b.wait(beside("link"))
	b.choose("link", "contact:1001")
	s.amo.Refuse("POST /api/v4/tasks", 400, `{"title":"Bad Request","status":400,"detail":"Request validation failed","validation-errors":[
		{"request_id":"0","errors":[{"code":"InvalidValue","path":"complete_till","detail":"This day is a holiday."}]}]}`)
	b.save()
	b.wait(beside("due"))
	b.want(beside("due"), "This day is a holiday.")
	b.want(`document.querySelector('`+resultField("text")+`').value`, "Call back")
	b.picture("result-refused")
}

func testResultLostAnswer(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	b.write("contact", "Olga Berg")
	b.write("note", "Saw us at the fair.")
	defer s.amo.Fail(sandbox.AmoFault{Pattern: "POST /api/v4/leads/complex", Failure: sandbox.AmoMute, Times: 1})()
	b.save()
	s.until(t, "the deal", func() bool { return len(s.amo.Leads()) == 7 })
	b.want(`document.querySelector('.ringcast-result__save').disabled`, "true")
	b.reload()
	b.wait(resultShown)
	b.wait(resultFoot)
	b.want(`/may have been created/.test(`+resultFoot+`)`, "true")
	b.picture("result-lost")
	b.save()
	b.wait(noResult)
	leads, contacts, notes := s.amo.Leads(), s.amo.Contacts(), s.amo.Notes()
	if len(leads) != 7 || len(contacts) != 7 || len(notes) != 1 || notes[0].Kind != "leads" || notes[0].Entity != leads[6].ID {
		t.Errorf("leads %+v, contacts %+v, notes %+v", leads, contacts, notes)
	}
}

func testResultDraft(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": "+79005550444"})
	b.wait(resultShown)
	b.choose("link", "lead:3003")
	b.click(".ringcast-result__switch")
	b.write("text", "Measure")
	b.write("note", "Half a sent")
	b.reload()
	b.wait(resultShown)
	b.want(`document.querySelector('`+resultField("note")+`').value`, "Half a sent")
	b.want(resultLink+` + document.querySelector('`+resultField("text")+`').value`, "lead:3003Measure")
	second := s.open(t, anna, "/contacts/list/")
	b.write("note", "ence")
	b.save()
	b.wait(noResult)
	second.want(noResult, "true")
	if notes := s.amo.Notes(); len(notes) != 1 || notes[0].Text != "Half a sentence" || notes[0].Entity != 3003 {
		t.Errorf("notes are %+v", notes)
	}
	b.reload()
	b.want(noResult+` && Object.keys(localStorage).every((key) => !key.includes('draft.'))`, "true")
}

func testResultDisabled(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.write("note", "Half a sent")
	b.text(`__sandbox.widgets.setActive('ringcast', false)`)
	b.want(noResult+` && !document.querySelector('.modal')`, "true")
	b.text(`__sandbox.widgets.setActive('ringcast', true)`)
	b.wait(resultShown)
	b.want(`document.querySelector('`+resultField("note")+`').value`, "Half a sent")
}

// The page is loaded anew in mid-talk, and there is no talk any more when it has its line.
func testResultReload(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.gateway.tell(anna, "call.bridge", inTalk(nil))
	b.wait(card + ` && APP.sdk.getCallingStatus()`)
	s.gateway.shut(true)
	b.reload()
	s.gateway.tell(anna, "call.hangup", call(object{"state": "ended", "outcome": "answered", "talk_seconds": 65}))
	s.gateway.shut(false)
	b.text(`window.dispatchEvent(new Event('online'))`)
	b.wait(resultShown)
	b.want(`document.querySelector('.ringcast-result__who a').textContent + [...document.querySelectorAll('.ringcast-result__facts dd')].map((dd) => dd.textContent).join()`, "Ivan Petrov+7 900 555-01-11,—")
	b.write("note", "Call back")
	b.save()
	b.wait(noResult)
	if notes := s.amo.Notes(); len(notes) != 1 || notes[0].Text != "Call back" {
		t.Errorf("notes are %+v", notes)
	}
	b.reload()
	b.want(noResult+` && Object.keys(localStorage).every((key) => !/draft|talk/.test(key))`, "true")
}

func testResultQueue(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	s.talk(anna, object{"id": "office:2", "phone": "+79005550444"})
	b.wait(`Object.keys(localStorage).filter((key) => key.includes('draft.')).length === 2`)
	b.want(`document.querySelectorAll('.ringcast-result').length + document.querySelector('.ringcast-result__who').textContent`, "1Ivan Petrov")
	b.click(".ringcast-result__cancel")
	b.wait(resultShown + ` && document.querySelector('.ringcast-result__who').textContent === 'Pavel Chekhov'`)
	b.click(".ringcast-result__cancel")
	b.wait(noResult)
	if notes := s.amo.Notes(); len(notes) != 0 {
		t.Errorf("cancelled, and yet: %+v", notes)
	}
}

func testResultCallMeanwhile(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.write("note", "x")
	s.gateway.tell(anna, "call.dial", call(object{"id": "office:2", "phone": strangerPhone}))
	b.wait(card + `&& [...document.querySelectorAll('.ringcast-card')].some((card) => card.dataset.state === 'ringing')`)
	b.want(`document.activeElement.tagName`, "TEXTAREA")
	b.want(`(() => {
		const buttons = [...document.querySelectorAll('.ringcast-card[data-state="ringing"] button')].filter((button) => button.offsetWidth);
		return buttons.length > 0 && buttons.every((button) => {
			const { left, top, width, height } = button.getBoundingClientRect();
			return button.contains(document.elementFromPoint(left + width / 2, top + height / 2));
		});
	})()`, "true")
	b.picture("result-and-call")

	// In a talk the next window comes up, but leaves the keyboard alone.
	s.gateway.tell(anna, "call.bridge", call(object{"id": "office:2", "phone": strangerPhone, "state": "talking"}))
	s.talk(anna, object{"id": "office:3", "phone": "+79005550444"})
	b.wait(`Object.keys(localStorage).filter((key) => key.includes('draft.')).length === 2`)
	b.save()
	b.wait(`document.querySelector('.ringcast-result__who') && document.querySelector('.ringcast-result__who').textContent === 'Pavel Chekhov'`)
	b.want(`document.querySelector('.ringcast-result').contains(document.activeElement)`, "false")
}

func testResultAsks(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, nil)
	b.wait(resultShown)
	b.press("\x1b")
	b.wait(noResult)

	s.talk(anna, object{"id": "office:2"})
	b.wait(resultShown)
	b.write("note", "x")
	for _, close := range []string{".modal-body__close", ".ringcast-result__cancel"} {
		b.click(close)
		b.click(".ringcast-result__back")
	}
	b.text(`document.querySelector('.modal-scroller').click()`)
	b.want(`document.querySelector('.ringcast-result__ask').hidden`, "true")
	b.press("\x1b")
	b.wait(`!document.querySelector('.ringcast-result__ask').hidden`)
	b.picture("result-ask")
	b.click(".ringcast-result__back")

	// A window of the CRM's own lies over it: the key is for that one.
	b.text(`require(['lib/components/base/modal'], (Modal) => new Modal({ class_name: 'modal-window', init: ($body) => $body.trigger('modal:loaded').html('<p>x</p>') }))`)
	b.wait(`document.querySelectorAll('.modal').length === 2`)
	b.press("\x1b")
	b.wait(`document.querySelectorAll('.modal').length === 1`)
	b.want(`document.querySelector('.ringcast-result__ask').hidden`, "true")
	b.press("\x1b")
	b.wait(`!document.querySelector('.ringcast-result__ask').hidden`)
	b.click(".ringcast-result__discard")
	b.wait(noResult)
	b.want(`Object.keys(localStorage).filter((key) => key.includes('draft.')).length`, "0")
}

const drafts = `Object.keys(localStorage).filter((key) => key.includes('draft.')).length`

func testResultStrangerTwice(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	s.talk(anna, object{"id": "office:2", "phone": strangerPhone})
	b.wait(drafts + ` === 2`)
	b.write("contact", "Olga Berg")
	b.save()
	b.wait(`document.querySelector('.ringcast-result__who a') && document.querySelector('.ringcast-result__who a').textContent === 'Olga Berg'`)
	b.want(`/^lead:/.test(`+resultLink+`) && document.querySelector('.ringcast-result__hint').hidden`, "true")
	b.write("note", "Called again")
	b.save()
	b.wait(noResult)
	leads, notes := s.amo.Leads(), s.amo.Notes()
	if len(leads) != 7 || len(s.amo.Contacts()) != 7 || len(notes) != 1 || notes[0].Kind != "leads" || notes[0].Entity != leads[6].ID {
		t.Errorf("leads %+v, contacts %+v, notes %+v", leads, s.amo.Contacts(), notes)
	}
}

func testResultClosedInSearch(t *testing.T, s *resultStage) {
	b := &resultTab{s.open(t, anna, "/leads/")}
	mend := s.amo.Refuse("GET /api/v4/", 500, "")
	s.talk(anna, object{"phone": strangerPhone})
	b.wait(resultShown)
	mend()
	b.text(`performance.clearResourceTimings()`)
	release := s.amo.Hang("GET /api/v4/contacts")
	b.click(".ringcast-result__again")
	b.press("\x1b")
	b.wait(noResult + ` && ` + drafts + ` === 0`)
	release()
	b.wait(`performance.getEntriesByType('resource').some(({ name }) => name.includes('/contacts?query='))`)
	b.want(drafts, "0")
}
