package crashpoints

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-driver-container/tests/nomadkit"
)

// startTries is how often Nomad's restart policy starts a task that could not be started. One kill
// costs one at most; the second is for an engine that is not done with the first.
const startTries = 3

// restartDelay is Nomad's pause before a task is started again, 15 s unless the job says so. Without
// one the collector would not have come to its end yet.
const restartDelay = 2 * time.Second

// world is one run of a scenario: a node with its plugin and one task, seen as Nomad's client sees
// them. Its methods act as the client's task runner does, also when the plugin is gone.
type world struct {
	t        *testing.T
	engine   *engine
	scenario *scenario
	point    string
	victim   victim

	dir, stateDir string
	log           string // of the points that were reached
	image         string
	plugin        *nomadkit.Plugin
	task          *nomadkit.Task
	armed         bool // the next plugin is started with the point armed
	code          int  // the workload's, decided here and told to it at its end
	destroyed     bool
	stops         *stops
}

func newWorld(t *testing.T, e *engine, s *scenario, point string, v victim) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "ndc-crash-")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: e, scenario: s, point: point, victim: v, dir: dir,
		stateDir: filepath.Join(dir, "state"), log: filepath.Join(dir, "points"),
		armed: !s.armedLater, code: 2 + rand.IntN(98)}
	t.Cleanup(func() {
		texts := []string{dir}
		if w.task != nil {
			texts = append(texts, w.task.AllocDir) // a workload without a container around it
		}
		for _, p := range processes(texts...) { // of a run that failed
			_ = syscall.Kill(p.pid, syscall.SIGKILL)
		}
		os.RemoveAll(dir)
	})
	e.prepare(w)
	w.image = e.image(w, s)
	w.stops = watchStops(w)
	t.Cleanup(w.stops.close)
	w.launch()
	w.newTask()
	return w
}

func (w *world) container() string { return "nomad-main-" + shortID(w.t, w.task.AllocID) }

// containerID is the engine's, from the handle.
func (w *world) containerID() string {
	var handle struct {
		ID string `json:"container_id"`
	}
	if json.Unmarshal(w.task.Handle.DriverState, &handle) != nil || handle.ID == "" {
		return w.container()
	}
	return handle.ID
}

// environment arms the point, in the first plugin that is to have it.
func (w *world) environment() []string {
	env := []string{}
	if registry != nil {
		env = append(env, trust)
	}
	if !w.armed {
		return env
	}
	w.armed = false
	at := w.point + " 1 stop"
	if w.victim == nobody {
		at = "* 2 stop"
	} else if w.kills() {
		at = w.point + " 1 kill"
	}
	return append(env, "NDC_CRASH_AT="+at, "NDC_CRASH_LOG="+w.log)
}

// kills says whether the victim is the process that comes to the point.
func (w *world) kills() bool {
	ofMonitor := strings.HasPrefix(w.point, "monitor.")
	return w.victim == monitor && ofMonitor || (w.victim == plugin || w.victim == agent) && !ofMonitor
}

func (w *world) launch() {
	w.t.Helper()
	config := w.engine.config(w) + "gc { dangling_containers { period = \"1s\"\ncreation_grace = \"1ms\" } }\n" + w.scenario.config
	w.plugin = nomadkit.StartPluginIn(w.t, w.stateDir, config, w.environment()...)
}

func (w *world) newTask() {
	w.t.Helper()
	w.task = nomadkit.NewTask(w.t, w.plugin, "image = \"placeholder\"", func(c *drivers.TaskConfig) {
		c.Resources.NomadResources.Memory = structs.AllocatedMemoryResources{MemoryMB: 256}
		c.Resources.LinuxResources.MemoryLimitBytes = 256 << 20
	})
	w.task.SetConfig(w.t, w.taskConfig())
}

func (w *world) taskConfig() string {
	command := fmt.Sprintf("command = \"/bin/sh\"\nargs = [\"-c\", %q]\n", workload(w.engine.inside(w), w.scenario.tty))
	if w.scenario.command != "" {
		command = fmt.Sprintf("command = %q\n", w.scenario.command)
	}
	more := strings.ReplaceAll(w.scenario.task[w.engine.name], "${dir}", w.dir)
	config := fmt.Sprintf("image = %q\n%s%s\n", w.image, command, more)
	if w.engine == podmanEngine && !strings.Contains(config, "network_mode") {
		config += "network_mode = \"none\"\n" // a killed podman would leave a network of the host behind
	}
	return config
}

