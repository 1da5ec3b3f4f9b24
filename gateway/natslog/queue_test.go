package natslog

import (
	"testing"

	"ringcast/gateway"
)

func TestQueuesAreApartAndNamed(t *testing.T) {
	t.Parallel()
	db := open(t, Config{Dir: t.TempDir(), Durability: Fast})
	defer closeDB(t, db)
	for _, name := range []string{"", "a.b", "a b", "*", "a/b", "ü"} {
		if _, err := db.Queue(t.Context(), name); err == nil {
			t.Errorf("a queue may be called %q", name)
		}
	}
	for _, name := range []string{"crm", "mail"} {
		q, err := db.Queue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Add(t.Context(), gateway.Item{Lane: "l", ID: "a", Data: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	q, err := db.Queue(t.Context(), "crm")
	if err != nil {
		t.Fatal(err)
	}
	if item, err := q.Next(t.Context(), "l", 0); err != nil || string(item.Data) != "crm" {
		t.Errorf("got an item of queue %s, %v", item.Data, err)
	}
}
