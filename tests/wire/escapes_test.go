package wire

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// podmanThat is a podman that does something just before each `run`: between the driver's checks
// and the mounts.
func podmanThat(t *testing.T, does string) string {
	t.Helper()
	real, err := exec.LookPath("podman")
	must.NoError(t, err)
	path := filepath.Join(t.TempDir(), "podman")
	text := fmt.Sprintf("#!/bin/sh\nfor word; do if [ \"$word\" = run ]; then %s; break; fi; done\nexec %s \"$@\"\n", does, real)
	must.NoError(t, os.WriteFile(path, []byte(text), 0o755))
	return path
}

func TestAVolumeThatIsLedElsewhereAfterItsCheckIsNotMounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ swapped, volume, policy string }{
		"the directory itself":   {"data", "data:/data", "allowed_paths = [%q]"},
		"a directory on the way": {"data", "data/inner:/data", "allowed_paths = [%q]"},
		"a file":                 {"file", "file:/data", "allowed_paths = [%q]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			allowed, outside := t.TempDir(), t.TempDir()
			for _, dir := range []string{allowed, outside} {
				must.NoError(t, os.MkdirAll(filepath.Join(dir, "data", "inner"), 0o755))
				must.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte(dir), 0o644))
			}
			path := filepath.Join(allowed, c.swapped)
			podman := podmanThat(t, fmt.Sprintf("mv %s %s.old; ln -s %s %s", path, path, filepath.Join(outside, c.swapped), path))
			config := fmt.Sprintf("podman_path = %q\nvolumes {\n "+c.policy+"\n}", podman, allowed)
			p := nomadkit.StartPlugin(t, config)
			task := nomadkit.MuteTask(t, p, fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"touch /local/ran; sleep 60\"]\nvolumes = [%q]",
				nomadkit.Image(), filepath.Join(allowed, c.volume)))
			_, _, err := p.StartTask(task.TaskConfig)
			must.ErrorContains(t, err, "led elsewhere")
			must.SliceEmpty(t, nomadkit.ContainersOf(t, task.AllocID))
			must.SliceEmpty(t, nomadkit.FilesIn(filepath.Join(p.StateDir, "nomad-main-"+task.AllocID[:8])))
			_, err = os.Stat(filepath.Join(task.Dir, "local", "ran"))
			must.ErrorIs(t, err, os.ErrNotExist, must.Sprint("the workload never ran"))
			// What is a link by now is refused by the check.
			again := nomadkit.MuteTask(t, p, fmt.Sprintf("image = %q\nvolumes = [%q]", nomadkit.Image(), filepath.Join(allowed, c.volume)))
			_, _, err = p.StartTask(again.TaskConfig)
			must.ErrorContains(t, err, "allowed paths")
		})
	}
}

func TestATaskWhoseVolumesNobodyCheckedIsNotStarted(t *testing.T) {
	t.Parallel()
	real, err := exec.LookPath("podman")
	must.NoError(t, err)
	// A podman whose OCI runtime runs no hook of the driver's.
	podman := filepath.Join(t.TempDir(), "podman")
	text := fmt.Sprintf("#!/bin/sh\nfor word; do\n  shift\n  case $word in --hooks-dir=*/hooks) ;; *) set -- \"$@\" \"$word\" ;; esac\ndone\nexec %s \"$@\"\n", real)
	must.NoError(t, os.WriteFile(podman, []byte(text), 0o755))
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q\nvolumes {\n allowed_paths = [%q]\n}", podman, t.TempDir()))
	task := nomadkit.MuteTask(t, p, fmt.Sprintf("image = %q\ncommand = \"sleep\"\nargs = [\"60\"]", nomadkit.Image()))
	_, _, err = p.StartTask(task.TaskConfig)
	must.ErrorContains(t, err, "were not checked")
	must.SliceEmpty(t, nomadkit.ContainersOf(t, task.AllocID))
	must.SliceEmpty(t, nomadkit.FilesIn(filepath.Join(p.StateDir, "nomad-main-"+task.AllocID[:8])))
}

