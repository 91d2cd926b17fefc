package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

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
	strikes    strikes
	looked     time.Time // when the engine's calls were looked at last
	pairs      pairs
	everywhere []span // in which faults hit all tasks
	starts     []start
	failures   []failure       // that have to be explained yet
	excused    map[string]bool // beginnings of allocations whose watcher was killed
	unread     map[string]bool // allocations whose log collector was killed alone
	away       []absence       // of the agent
	clockJumps bool
}

// absence is a time in which the agent was not there.
type absence struct {
	from, to time.Time
	hole     bool // its log collectors were killed too
	alone    bool // and the plugin was not there either
}

const (
	commandTimeout   = 5 * time.Second
	imagePullTimeout = 8 * time.Second
)

// The reaper comes by every few seconds, so that what it must remove is gone soon.
const pluginConfig = `
    command_timeout    = "%s"
    image_pull_timeout = "%s"
    gc {
      dangling_containers {
        period         = "5s"
        creation_grace = "10s"
      }
    }
    `

// A server that starts reads again what was done since its last snapshot: of an hour with a thousand
// jobs that would take it minutes each time.
const raftConfig = `
server {
  raft_snapshot_threshold = 500
  raft_snapshot_interval  = "10s"
  raft_trailing_logs      = 100
}
`

func newWorld(t *testing.T, kind nomadkit.RuntimeKind) *world {
	t.Helper()
	w := &world{t: t, counts: map[string]int{}, strikes: strikes{}, looked: time.Now(),
		pairs: pairs{told: map[string]bool{}}, excused: map[string]bool{}, unread: map[string]bool{}}
	var over *podman
	config := fmt.Sprintf(pluginConfig, commandTimeout, imagePullTimeout)
	if kind == nomadkit.PodmanKind {
		over = newPodman(t)
		config += over.config()
	}
	agent, err := nomadkit.NewAgent(kind, config)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = agent
	if err := agent.AddConfig("raft.hcl", raftConfig); err != nil {
		t.Fatal(err)
	}
	if over != nil {
		over.agent, w.engine = agent, over
		agent.Trust(t, over.registry)
	} else {
		cli := agent.Runtime.(*nomadkit.Apple)
		w.engine = &apple{Apple: cli, t: t, agent: agent, met: tail{path: filepath.Join(cli.State, "calls.jsonl")}}
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
		for deadline := time.Now().Add(3 * time.Minute); w.agent.Alive(); {
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

// excuse notes that an allocation's exit status and bytes may be lost.
func (w *world) excuse(alloc string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.excused[alloc] = true
}

// unreadFromNow notes that the log collector of an allocation is killed alone.
func (w *world) unreadFromNow(alloc string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unread[alloc] = true
}

// isUnread says whether that was so.
func (w *world) isUnread(alloc string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unread[alloc]
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

// agentsThatSaid is how many agents, one after the other, said this of an allocation.
func (w *world) agentsThatSaid(alloc, what string) int {
	logs, _ := filepath.Glob(filepath.Join(w.agent.Dir, "agent-*.log"))
	said := 0
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		if slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.Contains(line, alloc) && strings.Contains(line, what)
		}) {
			said++
		}
	}
	return said
}

// plugin is the pid of the agent's plugin, 0 while there is none.
func (w *world) plugin() int {
	for _, pid := range w.agent.Plugins() {
		return pid
	}
	return 0
}

// nothingLeft waits until what the agent ran has gone, and says what has not.
func (w *world) nothingLeft() {
	deadline := time.Now().Add(60 * time.Second)
	for {
		left := w.agent.Left()
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

// report prints what was done and seen. A run that saw little has checked nothing.
func (w *world) report(faults int64) {
	w.mu.Lock()
	own, started := ownStatus(w.counts), startedUndisturbed(w.starts, w.everywhere)
	none := w.counts["task exited"] == 0
	w.mu.Unlock()
	if none {
		w.violation("no task ran to its end: nothing was checked")
	}
	if w.pairs.most == 0 {
		w.violation("no workload was ever found: that each task has one was not checked")
	}
	for _, s := range []share{own, started} {
		if err := s.floor(); err != nil {
			w.violation("%v", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for name := range w.counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("chaos: %s: %6d %s\n", w.agent.Kind, w.counts[name], name)
	}
	fmt.Printf("chaos: %s: %d tasks had workloads at a time\n", w.agent.Kind, w.pairs.most)
	for _, s := range []share{own, started} {
		fmt.Printf("chaos: %s: %s\n", w.agent.Kind, s)
	}
	fmt.Printf("chaos: %s: %d faults, %d violations\n", w.agent.Kind, faults, len(w.violations))
}
