package chaos

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"

	"nomad-driver-container/tests/nomadkit"
)

// world is one agent with everything that can be broken around it.
type world struct {
	t      *testing.T
	agent  *nomadkit.Agent
	engine engine

	mu         sync.Mutex
	counts     map[string]int // faults and outcomes
	violations []string
	disturbed  time.Time       // when a fault last was at work
	working    int             // faults at work
	excused    map[string]bool // beginnings of allocations whose watcher was killed
	away       []absence       // of the agent
	clockJumps bool
}

// absence is a time in which the agent was not there.
type absence struct {
	from, to time.Time
	hole     bool // its log collectors were killed too
	alone    bool // and the plugin was not there either
}

// The reaper comes by every few seconds, so that what it must remove is gone soon.
const pluginConfig = `
    command_timeout    = "5s"
    image_pull_timeout = "8s"
    gc {
      dangling_containers {
        period         = "5s"
        creation_grace = "10s"
      }
    }
    `

func newWorld(t *testing.T, kind nomadkit.RuntimeKind) *world {
	t.Helper()
	w := &world{t: t, counts: map[string]int{}, excused: map[string]bool{}}
	var over *podman
	config := pluginConfig
	if kind == nomadkit.PodmanKind {
		over = newPodman(t)
		config += over.config()
	}
	agent, err := nomadkit.NewAgent(kind, config)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = agent
	if over != nil {
		over.agent, w.engine = agent, over
		agent.Trust(t, over.registry)
	} else {
		w.engine = &apple{Apple: agent.Runtime.(*nomadkit.Apple), t: t, agent: agent}
	}
	t.Cleanup(func() {
		w.engine.heal()
		if t.Failed() {
			w.keepLogs()
		}
		agent.Remove()
	})
	// A small disk of its own for the state, so that it can be filled.
	if err := syscall.Mount("ndc-chaos", w.state(), "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatalf("a tmpfs for the state directory: %v", err)
	}
	if err := w.prepareClock(); err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// startAgent starts the agent again and waits until it can be asked. Its driver may not be healthy for
// a while: other faults go on.
func (w *world) startAgent() error {
	for try := 0; ; try++ {
		if err := w.agent.Exec(); err != nil {
			return err
		}
		for deadline := time.Now().Add(60 * time.Second); w.agent.Alive(); {
			leader, err := w.agent.API.Status().Leader()
			if err == nil && leader != "" {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the agent is not ready: %q, %w", leader, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		// A port of its may be taken for a moment; the second failure counts.
		if try > 0 || !strings.Contains(w.agent.Log(), "address already in use") {
			return fmt.Errorf("the agent ended: %s", w.agent.LogTail())
		}
	}
}

// keepLogs saves what the agents said from their directory, which goes.
func (w *world) keepLogs() {
	dir := filepath.Join(nomadkit.Root(), "build", "logs", "chaos-"+string(w.agent.Kind))
	_ = os.RemoveAll(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Logf("the agents' logs are lost: %v", err)
		return
	}
	logs, _ := filepath.Glob(filepath.Join(w.agent.Dir, "agent-*.log"))
	for _, path := range logs {
		data, _ := os.ReadFile(path)
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(path)), data, 0o644)
	}
	fmt.Printf("chaos: the agents' logs are in %s\n", dir)
}

func (w *world) state() string { return filepath.Join(w.agent.Dir, "state") }

// make makes a fault.
func (w *world) make(f fault, rng *rand.Rand) bool {
	w.disturb(1)
	defer w.disturb(-1)
	err := f.do(w, rng)
	if err == errNothing {
		return false
	}
	if err != nil {
		w.violation("making the fault %q: %v", f.name, err)
	}
	w.count("fault: " + f.name)
	return true
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	w.violations = append(w.violations, text)
	fmt.Printf("chaos: %s: violation: %s\n", w.agent.Kind, text)
	w.t.Errorf("violation: %s", text)
}

// disturb notes that a fault begins (1) or ends (-1): starts may fail for a reason now, and until a
// while after it.
func (w *world) disturb(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.working += change
	w.disturbed = time.Now()
}

// quietSince says whether no fault was at work since `start`.
func (w *world) quietSince(start time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.working == 0 && w.disturbed.Add(10*time.Second).Before(start)
}

// excuse notes that an allocation's exit status and bytes may be lost.
func (w *world) excuse(alloc string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.excused[alloc] = true
}

// mayHaveHole says whether a line of an allocation's log may be missing: its watcher was killed, or the
// log collector, which takes what it has read and not yet written with it.
func (w *world) mayHaveHole(alloc string, start time.Time) (watcher, collector bool) {
	for _, a := range w.absences(start) {
		collector = collector || a.hole
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.excused[alloc[:8]], collector
}

// agentAway notes that the agent goes; the function that it returns, that it is back.
func (w *world) agentAway() (back func(hole, alone bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = append(w.away, absence{from: time.Now()})
	n := len(w.away) - 1
	return func(hole, alone bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.away[n].to, w.away[n].hole, w.away[n].alone = time.Now(), hole, alone
	}
}

// absences lists those that ended after `start`, or have not.
func (w *world) absences(start time.Time) []absence {
	w.mu.Lock()
	defer w.mu.Unlock()
	var since []absence
	for _, a := range w.away {
		if a.to.IsZero() || a.to.After(start) {
			since = append(since, a)
		}
	}
	return since
}

// uncollected says why nobody may have collected the end of an allocation's log, "" if somebody must.
func (w *world) uncollected(alloc string, start time.Time) string {
	// A task over Podman writes into the collector's FIFO itself. When it ends while collector and
	// plugin are away, the last end of the FIFO goes, and with it what was not read.
	for _, a := range w.absences(start) {
		if a.alone && w.agent.Kind == nomadkit.PodmanKind {
			return "the task ended while log collector and plugin were away"
		}
	}
	// Nomad starts no new collector when it calls StartTask again. The one that it has came to its
	// FIFO's end when the plugin that had opened it was killed.
	if w.agentsSaid(alloc, "failed to start task because plugin shutdown unexpectedly") {
		return "the plugin was killed within StartTask"
	}
	return ""
}

// agentsSaid says whether a line of the agents' logs tells all this of an allocation.
func (w *world) agentsSaid(alloc string, what ...string) bool {
	logs, _ := filepath.Glob(filepath.Join(w.agent.Dir, "agent-*.log"))
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, alloc) &&
				!slices.ContainsFunc(what, func(part string) bool { return !strings.Contains(line, part) }) {
				return true
			}
		}
	}
	return false
}

