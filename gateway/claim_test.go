package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

func claimOf(id, client string) Command {
	return Command{ID: id, Client: client, Action: "claim", Call: "office:c1", What: ClaimResult}
}

func TestEachThingToClaimIsAClaimOfItsOwn(t *testing.T) {
	inFleet(t, 1, 1, func(t *testing.T, f *fleet) {
		owner, _ := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		for i, what := range []string{ClaimNotify, ClaimNotifyEnd, ClaimResult, ClaimAlert, ClaimOpen} {
			first, second := claimOf("a"+what, "tab1"), claimOf("b"+what, "tab2")
			first.What, second.What = what, what
			if i%2 == 1 {
				first.Client, second.Client = second.Client, first.Client
			}
			wantCode(t, owner.do("u1", first), "")
			wantCode(t, owner.do("u1", second), CodeTaken)
		}
	})
}

func TestClaimIsKnownToTheNextOwner(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		other.emit("dial 101")
		synctest.Wait()
		other.ClientHere("acme", "u1", "tab1")
		other.ClientHere("acme", "u1", "tab2")
		wantCode(t, other.do("u1", claimOf("1", "tab1")), "")
		owner.kill()
		other.send("bridge 101")
		wantCode(t, other.do("u1", claimOf("2", "tab2")), CodeTaken)
		wantCode(t, other.do("u1", claimOf("3", "tab1")), "")
		time.Sleep(time.Minute)
		wantCode(t, other.do("u1", claimOf("4", "tab2")), CodeTaken)
		other.ClientGone("acme", "u1", "tab1")
		time.Sleep(claimGrace)
		wantCode(t, other.do("u1", claimOf("5", "tab2")), "")
		wantCode(t, other.do("u1", claimOf("6", "tab1")), CodeTaken)
	})
}

func TestClaimIsKeptForAClientThatIsOnAnyNode(t *testing.T) {
	inFleet(t, 1, 3, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		owner.ClientHere("acme", "u1", "tab1")
		wantCode(t, owner.do("u1", claimOf("1", "tab1")), "")
		owner.ClientGone("acme", "u1", "tab1")
		other.ClientHere("acme", "u1", "tab1") // it resumes on another node
		time.Sleep(time.Minute)
		wantCode(t, owner.do("u1", claimOf("2", "tab2")), CodeTaken)
		other.ClientGone("acme", "u1", "tab1")
		time.Sleep(claimGrace - time.Second)
		wantCode(t, owner.do("u1", claimOf("3", "tab2")), CodeTaken)
		time.Sleep(time.Second)
		wantCode(t, owner.do("u1", claimOf("4", "tab2")), "")
	})
}

func TestClaimOfAClientWhoseNodeWasKilledComesFree(t *testing.T) {
	inFleet(t, 1, 3, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		other.ClientHere("acme", "u1", "tab1")
		wantCode(t, other.do("u1", claimOf("1", "tab1")), "")
		time.Sleep(time.Minute)
		other.kill()
		wantCode(t, owner.do("u1", claimOf("2", "tab2")), CodeTaken)
		time.Sleep(claimGrace)
		wantCode(t, owner.do("u1", claimOf("3", "tab2")), "")
	})
}

func TestClaimCarriedOutIsTakenOnEveryNode(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, other := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		cmd := claimOf("1", "tab1")
		cmd.Done = true
		wantCode(t, other.do("u1", cmd), "")
		time.Sleep(time.Minute)
		wantCode(t, owner.do("u1", claimOf("2", "tab2")), CodeTaken)
		owner.kill()
		other.send("bridge 101")
		wantCode(t, other.do("u1", claimOf("3", "tab2")), CodeTaken)
	})
}

func TestClaimThatTheLogDidNotTakeIsNotHeld(t *testing.T) {
	inFleet(t, 1, 2, func(t *testing.T, f *fleet) {
		owner, _ := f.owner()
		owner.emit("dial 101")
		synctest.Wait()
		f.log.mu.Lock()
		f.log.onAppend = func(Entry) error { return ErrLogFull }
		f.log.mu.Unlock()
		wantCode(t, owner.do("u1", claimOf("1", "tab1")), CodeUnavailable)
		f.log.mu.Lock()
		f.log.onAppend = nil
		f.log.mu.Unlock()
		wantCode(t, owner.do("u1", claimOf("2", "tab2")), "")
	})
}
