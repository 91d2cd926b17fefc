package apple

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func TestExitCodesAndLogsArriveAsTheyWere(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		for _, code := range []int{0, 1, 3, 127, 255} {
			task := nomadkit.Run(t, n.Plugin, fmt.Sprintf("echo out; echo err >&2; exit %d", code))
			result := task.Wait(t, 20*time.Second)
			if result.ExitCode != code || result.Err != nil {
				t.Errorf("exit %d: got %+v", code, result)
			}
			task.WaitLog(t, "stdout", "out\n")
			task.WaitLog(t, "stderr", "err\n")
			if err := n.DestroyTask(task.ID, false); err != nil {
				t.Errorf("DestroyTask: %v", err)
			}
		}
		n.nothingLeft(t)
	})
}

// Apple's CLI returns 255 for a virtual machine that vanished as for a task that ends so.
func TestACodeOf255IsKeptAndItsDoubtIsTold(t *testing.T) {
	const doubt = "virtual machine has vanished"
	forEachVersion(t, func(t *testing.T, n *node) {
		events, err := n.TaskEvents(nomadkit.Context(t, time.Minute))
		must.NoError(t, err)
		for _, each := range []struct {
			script string
			code   int
			doubt  bool
		}{{"exit 255", 255, true}, {"exit 1", 1, false}, {"exit 254", 254, false}} {
			task := nomadkit.Run(t, n.Plugin, each.script)
			must.Eq(t, each.code, task.Wait(t, 20*time.Second).ExitCode)
			must.NoError(t, n.DestroyTask(task.ID, false))
			if each.doubt {
				hasEvent(t, events, doubt)
			}
		}
		vanished := nomadkit.Run(t, n.Plugin, "echo up; sleep 60")
		vanished.WaitLog(t, "stdout", "up\n")
		for told := false; !told; {
			event := nomadkit.Receive(t, events, 10*time.Second, "event")
			must.StrNotContains(t, event.Message, doubt)
			told = event.AllocID == vanished.AllocID && strings.HasPrefix(event.Message, "Started container")
		}
		must.NoError(t, syscall.Kill(n.Helper(t, container(vanished)), syscall.SIGKILL))
		result := vanished.Wait(t, 20*time.Second)
		must.NoError(t, result.Err)
		must.Eq(t, 255, result.ExitCode)
		hasEvent(t, events, doubt)
		must.NoError(t, n.DestroyTask(vanished.ID, false))
		n.nothingLeft(t)
	})
}

func TestAStopSendsTheSignalAndTheTaskEndsOnItsOwn(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "trap 'echo bye; exit 9' USR1; echo up; while :; do sleep 0.1; done")
		task.WaitLog(t, "stdout", "up\n")
		if err := n.StopTask(task.ID, time.Minute, "SIGUSR1"); err != nil {
			t.Fatal(err)
		}
		if result := task.Wait(t, 30*time.Second); result.ExitCode != 9 {
			t.Errorf("got %+v", result)
		}
		task.WaitLog(t, "stdout", "bye\n")
		if err := n.DestroyTask(task.ID, false); err != nil {
			t.Fatal(err)
		}
		n.nothingLeft(t)
	})
}

func TestADeafTaskIsKilledAfterItsTimeout(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "trap '' TERM; echo up; while :; do sleep 0.1; done")
		task.WaitLog(t, "stdout", "up\n")
		if err := n.StopTask(task.ID, time.Second, "SIGTERM"); err != nil {
			t.Fatal(err)
		}
		result := task.Wait(t, 30*time.Second)
		if result.ExitCode != 137 && result.Signal != 9 {
			t.Errorf("got %+v", result)
		}
	})
}

// Every step of the ladder is bounded, however long the engine hangs, and each is an event.
func TestAStopGoesOnWhereTheEngineHangs(t *testing.T) {
	t.Parallel() // it waits for the most part
	ladder := []struct{ hangs, event string }{
		{"stop", "sent SIGKILL to its first process"},
		{"kill", "removing the container by force"},
	}
	for i, step := range ladder {
		t.Run(step.hangs, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, versions()[len(versions())-1])
			n.configure(t, n.Config()+"command_timeout = \"5s\"\n")
			events, err := n.TaskEvents(nomadkit.Context(t, 2*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			task := nomadkit.Run(t, n.Plugin, "trap '' TERM; echo up; while :; do sleep 0.1; done")
			task.WaitLog(t, "stdout", "up\n")
			for _, below := range ladder[:i+1] {
				n.Fault(t, below.hangs, "hang")
			}
			start := time.Now()
			if err := n.StopTask(task.ID, 300*time.Millisecond, "SIGTERM"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			for _, event := range []string{"Sent SIGTERM", "Sent SIGKILL", step.event} {
				hasEvent(t, events, event)
			}
			// SIGKILL by `kill`, or what the attached CLI says of a container that was removed.
			if result := task.Wait(t, 30*time.Second); result.ExitCode == 0 && result.Signal == 0 && result.Err == nil {
				t.Errorf("an exit was made up: %+v", result)
			}
			if err := n.DestroyTask(task.ID, false); err != nil {
				t.Fatal(err)
			}
			n.nothingLeft(t)
		})
	}
}

func TestExecRunsInTheContainer(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "sleep 60")
		result, err := n.ExecTask(task.ID, []string{"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, 60*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if string(result.Stdout) != "out\n" || string(result.Stderr) != "err\n" || result.ExitResult.ExitCode != 3 {
			t.Errorf("got %q %q %+v", result.Stdout, result.Stderr, result.ExitResult)
		}
		if _, err := n.ExecTask(task.ID, []string{"/no/such/program"}, 60*time.Second); err == nil {
			t.Error("a command that does not exist was run")
		}
	})
}

func TestAFailedStartSaysWhyAndLeavesNothing(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.NewTask(t, n.Plugin, "image = \"${image}\"\ncommand = \"/no/such/program\"")
		_, _, err := n.StartTask(task.TaskConfig)
		if err == nil || !strings.Contains(err.Error(), "executable") {
			t.Errorf("StartTask: %v", err)
		}
		n.nothingLeft(t)
	})
}

func TestASmallMemoryRequestIsRaisedWithAnEvent(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		events, err := n.TaskEvents(nomadkit.Context(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		nomadkit.Run(t, n.Plugin, "sleep 60")
		hasEvent(t, events, "200 MiB")
	})
}

func TestAnIdleTaskCostsNoCalls(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		task := nomadkit.Run(t, n.Plugin, "echo up; sleep 60")
		task.WaitLog(t, "stdout", "up\n")
		before := n.Calls("")
		time.Sleep(1500 * time.Millisecond) // what must not happen has no event to wait for
		if after := n.Calls(""); after != before {
			t.Errorf("%d calls while nothing happened", after-before)
		}
	})
}
