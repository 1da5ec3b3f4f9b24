package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFiguresOfRoute asks where calls go while the CRM hangs. How long that may take is measured beside questions on a line
// that is off, which cost a request and nothing else.
func TestFiguresOfRoute(t *testing.T) {
	t.Parallel()
	p, box := routedBox(t)
	timed := func(query, want string) time.Duration {
		began := time.Now()
		got, err := p.try(http.MethodGet, p.web+"/v1/accounts/office/route?format=text&"+query, strings.NewReader(""), "Authorization", "Bearer "+acmePBXKey)
		took := time.Since(began)
		if err != nil || got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %d %q, %v, want %q", query, got.status, got.body, err, want)
		}
		return took
	}
	const off, known = "phone=79005550111&line=%2B74957654321", "phone=79005550111"
	timed(known, "102")
	defer box.Hang("/api/")()

	p99 := func(all []time.Duration) time.Duration {
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	round := func(n int) (slow string) {
		bare, cached := make([]time.Duration, 100), make([]time.Duration, 100)
		for i := range bare {
			bare[i], cached[i] = timed(off, ""), timed(known, "102")
		}
		hung, beside := make([]time.Duration, 30), make([]time.Duration, 30)
		var asking sync.WaitGroup
		for i := range hung {
			asking.Go(func() { hung[i] = timed(fmt.Sprint("phone=79005556", 100*n+10+i), "600") })
			asking.Go(func() { beside[i] = timed(off, "") })
		}
		asking.Wait()
		if is, most := p99(cached), max(5*time.Millisecond, 4*p99(bare)); is > most {
			slow += fmt.Sprintf("from memory an answer takes %v, want at most %v; ", is, most)
		}
		if is, most := slices.Max(hung), 500*time.Millisecond+4*slices.Max(beside); is > most {
			slow += fmt.Sprintf("while the CRM hangs an answer takes %v, want at most %v; ", is, most)
		}
		t.Logf("p99: %v bare, %v from memory; %v at most while the CRM hangs, %v beside", p99(bare), p99(cached), slices.Max(hung), slices.Max(beside))
		return slow
	}
	var slow string
	for n := range 3 { // a busy machine stands still now and then, and not in each of them
		if slow = round(n + 1); slow == "" {
			return
		}
	}
	t.Error(slow)
}