// dead says whether the plugin was taken away, which is why a call failed.
func (w *world) dead(err error) bool {
	return err != nil && !pluginAlive(w.plugin)
}

// relaunch starts the plugin again as Nomad does when it finds it gone. The agent that died with it
// takes its new plugin along.
func (w *world) relaunch() {
	w.t.Helper()
	if w.victim != plugin && w.victim != agent && !w.scenario.killsPlugin {
		w.t.Fatalf("the plugin ended, though nobody killed it:\n%s", w.plugin.Stderr.String())
	}
	w.launch()
}

// mayBeUnknown: with this victim goes what only it knew, the exit status and the rest of the output.
func (w *world) mayBeUnknown() bool {
	return w.scenario.unknown || w.victim == conmon || w.victim == attached ||
		w.victim == monitor && !afterTheRecord[w.point]
}

// afterTheRecord are the points at which the monitor knows nothing any more that is not in its files:
// from there on its death excuses neither an unknown exit nor a hole in the output.
var afterTheRecord = map[string]bool{
	"monitor.exit.renamed": true, "monitor.exit.said": true, "monitor.exit.synced": true,
	"monitor.end.delivered": true, "monitor.end.unlinked": true,
	"apple.exit.read": true, "apple.exit.verifying": true, "apple.exit.told": true, "apple.exit.delivered": true,
	"task.exit.seen": true, "task.exit.drained": true, "driver.exit.answering": true, "driver.exit.answered": true,
}

// mayBeCut: a collector reads until its FIFO has no writer, and never again (Nomad's logmon). Where
// it is new, on new FIFOs, only the plugin writes to them: if that dies too, nobody gets the rest.
// So it is between the end of an earlier attempt's container and the start of its successor.
func (w *world) mayBeCut() bool {
	return w.victim == plugin && (w.scenario.newFIFOs || w.point == "podman.start.replaced")
}

// collectAgain is what Nomad does before it starts a task again: a collector that has seen the end of
// its FIFO begins anew. The one retry within a task's start, after ErrPluginShutdown, does without.
func (w *world) collectAgain() {
	time.Sleep(restartDelay)
	w.task.RestartLogs(w.t)
}

func (w *world) newInvocation() {
	w.task.ID = w.task.AllocID + "/main/" + uuid.Short()
}

// start is the task runner's start: again with the same id when the plugin is found dead, again
// under a new one when the error is recoverable (its restart policy) or the agent itself died.
func (w *world) start() {
	w.t.Helper()
	for try := 1; ; try++ {
		handle, _, err := w.plugin.StartTask(w.task.TaskConfig)
		if err == nil {
			w.task.Handle = handle
			return
		}
		if w.dead(err) {
			w.relaunch()
			if w.victim == agent {
				w.collectAgain()
				w.newInvocation()
			}
			continue
		}
		if !structs.IsRecoverable(err) || try == startTries {
			w.t.Fatalf("StartTask, try %d: %v", try, err)
		}
		w.t.Logf("StartTask, try %d: %v", try, err)
		w.collectAgain()
		w.newInvocation()
	}
}

// recover is what a client does with a task that it knows of, once its plugin is there again.
func (w *world) recover() {
	w.t.Helper()
	for {
		err := w.plugin.RecoverTask(w.task.RecoveredHandle())
		if err == nil {
			return
		}
		if !w.dead(err) {
			w.t.Fatalf("RecoverTask: %v", err)
		}
		w.relaunch()
	}
}

// revive goes on with a living plugin that knows the task.
func (w *world) revive() {
	w.t.Helper()
	w.relaunch()
	w.recover()
}

// call repeats a call about the task until a living plugin has answered it.
func (w *world) call(what string, f func(p *nomadkit.Plugin) error) error {
	w.t.Helper()
	for {
		err := f(w.plugin)
		if !w.dead(err) {
			return err
		}
		w.revive()
	}
}

