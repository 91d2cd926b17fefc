package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// release lets a task that waits for /local/go end.
func release(t *testing.T, task *nomadkit.Task) {
	t.Helper()
	must.NoError(t, os.WriteFile(filepath.Join(task.Dir, "local", "go"), nil, 0o644))
}

const untilReleased = "echo first; while [ ! -e /local/go ]; do sleep 0.05; done; echo last; exit 23"

func TestAKilledPluginsSuccessorRecoversARunningTask(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, untilReleased)
	pid := nomadkit.Inspect(t, task.AllocID).State.Pid
	p.Kill9(t)

	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	start := time.Now()
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.Less(t, 15*time.Second, time.Since(start))
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()), must.Sprint("a second time"))
	must.Eq(t, pid, nomadkit.Inspect(t, task.AllocID).State.Pid)
	status, err := next.InspectTask(task.ID)
	must.NoError(t, err)
	must.Eq(t, drivers.TaskStateRunning, status.State)
	stats, err := next.TaskStats(nomadkit.Context(t, 30*time.Second), task.ID, 200*time.Millisecond)
	must.NoError(t, err)
	nomadkit.Receive(t, stats, 5*time.Second, "a sample after the recovery")

	ctx := nomadkit.Context(t, 30*time.Second)
	ch, err := next.WaitTask(ctx, task.ID)
	must.NoError(t, err)
	release(t, task)
	must.Eq(t, 23, nomadkit.Receive(t, ch, 30*time.Second, "exit").ExitCode)
	task.WaitLog(t, "stdout", "first\nlast\n")
	must.NoError(t, next.DestroyTask(task.ID, true))
	nomadkit.NothingLeftOf(t, next, task)
}

func TestATaskThatEndedWhileNoPluginWasThereReportsItsRealExit(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, untilReleased)
	state := nomadkit.Inspect(t, task.AllocID).State
	p.Kill9(t)
	release(t, task)
	nomadkit.Eventually(t, 10*time.Second, "the container ends", func() error {
		if running(state.Pid) || running(state.ConmonPid) {
			return fmt.Errorf("still running")
		}
		return nil
	})
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.Eq(t, 23, task.WaitOn(t, next, 30*time.Second).ExitCode)
	must.NoError(t, next.DestroyTask(task.ID, true))
	nomadkit.NothingLeftOf(t, next, task)
}

func TestAContainerRemovedBehindTheBackCannotBeRecovered(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	p.Kill9(t)
	nomadkit.RemoveContainersOf(task.AllocID)
	// As long as conmon is there the container is believed to be.
	nomadkit.Eventually(t, 10*time.Second, "conmon ends", func() error {
		if pids := nomadkit.ProcessesWith("nomad-main-" + task.AllocID[:8]); len(pids) != 0 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	})
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.Error(t, next.RecoverTask(task.RecoveredHandle()))
	_ = next.DestroyTask(task.ID, true)
	nomadkit.NothingLeftOf(t, next, task)
}

func TestARecoveredTaskStopsExecsAndTakesSignals(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, `trap 'echo hup' HUP; echo ready; while true; do sleep 0.05; done`)
	task.WaitLog(t, "stdout", "ready")
	p.Kill9(t)
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.NoError(t, next.SignalTask(task.ID, "SIGHUP"))
	task.WaitLog(t, "stdout", "hup")
	result, err := next.ExecTask(task.ID, []string{"echo", "inside"}, 60*time.Second)
	must.NoError(t, err)
	must.Eq(t, "inside\n", string(result.Stdout))
	must.NoError(t, next.StopTask(task.ID, time.Second, "SIGKILL"))
	must.Eq(t, 137, task.WaitOn(t, next, 30*time.Second).ExitCode)
	must.NoError(t, next.DestroyTask(task.ID, false))
	nomadkit.NothingLeftOf(t, next, task)
}

func TestAHandleOfThePreviousVersionRecovers(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 1; exit 6")
	p.Kill9(t)
	// As version 1 wrote it: no node, no pipes, no cgroup.
	handle := task.RecoveredHandle()
	var state map[string]any
	must.NoError(t, json.Unmarshal(handle.DriverState, &state))
	must.Eq(t, float64(2), state["version"].(float64))
	state["version"] = 1
	delete(state, "node_id")
	container := state["container_state"].(map[string]any)
	for key := range container {
		if strings.HasPrefix(key, "cgroup_") || strings.HasSuffix(key, "_pipe") {
			delete(container, key)
		}
	}
	old, err := json.Marshal(state)
	must.NoError(t, err)
	handle.DriverState = old
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(handle))
	must.Eq(t, 6, task.WaitOn(t, next, 20*time.Second).ExitCode)
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestARecoveryIsAnsweredThoughPodmanHangs(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "exit 3")
	task.Wait(t, 20*time.Second)
	p.Kill9(t)
	// Asking podman is the only way to learn how it ended, and podman does not answer before it is let.
	let := filepath.Join(t.TempDir(), "let")
	slow := fakePodman(t, fmt.Sprintf("while [ ! -e %s ]; do sleep 0.1; done; exec podman \"$@\"", let))
	next := nomadkit.StartPluginIn(t, p.StateDir, fmt.Sprintf("podman_path = %q", slow))
	begun := time.Now()
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.Less(t, 15*time.Second, time.Since(begun), must.Sprint("a call of podman is given up after 30 s"))
	must.NoError(t, os.WriteFile(let, nil, 0o644))
	must.Eq(t, 3, task.WaitOn(t, next, 60*time.Second).ExitCode)
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestADanglingContainerIsRemovedAndOthersAreNot(t *testing.T) {
	p := nomadkit.StartPlugin(t, `gc { dangling_containers { period = "1s"
 creation_grace = "1ms" } }`)
	task := nomadkit.Run(t, p, "sleep 60")
	label := func(key, value string) string { return "--label=nomad." + key + "=" + value }
	run := func(node string) string {
		id, err := nomadkit.Podman("run", "-d", "--network=none", label("alloc_id", task.AllocID), label("task_id", "gone-"+node),
			label("node_id", node), nomadkit.Image(), "sleep", "60")
		must.NoError(t, err)
		t.Cleanup(func() { _, _ = nomadkit.Podman("rm", "-f", "-i", "-t", "0", id) })
		return id
	}
	ours, others := run(task.NodeID), run("another-node-"+task.AllocID)
	nomadkit.Eventually(t, 20*time.Second, "the dangling container is removed", func() error {
		if _, err := nomadkit.Podman("container", "exists", ours); err == nil {
			return fmt.Errorf("it is still there")
		}
		return nil
	})
	_, err := nomadkit.Podman("container", "exists", others)
	must.NoError(t, err)
	must.Len(t, 2, nomadkit.ContainersOf(t, task.AllocID)) // the task's, and the other node's
}
