package amocrm

import (
	"testing"
	"time"

	"ringcast/gateway"
)

func TestWhoseCallItIs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	stranger := gateway.Person{Extension: "103"}
	rang := func(p gateway.Person, after time.Duration) gateway.Leg {
		return gateway.Leg{Person: p, RangAt: at.Add(after)}
	}
	talked := func(l gateway.Leg) gateway.Leg {
		l.AnsweredAt = l.RangAt.Add(time.Second)
		return l
	}
	by := func(l gateway.Leg) gateway.Leg {
		l.Caller = true
		return l
	}
	for name, c := range map[string]struct {
		call gateway.Known
		want string
	}{
		"who was rung first":        {gateway.Known{Direction: gateway.Inbound, Legs: []gateway.Leg{rang(borisAt, 5), rang(annaAt, 0)}}, "88888"},
		"who answered":              {gateway.Known{Direction: gateway.Inbound, AnsweredBy: &borisAt, Legs: []gateway.Leg{rang(annaAt, 0), talked(rang(borisAt, 5))}}, "99999"},
		"who answered first":        {gateway.Known{Direction: gateway.Inbound, AnsweredBy: &annaAt, Legs: []gateway.Leg{talked(rang(annaAt, 0)), talked(rang(borisAt, 5))}}, "88888"},
		"whom nobody knows":         {gateway.Known{Direction: gateway.Inbound, AnsweredBy: &stranger, Legs: []gateway.Leg{rang(annaAt, 0), talked(rang(stranger, 0)), talked(rang(borisAt, 9))}}, "99999"},
		"who called":                {gateway.Known{Direction: gateway.Outbound, Legs: []gateway.Leg{talked(rang(borisAt, 9)), by(talked(rang(annaAt, 0)))}}, "88888"},
		"who called, and handed on": {gateway.Known{Direction: gateway.Outbound, AnsweredBy: &borisAt, Legs: []gateway.Leg{by(rang(annaAt, 0)), talked(rang(borisAt, 9))}}, "88888"},
		"nobody":                    {gateway.Known{Direction: gateway.Inbound, Legs: []gateway.Leg{rang(stranger, 0)}}, ""},
	} {
		got := ""
		if who := whose(&gateway.Call{Known: c.call}); who != nil {
			got = who.User
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestDurationIsTalk(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	legs := func(talks ...time.Duration) (legs []gateway.Leg) {
		for _, d := range talks {
			legs = append(legs, gateway.Leg{Talked: d})
		}
		return legs
	}
	for name, c := range map[string]struct {
		answered, ended time.Duration // from at; 0: never
		direction       gateway.Direction
		legs            []gateway.Leg
		want            int
	}{
		"not answered":          {0, time.Minute, gateway.Inbound, legs(0), 0},
		"one talk":              {10 * time.Second, 75 * time.Second, gateway.Inbound, legs(0, 65*time.Second), 65},
		"handed on":             {10 * time.Second, 90 * time.Second, gateway.Inbound, legs(20*time.Second, 50*time.Second), 70},
		"three at once":         {10 * time.Second, 70 * time.Second, gateway.Inbound, legs(60*time.Second, 50*time.Second), 60},
		"at a mobile":           {10 * time.Second, 70 * time.Second, gateway.Inbound, nil, 60},
		"colleagues":            {10 * time.Second, 70 * time.Second, gateway.Internal, legs(60*time.Second, 60*time.Second), 60},
		"a menu after the talk": {10 * time.Second, 90 * time.Second, gateway.Inbound, legs(30 * time.Second), 30},
		"most of a second":      {10 * time.Second, 12700 * time.Millisecond, gateway.Outbound, legs(2700 * time.Millisecond), 3},
		"clocks that run back":  {10 * time.Second, 5 * time.Second, gateway.Inbound, nil, 0},
	} {
		call := gateway.Call{Known: gateway.Known{Direction: c.direction, StartedAt: at, EndedAt: at.Add(c.ended), Legs: c.legs}}
		if c.answered > 0 {
			call.AnsweredAt = at.Add(c.answered)
		}
		if got := factsOf(&call, "").duration; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestCallStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		direction gateway.Direction
		answered  bool
		outcomes  []gateway.Outcome
		want      int
	}{
		"talked":              {gateway.Inbound, true, []gateway.Outcome{gateway.Answered}, 4},
		"nobody was there":    {gateway.Inbound, false, []gateway.Outcome{gateway.Missed, gateway.Busy}, 6},
		"all busy":            {gateway.Inbound, false, []gateway.Outcome{gateway.Busy, gateway.Busy}, 7},
		"declined":            {gateway.Inbound, false, []gateway.Outcome{gateway.Rejected}, 6},
		"nobody was rung":     {gateway.Inbound, false, nil, 6},
		"the customer's busy": {gateway.Outbound, false, []gateway.Outcome{gateway.Busy}, 7},
		"he declines":         {gateway.Outbound, false, []gateway.Outcome{gateway.Rejected}, 7},
		"he does not answer":  {gateway.Outbound, false, []gateway.Outcome{gateway.Missed}, 6},
		"given up":            {gateway.Outbound, false, []gateway.Outcome{gateway.Cancelled}, 6},
		"no such number":      {gateway.Outbound, false, []gateway.Outcome{gateway.Failed}, 3},
	} {
		call := gateway.Call{Known: gateway.Known{Direction: c.direction}}
		if c.answered {
			call.AnsweredAt = time.Unix(1, 0)
		}
		for _, o := range c.outcomes {
			call.Legs = append(call.Legs, gateway.Leg{Outcome: o})
		}
		if got := callStatus(&call); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestANumberOfJSONIsItsDigits: a telephone number is no power of ten.
func TestANumberOfJSONIsItsDigits(t *testing.T) {
	t.Parallel()
	for in, want := range map[any]string{79991112233.0: "79991112233", "office:1": "office:1", nil: "", 1.5: "1.5"} {
		if got := text(in); got != want {
			t.Errorf("%v is %q, want %q", in, got, want)
		}
	}
}
