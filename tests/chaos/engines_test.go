package chaos

import (
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// engine is what runs the containers, and how it can be broken.
type engine interface {
	// config is for the plugin's config block.
	config() string
	// image is one that is there; pulled one that every start asks a registry for.
	image() string
	pulled() string
	// small faults break a call or a process, large ones everything for a while.
	small() []fault
	large() []fault
	heal()
	// endHung ends what has hung for this long and what nobody else ends within minutes.
	endHung(time.Duration)
	// watchers are the processes that know how a task ends, by the first 8 characters of its
	// allocation.
	watchers() map[string][]int
	// running lists the task ids of the running containers, nil where that cannot be told.
	running() []string
}

// withName sorts processes by the allocation in the container's name in their command lines.
func withName(out map[string][]int, pids []int) {
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if _, rest, found := strings.Cut(string(line), "nomad-main-"); found && len(rest) >= 8 {
			out[rest[:8]] = append(out[rest[:8]], pid)
		}
	}
}

// --- Podman

type podman struct {
	t        *testing.T
	agent    *nomadkit.Agent
	tools    string
	registry *nomadkit.Registry
	name     string
}

// wrapper stands in front of podman and does what the file beside it says. What it fails with names
// no cause, like a broken installation.
const wrapper = `#!/bin/sh
case $(cat "%[1]s/does" 2>/dev/null) in
  hang) exec sleep 600 ;;
  slow) sleep 1 ;;
  fail) echo "Error: chaos: nothing works" >&2; exit 125 ;;
esac
exec podman "$@"
`

func newPodman(t *testing.T) *podman {
	p := &podman{t: t, tools: t.TempDir(), registry: nomadkit.StartRegistry(t), name: nomadkit.Unique("ndc/chaos") + ":1"}
	p.registry.Push(t, p.name, nomadkit.Content{})
	if err := os.WriteFile(filepath.Join(p.tools, "podman"), []byte(fmt.Sprintf(wrapper, p.tools)), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *podman) config() string { return fmt.Sprintf("podman_path = \"%s/podman\"\n", p.tools) }
func (p *podman) image() string  { return nomadkit.Image() }
func (p *podman) pulled() string { return p.registry.Reference(p.name) }

func (p *podman) small() []fault {
	return []fault{
		{"podman killed", 6, killChild},
		{"conmon killed", 1, killWatcher},
		{"a request to the registry fails", 2, func(*world, *rand.Rand) error {
			return p.once(func(answer http.ResponseWriter, _ *http.Request) {
				http.Error(answer, "chaos", http.StatusInternalServerError)
			})
		}},
		{"a request to the registry stalls", 1, func(*world, *rand.Rand) error {
			return p.once(func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
		}},
	}
}

// once lets the registry answer the next request in this way.
func (p *podman) once(answer http.HandlerFunc) error {
	p.registry.Fail(func(w http.ResponseWriter, request *http.Request) bool {
		p.registry.Fail(nil)
		answer(w, request)
		return true
	})
	return nil
}

func (p *podman) large() []fault {
	return []fault{
		{"podman hangs", 2, p.does("hang", 8*time.Second)},
		{"podman fails", 2, p.does("fail", 3*time.Second)},
		{"podman is slow", 2, p.does("slow", 4*time.Second)},
	}
}

// does makes every podman that the plugin starts from now on hang, fail or be slow, for a while.
func (p *podman) does(what string, limit time.Duration) func(*world, *rand.Rand) error {
	return func(_ *world, rng *rand.Rand) error {
		if err := os.WriteFile(filepath.Join(p.tools, "does"), []byte(what), 0o644); err != nil {
			return err
		}
		time.Sleep(atMost(rng, limit))
		return os.Remove(filepath.Join(p.tools, "does"))
	}
}

func (p *podman) heal() {
	_ = os.Remove(filepath.Join(p.tools, "does"))
	p.registry.Fail(nil)
}

// The driver itself ends a podman that hangs.
func (p *podman) endHung(time.Duration) {}

func (p *podman) watchers() map[string][]int {
	out := map[string][]int{}
	for _, pid := range nomadkit.ProcessesWith("--conmon-pidfile " + p.agent.Dir + "/") {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), "conmon\x00") {
			withName(out, []int{pid})
		}
	}
	return out
}

