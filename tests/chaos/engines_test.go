package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
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
	endHung(*world, time.Duration)
	// struck are the faults that calls have met since it was asked last, without their times.
	struck() []strike
	// ask asks the engine for something that is no work, past all faults.
	ask()
	// watchers are the processes that know how a task ends, by the first 8 characters of its
	// allocation.
	watchers() map[string][]int
}

// withName sorts processes by the allocation in the container's name in their command lines.
func withName(out map[string][]int, pids []int) {
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if alloc := allocIn(string(line)); alloc != "" {
			out[alloc] = append(out[alloc], pid)
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
	met      tail // the calls that had something done to them
}

// wrapper stands in front of podman and does what the file beside it says, and to which calls. What it
// fails with names no cause, like a broken installation. The container's name is at the beginning of a
// command line, the job's script at its end.
const wrapper = `#!/bin/sh
does=$(cat "%[1]s/does" 2>/dev/null)
[ -z "$does" ] || printf '%%s %%.300s\n' "$does" "$*" >>"%[1]s/met"
case $does in
  hang) exec sleep 600 ;;
  slow) sleep 1 ;;
  fail) echo "Error: chaos: nothing works" >&2; exit 125 ;;
esac
exec podman "$@"
`

func newPodman(t *testing.T) *podman {
	p := &podman{t: t, tools: t.TempDir(), registry: nomadkit.StartRegistry(t), name: nomadkit.Unique("ndc/chaos") + ":1"}
	p.met.path = filepath.Join(p.tools, "met")
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
		{"a request to the registry fails", 2, p.once(func(answer http.ResponseWriter, _ *http.Request) {
			http.Error(answer, "chaos", http.StatusInternalServerError)
		})},
		{"a request to the registry stalls", 1, p.once(func(_ http.ResponseWriter, request *http.Request) {
			<-request.Context().Done()
		})},
	}
}

// once lets the registry answer the next request in this way.
func (p *podman) once(answer http.HandlerFunc) func(*making, *rand.Rand) error {
	return func(m *making, _ *rand.Rand) error {
		m.armed = true
		p.registry.Fail(func(w http.ResponseWriter, request *http.Request) bool {
			p.registry.Fail(nil)
			s := m.begins(m.fault)
			answer(w, request)
			m.ends(s, "", true)
			return true
		})
		return nil
	}
}

func (p *podman) large() []fault {
	return []fault{
		{doing["hang"], 2, p.does("hang", 8*time.Second)},
		{doing["fail"], 2, p.does("fail", 3*time.Second)},
		{doing["slow"], 2, p.does("slow", 4*time.Second)},
	}
}

// doing are the names of what the wrapper does.
var doing = map[string]string{"hang": "podman hangs", "fail": "podman fails", "slow": "podman is slow"}

// does makes every podman that the plugin starts from now on hang, fail or be slow, for a while.
func (p *podman) does(what string, limit time.Duration) func(*making, *rand.Rand) error {
	return func(m *making, rng *rand.Rand) error {
		m.armed = true
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
func (p *podman) endHung(*world, time.Duration) {}

func (p *podman) struck() []strike {
	var met []strike
	for _, line := range p.met.lines() {
		what, call, _ := strings.Cut(line, " ")
		if name := doing[what]; name != "" {
			met = append(met, strike{fault: name, alloc: allocIn(call)})
		}
	}
	return met
}

func (p *podman) ask() { _, _ = nomadkit.Podman("ps", "--filter", "label=nomad.job_name") }

func (p *podman) watchers() map[string][]int {
	out := map[string][]int{}
	for _, pid := range nomadkit.ProcessesWith("--conmon-pidfile " + p.agent.Dir + "/") {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), "conmon\x00") {
			withName(out, []int{pid})
		}
	}
	return out
}

// --- the stand-in for Apple's CLI

