package chaos

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"time"
)

// The clock of the plugin and of the programs in C that it starts jumps; nobody else's on this host
// does. libfaketime changes the wall clock alone, as an operator who sets the clock does.
const (
	fakeClock = "/usr/lib/*/faketime/libfaketimeMT.so.1"
	trueTime  = "+0"
)

func (w *world) clock() string { return filepath.Join(w.agent.Dir, "clock") }

// prepareClock makes the agent start its plugin with a clock that can jump.
func (w *world) prepareClock() error {
	found, _ := filepath.Glob(fakeClock)
	if len(found) == 0 {
		fmt.Println("chaos: no libfaketime here (scripts/setup installs it): the clock does not jump")
		return nil
	}
	w.agent.Env = []string{"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + w.clock(), "FAKETIME_NO_CACHE=1",
		"FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"}
	w.clockJumps = true
	return w.setClock(trueTime)
}

func (w *world) setClock(offset string) error {
	if err := os.WriteFile(w.clock()+".new", []byte(offset+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(w.clock()+".new", w.clock())
}

// jumpClock sets the clock by up to two days, forward or back, and right again after a while.
func jumpClock(m *making, rng *rand.Rand) error {
	seconds := rng.Intn(4*24*3600) - 2*24*3600
	if !m.clockJumps {
		return errNothing
	}
	if err := m.setClock(fmt.Sprintf("%+d", seconds)); err != nil {
		return err
	}
	time.Sleep(atMost(rng, 5*time.Second))
	return m.setClock(trueTime)
}
