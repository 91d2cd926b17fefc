package chaos

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nomad-driver-container/tests/nomadkit"
)

// fault breaks one thing, and mends it again where it does not mend by itself. One that may keep
// tasks from starting says so.
type fault struct {
	name     string
	weight   int // how often, relative to the others
	disturbs bool
	do       func(w *world, rng *rand.Rand) error
}

var faults = []fault{
	{"plugin killed", 6, true, killPlugin},
	{"podman killed", 6, true, killPodman},
	{"podman hangs", 2, true, switchPodman("hang", 8*time.Second)},
	{"podman fails", 2, true, switchPodman("fail", 3*time.Second)},
	{"podman is slow", 2, false, switchPodman("slow", 4*time.Second)},
	{"state directory full", 3, true, fillDisk},
	{"descriptors exhausted", 3, true, exhaustDescriptors},
	{"agent killed", 1, true, restartAgent(true, false)},
	{"agent restarted", 1, true, restartAgent(false, false)},
	{"log collectors and agent killed", 1, true, restartAgent(true, true)},
}

func pick(rng *rand.Rand) fault {
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

// atMost is a random part of `limit`, for which a fault lasts.
func atMost(rng *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(rng.Int63n(int64(limit)))
}

func killPlugin(w *world, _ *rand.Rand) error {
	pid := w.plugin()
	if pid == 0 {
		return nil // the agent has not started its successor yet
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// killPodman kills one of the podman processes that the plugin waits for.
func killPodman(w *world, rng *rand.Rand) error {
	children := nomadkit.ChildrenOf(w.plugin())
	if len(children) == 0 {
		return nil
	}
	if err := syscall.Kill(children[rng.Intn(len(children))], syscall.SIGKILL); err != syscall.ESRCH {
		return err
	}
	return nil
}

func switchPodman(does string, limit time.Duration) func(*world, *rand.Rand) error {
	return func(w *world, rng *rand.Rand) error {
		w.podman(does)
		time.Sleep(atMost(rng, limit))
		w.podman("")
		return nil
	}
}

func fillDisk(w *world, rng *rand.Rand) error {
	path := filepath.Join(w.state(), "full")
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
func exhaustDescriptors(w *world, rng *rand.Rand) error {
	pid := w.plugin()
	if pid == 0 {
		return nil
	}
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return ignoreGone(err)
	}
	few := unix.Rlimit{Cur: uint64(len(nomadkit.OpenFiles(pid)) + rng.Intn(4)), Max: before.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		return ignoreGone(err)
	}
	time.Sleep(atMost(rng, 3*time.Second))
	return ignoreGone(unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil))
}

func ignoreGone(err error) error {
	if err == unix.ESRCH {
		return nil
	}
	return err
}

// restartAgent ends the agent, waits a moment in which tasks may end unseen, and starts it again.
func restartAgent(hard, collectors bool) func(*world, *rand.Rand) error {
	return func(w *world, rng *rand.Rand) error {
		w.restart.Lock()
		defer w.restart.Unlock()
		pids := w.agent.Collectors()
		if err := w.agent.Stop(hard); err != nil {
			return err
		}
		if collectors {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(atMost(rng, 3*time.Second))
		if err := w.agent.Start(); err != nil {
			// A port of its may be taken for a moment; the second failure counts.
			if !strings.Contains(err.Error(), "address already in use") {
				return err
			}
			return w.agent.Start()
		}
		return nil
	}
}
