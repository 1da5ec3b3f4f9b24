package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/gatewaytest"
	"ringcast/gateway/sandbox"
)

func TestPBXControls(t *testing.T) {
	t.Parallel()
	gatewaytest.Controls(t, func(t *testing.T) gatewaytest.Office {
		p, err := sandbox.NewPBX(sandbox.PBXConfig{})
		must(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		up, ended := make(chan struct{}), make(chan error, 1)
		go func() { ended <- p.Run(ctx, upSink{&pbxSink{}, up}) }()
		<-up
		t.Cleanup(func() {
			cancel()
			must(t, <-ended)
		})
		return gatewaytest.Office{
			PBX: p, Agent: "101", Colleague: "102",
			Call: func(t *testing.T) string {
				call, err := p.Ring(ivan, "", "101")
				must(t, err)
				return call
			},
			PickUp: func(t *testing.T, extension string) { must(t, p.PickUp(extension)) },
			Doing: func(extension string) gateway.State {
				switch state := phone(p, extension).State; state {
				case sandbox.PartyIdle:
					return gateway.Ended
				case sandbox.PartyCalling:
					return gateway.Ringing
				default:
					return gateway.State(state)
				}
			},
		}
	})
}

// upSink says when the link is up.
type upSink struct {
	*pbxSink
	up chan<- struct{}
}

func (s upSink) Live(ctx context.Context, calls []string, at time.Time) error {
	close(s.up)
	return s.pbxSink.Live(ctx, calls, at)
}

func phone(p *sandbox.PBX, extension string) sandbox.PBXPhone {
	phones := p.Snapshot().Phones
	return phones[slices.IndexFunc(phones, func(ph sandbox.PBXPhone) bool { return ph.Extension == extension })]
}

// talking plays with three telephones, whose first talks with an outside caller.
func talking(t *testing.T, f func(t *testing.T, p *sandbox.PBX, s *pbxSink, call string)) {
	t.Parallel()
	cfg := sandbox.PBXConfig{Extensions: []string{"101", "102", "103"}, OutsideAnswers: -1}
	linked(t, cfg, func(t *testing.T, p *sandbox.PBX, s *pbxSink) {
		call, err := p.Ring(ivan, "", "101")
		must(t, err)
		must(t, p.PickUp("101"))
		s.heard()
		f(t, p, s, call)
	})
}

func TestPBXConsultIsACallOfItsOwnThatMerges(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, s *pbxSink, call string) {
		must(t, p.Consult(t.Context(), call, "101", gateway.Number{Raw: "102"}))
		s.want(t, "hold [101]", "dial internal 101>102 [102]")
		wantCode(t, p.Complete(t.Context(), call, "101"), gateway.CodeRejected) // it rings still
		must(t, p.PickUp("102"))
		wantCode(t, p.Hold(t.Context(), call, "101", false), gateway.CodeRejected)
		wantCode(t, p.Consult(t.Context(), call, "101", gateway.Number{Raw: "103"}), gateway.CodeRejected)
		must(t, p.Complete(t.Context(), call, "101"))
		s.want(t, "bridge [102]", "merge", "transfer [101] 102", "bridge [102]")
		wantPhones(t, p, sandbox.PartyIdle, sandbox.PartyTalking, sandbox.PartyIdle)
		if live := p.Snapshot().Calls; len(live) != 1 || live[0].ID != call || s.events[len(s.events)-3].Into != call {
			t.Errorf("%+v live", live)
		}
	})
}

func TestPBXConsultThatIsDeclinedLeavesTheCallerOnHold(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, _ *pbxSink, call string) {
		must(t, p.Consult(t.Context(), call, "101", gateway.Number{Raw: "102"}))
		must(t, p.PutDown("102"))
		wantPhones(t, p, sandbox.PartyHeld, sandbox.PartyIdle, sandbox.PartyIdle)
		wantCode(t, p.Cancel(t.Context(), call, "101"), gateway.CodeRejected)
		must(t, p.Hold(t.Context(), call, "101", false))

		must(t, p.Consult(t.Context(), call, "101", gateway.Number{Raw: "102"}))
		must(t, p.OutsideHangUp(call)) // the caller does not wait for it
		must(t, p.PickUp("102"))
		wantPhones(t, p, sandbox.PartyTalking, sandbox.PartyTalking, sandbox.PartyIdle)
		wantCode(t, p.Complete(t.Context(), call, "101"), gateway.CodeNotFound)
	})
}