func TestAVolumeWithinThePolicyIsMountedUnderItsGuard(t *testing.T) {
	t.Parallel()
	allowed := filepath.Join(t.TempDir(), `with space\and backslash`)
	must.NoError(t, os.MkdirAll(filepath.Join(allowed, "data"), 0o755))
	must.NoError(t, os.WriteFile(filepath.Join(allowed, "data", "file"), []byte("content\n"), 0o644))
	p := nomadkit.StartPlugin(t, fmt.Sprintf("volumes {\n allowed_paths = [%q]\n}", allowed))
	data := filepath.Join(allowed, "data")
	task := nomadkit.NewTask(t, p, fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"cat /a/file /b/file /c /d/../alloc/data/x\"]\n"+
		"volumes = [%q, %q, %q, \"../alloc/data:/d\"]", nomadkit.Image(), data+":/a", data+":/b:ro", data+"/file:/c"))
	must.NoError(t, os.WriteFile(filepath.Join(task.AllocDir, "alloc", "data", "x"), []byte("shared\n"), 0o644))
	task.Start(t)
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "content\ncontent\ncontent\nshared\n")
}

func TestNomadsDataAndOtherTasksAreOutOfReach(t *testing.T) {
	t.Parallel()
	allowed := t.TempDir()
	for _, policy := range []string{"enabled = false", fmt.Sprintf("allowed_paths = [%q]", allowed)} {
		p := nomadkit.StartPlugin(t, "volumes {\n "+policy+"\n}")
		other := nomadkit.MuteTask(t, p, `image = "x"`)
		sibling := func(config *drivers.TaskConfig) { config.AllocDir = other.AllocDir; config.Name = "sibling" }
		for _, source := range []string{
			filepath.Dir(other.AllocDir),             // where all allocations are
			other.Dir,                                // of another allocation
			allowed + "/.." + other.Dir,              // dots after an allowed beginning
			"../../" + other.AllocID + "/main/local", // the same, from the task's directory
			"local/../..", "local/../../..", "./..", "/proc/self/root", "/proc/1/root/etc",
		} {
			must.False(t, fails(t, p, fmt.Sprintf("image = %q\nvolumes = [%q]", nomadkit.Image(), source+":/x"), "mount volume"), must.Sprint(source))
		}
		for _, name := range []string{"..", "...", ".hidden", "..data", "a\\b", "~", "-v"} {
			task := nomadkit.MuteTask(t, p, `image = "x"`, sibling)
			err := task.TrySetConfig(t, nomadkit.JobConfigText(t, fmt.Sprintf("image = \"${image}\"\nvolumes = [%q]", name+":/x")))
			if err == nil {
				_, _, err = p.StartTask(task.TaskConfig)
			}
			must.Error(t, err, must.Sprintf("a volume called %q", name))
		}
	}
}

func TestAnAllowedShortNameNeverMeansALoadedImage(t *testing.T) {
	t.Parallel()
	name := nomadkit.Unique("ndc-short")
	_, err := nomadkit.Podman("tag", nomadkit.Image(), "localhost/"+name+":latest")
	must.NoError(t, err)
	t.Cleanup(func() { _, _ = nomadkit.Podman("rmi", "localhost/"+name+":latest") })
	config := show(name, "/etc/passwd") + `pull_policy = "never"`
	list := fmt.Sprintf("allowed_images = [\"docker.io/library/%s:*\"]", name)
	p := nomadkit.StartPlugin(t, list)
	for _, spelling := range []string{name, name + ":latest", "docker.io/" + name} {
		must.False(t, fails(t, p, show(spelling, "/x")+`pull_policy = "never"`, "docker.io/library/"+name, "pull_policy"))
	}
	// Podman's own rules find it, which is what makes this test one.
	free := nomadkit.StartPlugin(t, "")
	task := nomadkit.MuteTask(t, free, config)
	_, _, err = free.StartTask(task.TaskConfig)
	must.NoError(t, err)

	// Nor can a job bring an image of an allowed name along.
	must.False(t, fails(t, p, show(name, "/x")+`load = "local/image.tar"`, "load", "allowed_images"))
}
