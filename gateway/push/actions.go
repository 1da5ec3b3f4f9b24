package push

import (
	"cmp"
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
	if err := s.frames.take(userKey{who.account, who.user}); err != nil {
		return err
	}
	switch {
	case s.hub.draining():
		return errDraining()
	case in.Client == "": // its claims are its own, then, and end with its lease
		in.Client = in.ID
	}
	reply, err := s.act(who, &in)
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

// act carries out what came without a session.
func (s *Server) act(who identity, in *inbound) (gateway.Reply, error) {
	key := clientKey{userKey{who.account, who.user}, in.Client}
	if in.Action == "renew" {
		return s.renewStreams(who, key, in.ID), nil
	}
	if err := s.lease(key, s.limits.PollWait+s.limits.PollLease); err != nil {
		return gateway.Reply{}, err
	}
	if s.notice(who, in.Client, cmp.Or(s.hub.rung(key), rungPoll), in) {
		return gateway.Reply{OK: true}, nil
	}
	return s.slowCommand(who, in.Client, in)
}

// slowCommand is command for what came over HTTP; the frames of a socket are counted there.
func (s *Server) slowCommand(who identity, client string, in *inbound) (gateway.Reply, error) {
	if err := s.commands.take(userKey{who.account, who.user}); err != nil {
		s.metrics.Command(gateway.CodeTooMany)
		return gateway.Reply{}, err
	}
	return s.command(who, client, in)
}

// renewStreams lets the event streams of a client on this node live as long as its new token. There is nothing
// to renew of a client that polls.
func (s *Server) renewStreams(who identity, key clientKey, id string) gateway.Reply {
	streams := s.hub.on(rungSSE, key)
	if len(streams) == 0 {
		return refusal(id, gateway.Errorf(gateway.CodeNotFound, "this client has no event stream on this node: open a new one"))
	}
	for _, session := range streams {
		session.extend(who)
	}
	return gateway.Reply{ID: id, OK: true}
}

// command hands a command to the gateway. Its error is a refusal of ours, before the gateway was asked. It
// does not end with the request or session that brought it: half a dial would help nobody.
func (s *Server) command(who identity, client string, in *inbound) (reply gateway.Reply, err error) {
	defer func() {
		code := gateway.CodeOf(err)
		if reply.Error != nil {
			code = reply.Error.Code
		}
		s.metrics.Command(code)
	}()
	cmd := in.command(who, client)
	if err := cmd.Check(); err != nil {
		return gateway.Reply{}, err
	}
	if _, err := s.lookUp(who); err != nil {
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
	return reply, nil
}

// refusal is a command's reply that says why not.
func refusal(id string, err error) gateway.Reply {
	e := gateway.Shown(err)
	return gateway.Reply{ID: id, Error: &gateway.ReplyError{Code: e.Code, Message: e.Message}}
}
