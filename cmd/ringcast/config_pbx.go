package main

// PBXConfig is one telephone system of an account. The field that is set says which kind it is.
type PBXConfig struct {
	ID       string
	Webhook  *WebhookConfig
	Asterisk *AsteriskConfig
	Phonet   *PhonetConfig

	Recordings *PBXRecordings // nil: they are not handed out here
}

// readPBX reads a PBX of an account in a region.
func readPBX(s *section, region string) PBXConfig {
	p := PBXConfig{ID: parsed(s.need("id"), "", parseName)}
	switch kindOf(s, []string{"webhook", "asterisk", "phonet"}, nil) {
	case "webhook":
		p.Webhook, p.Recordings = readWebhook(s), readPBXRecordings(s.get("recordings"), "")
	case "asterisk":
		p.Asterisk = readAsterisk(s, region)
		if v := s.get("recordings"); v.isSection() {
			p.Recordings = readPBXRecordings(v, p.Asterisk.RecordingsDir)
		}
	case "phonet":
		p.Phonet, p.Recordings = readPhonet(s, region), readPBXRecordings(s.get("recordings"), "")
	default:
		return p // the keys of an unknown kind are not known
	}
	s.done()
	return p
}