// plugin is the pid of the agent's plugin, 0 while there is none.
func (w *world) plugin() int {
	for _, pid := range w.agent.Plugins() {
		return pid
	}
	return 0
}

// job runs one task from its submission to its end and checks it.
func (w *world) job(id string, p plan) {
	image, more := w.engine.image(), ""
	if p.pulls {
		image, more = w.engine.pulled(), "force_pull = true"
	}
	text := strings.ReplaceAll(nomadkit.BatchJob("kill_timeout = \"4s\"\n"+nomadkit.Shell(p.script(), more)),
		"${image}", image)
	job := parse(w.t, text, id)
	start := time.Now()
	w.try("registering "+id, func() error {
		_, _, err := w.agent.API.Jobs().Register(job, nil)
		return err
	})
	defer w.try("deregistering "+id, func() error {
		_, _, err := w.agent.API.Jobs().Deregister(id, true, nil)
		return err
	})
	var allocID string
	w.try("an allocation of "+id, func() error {
		allocs, _, err := w.agent.API.Jobs().Allocations(id, true, nil)
		if err == nil && len(allocs) == 0 {
			err = fmt.Errorf("none yet")
		}
		if err == nil {
			allocID = allocs[0].ID
		}
		return err
	})
	if allocID == "" {
		return
	}
	if p.stopAt > 0 {
		// The moment is the plan's: this is no waiting for something.
		time.Sleep(time.Duration(p.stopAt) * time.Millisecond)
		w.try("stopping "+id, func() error {
			_, _, err := w.agent.API.Jobs().Deregister(id, false, nil)
			return err
		})
	}
	var alloc *api.Allocation
	untold, look := false, time.Now().Add(20*time.Second)
	w.try("the end of "+id, func() error {
		found, _, err := w.agent.API.Allocations().Info(allocID, nil)
		if err == nil && !found.ClientTerminalStatus() && time.Now().After(look) {
			// A client that was killed between an allocation's end and its report to the servers
			// does not report it later: they believe that it goes on.
			look = time.Now().Add(5 * time.Second)
			untold = len(w.absences(start)) > 0 && w.agentsSaid(allocID, "task run loop exiting")
			// Nomad tries to stop a task five times by the handle that it had, with pauses of up to
			// two minutes, also when that is of a plugin that was killed.
			untold = untold || w.agentsSaid(allocID, "failed to kill task", "plugin is shut down")
		}
		if err == nil && !found.ClientTerminalStatus() && !untold {
			err = fmt.Errorf("allocation %s is %s:\n%s", allocID, found.ClientStatus, nomadkit.Events(found, "main"))
		}
		if err == nil {
			alloc = found
		}
		return err
	})
	if untold {
		w.count("task whose end Nomad does not tell")
		return
	}
	if alloc == nil {
		return
	}
	// The collector may still be at it when the task's state is told.
	outcome, err := w.check(alloc, p, start, false)
	for deadline := time.Now().Add(15 * time.Second); err != nil && time.Now().Before(deadline); {
		time.Sleep(200 * time.Millisecond)
		outcome, err = w.check(alloc, p, start, false)
	}
	if why := w.uncollected(alloc.ID, start); err != nil && why != "" {
		if outcome, err = w.check(alloc, p, start, true); err == nil {
			outcome += ", cut off: " + why
		}
	}
	if err != nil {
		w.violation("%s, allocation %s: %v\nevents:\n%sstdout: %s", id, allocID, err,
			nomadkit.Events(alloc, "main"), last(w.log(allocID, "stdout"), 600))
		return
	}
	w.count("task " + outcome)
}

