package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ringcast/gateway/amocrm"
)

const (
	maxSource   = 64  // characters of crm.log.source
	maxTaskText = 500 // of crm.log.missed_task.text
)

// readCRMLog reads how an account's calls are logged. Of a section that is left out it returns the defaults.
func readCRMLog(s *section) amocrm.LogRules {
	rules := amocrm.LogRules{
		Source:   parsed(s.get("source"), "Ringcast", parseSource),
		As:       parsed(s.get("as"), amocrm.FormCalls, namedOf([]amocrm.Form{amocrm.FormCalls, amocrm.FormNotes})),
		Unknown:  readUnknown(s.get("unknown").section()),
		Pipeline: parsed(s.get("pipeline"), 0, parsePipeline),
		Internal: s.get("internal").flag(false),
	}
	if task := s.get("missed_task"); task.given() {
		rules.MissedTask = readMissedTask(task.section())
	}
	s.done()
	return rules
}

func readUnknown(s *section) amocrm.Unknown {
	u := amocrm.Unknown{
		Answered: parsed(s.get("answered"), amocrm.FateUnsorted, parseFate),
		Missed:   parsed(s.get("missed"), amocrm.FateUnsorted, parseFate),
		Outbound: parsed(s.get("outbound"), amocrm.FateNone, parseFate),
	}
	s.done()
	return u
}

// taskForResponsible in crm.log.missed_task.to leaves the task to whoever is responsible for the caller.
const taskForResponsible = "responsible"

func readMissedTask(s *section) *amocrm.TaskRule {
	rule := &amocrm.TaskRule{
		To: parsed(s.get("to"), "", func(text string) (string, error) {
			if text == taskForResponsible {
				return "", nil
			}
			if _, err := parseAmoUser(text); err != nil {
				return "", fmt.Errorf("%q: wants %s, or a user's id in the CRM, a number such as \"88888\"", text, taskForResponsible)
			}
			return text, nil
		}),
		Text:   parsed(s.need("text"), "", parseTaskText),
		Within: parsed(s.get("within"), time.Hour, parseTaskTime),
	}
	s.done()
	return rule
}

func parseFate(text string) (amocrm.Fate, error) {
	return namedOf([]amocrm.Fate{amocrm.FateUnsorted, amocrm.FateContact, amocrm.FateLead, amocrm.FateNone})(text)
}

// parseSource takes the name under which the CRM shows the service.
func parseSource(text string) (string, error) {
	if n := len([]rune(text)); strings.TrimSpace(text) == "" || n > maxSource || strings.ContainsAny(text, "\r\n\x00") {
		return "", fmt.Errorf("wants a name of 1 to %d characters, on one line", maxSource)
	}
	return text, nil
}

// parsePipeline takes the id of a pipeline; 0 is the main one.
func parsePipeline(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	n, err := parsePositive(text)
	if err != nil {
		return 0, fmt.Errorf("%q: wants a pipeline's id, a whole number, or 0 for the main one", text)
	}
	return n, nil
}

// parseTaskText takes what a task says. In braces only what a call has.
func parseTaskText(text string) (string, error) {
	if n := len([]rune(text)); strings.TrimSpace(text) == "" || n > maxTaskText {
		return "", fmt.Errorf("wants a text of 1 to %d characters", maxTaskText)
	}
	left := strings.NewReplacer("{phone}", "", "{name}", "", "{line}", "").Replace(text)
	if strings.ContainsAny(left, "{}") {
		return "", errors.New("in braces there may be {phone}, {name} and {line}")
	}
	return text, nil
}

// parseTaskTime takes how long somebody has for a task.
func parseTaskTime(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute || d > 30*24*time.Hour {
		return 0, fmt.Errorf("%q: wants a time from 1m to 720h, such as 1h", text)
	}
	return d, nil
}