type apple struct {
	*nomadkit.Apple
	t     *testing.T
	agent *nomadkit.Agent
	idle  map[int]time.Time // since when attached CLIs have no container that runs
	met   tail              // its calls, and the faults that they met
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

// broken is a fault of calls: what the stand-in is told.
type broken struct {
	name   string
	weight int
	line   string
	of     []string      // subcommands, one of which breaks once
	limit  time.Duration // for which all break otherwise
}

var brokenCalls = []broken{
	{name: "a call hangs", weight: 1, line: "hang", of: commands},
	{name: "a call hangs when done", weight: 1, line: "hang-after", of: notTheAttached},
	{name: "a call dies", weight: 2, line: "die 0", of: notTheAttached},
	{name: "a call dies when done", weight: 2, line: "die-after", of: notTheAttached},
	{name: "a call fails", weight: 3, line: "exit 1 chaos: nothing works", of: commands},
	{name: "a call finds no service", weight: 2, line: "xpc", of: commands},
	{name: "a call loses the service when done", weight: 2, line: "xpc-after", of: notTheAttached},
	{name: "a call is slow", weight: 2, line: "slow 1500", of: commands},
	{name: "a call answers garbage", weight: 3, line: "garbage", of: notTheAttached},
	{name: "a call's answer is cut off", weight: 3, line: "truncated", of: notTheAttached},
}

var brokenCLI = []broken{
	{name: "the CLI hangs", weight: 2, line: "hang", limit: 8 * time.Second},
	{name: "the CLI fails", weight: 2, line: "exit 1 chaos: nothing works", limit: 3 * time.Second},
	{name: "the service is down", weight: 2, line: "xpc", limit: 3 * time.Second},
	{name: "the CLI is slow", weight: 2, line: "slow 1000", limit: 4 * time.Second},
	{name: "the CLI answers garbage", weight: 2, line: "garbage", limit: 3 * time.Second},
}

// call breaks the next call of one of these subcommands.
func (a *apple) call(line string, of []string) func(*making, *rand.Rand) error {
	return func(m *making, rng *rand.Rand) error {
		m.armed = true
		command := of[rng.Intn(len(of))]
		if _, err := os.Stat(filepath.Join(a.State, "faults", command)); err == nil {
			return errNothing // the last one has not come yet
		}
		a.Fault(a.t, command, line+" times 1")
		return nil
	}
}

// calls breaks every call of the CLI for a while.
func (a *apple) calls(line string, limit time.Duration) func(*making, *rand.Rand) error {
	return func(m *making, rng *rand.Rand) error {
		m.armed = true
		a.Fault(a.t, "all", line)
		time.Sleep(atMost(rng, limit))
		a.Fault(a.t, "all", "")
		return nil
	}
}

func (a *apple) small() []fault {
	faults := []fault{
		{"CLI killed", 3, killChild},
		{"monitor or attached CLI killed", 2, killWatcher},
	}
	for _, b := range brokenCalls {
		faults = append(faults, fault{b.name, b.weight, a.call(b.line, b.of)})
	}
	return faults
}

func (a *apple) large() []fault {
	var faults []fault
	for _, b := range brokenCLI {
		faults = append(faults, fault{b.name, b.weight, a.calls(b.line, b.limit)})
	}
	return faults
}

// The stand-in records of each call which fault it has met: "create hang", "all xpc".
func (a *apple) struck() []strike {
	var met []strike
	for _, line := range a.met.lines() {
		var call struct {
			Fault string
			Argv  []string
		}
		if json.Unmarshal([]byte(line), &call) != nil || call.Fault == "" {
			continue
		}
		of, kind, _ := strings.Cut(call.Fault, " ")
		known := brokenCalls
		if of == "all" {
			known = brokenCLI
		}
		for _, b := range known {
			if strings.Fields(b.line)[0] == kind {
				met = append(met, strike{fault: b.name, alloc: allocIn(strings.Join(call.Argv, " "))})
			}
		}
	}
	return met
}

func (a *apple) ask() {
	command := exec.Command(a.CLI)
	command.Env = append(os.Environ(), "NDC_STANDIN_PARSE_ONLY=1") // with nothing to parse
	_ = command.Run()
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
func (a *apple) endHung(w *world, limit time.Duration) {
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
			s := w.begins(hungStartEnded)
			w.ends(s, allocIn(string(line)), hit(pid) == nil)
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
