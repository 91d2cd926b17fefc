package apple

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func TestAKilledPluginLosesNeitherExitNorOutput(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 0.2; done; exit 5")
		task.WaitLog(t, "stdout", "line 2\n")
		n.Kill9(t)
		successor := n.successor(t, task)
		if result := task.WaitOn(t, successor, 20*time.Second); result.ExitCode != 5 || result.Err != nil {
			t.Errorf("got %+v", result)
		}
		var want strings.Builder
		for i := 1; i <= 9; i++ {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		task.WaitLog(t, "stdout", "line 9\n")
		if got := task.Log("stdout"); got != want.String() {
			t.Errorf("log %q", got)
		}
		if err := successor.DestroyTask(task.ID, false); err != nil {
			t.Fatal(err)
		}
		n.nothingLeft(t)
	})
}

func TestTheLogOfATaskThatIsStartedAnewGoesOn(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		nomadkit.LogGoesOnAnew(t, n.Plugin, n.Plugin)
		nomadkit.LogGoesOnAfterAForgottenEnd(t, n.Plugin)
		nomadkit.LogGoesOnAnew(t, n.Plugin, nomadkit.StartPluginIn(t, n.StateDir, n.Config()))
	})
}

func TestAStartWaitsForARemovalThatOutlivedItsPlugin(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "sleep 600")
		n.Fault(t, "delete", "slow 2500 times 1")
		go func() { _ = n.DestroyTask(task.ID, true) }()
		nomadkit.Eventually(t, 15*time.Second, "the removal", func() error {
			if len(nomadkit.ProcessesWith("delete --force "+container(task))) == 0 {
				return fmt.Errorf("has not begun")
			}
			return nil
		})
		n.Kill9(t)
		n.Plugin = nomadkit.StartPluginIn(t, n.StateDir, n.Config())
		task.StartAnew(t, n.Plugin, "sleep 3; exit 7")
		if result := task.WaitOn(t, n.Plugin, 20*time.Second); result.ExitCode != 7 {
			t.Errorf("got %+v: the removal took the next attempt's container", result)
		}
		if err := n.DestroyTask(task.ID, false); err != nil {
			t.Fatal(err)
		}
		n.nothingLeft(t)
	})
}

// Its own container listens there: one of an earlier call is the task, one of an earlier attempt makes way.
func TestAStartIsNotRefusedOverTheTasksOwnSocket(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		dir, err := os.MkdirTemp("", "ndc-sock")
		must.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		path := filepath.Join(dir, "app.sock")
		listens := func() {
			t.Helper()
			conn, err := net.Dial("unix", path)
			must.NoError(t, err)
			must.NoError(t, conn.Close())
		}
		task := starts(t, n, of("demo:1", fmt.Sprintf("publish_sockets = [%q]", path+":/run/app.sock")))
		listens()
		for creates, id := range []string{task.ID, task.AllocID + "/main/" + uuid.Short()} {
			n.Kill9(t)
			n.Plugin = nomadkit.StartPluginIn(t, n.StateDir, n.Config())
			task.ID = id
			_, _, err := n.StartTask(task.TaskConfig)
			must.NoError(t, err)
			must.Eq(t, creates+1, n.Calls("create"))
			listens()
		}
		must.NoError(t, n.DestroyTask(task.ID, true))
		n.nothingLeft(t)
		_, err = os.Lstat(path)
		must.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestAnExitWithoutAPluginIsFoundLater(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		for _, code := range []int{1, 4} {
			task := nomadkit.Run(t, n.Plugin, fmt.Sprintf("echo up; sleep 1; echo done; exit %d", code))
			task.WaitLog(t, "stdout", "up\n")
			n.Kill9(t)
			task.WaitLog(t, "stdout", "done\n")
			nomadkit.Eventually(t, 10*time.Second, "the monitor ends", func() error {
				if pid := n.monitorOf(task); pid != 0 {
					return fmt.Errorf("process %d", pid)
				}
				return nil
			})
			successor := n.successor(t, task)
			if result := task.WaitOn(t, successor, 30*time.Second); result.ExitCode != code || result.Err != nil {
				t.Errorf("exit %d: got %+v", code, result)
			}
			if err := successor.DestroyTask(task.ID, false); err != nil {
				t.Fatal(err)
			}
		}
		n.nothingLeft(t)
	})
}

