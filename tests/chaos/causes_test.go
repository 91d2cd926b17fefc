package chaos

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// cause is why a task may not have started: what is said of it, and which faults are followed by that.
type cause struct {
	said   *regexp.Regexp
	faults []string
}

// A fault may be noticed later than it ends: one call waits for another, an answer for its time-out, and
// Nomad tells of a start when it has tried again.
const aftermath = 3 * time.Minute

var (
	killed = []string{"podman killed", "conmon killed", "CLI killed", "monitor or attached CLI killed", "a call dies", "a call dies when done"}
	hung   = []string{"podman hangs", "podman is slow", "a request to the registry stalls", "a call hangs", "a call hangs when done",
		"a call is slow", "the CLI hangs", "the CLI is slow"}
	// A program of the engine that one of these meets in the midst of its work may say nothing of it.
	cutShort = []string{"state directory full", "podman fails", "a call fails", "the CLI fails", "a call finds no service",
		"a call loses the service when done", "the service is down"}
	plugins = []string{"plugin killed", "agent killed", "agent restarted", "log collectors and agent killed", "descriptors exhausted"}
)

// The first that is said counts.
var causes = []cause{
	{regexp.MustCompile(`(?i)too many open files|a descriptor that it is to get is closed`), []string{"descriptors exhausted"}},
	{regexp.MustCompile(`No space left on device|disk is full`), []string{"state directory full"}},
	{regexp.MustCompile(`chaos: nothing works`), []string{"podman fails", "a call fails", "the CLI fails"}},
	{regexp.MustCompile(`XPC connection error|container system start`),
		[]string{"a call finds no service", "a call loses the service when done", "the service is down", "a call answers garbage",
			"a call's answer is cut off", "the CLI answers garbage", "a call fails", "the CLI fails"}},
	{regexp.MustCompile(`is no JSON|read the answer`),
		[]string{"a call answers garbage", "a call's answer is cut off", "the CLI answers garbage"}},
	{regexp.MustCompile(`invalid status code from registry|unexpected HTTP status`), []string{"a request to the registry fails"}},
	{regexp.MustCompile(`no answer within|not done within|no progress for`), hung},
	{regexp.MustCompile(`SIG[A-Z]+|was killed|gave no reason|wrote no process ids|could prepare it a moment later|exit status|ended with`),
		slices.Concat(killed, cutShort, hung, plugins)},
	{regexp.MustCompile(`plugin is shut down|plugin shutdown|exited unexpectedly`), plugins},
}

// explain names the fault that a start has failed for, or says that there was none.
func (w *world) explain(failure string, start time.Time) (string, error) {
	for _, c := range causes {
		if !c.said.MatchString(failure) {
			continue
		}
		for _, name := range c.faults {
			if w.madeSince(name, start) {
				return name, nil
			}
		}
		return "", fmt.Errorf("it could not start for a reason that no fault has made: %s", failure)
	}
	return "", fmt.Errorf("it could not start for an unknown reason: %s", failure)
}

// madeSince says whether a fault of this name was at work after `start`, or not long before it.
func (w *world) madeSince(name string, start time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, made := w.made[name]
	return made && start.Add(-aftermath).Before(last)
}
