package chaos

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// What a start may have failed for: which words follow from which faults, and for how long. Plain logic
// over what was noted.

// span is from one moment to another; without an end it goes on.
type span struct{ from, to time.Time }

// meets says whether a span, made longer by `after`, has a moment in common with one that is over.
func (s span) meets(other span, after time.Duration) bool {
	return !s.from.After(other.to) && (s.to.IsZero() || !s.to.Add(after).Before(other.from))
}

// strike is a time in which a fault was at work and hit something.
type strike struct {
	span
	fault string
	alloc string // whose process or call it hit, by the first 8 characters; empty: several tasks', or untold
}

// strikes are all so far, by their faults.
type strikes map[string][]*strike

// start is a try of Nomad's to start a task: from the moment at which its client has the task until it
// tells what became of the start.
type start struct {
	span
	alloc  string // its first 8 characters
	failed string // what was said then, empty where the task ran
}

// source is a kind of faults that a start may fail for.
type source struct {
	faults []string
	after  time.Duration // for so long after their end a start may begin that fails for them
	own    bool          // they hit this very task, or something that tasks share
}

// cause is what may be said of a start that failed.
type cause struct {
	said    *regexp.Regexp
	sources []source
}

// A start meets most faults while it is under way. These are the ways in which a fault that is over
// hits one that begins later.
const (
	// What a machine with ten runnable processes for each core takes to run a program of the engine, to
	// notice that one has ended, and to tell of it.
	sluggish = 15 * time.Second
	// Starts share the look for an image and its pull: one may wait for calls that were begun for another,
	// until their deadlines.
	shared = imagePullTimeout + commandTimeout + sluggish
	// The driver does not call an engine that has not answered, for half a minute at most
	// (BreakerLimits in circuit_breaker.hpp); and makes no container after two tries that hung, for five
	// minutes (kStartLimits in apple_cli.cpp).
	breakerOpen  = 30*time.Second + shared
	startsPaused = 5*time.Minute + shared
	// Nomad looks once a second whether its plugin lives, and launches the next one when it needs it.
	pluginAway = 2 * sluggish
	// A container of an earlier try has to go first, and lives for sixteen seconds by itself: without its
	// watcher its removal takes as long as podman likes.
	watcherless = time.Minute
	// Nobody mends it.
	forGood = 24 * time.Hour
)

// Faults that are no part of the plan, but follow from it or from the machine.
const (
	hungStartEnded = "a start that hung was ended"
	slowMachine    = "the machine is slow"
)

var (
	killed = []string{"podman killed", "CLI killed", "a call dies", "a call dies when done", "monitor or attached CLI killed",
		hungStartEnded}
	hung = []string{"podman hangs", "podman is slow", "a call hangs", "a call hangs when done", "a call is slow", "the CLI hangs",
		"the CLI is slow"}
	failing   = []string{"podman fails", "a call fails", "the CLI fails"}
	noService = []string{"a call finds no service", "a call loses the service when done", "the service is down"}
	garbled   = []string{"a call answers garbage", "a call's answer is cut off", "the CLI answers garbage"}
	agents    = []string{"agent killed", "agent restarted", "log collectors and agent killed"}
	// Without descriptors a plugin takes no call, and a program that it starts has as few.
	exhausted = []string{"descriptors exhausted"}
	plugins   = slices.Concat([]string{"plugin killed"}, agents, exhausted)
	full      = []string{"state directory full"}
)

