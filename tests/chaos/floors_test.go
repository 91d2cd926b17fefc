package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// How much of a run must have gone well. Each failed start has its fault and each odd end its cause, but
// a driver that hardly starts anything, or knows hardly any status, would find enough of both.

// share is how many of the tasks that might have come to something did.
type share struct {
	did, might int
	what, of   string
	least      int // of a hundred
	few        int // fewer than these tell nothing
}

func (s share) String() string { return fmt.Sprintf("%d of %d %s %s", s.did, s.might, s.of, s.what) }

func (s share) floor() error {
	if s.might >= s.few && s.did*100 < s.might*s.least {
		return fmt.Errorf("only %s: fewer than %d in a hundred", s, s.least)
	}
	return nil
}

// What became of tasks of which no status of their own could be told: they did not run, or the one that
// knew how they end was killed.
var statusless = []string{notStarted, "not started,", "stopped before it ran", "stopped at once", "stopped while its client was away",
	"ended with an unknown status, its watcher was killed"}

// ownStatus is, of the tasks that ran, how many ended with the status that was theirs. In an hour over
// Podman it was more than nine of ten; over the stand-in with three faults a second at least 242 of the
// 427 that ran and kept their watcher.
func ownStatus(counts map[string]int) share {
	s := share{what: "ended with their own status", of: "tasks that ran and kept their watcher", least: 25, few: 20}
	for name, count := range counts {
		outcome, isTask := strings.CutPrefix(name, "task ")
		if !isTask || slices.ContainsFunc(statusless, func(text string) bool { return strings.HasPrefix(outcome, text) }) {
			continue
		}
		s.might += count
		outcome, _, _ = strings.Cut(outcome, ", log incomplete")
		if outcome == "exited" || outcome == "killed when stopped" {
			s.did += count
		}
	}
	return s
}

// A start that fails is shorter than one that succeeds, and meets less: what is looked at is as long for all.
const calm = 2 * time.Second

// startedUndisturbed is, of the starts in whose first seconds no fault hit all tasks, how many led to a task
// that ran. The others met a fault of a single call or process, as each must have that failed, or one of all
// tasks after that. Of all starts it was one of four that failed in a minute with the usual pauses, and three
// of four with three faults a second.
func startedUndisturbed(starts []start, everywhere []span) share {
	s := share{what: "succeeded", of: "starts that began while no fault hit all tasks", least: 5, few: 60}
	for _, each := range starts {
		began := span{each.from, each.from.Add(calm)}
		if slices.ContainsFunc(everywhere, func(disturbed span) bool { return disturbed.meets(began, 0) }) {
			continue
		}
		s.might++
		if each.failed == "" {
			s.did++
		}
	}
	return s
}
