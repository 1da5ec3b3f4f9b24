package push

// Notices are frames that are not answered: that a card is on a screen, that a page is looked at. They come as
// a frame, by POST /v1/actions, or with a script poll.

// notice takes in, if it is one, from a client on a rung.
func (s *Server) notice(who identity, client, rung string, in *inbound) bool {
	switch in.Action {
	case "shown":
		s.gateway.Shown(who.account, who.user, in.Call, rung)
	case "visible":
		s.looks(clientKey{userKey{who.account, who.user}, client}, in.Visible)
	default:
		return false
	}
	return true
}

// looks notes that a client's page is looked at, or not any more.
func (s *Server) looks(client clientKey, visible bool) { s.hub.looks(client, visible) }

// attend begins what a session gets beside its calls, on any rung: its hello is queued, and session.say
// queues more. A session that polls (not session.stream) ends with its answer.
func (s *Server) attend(session *session) {
	s.hub.arrive(session)
	if session.presence != nil {
		s.boards.join(session)
	}
}

// leaves undoes attend. The session is closed and no longer in the hub.
func (s *Server) leaves(session *session) {
	if session.presence != nil {
		s.boards.leave(session)
	}
}
