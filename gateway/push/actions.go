package push

import (
	"context"
	"net/http"
	"runtime/debug"

	"ringcast/gateway"
)

// serveAction carries out a command for clients that have no socket.
func (s *Server) serveAction(w http.ResponseWriter, r *http.Request) error {
	var in inbound
	if err := readJSON(w, r, maxBody, &in); err != nil {
		return err
	}
	if err := checkClient(in.Client); err != nil {
		return err
	}
	who, _, err := s.authorize(in.Token)
	if err != nil {
		return err
	}
	switch {
	case s.hub.draining():
		return errDraining()
	case in.Action == "renew":
		return gateway.Errorf(gateway.CodeInvalid, "there is no session to renew: send the new token with the next request")
	case in.Client == "": // its claims are its own, then, and end with its lease
		in.Client = in.ID
	}
	s.hub.lease(clientKey{userKey{who.account, who.user}, in.Client}, s.limits.PollWait+s.limits.PollLease)
	reply, err := s.command(who, in.Client, &in)
	if err != nil {
		return err
	}
	body, err := encodeReply(reply)
	if err != nil {
		return err
	}
	writeJSON(w, body)
	return nil
}

// command hands a command to the gateway. Its error is a refusal of ours, before the gateway was asked. It
// does not end with the request or session that brought it: half a dial would help nobody.
func (s *Server) command(who identity, client string, in *inbound) (reply gateway.Reply, err error) {
	cmd := in.command(who, client)
	if err := cmd.Check(); err != nil {
		return gateway.Reply{}, err
	}
	if _, err := s.lookUp(who.account, who.user); err != nil {
		return gateway.Reply{}, err
	}
	key := userKey{who.account, who.user}
	if err := s.hub.beginCommand(key); err != nil {
		return gateway.Reply{}, err
	}
	defer s.hub.endCommand(key)
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic in a command", "account", who.account, "user", who.user, "command", in.ID, "action", in.Action,
				"call", in.Call, "panic", v, "stack", string(debug.Stack()))
			err = gateway.Errorf(gateway.CodeInternal, "panic: %v", v)
		}
	}()

	ctx, cancel := context.WithTimeout(s.ctx, commandTime)
	defer cancel()
	reply = s.gateway.Command(ctx, cmd)
	reply.ID = in.ID
	code := gateway.Code("")
	if reply.Error != nil {
		code = reply.Error.Code
	}
	s.metrics.CommandDone(code)
	return reply, nil
}

// refusal is a command's reply that says why not.
func refusal(id string, err error) gateway.Reply {
	e := gateway.Shown(err)
	return gateway.Reply{ID: id, Error: &gateway.ReplyError{Code: e.Code, Message: e.Message}}
}
