package chaos

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nomad-driver-container/tests/nomadkit"
)

// errNothing says that there was nothing to break.
var errNothing = errors.New("nothing to break")

// fault breaks one thing, and mends it again where it does not mend by itself.
type fault struct {
	name   string
	weight int // how often, relative to the others
	do     func(m *making, rng *rand.Rand) error
}

// small are the faults that concern one task, whatever runs it.
var small = []fault{
	{"log collector killed", 1, killCollector},
}

// large are those that concern all tasks.
var large = []fault{
	{"plugin killed", 6, killPlugin},
	{"state directory full", 3, fillDisk},
	{"descriptors exhausted", 3, exhaustDescriptors},
	{"clock set wrong", 3, jumpClock},
	{"agent killed", 1, restartAgent(true, false)},
	{"agent restarted", 1, restartAgent(false, false)},
	{"log collectors and agent killed", 1, restartAgent(true, true)},
}

func pick(faults []fault, rng *rand.Rand) fault {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	n := rng.Intn(total)
	for _, f := range faults {
		if n < f.weight {
			return f
		}
		n -= f.weight
	}
	panic("unreachable")
}

// attempt is a fault after a pause. The fault may find nothing to break.
type attempt struct {
	pause time.Duration
	fault fault
	rng   *rand.Rand // what else the fault draws
}

// nextAttempt draws once, so that what is tried is the seed's: how often a fault draws depends on
// what it finds on the machine.
func nextAttempt(master *rand.Rand, faults []fault, longest time.Duration) attempt {
	rng := rand.New(rand.NewSource(master.Int63()))
	return attempt{pause: atMost(rng, longest), fault: pick(faults, rng), rng: rng}
}

// atMost is a random part of `limit`, for which a fault lasts.
func atMost(rng *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(rng.Int63n(int64(limit)))
}

// kill kills a process that may have gone by itself.
func kill(pid int) error { return ignoreGone(syscall.Kill(pid, syscall.SIGKILL)) }

// hit is kill for a fault, which has to be one.
func hit(pid int) error { return nothingIfGone(syscall.Kill(pid, syscall.SIGKILL)) }

func ignoreGone(err error) error {
	if err == unix.ESRCH {
		return nil
	}
	return err
}

func nothingIfGone(err error) error {
	if err == unix.ESRCH {
		return errNothing
	}
	return err
}

func killPlugin(m *making, _ *rand.Rand) error {
	pid := m.plugin()
	if pid == 0 {
		return errNothing // the agent has not started its successor yet
	}
	return hit(pid)
}

// killChild kills one of the engine's programs that the plugin waits for.
func killChild(m *making, rng *rand.Rand) error {
	children := slices.DeleteFunc(nomadkit.ChildrenOf(m.plugin()), func(pid int) bool {
		for _, watchers := range m.engine.watchers() {
			if slices.Contains(watchers, pid) {
				return true // killWatcher's
			}
		}
		return false
	})
	if len(children) == 0 {
		return errNothing
	}
	pid := children[rng.Intn(len(children))]
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	m.alloc = allocIn(string(line))
	return hit(pid)
}

// killWatcher kills what stands between a task and its exit status. Its log may have a hole then,
// and how it ends may be unknown: but that must be said.
func killWatcher(m *making, rng *rand.Rand) error {
	watchers := m.engine.watchers()
	if len(watchers) == 0 {
		return errNothing
	}
	allocs := slices.Sorted(maps.Keys(watchers))
	m.alloc = allocs[rng.Intn(len(allocs))]
	m.excuse(m.alloc)
	return hit(watchers[m.alloc][rng.Intn(len(watchers[m.alloc]))])
}

// killCollector kills the log collector of a task and nothing else. Nomad starts another one when it
// starts the task again or comes back itself, and not before.
func killCollector(m *making, rng *rand.Rand) error {
	collectors := m.agent.CollectorsByAlloc()
	if len(collectors) == 0 {
		return errNothing
	}
	allocs := slices.Sorted(maps.Keys(collectors))
	alloc := allocs[rng.Intn(len(allocs))]
	m.alloc = alloc[:8]
	m.unreadFromNow(alloc)
	for _, pid := range collectors[alloc] {
		if err := kill(pid); err != nil {
			return err
		}
	}
	return nil
}

func fillDisk(m *making, rng *rand.Rand) error {
	path := filepath.Join(m.state(), "full")
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("filling the disk: %w", err)
	}
	defer os.Remove(path)
	defer file.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := file.Write(block); err != nil {
			break // full, as it should be
		}
	}
	time.Sleep(atMost(rng, 3*time.Second))
	return nil
}

// exhaustDescriptors takes all descriptors but a few from the plugin.
func exhaustDescriptors(m *making, rng *rand.Rand) error {
	pid := m.plugin()
	if pid == 0 {
		return errNothing
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nothingIfGone(err)
	}
	few := unix.Rlimit{Cur: uint64(len(nomadkit.OpenFiles(pid)) + rng.Intn(4)), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		return nothingIfGone(err)
	}
	time.Sleep(atMost(rng, 3*time.Second))
	return ignoreGone(unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil))
}

// restartAgent ends the agent, waits a moment in which tasks may end unseen, and starts it again.
func restartAgent(hard, collectors bool) func(*making, *rand.Rand) error {
	return func(m *making, rng *rand.Rand) error {
		back := m.agentAway()
		plugin, pids := m.plugin(), m.agent.Collectors()
		defer func() { back(collectors, collectors && (plugin == 0 || m.plugin() != plugin)) }()
		// Nomad waits at its end for a stop that went to a dead plugin, which it tries again after
		// minutes.
		if err := m.agent.Stop(hard); err != nil {
			if m.agent.Alive() {
				return err
			}
			m.count("agent killed, it waited for a stop to be tried again")
		}
		if collectors {
			for _, pid := range pids {
				_ = kill(pid)
			}
		}
		time.Sleep(atMost(rng, 3*time.Second))
		return m.startAgent()
	}
}
