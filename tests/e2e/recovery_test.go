package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// replaceInConfig changes the agent's file; the next start reads it.
func replaceInConfig(t *testing.T, on *Agent, old, new string) {
	t.Helper()
	path := filepath.Join(on.Dir, "agent.hcl")
	text, err := os.ReadFile(path)
	must.NoError(t, err)
	must.StrContains(t, string(text), old)
	must.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o644))
}

// The new agent finds the old plugin and takes it as it is: with the configuration that the old agent
// gave to it, although the file says another one by now.
func TestAKilledAgentsPluginIsAttachedToAgainAsItIs(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job, alloc, pid := runningTask(t, own)
		plugins := own.Plugins()
		must.Len(t, 1, plugins)
		must.NoError(t, own.Stop(true))
		replaceInConfig(t, own, `["job_name", "task_name"]`, `["namespace"]`)
		must.NoError(t, own.Start())
		job.WaitStatus(t, "running")
		// A starting agent runs each plugin for a moment to ask what it is.
		Eventually(t, 20*time.Second, "the plugin from before alone", func() error {
			if now := own.Plugins(); !slices.Equal(plugins, now) {
				return fmt.Errorf("plugins %v, before %v", now, plugins)
			}
			return nil
		})
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)

		later := own.Submit(t, BatchJob(Shell(untilSignalled)))
		labels := own.Runtime.Look(t, later.WaitStatus(t, "running").ID).Labels
		must.Eq(t, later.ID, labels["nomad.job_name"], must.Sprint("no SetConfig came"))
		must.MapNotContainsKey(t, labels, "nomad.namespace")
		endsWith21(t, job, alloc)
	})
}

func TestAContainerRemovedWhileTheAgentWasDownIsStartedAnew(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job := own.Submit(t, strings.Replace(BatchJob(Shell(untilReleased)), "attempts = 0",
			"attempts = 1\n interval = \"1m\"\n delay = \"0s\"", 1))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "first")
		pid := own.Runtime.Look(t, alloc.ID).Pid
		must.NoError(t, own.Stop(false))
		own.Runtime.RemoveContainers(alloc.ID)
		must.NoError(t, own.Start())
		Eventually(t, 40*time.Second, "a new container", func() error {
			if ids := own.Runtime.Containers(t, alloc.ID); len(ids) != 1 {
				return fmt.Errorf("containers %v", ids)
			}
			if now := own.Runtime.Look(t, alloc.ID).Pid; now == 0 || now == pid {
				return fmt.Errorf("pid %d, before %d", now, pid)
			}
			return nil
		})
		job.WaitLog(t, alloc, "stdout", "first\nfirst\n")
		job.Stop(t)
		must.SliceEmpty(t, own.Runtime.Containers(t, alloc.ID))
		must.SliceEmpty(t, FilesIn(filepath.Join(own.Dir, "state")))
	})
}

func TestManyTasksOutliveAKilledPluginAndReportTheirExits(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		const n = 5
		var jobs [n]*Job
		var allocs [n]*api.Allocation
		for i := range jobs {
			jobs[i] = own.Submit(t, BatchJob(Shell(fmt.Sprintf(
				"while [ ! -e /alloc/go ]; do sleep 0.05; done; echo ended; exit %d", 30+i))))
		}
		for i, job := range jobs {
			allocs[i] = job.WaitStatus(t, "running")
		}
		plugins := own.Plugins()
		must.Len(t, 1, plugins)
		must.NoError(t, syscall.Kill(plugins[0], syscall.SIGKILL))
		// One ends while no plugin is there to see it, or just after; the others later.
		release := func(i int) { jobs[i].WriteShared(t, allocs[i], "go", "") }
		release(0)
		Eventually(t, 20*time.Second, "a new plugin", func() error {
			if now := own.Plugins(); len(now) != 1 || now[0] == plugins[0] {
				return fmt.Errorf("plugins %v", now)
			}
			return nil
		})
		for i := 1; i < n; i++ {
			release(i)
		}
		for i, job := range jobs {
			alloc := job.WaitStatus(t, "failed")
			must.Eq(t, 30+i, ExitCode(t, alloc))
			must.Eq(t, uint64(0), alloc.TaskStates["main"].Restarts)
			job.WaitLog(t, alloc, "stdout", "ended\n")
			must.SliceEmpty(t, own.Runtime.Containers(t, alloc.ID))
		}
	})
}
