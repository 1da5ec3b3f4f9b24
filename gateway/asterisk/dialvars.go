package asterisk

import (
	"strings"

	"ringcast/gateway"
)

// AutoAnswer is a way to ask a telephone to pick up by itself.
type AutoAnswer string

// The ways; which one a telephone obeys its maker says, and often its settings too.
const (
	NoAutoAnswer AutoAnswer = "none"
	ByCallInfo   AutoAnswer = "call-info"  // Call-Info: answer-after=0
	ByAlertInfo  AutoAnswer = "alert-info" // Alert-Info: info=alert-autoanswer
)

// header returns the header of the INVITE that asks for it.
func (a AutoAnswer) header() (name, value string) {
	switch a {
	case ByCallInfo:
		return "Call-Info", "<sip:ringcast>;answer-after=0"
	case ByAlertInfo:
		return "Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"
	default:
		return "", ""
	}
}

// dialVariables returns what is set on the channel to the caller's own telephone, each NAME=VALUE.
//
// Its display is to show the number that is called, which is the connected line of that channel. The channel's caller
// id stays what the PBX has for the telephone, as if it had dialled itself, unless the caller has a number of his own:
// a dial plan that leaves it alone passes it on. Those that put the company's number in its place have to be told:
// FreePBX by TRUNKCIDOVERRIDE (and whose telephone it is by REALCALLERIDNUM), one's own by RINGCAST_CALLERID. A short
// number may be a colleague's who is no user, and he is not to see the caller's public number: it is only told so.
func (cfg *Config) dialVariables(number string, req gateway.DialRequest) []string {
	shown := cfg.Numbers.Dialled(number)
	vars := []string{
		"CONNECTEDLINE(name,i)=" + shown,
		"CONNECTEDLINE(num,i)=" + shown,
		"__REALCALLERIDNUM=" + req.Extension,
	}
	if caller := cfg.callerID(req.CallerID); caller != "" && !cfg.IsExtension(number) {
		if !isShort(number) {
			vars = append(vars, "CALLERID(num)="+caller)
		}
		vars = append(vars, "__TRUNKCIDOVERRIDE="+caller, "__RINGCAST_CALLERID="+caller)
	}
	if name, value := cfg.AutoAnswer.header(); name != "" && strings.EqualFold(cfg.Technology, "SIP") {
		vars = append(vars, "SIPADDHEADER01="+name+": "+value)
	} else if name != "" {
		vars = append(vars, "PJSIP_HEADER(add,"+name+")="+value)
	}
	return append(vars, cfg.Variables...)
}

// callerID writes a user's number as the PBX wants numbers, "" for what is none.
func (cfg *Config) callerID(number string) string {
	n := gateway.Number{Raw: number}
	if strings.HasPrefix(number, "+") {
		n.E164 = "+" + gateway.Digits(number)
	}
	caller, err := gateway.DialRules{Format: cfg.Numbers.Format, Region: cfg.Numbers.Region}.Dial(n)
	if err != nil {
		return ""
	}
	return caller
}
