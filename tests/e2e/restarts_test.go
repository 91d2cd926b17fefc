package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

const untilReleased = "echo first; while [ ! -e /alloc/go ]; do sleep 0.05; done; echo last; exit 21"

// runningTask starts a task that ends with 21 once it is released.
func runningTask(t *testing.T, on *Agent, more ...string) (*Job, *api.Allocation, int) {
	t.Helper()
	job := on.Submit(t, BatchJob(Shell(untilReleased, more...)))
	alloc := job.WaitStatus(t, "running")
	job.WaitLog(t, alloc, "stdout", "first")
	return job, alloc, on.Runtime.Look(t, alloc.ID).Pid
}

// endsWith21 releases the task and checks that it ended once, with its own exit code and whole log.
func endsWith21(t *testing.T, job *Job, alloc *api.Allocation) {
	t.Helper()
	// Not by an exec: the task's end would race with its answer.
	job.WriteShared(t, alloc, "go", "")
	alloc = job.WaitStatus(t, "failed")
	must.Eq(t, 21, ExitCode(t, alloc))
	must.Eq(t, uint64(0), alloc.TaskStates["main"].Restarts)
	job.WaitLog(t, alloc, "stdout", "last\n")
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	must.Eq(t, "first\nlast\n", text)
}

func TestTasksOutliveAGracefulAgentRestart(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job, alloc, pid := runningTask(t, own)
		must.NoError(t, own.Stop(false))
		must.NoError(t, syscall.Kill(pid, 0), must.Sprint("the task runs without an agent"))
		must.NoError(t, own.Start())
		job.WaitStatus(t, "running")
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)
		endsWith21(t, job, alloc)
	})
}

func TestTasksOutliveAKilledAgent(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job, alloc, pid := runningTask(t, own)
		must.NoError(t, own.Stop(true))
		must.NoError(t, syscall.Kill(pid, 0), must.Sprint("the task runs without an agent"))
		must.NoError(t, own.Start())
		job.WaitStatus(t, "running")
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)
		endsWith21(t, job, alloc)
	})
}

func TestATaskThatEndsWhileTheAgentIsDownReportsItsRealExit(t *testing.T) {
	endsWhileTheAgentIsDown(t, "", "first\nlast\n")
}

// What a terminal's task says goes through the plugin on Podman, which is not there.
func TestATerminalsTaskThatEndsWhileTheAgentIsDownLosesNothing(t *testing.T) {
	endsWhileTheAgentIsDown(t, "tty = true", "first\r\nlast\r\n")
}

func endsWhileTheAgentIsDown(t *testing.T, setting, log string) {
	t.Helper()
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job, alloc, pid := runningTask(t, own, setting)
		must.NoError(t, own.Stop(false))
		job.WriteShared(t, alloc, "go", "")
		Eventually(t, 10*time.Second, "the task ends", func() error {
			if syscall.Kill(pid, 0) == nil {
				return fmt.Errorf("still running")
			}
			return nil
		})
		must.NoError(t, own.Start())
		alloc = job.WaitStatus(t, "failed")
		must.Eq(t, 21, ExitCode(t, alloc))
		job.WaitLog(t, alloc, "stdout", log)
		text, err := job.Log(alloc, "stdout")
		must.NoError(t, err)
		must.Eq(t, log, text)
	})
}

func TestTasksOutliveAKilledPlugin(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job, alloc, pid := runningTask(t, own)
		plugins := own.Plugins()
		must.Len(t, 1, plugins)
		must.NoError(t, syscall.Kill(plugins[0], syscall.SIGKILL))
		Eventually(t, 20*time.Second, "a new plugin", func() error {
			now := own.Plugins()
			if len(now) != 1 || now[0] == plugins[0] {
				return fmt.Errorf("plugins %v", now)
			}
			return nil
		})
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)
		Eventually(t, 20*time.Second, "the task is recovered", func() error {
			now := job.Alloc(t)
			if now.ClientStatus != "running" {
				return fmt.Errorf("allocation %s", now.ClientStatus)
			}
			usage, err := own.API.Allocations().Stats(now, nil)
			if err != nil || usage.Tasks["main"] == nil {
				return fmt.Errorf("no usage: %v", err)
			}
			return nil
		})
		endsWith21(t, job, alloc)
	})
}

func TestAnAgentDoesNotStartWithABadPluginConfigAndSaysWhy(t *testing.T) {
	t.Parallel()
	own := newAgent(t, anyAgent(), `image_pull_timeout = "soon"`)
	must.NoError(t, own.Exec())
	Eventually(t, 30*time.Second, "the agent gives up", func() error {
		if own.Alive() {
			return fmt.Errorf("still running")
		}
		return nil
	})
	must.StrContains(t, own.Log(), "image_pull_timeout")
	Eventually(t, 10*time.Second, "no plugin outlives an agent that never used it", func() error {
		if left := own.Plugins(); len(left) > 0 {
			return fmt.Errorf("plugins %v", left)
		}
		return nil
	})
}
