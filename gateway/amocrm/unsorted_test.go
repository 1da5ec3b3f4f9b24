package amocrm

import (
	"testing"

	"ringcast/gateway"
)

// TestWhatComesAfterAnItemWasAcceptedIsInItsCall: the call's note stands on the lead then, not on its contact.
func TestWhatComesAfterAnItemWasAcceptedIsInItsCall(t *testing.T) {
	t.Parallel()
	for name, number := range map[string]string{"a number": nobody, "a hidden one": ""} {
		inOffice(t, nil, func(o *office) {
			call := inbound("1", number)
			saved := o.save(o.log, gateway.DueCall{Call: call})
			items := o.amo.Unsorted()
			if len(items) != 1 {
				t.Fatalf("%s: %d items", name, len(items))
			}
			o.ask("POST", "/api/v4/leads/unsorted/"+items[0].UID+"/accept", "")
			for _, link := range []string{"https://pbx.example.com/1.mp3", "https://pbx.example.com/2.mp3"} {
				call.Version++
				call.Recording = link
				saved = o.save(o.log, gateway.DueCall{Call: call, Before: saved})
				if calls := o.amo.Calls(); len(calls) != 1 || calls[0].Link != link || calls[0].Kind != kindLeads {
					t.Errorf("%s: %+v, want %s\n%s", name, calls, link, o.text)
				}
			}
		})
	}
}
