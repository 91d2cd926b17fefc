package wire

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func TestExitCodesArriveAsTheyWere(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	for script, code := range map[string]int{
		"exit 0": 0, "exit 1": 1, "exit 42": 42, "kill -9 $$": 137, "kill -15 $$; sleep 5": 143,
	} {
		t.Run(script, func(t *testing.T) {
			// As the first process of its namespace a shell gets no signal that it does not handle,
			// so a shell below it is the one that dies.
			task := nomadkit.Run(t, p, fmt.Sprintf("sh -c '%s'; exit $?", script))
			result := task.Wait(t, 20*time.Second)
			must.Eq(t, code, result.ExitCode)
			must.False(t, result.OOMKilled)
		})
	}
}

func TestATaskKilledFromOutsideReports137(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	must.NoError(t, p.SignalTask(task.ID, "SIGKILL"))
	must.Eq(t, 137, task.Wait(t, 30*time.Second).ExitCode)
}

func TestRunningOutOfMemoryIsSaid(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "dd if=/dev/zero of=/dev/null bs=300M count=1; exit $?")
	result := task.Wait(t, 30*time.Second)
	must.NotEq(t, 0, result.ExitCode)
	must.True(t, result.OOMKilled)
	must.ErrorContains(t, result.Err, "OOM")
	// conmon leaves a note in its working directory: that must be no place of the host.
	must.FileNotExists(t, "/oom")
}

func TestRunningOutOfMemoryAtOnceIsSaidToo(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, shell("exec tail -c 100000000 /dev/zero")).Start(t)
	result := task.Wait(t, 30*time.Second)
	must.Eq(t, 137, result.ExitCode)
	must.True(t, result.OOMKilled)
}

func TestWaitTaskBlocksUntilTheExitForEveryCaller(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "while [ ! -e /local/go ]; do sleep 0.05; done; exit 7")
	ctx := nomadkit.Context(t, 30*time.Second)
	var waits []<-chan *drivers.ExitResult
	for i := 0; i < 3; i++ {
		ch, err := p.WaitTask(ctx, task.ID)
		must.NoError(t, err)
		waits = append(waits, ch)
	}
	cancelled, cancel := context.WithCancel(ctx)
	given, err := p.WaitTask(cancelled, task.ID)
	must.NoError(t, err)
	cancel()
	nomadkit.Eventually(t, 5*time.Second, "a cancelled wait is freed", func() error {
		select {
		case <-given:
			return nil
		default:
			return fmt.Errorf("still waiting")
		}
	})
	for _, ch := range waits {
		select {
		case result := <-ch:
			t.Fatalf("answered before the exit: %v", result)
		default:
		}
	}
	_, err = p.ExecTask(task.ID, []string{"touch", "/local/go"}, 60*time.Second)
	must.NoError(t, err)
	for _, ch := range waits {
		must.Eq(t, 7, nomadkit.Receive(t, ch, 30*time.Second, "exit").ExitCode)
	}
	start := time.Now()
	must.Eq(t, 7, task.Wait(t, 30*time.Second).ExitCode)
	must.Less(t, 10*time.Second, time.Since(start))
	answer, err := p.Raw(t).WaitTask(ctx, &dproto.WaitTaskRequest{TaskId: task.ID})
	must.NoError(t, err)
	must.NotNil(t, answer.Result)
}

// The quickest of several counts: a busy machine may keep the task itself from its end.
func TestTheExitIsKnownWithinMilliseconds(t *testing.T) {
	const bound = 500 * time.Millisecond
	p := nomadkit.StartPlugin(t, "")
	quickest := time.Hour
	for begun := time.Now(); quickest >= bound && time.Since(begun) < time.Minute; {
		task := nomadkit.Run(t, p, "while [ ! -e /local/go ]; do sleep 0.05; done; date +%s.%N > /alloc/ended")
		ch, err := p.WaitTask(nomadkit.Context(t, 30*time.Second), task.ID)
		must.NoError(t, err)
		_, err = p.ExecTask(task.ID, []string{"touch", "/local/go"}, 60*time.Second)
		must.NoError(t, err)
		touched := time.Now()
		must.Eq(t, 0, nomadkit.Receive(t, ch, 30*time.Second, "exit").ExitCode)
		quickest = min(quickest, time.Since(touched))
		must.NoError(t, p.DestroyTask(task.ID, false))
	}
	must.Less(t, bound, quickest, must.Sprint("the task itself polls every 50 ms"))
}

func TestStopTaskSendsTheSignalAndReturnsAfterTheDeath(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, `trap 'echo got usr1; exit 9' USR1; echo ready; while true; do sleep 0.05; done`)
	task.WaitLog(t, "stdout", "ready")
	must.NoError(t, p.StopTask(task.ID, time.Minute, "sigusr1"))
	must.Eq(t, 9, task.Wait(t, 30*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "got usr1")
	must.NoError(t, p.StopTask(task.ID, time.Second, ""), must.Sprint("already stopped"))
}

