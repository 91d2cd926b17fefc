package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// fakePodman writes a script in Podman's place; `"$@"` in it reaches the real one by `exec podman`.
func fakePodman(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "podman")
	must.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}

func TestWithoutPodmanTheDriverIsUndetectedAndSaysTheCure(t *testing.T) {
	p := nomadkit.StartPlugin(t, `podman_path = "/no/such/podman"`)
	fingerprint := p.Settled(t)
	must.Eq(t, "undetected", string(fingerprint.Health))
	must.StrContains(t, fingerprint.HealthDescription, "/no/such/podman")

	task := nomadkit.MuteTask(t, p, sh("true"))
	_, _, err := p.StartTask(task.TaskConfig)
	must.ErrorContains(t, err, "/no/such/podman")
	nomadkit.NothingLeftOf(t, p, task)
}

func TestAPodmanThatHangsIsGivenUpInTimeWithARecoverableError(t *testing.T) {
	call := longSleep(7)
	hanging := fakePodman(t, "exec "+call)
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q\ncommand_timeout = \"2s\"", hanging))
	task := nomadkit.MuteTask(t, p, sh("true"))
	start := time.Now()
	_, _, err := p.StartTask(task.TaskConfig)
	took := time.Since(start)
	must.Error(t, err)
	must.True(t, structs.IsRecoverable(err), must.Sprintf("%v", err))
	must.Less(t, 25*time.Second, took, must.Sprint("the 30 s that it is without a wish would be too long"))
	nomadkit.Eventually(t, 10*time.Second, "the hanging command is ended", func() error {
		if pids := nomadkit.ProcessesWith(call); len(pids) > 0 {
			return fmt.Errorf("still there: %v", pids)
		}
		return nil
	})
	nomadkit.NothingLeftOf(t, p, task)
	_, err = p.PluginInfo()
	must.NoError(t, err)
}

func TestTheFingerprintIsInTimeThoughPodmanHangs(t *testing.T) {
	hanging := fakePodman(t, "exec sleep 7655")
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q\ncommand_timeout = \"2s\"", hanging))
	ch, err := p.Fingerprint(nomadkit.Context(t, 20*time.Second))
	must.NoError(t, err)
	fingerprint := nomadkit.Receive(t, ch, 5*time.Second, "fingerprint")
	must.NotEq(t, "healthy", string(fingerprint.Health))
}

func TestAPodmanThatDiesInTheMiddleOfAStartLeavesNothing(t *testing.T) {
	dying := fakePodman(t, `case "$*" in *" run "*|"run "*|*" create "*|"create "*|*" start "*|"start "*) kill -9 $$ ;; esac
exec podman "$@"`)
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q", dying))
	task := nomadkit.MuteTask(t, p, sh("sleep 60"))
	_, _, err := p.StartTask(task.TaskConfig)
	must.Error(t, err)
	must.True(t, structs.IsRecoverable(err), must.Sprintf("%v", err))
	nomadkit.NothingLeftOf(t, p, task)
}

func TestAPodmanThatStartsTheContainerAndThenDiesLeavesNothing(t *testing.T) {
	dying := fakePodman(t, `case "$*" in *" run "*|"run "*|*" start "*|"start "*) podman "$@"; kill -9 $$ ;; esac
exec podman "$@"`)
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q", dying))
	task := nomadkit.MuteTask(t, p, sh("sleep 60"))
	_, _, err := p.StartTask(task.TaskConfig)
	must.Error(t, err)
	nomadkit.NothingLeftOf(t, p, task)
}

// Conmon's death between runc's create and start leaves a process that nobody but the kernel knows.
func TestAConmonThatDiesInTheMiddleOfAStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	runc := filepath.Join(dir, "runc")
	script := fmt.Sprintf(`#!/bin/sh
case " $* " in *" create "*) runc "$@"; echo "$*" >%s/created; kill -9 $PPID; exit 1 ;; esac
exec runc "$@"
`, dir)
	must.NoError(t, os.WriteFile(runc, []byte(script), 0o755))
	p := nomadkit.StartPlugin(t, fmt.Sprintf("oci_runtime = %q", runc))
	task := nomadkit.MuteTask(t, p, sh("sleep 60"))
	_, _, err := p.StartTask(task.TaskConfig)
	must.Error(t, err)
	created, err := os.ReadFile(filepath.Join(dir, "created"))
	must.NoError(t, err)
	words := strings.Fields(string(created))
	container := words[len(words)-1]
	must.Eq(t, 64, len(container))
	nomadkit.NothingLeftOf(t, p, task)
	nomadkit.Eventually(t, 10*time.Second, "nothing is left of the container", func() error {
		return nomadkit.NoneInContainer(container)
	})
}

func TestAPluginKilledInTheMiddleOfAStartIsFollowedByOneContainer(t *testing.T) {
	// It has started the container and does not return. The log's FIFOs are let go: they are not its own.
	slow := fakePodman(t, `case "$*" in *" run "*|"run "*|*" start "*|"start "*)
  podman "$@"; echo $$ >"$0.pid"; exec sleep 600 >/dev/null 2>&1 ;;
esac
exec podman "$@"`)
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q\ncommand_timeout = \"5m\"", slow))
	task := nomadkit.NewTask(t, p, sh("sleep 60"))
	started := make(chan error, 1)
	go func() {
		_, _, err := p.StartTask(task.TaskConfig)
		started <- err
	}()
	nomadkit.Eventually(t, 45*time.Second, "the container is started", func() error {
		text, err := os.ReadFile(slow + ".pid")
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil {
			t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		}
		return err
	})
	must.Positive(t, nomadkit.Inspect(t, task.AllocID).State.Pid, must.Sprint("it runs"))
	p.Kill9(t)
	must.Error(t, nomadkit.Receive(t, started, 30*time.Second, "the cut call"))

	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	handle, _, err := next.StartTask(task.TaskConfig)
	must.NoError(t, err)
	must.NotNil(t, handle)
	must.Len(t, 1, nomadkit.ContainersOf(t, task.AllocID))
	must.NoError(t, next.DestroyTask(task.ID, true))
	nomadkit.NothingLeftOf(t, next, task)
}
