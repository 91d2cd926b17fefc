// Package chaos keeps tens of tasks running through a real Nomad agent while it breaks things at
// random, and checks that nothing is lost, invented or left behind: over Podman, and over the
// stand-in for Apple's CLI.
//
// $NDC_E2E_RUNTIMES lists the runtimes, as for the package e2e. CHAOS_SECONDS is how long faults are
// made, CHAOS_FAULTS how many at most, CHAOS_TASKS how many tasks run at a time, CHAOS_PAUSE_MS the
// longest pause between two small faults; CHAOS_SEED replays the same sequence of faults and tasks.
package chaos

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

func TestMain(m *testing.M) {
	if slices.Contains(nomadkit.RuntimeKinds(), nomadkit.PodmanKind) {
		nomadkit.Main(m)
	}
	nomadkit.StandinMain(m, func(m *testing.M) int { return m.Run() })
}

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
