package wire

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// stormSize is how many tasks run at once: $NDC_STORM, else as many as a test run has the time for.
// What is proved does not depend on the number.
func stormSize(t *testing.T) int {
	t.Helper()
	text := os.Getenv("NDC_STORM")
	if text == "" {
		return 24
	}
	size, err := strconv.Atoi(text)
	must.NoError(t, err)
	return size
}

func threads(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must.NoError(t, err)
	for _, line := range strings.Split(string(status), "\n") {
		if count, found := strings.CutPrefix(line, "Threads:"); found {
			n, err := strconv.Atoi(strings.TrimSpace(count))
			must.NoError(t, err)
			return n
		}
	}
	t.Fatal("no thread count")
	return 0
}

func TestManyTasksAtOnceNeedNoThreadEachAndAllEnd(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	pid := p.Cmd.Process.Pid
	first := nomadkit.Run(t, p, "true") // what is made once is made now
	first.Wait(t, 20*time.Second)
	threadsBefore, filesBefore := threads(t, pid), len(nomadkit.OpenFiles(pid))

	n := stormSize(t)
	tasks := make([]*nomadkit.Task, n)
	for i := range tasks {
		tasks[i] = nomadkit.NewTask(t, p, sh("sleep 600"))
	}
	ctx := nomadkit.Context(t, 5*time.Minute)
	each := func(what string, act func(task *nomadkit.Task) error) {
		errs := make([]error, n)
		var all sync.WaitGroup
		for i, task := range tasks {
			all.Add(1)
			go func() {
				defer all.Done()
				errs[i] = act(task)
			}()
		}
		all.Wait()
		for i, err := range errs {
			must.NoError(t, err, must.Sprintf("%s of task %d of %d", what, i, n))
		}
	}
	each("start", func(task *nomadkit.Task) error {
		_, _, err := p.StartTask(task.TaskConfig)
		return err
	})
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	for _, task := range tasks {
		_, err := p.WaitTask(ctx, task.ID)
		must.NoError(t, err)
		_, err = p.TaskStats(watching, task.ID, time.Second)
		must.NoError(t, err)
	}
	// gRPC and the event loop keep a few threads for bursts; none belongs to a task.
	must.LessEq(t, threadsBefore+16, threads(t, pid))
	must.LessEq(t, filesBefore+8*n+16, len(nomadkit.OpenFiles(pid)))
	must.SliceEmpty(t, nomadkit.ChildrenOf(pid))

	each("stop", func(task *nomadkit.Task) error { return p.StopTask(task.ID, 0, "SIGKILL") })
	each("destroy", func(task *nomadkit.Task) error { return p.DestroyTask(task.ID, true) })
	for _, task := range tasks {
		must.SliceEmpty(t, nomadkit.ContainersOf(t, task.AllocID))
	}
	stopWatching()
	nomadkit.Eventually(t, 10*time.Second, "descriptors are back", func() error {
		if now := len(nomadkit.OpenFiles(pid)); now > filesBefore+4 {
			return fmt.Errorf("%d before, %d now", filesBefore, now)
		}
		return nil
	})
}

func TestFailedStartsLeaveNoDescriptorAndNoChild(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	pid := p.Cmd.Process.Pid
	try := func() {
		task := nomadkit.NewTask(t, p, "image = \"${image}\"\ncommand = \"/no/such/command\"")
		_, _, err := p.StartTask(task.TaskConfig)
		must.Error(t, err)
		nomadkit.NothingLeftOf(t, p, task)
	}
	try()
	before := len(nomadkit.OpenFiles(pid))
	for i := 0; i < 3; i++ {
		try()
	}
	nomadkit.Eventually(t, 10*time.Second, "descriptors are back", func() error {
		if now := nomadkit.OpenFiles(pid); len(now) > before {
			return fmt.Errorf("%d before, now %v", before, now)
		}
		return nil
	})
	must.SliceEmpty(t, nomadkit.ChildrenOf(pid))
}