// The first that is said counts.
var causes = []cause{
	{regexp.MustCompile(`not tried, because the last calls failed: container (create|start): `),
		[]source{{faults: slices.Concat(hung, []string{slowMachine}), after: startsPaused}}},
	{regexp.MustCompile(`not tried, because the last calls failed: `),
		[]source{{faults: slices.Concat(hung, noService, exhausted, []string{slowMachine}), after: breakerOpen}}},
	{regexp.MustCompile(`(?i)too many open files`), []source{{faults: exhausted, after: shared}}},
	// There is none either while a log collector is away, or has come to the end of an earlier try.
	{regexp.MustCompile(`a descriptor that it is to get is closed`),
		[]source{{faults: slices.Concat(plugins, []string{"log collector killed"}), after: shared}}},
	{regexp.MustCompile(`No space left on device|disk is full`), []source{{faults: full, after: shared}}},
	{regexp.MustCompile(`chaos: nothing works`), []source{{faults: failing, after: shared, own: true}}},
	{regexp.MustCompile(`XPC connection error|container system start`), []source{{faults: noService, after: shared, own: true}}},
	{regexp.MustCompile(`is no JSON|read the answer`), []source{{faults: garbled, after: shared, own: true}}},
	{regexp.MustCompile(`invalid status code from registry|unexpected HTTP status`),
		[]source{{faults: []string{"a request to the registry fails"}, after: shared}}},
	{regexp.MustCompile(`left this image half`),
		[]source{{faults: slices.Concat(killed, hung, []string{"a request to the registry stalls"}, plugins), after: forGood}}},
	{regexp.MustCompile(`no answer within|not done within|no progress for`), []source{
		{faults: hung, after: shared, own: true},
		{faults: []string{"a request to the registry stalls", slowMachine}, after: shared},
		{faults: []string{"conmon killed", "monitor or attached CLI killed"}, after: watcherless, own: true},
		// The next plugin's calls wait for those that the last one has left behind.
		{faults: plugins, after: sluggish},
	}},
	// A monitor that finds no room or no descriptor when it begins ends as if it had been killed.
	{regexp.MustCompile(`its monitor was killed|: it was killed`), []source{
		{faults: killed, after: shared, own: true},
		{faults: slices.Concat(plugins, full), after: sluggish},
	}},
	// Nothing but SIGKILL does this: no full disk, and no call that fails or hangs.
	{regexp.MustCompile(`SIGKILL`), []source{{faults: killed, after: shared, own: true}}},
	// A program that gets no descriptor for what it cannot do without may abort.
	{regexp.MustCompile(`SIG[A-Z]+`), []source{{faults: exhausted, after: shared}}},
	// What `podman run` says goes to the task's stderr, and what one left that was killed may be in the way
	// of another: its network, its name. Nothing here hangs.
	{regexp.MustCompile(`gave no reason|without a word|wrote no process ids|could prepare it a moment later|exit status|ended with`), []source{
		{faults: slices.Concat(killed, []string{"conmon killed"}, plugins, full), after: shared},
		{faults: slices.Concat(failing, noService), after: shared, own: true},
	}},
	{regexp.MustCompile(`plugin is shut down|plugin shutdown`), []source{{faults: plugins, after: pluginAway}}},
}

// What Nomad puts in front where it has tried twice.
var secondTry = regexp.MustCompile(`^failed to (?:start task after driver|initialize driver after it) exited unexpectedly: `)

var (
	errUndecided = errors.New("a fault that is not over yet may be the reason")
	errNoFault   = errors.New("it could not start for a reason that no fault has made")
	errNotKnown  = errors.New("it could not start for an unknown reason")
)

// explain names the fault that a start has failed for, also where that is not decided.
func (all strikes) explain(s start) (string, error) {
	said := s.failed
	prefix := secondTry.FindString(said)
	for _, c := range causes {
		if !c.said.MatchString(said[len(prefix):]) {
			continue
		}
		if prefix != "" {
			if fault, err := all.from(s, pluginDied); err != nil {
				return fault, err
			}
		}
		return all.from(s, c.sources)
	}
	if prefix != "" {
		return all.from(s, pluginDied)
	}
	return "", fmt.Errorf("%w: %s", errNotKnown, said)
}

// mayFailAStart says whether there are words that follow from a fault.
func mayFailAStart(fault string) bool {
	return slices.ContainsFunc(causes, func(c cause) bool {
		return slices.ContainsFunc(c.sources, func(s source) bool { return slices.Contains(s.faults, fault) })
	})
}

// A plugin that exits without a fault has crashed.
var pluginDied = []source{{faults: plugins, after: pluginAway}}

// from names the first fault of these that the start has met.
func (all strikes) from(s start, sources []source) (string, error) {
	perhaps, err := "", errNoFault
	for _, source := range sources {
		for _, fault := range source.faults {
			for _, strike := range slices.Backward(all[fault]) {
				others := strike.alloc != "" && strike.alloc != s.alloc
				if source.own && others || !strike.meets(s.span, source.after) {
					continue
				}
				if !strike.to.IsZero() {
					return fault, nil
				}
				perhaps, err = fault, errUndecided
			}
		}
	}
	return perhaps, fmt.Errorf("%w: %s", err, s.failed)
}
