package push

// signals is the transport of a rung that runs on its request's goroutine.
type signals struct {
	ready chan struct{}
	ended chan closeCode
}

func newSignals() signals {
	return signals{ready: make(chan struct{}, 1), ended: make(chan closeCode, 1)}
}

func (s signals) wake() {
	select {
	case s.ready <- struct{}{}:
	default: // it knows
	}
}

func (s signals) close(code closeCode) { s.ended <- code }
