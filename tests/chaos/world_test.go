package chaos

import (
	"fmt"
	"os"
	"path/filepath"
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
	t     *testing.T
	agent *nomadkit.Agent

	// The agent is restarted as a whole; whoever looks for its plugin waits for that.
	restart sync.Mutex

	mu         sync.Mutex
	counts     map[string]int // faults and outcomes
	violations []string
	disturbed  time.Time // when a fault last was at work that may keep a task from starting
}

// wrapper stands in front of podman and does what the file beside it says. What it fails with names
// no cause, like a broken installation.
const wrapper = `#!/bin/sh
case $(cat "%[1]s" 2>/dev/null) in
  hang) exec sleep 600 ;;
  slow) sleep 1 ;;
  fail) echo "Error: chaos: nothing works" >&2; exit 125 ;;
esac
exec podman "$@"
`

// The reaper comes by every few seconds, so that what it must remove is gone soon.
const pluginConfig = `
    podman_path     = "%[1]s/podman"
    command_timeout = "5s"
    gc {
      dangling_containers {
        period         = "5s"
        creation_grace = "10s"
      }
    }`

func newWorld(t *testing.T) *world {
	t.Helper()
	tools := t.TempDir()
	agent, err := nomadkit.NewAgent(nomadkit.PodmanKind, fmt.Sprintf(pluginConfig, tools))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, agent: agent, counts: map[string]int{}}
	t.Cleanup(func() {
		w.podman("")
		agent.Remove()
	})
	text := fmt.Sprintf(wrapper, w.control())
	if err := os.WriteFile(filepath.Join(tools, "podman"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	// A small disk of its own for the state, so that it can be filled.
	if err := syscall.Mount("ndc-chaos", w.state(), "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatalf("a tmpfs for the state directory: %v", err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) control() string { return filepath.Join(w.agent.Dir, "podman-does") }
func (w *world) state() string   { return filepath.Join(w.agent.Dir, "state") }

// podman makes every podman that the plugin starts from now on hang, fail or be slow; "" ends that.
func (w *world) podman(does string) {
	if err := os.WriteFile(w.control(), []byte(does), 0o644); err != nil {
		w.violation("the podman switch: %v", err)
	}
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
	w.t.Errorf("violation: %s", text)
}

// disturb notes that starts may fail for a reason now, and until a while after the fault.
func (w *world) disturb() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbed = time.Now()
}

// quietSince says whether nothing that keeps a task from starting was at work since `start`.
func (w *world) quietSince(start time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.disturbed.Add(10 * time.Second).Before(start)
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
	text := strings.ReplaceAll(nomadkit.BatchJob("kill_timeout = \"4s\"\n"+nomadkit.Shell(p.script())),
		"${image}", nomadkit.Image())
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
	w.try("the end of "+id, func() error {
		found, _, err := w.agent.API.Allocations().Info(allocID, nil)
		if err == nil && !found.ClientTerminalStatus() {
			err = fmt.Errorf("allocation %s is %s:\n%s", allocID, found.ClientStatus, nomadkit.Events(found, "main"))
		}
		if err == nil {
			alloc = found
		}
		return err
	})
	if alloc == nil {
		return
	}
	outcome, err := w.check(alloc, p, start)
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

// check compares what Nomad says of a task with what the task itself wrote.
func (w *world) check(alloc *api.Allocation, p plan, start time.Time) (string, error) {
	stdout, err := read(w.log(alloc.ID, "stdout"))
	if err != nil {
		return "", fmt.Errorf("stdout: %w", err)
	}
	stderr, err := read(w.log(alloc.ID, "stderr"))
	if err != nil {
		return "", fmt.Errorf("stderr: %w", err)
	}
	for i, r := range stdout {
		// Every line goes to stdout first: a run that was killed may have one more there.
		errLines := 0
		if i < len(stderr) {
			errLines = stderr[i].lines
		}
		if r.lines != errLines && r.lines != errLines+1 || r.exit != 0 && r.lines != errLines {
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
		switch {
		case failure != "" && w.quietSince(start):
			return "", fmt.Errorf("it could not start although nothing was broken: %s", failure)
		case failure != "":
			return "not started", nil
		case p.stopAt > 0 && len(stdout) == 0:
			return "stopped before it ran", nil
		}
		return "", fmt.Errorf("it ended without a word about how")
	}
	if len(stdout) == 0 {
		if p.stopAt > 0 && ended.ExitCode != 0 {
			return "stopped at once", nil
		}
		return "", fmt.Errorf("it wrote nothing and ended with %d (%s)", ended.ExitCode, ended.DisplayMessage)
	}
	final := stdout[len(stdout)-1]
	switch {
	case final.exit != 0 && ended.ExitCode == final.exit:
		if p.stopAt == 0 && final.lines != p.lines {
			return "", fmt.Errorf("%d lines of %d", final.lines, p.lines)
		}
		return "exited", nil
	case final.exit == 0 && p.stopAt > 0 && ended.Signal != 0:
		return "killed when stopped", nil
	}
	return "", fmt.Errorf("its last run said %d, Nomad says %d, signal %d (%s)", final.exit, ended.ExitCode,
		ended.Signal, ended.DisplayMessage)
}

// oneEach checks that no task has two running containers.
func (w *world) oneEach() {
	out, err := nomadkit.Podman("ps", "--filter", "label=nomad.task_id", "--format", "{{index .Labels \"nomad.task_id\"}}")
	if err != nil {
		return // podman races with containers that go away
	}
	seen := map[string]bool{}
	for _, task := range strings.Fields(out) {
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
	var left []string
	for _, container := range nomadkit.PodmanContainersOf(w.agent.Dir) {
		left = append(left, "container "+container)
	}
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
		left = append(left, fmt.Sprintf("process %d with the state directory in its command line", pid))
	}
	return left
}

// report prints what was done and seen.
func (w *world) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name := range w.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("chaos: %6d %s\n", w.counts[name], name)
	}
	fmt.Printf("chaos: %6d violations\n", len(w.violations))
}
