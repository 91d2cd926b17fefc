package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// withDevicePlugin starts an agent that has the tests' device plugin beside the driver.
func withDevicePlugin(t *testing.T, like *Agent, node bool) *Agent {
	t.Helper()
	own := newAgent(t, like, "")
	build := exec.Command("go", "build", "-o", filepath.Join(own.Dir, "plugins", "test-device"), "nomad-driver-container/tests/deviceplugin")
	build.Dir = filepath.Join(Root(), "tests")
	out, err := build.CombinedOutput()
	must.NoError(t, err, must.Sprint(string(out)))
	files := filepath.Join(own.Dir, "device")
	for _, dir := range []string{"rw", "ro"} {
		must.NoError(t, os.MkdirAll(filepath.Join(files, dir), 0o777))
		must.NoError(t, os.WriteFile(filepath.Join(files, dir, "file"), []byte(dir+" of the device\n"), 0o644))
	}
	path := filepath.Join(own.Dir, "agent.hcl")
	text, err := os.ReadFile(path)
	must.NoError(t, err)
	text = append(text, fmt.Sprintf("\nplugin \"test-device\" {\n config {\n dir = %q\n node = %t\n}\n}\n", files, node)...)
	must.NoError(t, os.WriteFile(path, text, 0o644))
	must.NoError(t, own.Start())
	return own
}

// plugged is a job that asks for the plugin's device.
func plugged(script string) string {
	return strings.Replace(BatchJob(Shell(script)), "resources {", "resources {\n device \"ndc/file/test\" {}\n", 1)
}

func TestWhatADevicePluginGivesReachesTheTask(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		node := agent.Runtime.Name() == "podman"
		own := withDevicePlugin(t, agent, node)
		script := "echo $TEST_DEVICE; cat /plugged/rw/file /plugged/ro/file; " +
			"for d in rw ro; do touch /plugged/$d/x 2>/dev/null && echo $d written || echo $d refused; done; "
		want := "one\nrw of the device\nro of the device\nrw written\nro refused\n"
		if node {
			script += "[ -c /dev/plugged ] && echo there; { echo x > /dev/plugged; } 2>/dev/null || echo readable only; "
			want += "there\nreadable only\n"
		}
		job := own.Submit(t, plugged(script+"echo END"))
		alloc := job.WaitStatus(t, "complete")
		job.WaitLog(t, alloc, "stdout", "END\n")
		text, err := job.Log(alloc, "stdout")
		must.NoError(t, err)
		must.Eq(t, want+"END\n", text)
	})
}

func TestADeviceFileOfAPluginIsRefusedByNameOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		own := withDevicePlugin(t, agent, true)
		alloc := own.Submit(t, plugged("true")).WaitStatus(t, "failed")
		must.StrContains(t, Events(alloc, "main"), `"device": devices of the host ("/`)
		must.StrContains(t, Events(alloc, "main"), "cannot reach the virtual machine of Apple's container "+apple.Version())
		must.SliceEmpty(t, own.Runtime.Containers(t, alloc.ID))
	})
}