func TestPBXColleaguesHandOnAmongThemselves(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, _ *pbxSink, _ string) {
		must(t, p.PutDown("101"))
		inside, err := p.DialOut("101", "102")
		must(t, err)
		must(t, p.PickUp("102"))
		must(t, p.Transfer(t.Context(), inside, "101", gateway.Number{Raw: "103"}))
		wantCode(t, p.Transfer(t.Context(), inside, "102", gateway.Number{Raw: "101"}), gateway.CodeRejected) // nobody is there yet
		must(t, p.PickUp("103"))
		wantPhones(t, p, sandbox.PartyIdle, sandbox.PartyTalking, sandbox.PartyTalking)
		must(t, p.Transfer(t.Context(), inside, "102", gateway.Number{E164: olga}))
		wantPhones(t, p, sandbox.PartyIdle, sandbox.PartyIdle, sandbox.PartyTalking)
		if got := phone(p, "103").Peer; got != olga {
			t.Errorf("103 talks with %q", got)
		}
	})
}

func TestPBXTransferIsStrict(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, s *pbxSink, call string) {
		must(t, p.Register("103", false))
		must(t, p.Mute(t.Context(), call, "101", true))
		_, err := p.Ring(olga, "", "102")
		must(t, err)
		s.heard()
		for to, code := range map[string]gateway.Code{
			"101": gateway.CodeBadNumber, "102": gateway.CodeBusy, "103": gateway.CodeNotRegistered, "104": gateway.CodeBadNumber, "+7": gateway.CodeBadNumber,
		} {
			wantCode(t, p.Transfer(t.Context(), call, "101", gateway.Number{Raw: to}), code)
			wantCode(t, p.Consult(t.Context(), call, "101", gateway.Number{Raw: to}), code)
		}
		s.want(t)
		if ph := phone(p, "101"); ph.State != sandbox.PartyTalking || !ph.Muted {
			t.Errorf("%+v", ph)
		}
		p.Cut()
		wantCode(t, p.Hold(t.Context(), call, "101", true), gateway.CodePBXOffline)
	})
}

func TestPBXParkedCallIsTakenByWhoDialsItsSlot(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, s *pbxSink, call string) {
		slot, err := p.Park(t.Context(), call, "101")
		must(t, err)
		s.want(t, "transfer [101] 701")
		_, err = p.DialOut("102", slot)
		must(t, err)
		s.want(t, "bridge [102]")
		wantPhones(t, p, sandbox.PartyIdle, sandbox.PartyTalking, sandbox.PartyIdle)

		slot, err = p.Park(t.Context(), call, "102")
		must(t, err)
		_, err = p.Dial(t.Context(), gateway.DialRequest{Key: "k", Extension: "103", To: gateway.Number{Raw: slot}}) // a click
		must(t, err)
		must(t, p.PickUp("103"))
		s.want(t, "transfer [102] 701", "dial internal 103>701 [103]", "merge", "bridge [103]")
		_, err = p.DialOut("101", slot)
		wantCode(t, err, gateway.CodeBadNumber)
	})
}

func TestPBXParkedCallThatNobodyTakesComesBack(t *testing.T) {
	talking(t, func(t *testing.T, p *sandbox.PBX, s *pbxSink, call string) {
		_, err := p.Park(t.Context(), call, "101")
		must(t, err)
		must(t, p.Register("101", false))
		time.Sleep(time.Minute)
		must(t, p.Register("101", true))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		s.want(t, "transfer [101] 701", "dial inbound "+ivan+">"+office+" [101]")
		must(t, p.Answer(t.Context(), call, "101"))
		wantPhones(t, p, sandbox.PartyTalking, sandbox.PartyIdle, sandbox.PartyIdle)
	})
}