func TestAKilledMonitorMeansAnUnknownExit(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		events, err := n.TaskEvents(nomadkit.Context(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		end := filepath.Join(t.TempDir(), "end")
		task := nomadkit.Run(t, n.Plugin, fmt.Sprintf("echo up; while [ ! -e %s ]; do sleep 0.1; done; exit 6", end))
		task.WaitLog(t, "stdout", "up\n")
		pid := n.monitorOf(task)
		if pid == 0 {
			t.Fatal("no monitor")
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		hasEvent(t, events, "monitor was killed")
		must.NoError(t, os.WriteFile(end, nil, 0o644))
		result := task.Wait(t, 40*time.Second)
		if result.Err == nil || !strings.Contains(result.Err.Error(), "unknown") {
			t.Errorf("got %+v", result)
		}
		if err := n.DestroyTask(task.ID, false); err != nil {
			t.Fatal(err)
		}
		n.nothingLeft(t)
	})
}

// The plugin was killed while `start` hung: the next attempt takes the place of that one.
func TestAMonitorWhoseCLIHangsEndsWithItsAttempt(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.NewTask(t, n.Plugin, fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"exit 4\"]\n", nomadkit.Image()))
		n.Fault(t, "start", "hang times 1")
		first := n.Plugin
		go func() { _, _, _ = first.StartTask(task.TaskConfig) }()
		pid := 0
		nomadkit.Eventually(t, 20*time.Second, "a monitor", func() error {
			if pid = n.monitorOf(task); pid == 0 {
				return fmt.Errorf("none")
			}
			if _, err := os.Stat(filepath.Join(n.State, "faults", "start")); err == nil {
				return fmt.Errorf("its CLI does not hang yet")
			}
			return nil
		})
		n.Kill9(t)
		n.Plugin = nomadkit.StartPluginIn(t, n.StateDir, n.Config())
		if _, _, err := n.StartTask(task.TaskConfig); err != nil {
			t.Fatal(err)
		}
		if result := task.WaitOn(t, n.Plugin, 20*time.Second); result.ExitCode != 4 {
			t.Errorf("got %+v", result)
		}
		if err := n.DestroyTask(task.ID, false); err != nil {
			t.Fatal(err)
		}
		nomadkit.Eventually(t, 30*time.Second, "the first monitor ends", func() error {
			if slices.Contains(nomadkit.ProcessesWith("monitor "+n.StateDir), pid) {
				return fmt.Errorf("process %d", pid)
			}
			return nil
		})
		n.nothingLeft(t)
	})
}

func TestOutputWaitsForALogCollectorThatIsAway(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		const lines = 40000 // far more than a FIFO holds
		dir := t.TempDir()
		task := nomadkit.Run(t, n.Plugin, fmt.Sprintf("echo up; while [ ! -e %[1]s/begin ]; do sleep 0.1; done; "+
			"i=0; while [ $i -lt %[2]d ]; do echo line $i; i=$((i+1)); done; touch %[1]s/written; exit 0", dir, lines))
		task.WaitLog(t, "stdout", "up\n")
		task.StopLogs(t)
		n.Kill9(t)
		must.NoError(t, os.WriteFile(filepath.Join(dir, "begin"), nil, 0o644))
		nomadkit.Eventually(t, 30*time.Second, "the task has written everything", func() error {
			_, err := os.Stat(filepath.Join(dir, "written"))
			return err
		})
		task.StartLogs(t)
		successor := n.successor(t, task)
		if result := task.WaitOn(t, successor, 30*time.Second); result.ExitCode != 0 || result.Err != nil {
			t.Errorf("got %+v", result)
		}
		last := fmt.Sprintf("line %d\n", lines-1)
		task.WaitLog(t, "stdout", last)
		var want strings.Builder
		want.WriteString("up\n")
		for i := 0; i < lines; i++ {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		if task.Log("stdout") != want.String() {
			t.Error("lines are missing, repeated or out of order")
		}
	})
}
