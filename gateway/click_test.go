package gateway

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// withClicker plays a test with Anna, who has two telephones and a number of her own.
func withClicker(t *testing.T, test func(t *testing.T, b *bundle, pbx *fakePBX)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pbx := &fakePBX{state: "connected"}
		users := NewAccounts(Account{ID: "acme", Region: "RU", Users: []User{
			{ID: "u1", Name: "Anna", Extensions: []string{"101", "151"}, CallerID: "+74951234501"},
			{ID: "u2", Name: "Boris", Extensions: []string{"102"}},
		}})
		b := beginConfig(t, Config{Log: newMemLog(), Store: &memStore{}, Directory: users}, func(g *Gateway) { g.Attach("acme", "office", pbx) })
		defer b.stop()
		test(t, b, pbx)
	})
}

func dial(id, to string) Command { return Command{ID: id, Action: "call", To: to} }

func TestDialIsFromTheFirstExtensionUnlessAnotherIsNamed(t *testing.T) {
	withClicker(t, func(t *testing.T, b *bundle, pbx *fakePBX) {
		for from, want := range map[string]string{"": "101", "151": "151"} {
			cmd := dial("k"+from, "+79991112233")
			cmd.From = from
			wantCode(t, b.do("u1", cmd), "")
			if got := pbx.dialed[len(pbx.dialed)-1]; got.Extension != want || got.CallerID != "+74951234501" {
				t.Errorf("from %q: dialed %+v", from, got)
			}
		}
		stolen := dial("stolen", "+79991112233")
		stolen.From = "102"
		r := b.do("u1", stolen)
		if wantCode(t, r, CodeNotPermitted); r.Error.Message != `"102" is none of your extensions: 101, 151` || len(pbx.dialed) != 2 {
			t.Errorf("%+v, dialed %+v", r.Error, pbx.dialed)
		}
	})
}

func TestExtensionOfTheDirectoryIsDialledAsItIsWritten(t *testing.T) {
	t.Parallel()
	g := &Gateway{cfg: Config{Directory: NewAccounts(Account{ID: "acme", Region: "RU", Users: []User{
		{ID: "u1", Extensions: []string{"10-1", "1.01", "5", "*97"}},
		{ID: "u2", Extensions: []string{"101"}},
		{ID: "u3", Extensions: []string{"+7 999 111-22-33"}},
	}})}}
	for text, want := range map[string]Number{
		"10-1": {Raw: "10-1"}, "1.01": {Raw: "1.01"}, "5": {Raw: "5"}, "*97": {Raw: "*97"}, "101": {Raw: "101"},
		"10-2": {Raw: "102"}, // nobody's
	} {
		if got, err := g.dialable("acme", text); err != nil || got != want {
			t.Errorf("%q is %+v, %v; want %+v", text, got, err, want)
		}
	}
	if got, err := g.dialable("acme", "+7 999 111-22-33"); err != nil || got.E164 != "+79991112233" {
		t.Errorf("a public number that is an extension is %+v, %v", got, err)
	}
}

func TestDoubleClickIsOneCall(t *testing.T) {
	withClicker(t, func(t *testing.T, b *bundle, pbx *fakePBX) {
		pbx.hold = make(chan struct{})
		var wg sync.WaitGroup
		replies := make([]Reply, 3)
		for i, to := range []string{"+79991112233", "8 (999) 111-22-33", "89991112233"} { // as two widgets write it
			wg.Go(func() { replies[i] = b.do("u1", dial(string(rune('a'+i)), to)) })
		}
		synctest.Wait()
		close(pbx.hold)
		wg.Wait()
		for _, r := range append(replies, b.do("u1", dial("late", "+79991112233"))) {
			if !r.OK || r.Call != "office:rc-"+pbx.dialed[0].Key {
				t.Errorf("reply %+v %+v", r, r.Error)
			}
		}
		if len(pbx.dialed) != 1 {
			t.Errorf("dialed %d times", len(pbx.dialed))
		}
		wantCode(t, b.do("u1", dial("other", "+79991112244")), "")
		wantCode(t, b.do("u2", dial("boris", "+79991112233")), "")
		phone := dial("phone", "+79991112233")
		phone.From = "151"
		wantCode(t, b.do("u1", phone), "")
		if len(pbx.dialed) != 4 {
			t.Errorf("dialed %d times: another number, another user and another telephone are other calls", len(pbx.dialed))
		}
	})
}

func TestSecondClickDialsAnewWhenTheFirstIsSettled(t *testing.T) {
	for name, settle := range map[string]func(b *bundle, call string){
		"answered": func(b *bundle, call string) { b.emit(call+": dial 101 dir=outbound", call+": bridge 101") },
		"over":     func(b *bundle, call string) { b.emit(call+": dial 101 dir=outbound", call+": hangup") },
		"old":      func(*bundle, string) { time.Sleep(doubleClick) },
	} {
		t.Run(name, func(t *testing.T) {
			withClicker(t, func(t *testing.T, b *bundle, pbx *fakePBX) {
				wantCode(t, b.do("u1", dial("k1", "+79991112233")), "")
				call := "rc-" + pbx.dialed[0].Key
				b.emit("c9: dial 101") // another call is no reason
				synctest.Wait()
				wantCode(t, b.do("u1", dial("k2", "+79991112233")), "")
				if len(pbx.dialed) != 1 {
					t.Fatalf("dialed %d times before", len(pbx.dialed))
				}
				settle(b, call)
				synctest.Wait()
				wantCode(t, b.do("u1", dial("k3", "+79991112233")), "")
				if len(pbx.dialed) != 2 {
					t.Errorf("dialed %d times", len(pbx.dialed))
				}
			})
		})
	}
}

func TestClickAfterOneThatFailedDials(t *testing.T) {
	withClicker(t, func(t *testing.T, b *bundle, pbx *fakePBX) {
		pbx.err = Errorf(CodeBusy, "telephone 101 is engaged")
		wantCode(t, b.do("u1", dial("k1", "+79991112233")), CodeBusy)
		pbx.err = nil
		wantCode(t, b.do("u1", dial("k2", "+79991112233")), "")
	})
}
