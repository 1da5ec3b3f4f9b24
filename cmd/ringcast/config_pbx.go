package main

// PBXConfig is one telephone system of an account. The field that is set says which kind it is.
type PBXConfig struct {
	ID       string
	Webhook  *WebhookConfig
	Asterisk *AsteriskConfig
}

// WebhookConfig is a PBX that posts its events.
type WebhookConfig struct {
	Key Secret // its bearer key
}

func readPBX(s *section) PBXConfig {
	p := PBXConfig{ID: parsed(s.need("id"), "", parseName)}
	switch kindOf(s, []string{"webhook", "asterisk"}, []string{"phonet"}) {
	case "webhook":
		p.Webhook = readWebhook(s)
	case "asterisk":
		p.Asterisk = readAsterisk(s)
	default:
		return p // the keys of an unknown kind are not known
	}
	s.done()
	return p
}

func readWebhook(s *section) *WebhookConfig {
	c := &WebhookConfig{Key: s.need("key").secret(0)}
	s.get("key").warnIfShort(c.Key)
	return c
}
