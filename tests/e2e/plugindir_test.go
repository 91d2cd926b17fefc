package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// olderPlugin is the plugin with another version in it: the number is as long as the one it replaces,
// so nothing else moves.
func olderPlugin(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command(Binary(), "--version").Output()
	must.NoError(t, err)
	version := strings.Fields(string(out))[1]
	old := "0.0.0"
	must.Eq(t, len(version), len(old))
	data, err := os.ReadFile(Binary())
	must.NoError(t, err)
	must.NoError(t, os.WriteFile(path, bytes.ReplaceAll(data, []byte(version+"\x00"), []byte(old+"\x00")), 0o755))
	// A child of another test that was forked meanwhile has the file open for writing until it has begun its
	// own program, and nobody can run it.
	Eventually(t, 15*time.Second, "the older plugin can be run", func() error {
		out, err = exec.Command(path, "--version").Output()
		return err
	})
	must.StrContains(t, string(out), old)
	return old
}

// What operators leave in a plugin directory, and two versions of the plugin under two names: the
// agent starts, and the newer one runs.
func TestTheNewerOfTwoPluginsRunsAndOtherFilesAreNoObstacle(t *testing.T) {
	t.Parallel()
	own := newAgent(t, anyAgent(), "")
	dir := filepath.Join(own.Dir, "plugins")
	must.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("no program\n"), 0o644))
	must.NoError(t, os.Mkdir(filepath.Join(dir, "old"), 0o755))
	// Its name comes first, so that not merely the first one is taken.
	older := filepath.Join(dir, "a-container-plugin")
	version := olderPlugin(t, older)
	path := filepath.Join(own.Dir, "agent.hcl")
	text, err := os.ReadFile(path)
	must.NoError(t, err)
	must.NoError(t, os.WriteFile(path, append(text, []byte("\nplugin \"a-container-plugin\" {}\n")...), 0o644))
	must.NoError(t, own.Start())

	_, node := driverInfo(t, own)
	must.NotEq(t, version, node.Attributes["driver.container.version"])
	must.Len(t, 1, own.Plugins())
	Eventually(t, 10*time.Second, "the older one does not run", func() error {
		if pids := ProcessesWith(older); len(pids) != 0 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	})
	own.Submit(t, BatchJob(Shell("true"))).WaitStatus(t, "complete")
}
