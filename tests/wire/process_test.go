package wire

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func running(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }

func TestSigintIsIgnoredAndSigtermEndsThePluginButNotItsTasks(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	must.NoError(t, p.Cmd.Process.Signal(syscall.SIGINT))
	must.NoError(t, p.Cmd.Process.Signal(syscall.SIGPIPE))
	for i := 0; i < 20; i++ {
		_, err := p.PluginInfo()
		must.NoError(t, err)
	}
	must.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	nomadkit.Eventually(t, 5*time.Second, "the plugin ends", func() error {
		if !p.Client.Exited() {
			return fmt.Errorf("still running")
		}
		return nil
	})
	must.True(t, running(nomadkit.Inspect(t, task.AllocID).State.Pid))
}

func TestClosingTheStderrReaderDoesNotKillThePlugin(t *testing.T) {
	read, write, err := os.Pipe()
	must.NoError(t, err)
	cmd := exec.Command(nomadkit.Binary())
	cmd.Env = append(os.Environ(), cookie(), ownTemp(t))
	cmd.Stderr = write
	stdout, err := cmd.StdoutPipe()
	must.NoError(t, err)
	must.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
	})
	write.Close()
	_, err = bufio.NewReader(stdout).ReadString('\n')
	must.NoError(t, err)
	read.Close()
	go func() { ended <- cmd.Wait() }()
	must.NoError(t, cmd.Process.Signal(syscall.SIGINT)) // makes it log
	select {
	case err := <-ended:
		t.Fatalf("the plugin ended: %v", err)
	case <-time.After(time.Second):
	}
}

func TestEveryStderrLineIsJSONThatNomadUnderstands(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "exit 0")
	task.Wait(t, 20*time.Second)
	_, _, err := p.StartTask(task.TaskConfig) // the id is taken: an error to log
	must.Error(t, err)
	must.NoError(t, p.DestroyTask(task.ID, true))
	p.Client.Kill()

	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$`)
	lines := strings.Split(strings.TrimSpace(p.Stderr.String()), "\n")
	must.Positive(t, len(lines))
	for _, line := range lines {
		var entry map[string]any
		must.NoError(t, json.Unmarshal([]byte(line), &entry), must.Sprint(line))
		for _, key := range []string{"@level", "@message", "@timestamp"} {
			_, text := entry[key].(string)
			must.True(t, text, must.Sprintf("%s in %s", key, line))
		}
		must.SliceContains(t, []string{"trace", "debug", "info", "warn", "error"}, entry["@level"].(string))
		must.RegexMatch(t, stamp, entry["@timestamp"].(string))
	}
}

func TestAKilledPluginIsSeenDeadAtOnceWhileATaskRuns(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	must.Less(t, 30*time.Second, p.Kill9(t))
	must.True(t, running(nomadkit.Inspect(t, task.AllocID).State.Pid))
}

func TestTheProcessesOfATaskHoldNoDescriptorOfThePlugin(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	own := nomadkit.OpenFiles(p.Cmd.Process.Pid)
	plugins := map[string]bool{}
	for _, target := range own {
		if strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:") {
			plugins[target] = true
		}
	}
	task := nomadkit.Run(t, p, "sleep 60")
	state := nomadkit.Inspect(t, task.AllocID).State
	for _, pid := range []int{state.ConmonPid, state.Pid} {
		must.Positive(t, pid)
		for fd, target := range nomadkit.OpenFiles(pid) {
			must.False(t, plugins[target], must.Sprintf("fd %s of %d is the plugin's %s", fd, pid, target))
		}
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		must.NoError(t, err)
		must.StrNotContains(t, string(environ), "NOMAD_PLUGIN_MAGIC_COOKIE")
	}
}

func TestDescriptorsAndChildrenAreBackToNormalAfterTasks(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	run := func() {
		task := nomadkit.Run(t, p, "echo hello")
		task.Wait(t, 20*time.Second)
		must.NoError(t, p.DestroyTask(task.ID, false))
		nomadkit.NothingLeftOf(t, p, task)
	}
	run() // what is made once is made now
	pid := p.Cmd.Process.Pid
	before := len(nomadkit.OpenFiles(pid))
	for i := 0; i < 3; i++ {
		run()
	}
	nomadkit.Eventually(t, 10*time.Second, "descriptors and children are back", func() error {
		after, children := nomadkit.OpenFiles(pid), nomadkit.ChildrenOf(pid)
		if len(after) > before || len(children) > 0 {
			return fmt.Errorf("%d descriptors before, now %v; children %v", before, after, children)
		}
		return nil
	})
}

// Its client died before it took the plugin into use, and nobody reads its stderr: on macOS, too, the
// plugin has nothing but its parent to tell it.
func TestAPluginThatNobodyTookIntoUseEndsWithItsParent(t *testing.T) {
	client := exec.Command("sh", "-c", `"$0" 2>/dev/null & echo $!; exec sleep 60`, nomadkit.Binary())
	client.Env = append(os.Environ(), cookie())
	out, err := client.StdoutPipe()
	must.NoError(t, err)
	must.NoError(t, client.Start())
	plugin := 0
	lines := bufio.NewScanner(out)
	for range 2 { // its number, and the handshake: from then on it knows its parent
		must.True(t, lines.Scan())
		if !strings.Contains(lines.Text(), "|") {
			plugin, err = strconv.Atoi(lines.Text())
			must.NoError(t, err)
		}
	}
	t.Cleanup(func() { _ = syscall.Kill(plugin, syscall.SIGKILL) })
	must.True(t, running(plugin))
	must.NoError(t, client.Process.Kill())
	_ = client.Wait()
	nomadkit.Eventually(t, 15*time.Second, "the plugin ends", func() error {
		if running(plugin) {
			return fmt.Errorf("still running")
		}
		return nil
	})
}