func TestStopTaskKillsWhatIgnoresTheSignal(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, `trap '' TERM; echo ready; while true; do sleep 0.05; done`)
	task.WaitLog(t, "stdout", "ready")
	start := time.Now()
	must.NoError(t, p.StopTask(task.ID, time.Second, ""))
	took := time.Since(start)
	must.Between(t, 900*time.Millisecond, took, 30*time.Second)
	must.Eq(t, 137, task.Wait(t, 30*time.Second).ExitCode)
}

func TestTheDefaultStopSignalIsSIGTERM(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, `trap 'exit 15' TERM; echo ready; while true; do sleep 0.05; done`)
	task.WaitLog(t, "stdout", "ready")
	must.NoError(t, p.StopTask(task.ID, time.Minute, ""))
	must.Eq(t, 15, task.Wait(t, 30*time.Second).ExitCode)
}

func TestSignalsAreDeliveredAndUnknownOnesRefusedWithAList(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, `trap 'echo hup' HUP; echo ready; while true; do sleep 0.05; done`)
	task.WaitLog(t, "stdout", "ready")
	must.NoError(t, p.SignalTask(task.ID, "SIGHUP"))
	task.WaitLog(t, "stdout", "hup")
	for _, name := range []string{"SIGNONSENSE", ""} {
		err := p.SignalTask(task.ID, name)
		must.ErrorContains(t, err, "SIGUSR1")
	}
	must.ErrorContains(t, p.StopTask(task.ID, time.Second, "SIGNONSENSE"), "SIGNONSENSE")
}

func TestDestroyTaskRefusesARunningTaskUnlessForced(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	must.Error(t, p.DestroyTask(task.ID, false))
	must.Len(t, 1, nomadkit.ContainersOf(t, task.AllocID))
	must.NoError(t, p.DestroyTask(task.ID, true))
	must.ErrorContains(t, p.DestroyTask(task.ID, true), "task not found for given id")
	nomadkit.NothingLeftOf(t, p, task)
}

func TestInspectTaskIsCompleteWhileRunningAndAfterTheExit(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	p.Settled(t) // as in an agent: the version is known from it
	before := time.Now().Add(-time.Second)
	task := nomadkit.Run(t, p, "while [ ! -e /local/go ]; do sleep 0.05; done; exit 3")
	status, err := p.InspectTask(task.ID)
	must.NoError(t, err)
	must.Eq(t, task.ID, status.ID)
	must.Eq(t, "main", status.Name)
	must.Eq(t, drivers.TaskStateRunning, status.State)
	must.True(t, status.StartedAt.After(before))
	must.True(t, status.CompletedAt.IsZero())
	must.StrContains(t, fmt.Sprint(status.DriverAttributes), nomadkit.ContainersOf(t, task.AllocID)[0][:12])
	must.StrHasPrefix(t, "sha256:", status.DriverAttributes["image_digest"])
	must.RegexMatch(t, regexp.MustCompile(`^\d+\.\d+`), status.DriverAttributes["runtime_version"])

	_, err = p.ExecTask(task.ID, []string{"touch", "/local/go"}, 60*time.Second)
	must.NoError(t, err)
	task.Wait(t, 30*time.Second)
	status, err = p.InspectTask(task.ID)
	must.NoError(t, err)
	must.Eq(t, drivers.TaskStateExited, status.State)
	must.False(t, status.CompletedAt.Before(status.StartedAt))
	must.Eq(t, 3, status.ExitResult.ExitCode)
}

func TestBothLogStreamsArriveApartAndByteForByte(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	// 4 MB on each stream, made of lines that tell where they belong.
	task := nomadkit.Run(t, p, "seq 1 600000; seq 600001 1200000 >&2")
	must.Eq(t, 0, task.Wait(t, 60*time.Second).ExitCode)
	for stream, first := range map[string]int{"stdout": 1, "stderr": 600001} {
		var want strings.Builder
		for i := first; i < first+600000; i++ {
			fmt.Fprintln(&want, i)
		}
		nomadkit.Eventually(t, 20*time.Second, stream, func() error {
			if got := task.Log(stream); got != want.String() {
				return fmt.Errorf("%d bytes, want %d", len(got), want.Len())
			}
			return nil
		})
	}
}

func TestNomadsDirectoriesAreMountedAndWritable(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "for d in alloc local secrets; do echo $d > /$d/file || exit 1; done")
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	for _, path := range []string{task.AllocDir + "/alloc/file", task.Dir + "/local/file", task.Dir + "/secrets/file"} {
		must.FileExists(t, path)
	}
}