// release tells the workload to end, and how.
func (w *world) release() {
	w.write("go", "")
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.task.Dir, "local", name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

// wait waits for the task's exit, with whatever plugin is there.
func (w *world) wait() *drivers.ExitResult {
	w.t.Helper()
	const limit = 60 * time.Second
	deadline := time.Now().Add(nomadkit.Patience * limit)
	for {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		ch, err := w.plugin.WaitTask(ctx, w.task.ID)
		var result *drivers.ExitResult
		if err == nil {
			result = nomadkit.Receive(w.t, ch, limit+5*time.Second, "exit of the task")
			if err = result.Err; err != nil && ctx.Err() != nil {
				w.t.Fatalf("WaitTask: no exit until the deadline: %v", err)
			}
		}
		cancel()
		if err != nil && w.dead(err) {
			w.revive()
			continue
		}
		if result == nil {
			w.t.Fatalf("WaitTask: %v", err)
		}
		return result
	}
}

// expectExit waits and compares. `stopped`: the workload was killed with SIGKILL.
func (w *world) expectExit(want int) {
	w.t.Helper()
	result := w.wait()
	if w.mayBeUnknown() && result.Err != nil {
		if text := result.Err.Error(); !strings.Contains(text, "unknown") {
			w.t.Errorf("the exit is an error that does not say unknown: %s", text)
		}
		return
	}
	if result.Err != nil || result.ExitCode != want {
		w.t.Errorf("exit %d, error %v: the workload's code was %d", result.ExitCode, result.Err, want)
	}
	status, err := w.plugin.InspectTask(w.task.ID)
	if w.dead(err) {
		return
	}
	if err != nil || status.State != drivers.TaskStateExited {
		w.t.Errorf("InspectTask after the exit: %+v, %v", status, err)
	}
}

func (w *world) stop(timeout time.Duration) {
	w.t.Helper()
	if err := w.call("StopTask", func(p *nomadkit.Plugin) error { return p.StopTask(w.task.ID, timeout, "SIGTERM") }); err != nil {
		w.t.Fatalf("StopTask: %v", err)
	}
}

// destroy is what Nomad does with a task that has ended: it asks once, and forgets. Without conmon
// podman may wait in vain for the exit; the driver tries again.
func (w *world) destroy() {
	w.t.Helper()
	w.destroyed = true
	if err := w.plugin.DestroyTask(w.task.ID, true); err != nil && !w.dead(err) && w.victim != cli && w.victim != conmon {
		w.t.Errorf("DestroyTask: %v", err)
	}
}

// finish checks what must be true at the end of every run.
func (w *world) finish() {
	w.t.Helper()
	if !pluginAlive(w.plugin) {
		w.relaunch()
	}
	if w.leftovers() != nil {
		w.neighbour()
	}
	if !pluginAlive(w.plugin) {
		w.relaunch()
		w.neighbour()
	}
	nomadkit.Eventually(w.t, 15*time.Second, "nothing is left of the task", w.leftovers)
	if w.destroyed {
		if status, err := w.plugin.InspectTask(w.task.ID); err == nil && status.State == drivers.TaskStateRunning {
			w.t.Errorf("a destroyed task is said to be running: %+v", status)
		}
	}
	if w.victim != nobody {
		w.stops.reached()
	}
	if data, _ := os.ReadFile(filepath.Join(w.dir, "cli", "rejected.jsonl")); len(data) > 0 {
		w.t.Errorf("the CLI rejected: %s", data)
	}
}

// neighbour is the next task of this client. From it a new plugin learns which node it serves:
// before, it must not touch any container that it does not know.
func (w *world) neighbour() {
	w.t.Helper()
	config := fmt.Sprintf("image = %q\ncommand = \"/no/such/program\"\n", w.image)
	other := nomadkit.MuteTask(w.t, w.plugin, config, func(c *drivers.TaskConfig) { c.NodeID = w.task.NodeID })
	if _, _, err := w.plugin.StartTask(other.TaskConfig); err == nil { // dead or not, it is no start
		w.t.Error("a task without a program was started")
	}
}
