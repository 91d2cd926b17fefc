package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// lines writes numbered lines as fast as it can, so that whatever is lost, repeated or out of order
// shows. It pauses in the middle until a file `go` is in the task's directory.
const lines = `i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done
while [ ! -e /local/go ]; do sleep 0.05; done
while [ $i -lt 40000 ]; do echo "line $i"; i=$((i+1)); done`

// shell is a config block that runs a shell script; `more` is added to it.
func shell(text string, more ...string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n%s\n", nomadkit.Image(), text, strings.Join(more, "\n"))
}

func wantLines(from, to int) string {
	var text strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&text, "line %d\n", i)
	}
	return text.String()
}

func goOn(t *testing.T, task *nomadkit.Task) {
	t.Helper()
	must.NoError(t, os.WriteFile(task.Dir+"/local/go", nil, 0o644))
}

// sameLog compares without printing megabytes.
func sameLog(t *testing.T, want, got string) {
	t.Helper()
	if got == want {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	t.Fatalf("the log has %d bytes, want %d; it differs at byte %d: %q", len(got), len(want), at,
		got[max(0, at-40):min(len(got), at+40)])
}

func TestAPluginKilledAtFullOutputLosesAndRepeatsNothing(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, lines)
	p.Kill9(t)
	goOn(t, task)
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.Eq(t, 0, task.WaitOn(t, next, 60*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "line 39999\n")
	sameLog(t, wantLines(0, 40000), task.Log("stdout"))
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestANewCollectorWithTheSameFIFOGoesOnWhereTheOldOneStopped(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, lines)
	task.WaitLog(t, "stdout", "line 19999\n")
	task.StopLogs(t)
	goOn(t, task)
	task.StartLogs(t)
	must.Eq(t, 0, task.Wait(t, 60*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "line 39999\n")
	sameLog(t, wantLines(0, 40000), task.Log("stdout"))
}

func TestANewCollectorWithNewFIFOsGetsWhatTheOldPipeHolds(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, lines)
	task.WaitLog(t, "stdout", "line 19999\n")
	task.StopLogs(t)
	must.NoError(t, os.Remove(task.StdoutPath))
	must.NoError(t, os.Remove(task.StderrPath))
	goOn(t, task)
	task.StartLogs(t)
	must.Eq(t, 0, task.Wait(t, 60*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "line 39999\n")
	sameLog(t, wantLines(0, 40000), task.Log("stdout"))
}

func TestARecoveredTaskIsBridgedIntoTheCollectorsNewFIFOs(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, lines)
	task.WaitLog(t, "stdout", "line 19999\n")
	p.Kill9(t)
	task.StopLogs(t)
	must.NoError(t, os.Remove(task.StdoutPath))
	must.NoError(t, os.Remove(task.StderrPath))
	task.StartLogs(t)
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	goOn(t, task)
	must.Eq(t, 0, task.WaitOn(t, next, 60*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "line 39999\n")
	sameLog(t, wantLines(0, 40000), task.Log("stdout"))
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestTheLogOfATaskThatIsStartedAnewGoesOn(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	nomadkit.LogGoesOnAnew(t, p, p)
	nomadkit.LogGoesOnAfterAForgottenEnd(t, p)
	nomadkit.LogGoesOnAnew(t, p, nomadkit.StartPluginIn(t, p.StateDir, ""))
}

func TestATerminalsLogSurvivesAKilledPlugin(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, shell(lines, "tty = true")).Start(t)
	p.Kill9(t)
	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	goOn(t, task) // not before: a terminal's log is cut where its task ends while there is no plugin
	must.Eq(t, 0, task.WaitOn(t, next, 60*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "line 39999\r\n")
	sameLog(t, strings.ReplaceAll(wantLines(0, 40000), "\n", "\r\n"), task.Log("stdout"))
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestWithoutACollectorATaskWritesToNothing(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, shell("sleep 5 & readlink /proc/$!/fd/1 >/local/out; readlink /proc/$!/fd/2 >/local/err; echo gone"),
		func(config *drivers.TaskConfig) { config.StdoutPath, config.StderrPath = "/dev/null", "/dev/null" }).Start(t)
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	for _, name := range []string{"out", "err"} {
		data, err := os.ReadFile(task.Dir + "/local/" + name)
		must.NoError(t, err)
		must.Eq(t, "/dev/null\n", string(data))
	}
}

func TestANonRootTaskOpensItsOwnStreams(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, shell("id -u >/dev/stdout; echo oops >/dev/stderr; echo more >>/dev/stdout", `user = "65534"`)).Start(t)
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "65534\nmore\n")
	task.WaitLog(t, "stderr", "oops\n")
}
