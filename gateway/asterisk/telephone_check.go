package asterisk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"ringcast/gateway"
)

var _ gateway.Telephones = (*Link)(nil)

// Telephone asks Asterisk how the extension's telephones are: the one that click-to-call rings, and those of
// Config.Devices. Asterisk tells it of its device states, which no telephone hears of; to find out as Dial does would
// ring it.
func (l *Link) Telephone(ctx context.Context, extension string) (state gateway.TelephoneState, err error) {
	l.mu.Lock()
	c := l.client
	l.mu.Unlock()
	if c == nil {
		return "", errNoLink
	}
	err = inTime(ctx, func(ctx context.Context) error {
		found, err := l.telephone(ctx, c, extension)
		if err == nil {
			state = found
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return state, nil
}

// AskTelephones logs in as a link would and asks for each extension what Link.Telephone asks. err is why it could not,
// or why not of those extensions that are missing in states.
func AskTelephones(ctx context.Context, config Config, extensions []string) (states map[string]gateway.TelephoneState, err error) {
	cfg := config.withDefaults()
	c, err := cfg.dial(ctx)
	if err != nil {
		return nil, cfg.explain(err)
	}
	defer c.close()
	l := &Link{cfg: cfg}
	states = map[string]gateway.TelephoneState{}
	var all []error
	for _, ext := range extensions {
		state, err := l.telephone(ctx, c, ext)
		switch {
		case err == nil:
			states[ext] = state
		case gateway.CodeOf(err) == gateway.CodeBadNumber:
			all = append(all, err)
		default: // it is so for the others, too
			return states, err
		}
	}
	return states, errors.Join(all...)
}

func (l *Link) telephone(ctx context.Context, c *client, extension string) (state gateway.TelephoneState, err error) {
	if !plainWord(extension) {
		return "", gateway.Errorf(gateway.CodeBadNumber, "%q is not an extension that can ring", extension)
	}
	for _, endpoint := range l.cfg.endpoints(extension) {
		one, err := l.device(ctx, c, l.cfg.Technology+"/"+endpoint)
		if err != nil {
			return "", err
		}
		state = state.Or(one)
	}
	return state, nil
}

// endpoints are an extension's telephones, as far as their names can be asked about.
func (cfg *Config) endpoints(extension string) []string {
	all := []string{extension}
	for _, endpoint := range slices.Sorted(maps.Keys(cfg.Devices)) {
		if cfg.Devices[endpoint] == extension && endpoint != extension && plainWord(endpoint) {
			all = append(all, endpoint)
		}
	}
	return all
}

// device asks for the state of a telephone, "PJSIP/101".
func (l *Link) device(ctx context.Context, c *client, name string) (gateway.TelephoneState, error) {
	m, err := c.do(ctx, newAction("Getvar", field{"Variable", "DEVICE_STATE(" + name + ")"}))
	if err != nil {
		return "", l.refusal(err)
	}
	switch value := m.get("Value"); value {
	case "INVALID":
		return gateway.TelephoneUnknown, nil
	case "UNAVAILABLE":
		return gateway.TelephoneUnregistered, nil
	case "NOT_INUSE", "INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD":
		return gateway.TelephoneOK, nil
	case "":
		return "", gateway.Errorf(gateway.CodeNotPermitted, "the PBX does not tell how %s is: Asterisk has not loaded func_devstate.so", name)
	default: // UNKNOWN: its kind of telephone does not say
		return "", &gateway.Error{Code: gateway.CodeNotPermitted, Message: "the PBX cannot tell how " + name + " is",
			Err: fmt.Errorf("device state %.32q", value)}
	}
}
