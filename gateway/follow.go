package gateway

import (
	"context"
	"encoding/base32"
	"log/slog"
	"strings"
	"time"
)

// rewatch is how long a watch that failed rests before it begins again.
const rewatch = time.Second

// follow watches what store holds below prefix, until ctx ends: take is called for all that is there, then synced, then
// take for every change (a deletion has nil Data). When the store fails it begins anew; begin returns take and synced
// for each time.
func follow(ctx context.Context, store Store, prefix string, logger *slog.Logger, begin func() (take func(Value), synced func())) {
	for {
		take, synced := begin()
		err := store.Watch(ctx, prefix, func(v Value) error {
			take(v)
			return nil
		}, synced)
		if ctx.Err() != nil {
			return
		}
		logger.Warn("watch the store again", "prefix", prefix, "err", err)
		rest := time.NewTimer(rewatch)
		select {
		case <-rest.C:
		case <-ctx.Done():
			rest.Stop()
			return
		}
	}
}

// keyText writes any id with what a key of a store may hold, half as long again.
var keyText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// in is the key of a user below prefix.
func (k userKey) in(prefix string) string {
	return accountKey(prefix, k.account) + "." + keyText.EncodeToString([]byte(k.user))
}

// userBelow reads what userKey.in wrote.
func userBelow(prefix, key string) (userKey, bool) {
	rest, ok := strings.CutPrefix(key, prefix+".")
	account, user, two := strings.Cut(rest, ".")
	accountID, errAccount := keyText.DecodeString(account)
	userID, errUser := keyText.DecodeString(user)
	return userKey{string(accountID), string(userID)}, ok && two && errAccount == nil && errUser == nil
}

// accountKey is the key of an account itself, below prefix.
func accountKey(prefix, account string) string {
	return prefix + "." + keyText.EncodeToString([]byte(account))
}

// accountAt reads what accountKey wrote.
func accountAt(prefix, key string) (account string, ok bool) {
	rest, ok := strings.CutPrefix(key, prefix+".")
	id, err := keyText.DecodeString(rest)
	return string(id), ok && err == nil
}
