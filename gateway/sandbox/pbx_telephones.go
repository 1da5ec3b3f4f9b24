package sandbox

import (
	"context"

	"ringcast/gateway"
)

var _ gateway.Telephones = (*PBX)(nil)

// Telephone says whether there is such a telephone, and whether it is registered.
func (p *PBX) Telephone(ctx context.Context, extension string) (gateway.TelephoneState, error) {
	if ctx.Err() != nil {
		return "", gateway.Errorf(gateway.CodeTimeout, "the request ended before the PBX took it: %w", ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.link.needed(); err != nil {
		return "", err
	}
	switch ph := p.phone(extension); {
	case ph == nil:
		return gateway.TelephoneUnknown, nil
	case ph.unregistered:
		return gateway.TelephoneUnregistered, nil
	default:
		return gateway.TelephoneOK, nil
	}
}
