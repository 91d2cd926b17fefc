package nomadkit

import (
	"testing"
	"time"
)

// Patience is how many times longer a busy machine may take: the limits of the tests are meant for one
// that has nothing else to do.
const Patience = 4

// Eventually calls `check` until it returns nil, for at most `limit` with Patience; then the test fails
// with the last error. For conditions that nothing announces.
func Eventually(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	limit *= Patience
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Receive takes the next value of a channel, within `limit` with Patience.
func Receive[T any](t testing.TB, ch <-chan T, limit time.Duration, what string) T {
	t.Helper()
	limit *= Patience
	select {
	case value, ok := <-ch:
		if !ok {
			t.Fatalf("%s: the channel was closed", what)
		}
		return value
	case <-time.After(limit):
		t.Fatalf("%s: nothing within %s", what, limit)
	}
	panic("unreachable")
}