// try repeats something that the agent may refuse while it is broken or away.
func (w *world) try(what string, step func() error) {
	deadline := time.Now().Add(3 * time.Minute)
	for {
		err := step()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.violation("%s: not within 3 minutes: %v", what, err)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// log reads what the collector wrote; there is one file, the tasks say little.
func (w *world) log(allocID, stream string) string {
	data, _ := os.ReadFile(filepath.Join(w.agent.Dir, "data/alloc", allocID, "alloc/logs/main."+stream+".0"))
	return string(data)
}

// check compares what Nomad says of a task with what the task itself wrote; of which the end may be
// missing if it is `cut`.
func (w *world) check(alloc *api.Allocation, p plan, start time.Time, cut bool) (string, error) {
	excused, collectorKilled := w.mayHaveHole(alloc.ID, start)
	holes := excused || collectorKilled
	stdout, err := read(w.log(alloc.ID, "stdout"), holes, cut, false)
	if err != nil {
		return "", fmt.Errorf("stdout: %w", err)
	}
	stderr, err := read(w.log(alloc.ID, "stderr"), holes, cut, true)
	if err != nil {
		return "", fmt.Errorf("stderr: %w", err)
	}
	for i, r := range stdout {
		// Every line goes to stdout first: a run that was killed or stopped may have one more there.
		errLines := 0
		if i < len(stderr) {
			errLines = stderr[i].lines
		}
		if !holes && !cut && (r.lines != errLines && r.lines != errLines+1 || r.exit != 0 && p.stopAt == 0 && r.lines != errLines) {
			return "", fmt.Errorf("run %s has %d lines on stdout, %d on stderr", r.name, r.lines, errLines)
		}
	}
	var ended *api.TaskEvent
	failure := ""
	if state := alloc.TaskStates["main"]; state != nil {
		for _, event := range state.Events {
			switch event.Type {
			case api.TaskTerminated:
				ended = event
			case api.TaskDriverFailure, api.TaskSetupFailure:
				failure = event.DisplayMessage
			}
		}
	}
	if ended == nil {
		return w.checkUnended(alloc, p, start, stdout, failure)
	}
	if strings.Contains(ended.DisplayMessage, "unknown") {
		if excused {
			return "ended with an unknown status, its watcher was killed", nil
		}
		return "", fmt.Errorf("its exit status is unknown for no reason: %s", ended.DisplayMessage)
	}
	if len(stdout) == 0 {
		switch {
		case p.stopAt > 0 && ended.ExitCode != 0:
			return "stopped at once", nil
		case cut:
			return "ended", nil
		}
		return "", fmt.Errorf("it wrote nothing and ended with %d (%s)", ended.ExitCode, ended.DisplayMessage)
	}
	final := stdout[len(stdout)-1]
	switch {
	case final.exit != 0 && ended.ExitCode == final.exit:
		if p.stopAt == 0 && final.lines != p.lines && !holes {
			return "", fmt.Errorf("%d lines of %d", final.lines, p.lines)
		}
		return "exited", nil
	case final.exit == 0 && p.stopAt > 0 && (ended.Signal != 0 || ended.ExitCode == 128+int(syscall.SIGKILL)):
		return "killed when stopped", nil
	case final.exit == 0 && (holes || cut) && codeOf(final.name, p.stopAt > 0, ended.ExitCode):
		return "exited without its last words", nil
	}
	return "", fmt.Errorf("its last run said %d, Nomad says %d, signal %d (%s)", final.exit, ended.ExitCode,
		ended.Signal, ended.DisplayMessage)
}

// checkUnended is check for an allocation without a word about a task's end.
func (w *world) checkUnended(alloc *api.Allocation, p plan, start time.Time, stdout []run, failure string) (string, error) {
	switch {
	case failure != "" && w.quietSince(start):
		return "", fmt.Errorf("it could not start although nothing was broken: %s", failure)
	case failure != "":
		return "not started", nil
	// Nomad asks the driver for its capabilities before there is a task; no event tells of that.
	case strings.Contains(alloc.ClientDescription, "plugin is shut down") && len(stdout) == 0:
		return "not started, the plugin was away", nil
	case p.stopAt > 0 && len(stdout) == 0:
		return "stopped before it ran", nil
	// A client that comes back to an allocation that is to be stopped ends it without an event.
	case p.stopAt > 0 && len(w.absences(start)) > 0:
		return "stopped while its client was away", nil
	// A client whose plugin dies again while it recovers a task gives the task up.
	case w.agentsSaid(alloc.ID, "failed to initialize driver after it exited unexpectedly"),
		w.agentsSaid(alloc.ID, "error recovering task", "plugin is shut down"):
		return "given up by Nomad, the plugin was killed within its recovery", nil
	}
	return "", fmt.Errorf("it is %s (%s) without a word about how", alloc.ClientStatus, alloc.ClientDescription)
}

// oneEach checks that no task has two running containers.
func (w *world) oneEach() {
	seen := map[string]bool{}
	for _, task := range w.engine.running() {
		if seen[task] {
			w.violation("task %s has two running containers", task)
		}
		seen[task] = true
	}
}

// nothingLeft waits until what the agent ran has gone, and says what has not.
func (w *world) nothingLeft() {
	deadline := time.Now().Add(60 * time.Second)
	for {
		left := w.left()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.violation("left behind: %s", strings.Join(left, ", "))
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (w *world) left() []string {
	left := w.engine.left()
	for _, file := range nomadkit.FilesIn(w.state()) {
		left = append(left, "file "+file)
	}
	if plugins := w.agent.Plugins(); len(plugins) != 1 {
		left = append(left, fmt.Sprintf("%d plugins", len(plugins)))
	}
	for _, pid := range nomadkit.ChildrenOf(w.plugin()) {
		left = append(left, fmt.Sprintf("child process %d", pid))
	}
	for _, pid := range nomadkit.ProcessesWith(w.state()) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("process %d (%s)", pid, strings.ReplaceAll(string(line), "\x00", " ")))
	}
	return left
}

// report prints what was done and seen.
func (w *world) report(faults int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts["task exited"] == 0 {
		w.t.Error("no task ran to its end: nothing was checked")
	}
	var names []string
	for name := range w.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("chaos: %s: %6d %s\n", w.agent.Kind, w.counts[name], name)
	}
	fmt.Printf("chaos: %s: %d faults, %d violations\n", w.agent.Kind, faults, len(w.violations))
}
