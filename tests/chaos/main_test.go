// Package chaos keeps tens of tasks running through a real Nomad agent while it breaks things at
// random, and checks that nothing is lost, invented or left behind.
//
// CHAOS_SECONDS is how long faults are made, CHAOS_FAULTS how many at most, CHAOS_TASKS how many
// tasks run at a time; CHAOS_SEED replays the same sequence of faults and tasks.
package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

func TestMain(m *testing.M) { nomadkit.Main(m) }

// setting reads a whole number from the environment.
func setting(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is no whole number", name, text)
	}
	return value
}

func seed(t *testing.T) int64 { return setting(t, "CHAOS_SEED", time.Now().UnixNano()%1_000_000) }
