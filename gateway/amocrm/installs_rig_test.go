package amocrm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringcast/gateway"
	"ringcast/gateway/sandbox"
)

const (
	boxHost   = "acme.amocrm.ru"
	boxClient = "6f0b7b5c-1d0e-4d0a-9d8e-0c7f8a3c1a11"
	boxSecret = "box-secret"
	boxNumber = 12345678
	boxHook   = "https://gw.example.com/oauth"
)

// world is a CRM, the internet and a store, in which nodes live. Its time is the bubble's.
type world struct {
	t      *testing.T
	amo    *sandbox.Amo
	net    *network
	store  *watchedStore
	log    *bytes.Buffer
	logger *slog.Logger // of all nodes, to log
	key    []byte
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		amo, err := sandbox.NewAmo(sandbox.AmoConfig{
			Account: boxNumber, Subdomain: "acme", BaseURL: "https://" + boxHost, Logger: slog.New(slog.DiscardHandler),
			ClientID: boxClient, ClientSecret: boxSecret, RedirectURI: boxHook,
			Users: []sandbox.AmoUser{{ID: 88888, Name: "Anna", Admin: true}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{
			t: t, amo: amo, store: newWatchedStore(), log: &bytes.Buffer{}, key: []byte(strings.Repeat("k", 32)),
			net: &network{hosts: map[string]http.Handler{boxHost: amo}},
		}
		w.logger = slog.New(slog.NewTextHandler(w.log, nil))
		test(t, w)
	})
}

// ours is an integration whose accounts appear by installing; acme's own is the same in one account.
func ours() Integration {
	return Integration{ID: "ours", Platform: PlatformAmoCRM, ClientID: boxClient, Secrets: []string{boxSecret}, RedirectURI: boxHook}
}

func acmesOwn() Integration {
	in := ours()
	in.ID, in.Account, in.BaseURLs, in.Domain = "acme", "acme", []string{"https://" + boxHost}, boxHost
	return in
}

// node is one of the nodes of a gateway.
type node struct {
	*Installs

	world   *world
	changes atomic.Int32
	stop    func()
}

// node starts one. It does nothing by itself until it runs.
func (w *world) node(integrations ...Integration) *node {
	w.t.Helper()
	sealer, err := NewSealer(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{world: w}
	n.Installs, err = NewInstalls(InstallsConfig{
		Store: w.store, Sealer: sealer, Integrations: integrations, Taken: func(account string) bool { return account == "taken" },
		Changed: func() { n.changes.Add(1) }, Client: &http.Client{Transport: w.net}, Logger: w.logger,
	})
	if err == nil {
		err = n.Load(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	n.stop = sync.OnceFunc(n.Close)
	w.t.Cleanup(func() { n.stop() })
	return n
}

// runs lets a node follow the store and renew what is due.
func (n *node) runs() *node {
	ctx, cancel := context.WithCancel(n.world.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Run(ctx)
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		n.Close()
	})
	synctest.Wait()
	return n
}

// get calls one of the hooks, and returns when it has answered.
func (n *node) get(serve gateway.HandlerFunc, query url.Values) *httptest.ResponseRecorder {
	res := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "https://gw.example.com/oauth?"+query.Encode(), nil)
	gateway.Handle(slog.New(slog.DiscardHandler), serve).ServeHTTP(res, req)
	return res
}

func (w *world) code() string {
	w.t.Helper()
	code, err := w.amo.Code(boxClient)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

// install does what the CRM's server does when an administrator installs the integration.
func (n *node) install(more ...string) *httptest.ResponseRecorder {
	query := url.Values{"code": {n.world.code()}, "referer": {boxHost}, "from_widget": {"1"}, "client_id": {boxClient}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	res := n.get(n.ServeRedirect, query)
	synctest.Wait()
	return res
}

// connected is a node with an account.
func (w *world) connected(in Integration) *node {
	w.t.Helper()
	n := w.node(in)
	if res := n.install(); res.Code != http.StatusOK {
		w.t.Fatalf("the installation was answered %d %s", res.Code, res.Body)
	}
	n.wantState("acme", StateConnected)
	return n
}

func (n *node) wantState(account string, want State) Installation {
	n.world.t.Helper()
	for _, a := range n.All() {
		if a.Account == account {
			if a.State != want {
				n.world.t.Errorf("%s is %s (%s), want %s", account, a.State, a.Reason, want)
			}
			return a
		}
	}
	if want != "" {
		n.world.t.Errorf("there is no account %s in %+v", account, n.All())
	}
	return Installation{}
}

// wantAccess returns an access that the CRM takes.
func (n *node) wantAccess(account string) Access {
	n.world.t.Helper()
	access, err := n.Access(n.world.t.Context(), account)
	if err != nil {
		n.world.t.Fatalf("no access to %s: %v", account, err)
	}
	if info, err := n.door.account(n.world.t.Context(), access); err != nil || info.ID != boxNumber {
		n.world.t.Errorf("the access %s has is worth nothing: %v", account, err)
	}
	return access
}

// wantNone returns the error of an access that there is not.
func (n *node) wantNone(account string, want error) error {
	n.world.t.Helper()
	_, err := n.Access(n.world.t.Context(), account)
	if err == nil || want != nil && !errors.Is(err, want) {
		n.world.t.Errorf("access to %s: %v, want %v", account, err, want)
	}
	return err
}

// network is the internet: what each host answers, and what it was asked.
type network struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
	asked []string // method, host and path
	at    []time.Time
	down  bool
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked, n.at = append(n.asked, r.Method+" "+r.URL.Host+r.URL.Path), append(n.at, time.Now())
	host, down := n.hosts[r.URL.Host], n.down
	n.mu.Unlock()
	if host == nil || down || r.URL.Scheme != "https" {
		return nil, errors.New("no such host")
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	res := httptest.NewRecorder()
	lost := func() (lost bool) {
		defer func() { lost = recover() != nil }()
		host.ServeHTTP(res, in)
		return false
	}()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if lost {
		return nil, errors.New("connection reset by peer")
	}
	return res.Result(), nil
}

// count says how often something was asked for since the last time.
func (n *network) count(part string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, line := range n.asked {
		if strings.Contains(line, part) {
			count++
		}
	}
	n.asked, n.at = nil, nil
	return count
}

// most is how many requests there were within any second since the last count.
func (n *network) most() (most int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, first := range n.at {
		within := 0
		for _, at := range n.at[i:] {
			if at.Sub(first) < time.Second {
				within++
			}
		}
		most = max(most, within)
	}
	return most
}

func (n *network) set(host string, handler http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = handler
}

// watchedStore is a Store in memory.
type watchedStore struct {
	mu      sync.Mutex
	values  map[string]gateway.Value
	log     []gateway.Value
	rev     uint64
	changed chan struct{}
	broken  error
	gets    int
}

func newWatchedStore() *watchedStore {
	return &watchedStore{values: map[string]gateway.Value{}, changed: make(chan struct{})}
}

func (s *watchedStore) Get(_ context.Context, key string) (gateway.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	v, ok := s.values[key]
	if !ok {
		return v, errors.Join(s.broken, gateway.ErrNotFound)
	}
	return v, s.broken
}

func (s *watchedStore) Put(_ context.Context, key string, data []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return 0, s.broken
	}
	if rev != gateway.AnyRevision && rev != s.values[key].Rev {
		return 0, gateway.ErrConflict
	}
	s.rev++
	s.values[key] = gateway.Value{Key: key, Data: slices.Clone(data), Rev: s.rev}
	s.tell(s.values[key])
	return s.rev, nil
}

func (s *watchedStore) Delete(_ context.Context, key string, rev uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rev != gateway.AnyRevision && rev != s.values[key].Rev {
		return gateway.ErrConflict
	}
	s.rev++
	delete(s.values, key)
	s.tell(gateway.Value{Key: key, Rev: s.rev})
	return nil
}

// reads says how often a value was asked for.
func (s *watchedStore) reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gets
}

// PutFor makes it a gateway.ExpiringStore.
func (s *watchedStore) PutFor(ctx context.Context, key string, data []byte, rev uint64, life time.Duration) (uint64, error) {
	rev, err := s.Put(ctx, key, data, rev)
	if err == nil {
		time.AfterFunc(life, func() { _ = s.Delete(context.WithoutCancel(ctx), key, rev) }) // written again since: that stays
	}
	return rev, err
}

func (s *watchedStore) tell(v gateway.Value) {
	s.log = append(s.log, v)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *watchedStore) List(_ context.Context, prefix string, fn func(gateway.Value) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.values {
		if strings.HasPrefix(key, prefix+".") {
			if err := fn(v); err != nil {
				return err
			}
		}
	}
	return s.broken
}

func (s *watchedStore) Watch(ctx context.Context, prefix string, fn func(gateway.Value) error, synced func()) error {
	synced()
	for next := 0; ; {
		s.mu.Lock()
		news, changed := slices.Clone(s.log[next:]), s.changed
		next = len(s.log)
		s.mu.Unlock()
		for _, v := range news {
			if strings.HasPrefix(v.Key, prefix+".") {
				if err := fn(v); err != nil {
					return err
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// all is everything that was ever written, as text.
func (s *watchedStore) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, v := range s.log {
		text.WriteString(v.Key + " ")
		text.Write(v.Data)
	}
	return text.String()
}

// keys are those that hold something below a prefix.
func (s *watchedStore) keys(prefix string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.values {
		if strings.HasPrefix(key, prefix+".") {
			count++
		}
	}
	return count
}

// passes lets time go by, and what is due happen.
func (w *world) passes(d time.Duration) {
	w.t.Helper()
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// cut takes the internet away, or gives it back.
func (n *network) cut(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}