func (p *podman) running() []string {
	out, err := nomadkit.Podman("ps", "--filter", "label=nomad.job_name", "--format",
		"{{index .Labels \"nomad.job_name\"}} {{index .Labels \"nomad.task_id\"}}")
	if err != nil {
		return nil // podman races with containers that go away
	}
	var tasks []string
	for _, line := range strings.Split(out, "\n") {
		// Other tests have containers on this machine too.
		if job, task, _ := strings.Cut(line, " "); strings.HasPrefix(job, "chaos-") {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// --- the stand-in for Apple's CLI

type apple struct {
	*nomadkit.Apple
	t     *testing.T
	agent *nomadkit.Agent
	idle  map[int]time.Time // since when attached CLIs have no container that runs
}

func (a *apple) config() string { return "" } // the agent knows its runtime
func (a *apple) image() string  { return nomadkit.Image() }
func (a *apple) pulled() string { return nomadkit.Image() }

// The subcommands that break one by one. What an attached start returns when it is done is the task's
// exit status: it is killed as a watcher instead.
var (
	commands       = []string{"create", "start", "inspect", "list", "stop", "kill", "delete", "image-inspect", "image-pull", "stats", "system-status", "system-version"}
	notTheAttached = []string{"create", "inspect", "list", "stop", "kill", "delete", "image-inspect", "image-pull", "stats", "system-status", "system-version"}
)

// call breaks the next call of one of these subcommands.
func (a *apple) call(line string, of []string) func(*world, *rand.Rand) error {
	return func(_ *world, rng *rand.Rand) error {
		command := of[rng.Intn(len(of))]
		if _, err := os.Stat(filepath.Join(a.State, "faults", command)); err == nil {
			return errNothing // the last one has not come yet
		}
		a.Fault(a.t, command, line+" times 1")
		return nil
	}
}

// calls breaks every call of the CLI for a while.
func (a *apple) calls(line string, limit time.Duration) func(*world, *rand.Rand) error {
	return func(_ *world, rng *rand.Rand) error {
		a.Fault(a.t, "all", line)
		time.Sleep(atMost(rng, limit))
		a.Fault(a.t, "all", "")
		return nil
	}
}

func (a *apple) small() []fault {
	return []fault{
		{"CLI killed", 3, killChild},
		{"monitor or attached CLI killed", 2, killWatcher},
		{"a call hangs", 1, a.call("hang", commands)},
		{"a call hangs when done", 1, a.call("hang-after", notTheAttached)},
		{"a call dies", 2, a.call("die 0", notTheAttached)},
		{"a call dies when done", 2, a.call("die-after", notTheAttached)},
		{"a call fails", 3, a.call("exit 1 chaos: nothing works", commands)},
		{"a call finds no service", 2, a.call("xpc", commands)},
		{"a call loses the service when done", 2, a.call("xpc-after", notTheAttached)},
		{"a call is slow", 2, a.call("slow 1500", commands)},
		{"a call answers garbage", 3, a.call("garbage", notTheAttached)},
		{"a call's answer is cut off", 3, a.call("truncated", notTheAttached)},
	}
}

func (a *apple) large() []fault {
	return []fault{
		{"the CLI hangs", 2, a.calls("hang", 8*time.Second)},
		{"the CLI fails", 2, a.calls("exit 1 chaos: nothing works", 3*time.Second)},
		{"the service is down", 2, a.calls("xpc", 3*time.Second)},
		{"the CLI is slow", 2, a.calls("slow 1000", 4*time.Second)},
		{"the CLI answers garbage", 2, a.calls("garbage", 3*time.Second)},
	}
}

func (a *apple) heal() {
	for _, name := range append([]string{"all"}, commands...) {
		a.Fault(a.t, name, "")
	}
	// A call that hung when its plugin was killed has nobody who ends it.
	for _, pid := range nomadkit.ProcessesWith(a.CLI + " ") {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		orphan := strings.Contains(string(stat), ") S 1 ")
		if orphan && strings.HasPrefix(string(line), a.CLI+"\x00") && !strings.Contains(string(line), "\x00--attach\x00") {
			_ = kill(pid)
		}
	}
}

// endHung ends attached starts that hang: a container may take the driver's ten minutes to start.
func (a *apple) endHung(limit time.Duration) {
	idle := map[int]time.Time{}
	for _, pid := range nomadkit.ProcessesWith(a.CLI + " start --attach") {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		words := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		if words[0] != a.CLI || a.Pid(words[len(words)-1]) != 0 {
			continue
		}
		since, known := a.idle[pid]
		if !known {
			since = time.Now()
		}
		idle[pid] = since
		if time.Since(since) >= limit {
			_ = kill(pid)
		}
	}
	a.idle = idle
}

func (a *apple) watchers() map[string][]int {
	out := map[string][]int{}
	withName(out, nomadkit.ProcessesWith("monitor "+a.agent.Dir+"/state/"))
	withName(out, nomadkit.ProcessesWith(a.CLI+" start --attach"))
	return out
}

func (a *apple) running() []string {
	var tasks []string
	for _, id := range a.Containers() {
		if record, err := a.Record(id); err == nil && a.Pid(id) != 0 {
			tasks = append(tasks, record.Configuration.Labels["nomad.task_id"])
		}
	}
	return tasks
}

func (a *apple) Containers() []string { return a.Standin.Containers() }
