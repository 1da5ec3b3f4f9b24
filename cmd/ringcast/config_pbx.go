package main

// PBXConfig is one telephone system of an account. The field that is set says which kind it is.
type PBXConfig struct {
	ID       string
	Webhook  *WebhookConfig
	Asterisk *AsteriskConfig
	Phonet   *PhonetConfig
}

func readPBX(s *section) PBXConfig {
	p := PBXConfig{ID: parsed(s.need("id"), "", parseName)}
	switch kindOf(s, []string{"webhook", "asterisk", "phonet"}, nil) {
	case "webhook":
		p.Webhook = readWebhook(s)
	case "asterisk":
		p.Asterisk = readAsterisk(s)
	case "phonet":
		p.Phonet = readPhonet(s)
	default:
		return p // the keys of an unknown kind are not known
	}
	s.done()
	return p
}
