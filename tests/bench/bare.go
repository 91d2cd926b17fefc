package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"
	"golang.org/x/sys/unix"

	"nomad-driver-container/tests/nomadkit"
)

// limit is how long anything may take before the run is given up.
const limit = 60 * time.Second

// A podman in front of podman that keeps what it was called with.
const recorder = `#!/bin/sh
dir=$(dirname "$0")
case " $* " in *" run "*)
  cat /proc/$$/environ >"$dir/environ"
  cat /dev/fd/3 >"$dir/envfile"
  for word; do printf '%s\0' "$word"; done >"$dir/argv"
esac
exec podman "$@"
`

// Bare runs, without the driver, the very container that the driver runs: the same command line but
// for names and files, the same environment, the same kind of stdout and stderr.
type Bare struct {
	argv    []string
	environ []string
	envFile []byte
	name    string
	Task    *nomadkit.Task // whose directories the containers mount and whose label they have
}

// Record starts a task through a plugin of its own and keeps how it called podman.
func Record(t testing.TB, config string) *Bare {
	t.Helper()
	dir := t.TempDir()
	script := filepath.Join(dir, "podman")
	if err := os.WriteFile(script, []byte(recorder), 0o755); err != nil {
		t.Fatal(err)
	}
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q", script))
	bare := &Bare{Task: nomadkit.NewTask(t, p, config).Start(t)}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	words := func(name string) []string {
		return strings.Split(strings.TrimSuffix(string(read(name)), "\x00"), "\x00")
	}
	bare.argv, bare.envFile = words("argv"), read("envfile")
	for _, entry := range words("environ") {
		// How the driver makes podman cheaper is the driver's own.
		if !strings.HasPrefix(entry, "GOGC=") {
			bare.environ = append(bare.environ, entry)
		}
	}
	bare.name = "nomad-main-" + bare.Task.AllocID[:8]
	Destroy(t, p, bare.Task)
	return bare
}

// Command is a podman call that starts another container, and that container's name. Containers
// that nobody removes are removed with Bare.Task.
func (b *Bare) Command(t testing.TB, stdout, stderr *os.File) (*exec.Cmd, string) {
	t.Helper()
	name := "nomad-main-" + uuid.Short()
	var argv []string
	for _, word := range b.argv {
		word = strings.ReplaceAll(word, b.name, name)
		if _, path, found := strings.Cut(word, "="); found && strings.Contains(path, "/"+name+"/") {
			path = strings.TrimPrefix(path, "path=")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		argv = append(argv, word)
	}
	cmd := exec.Command("podman", argv...)
	cmd.Env = b.environ
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = ownSession()
	fd, err := unix.MemfdCreate("environment", 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "environment")
	if _, err := file.Write(b.envFile); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	cmd.ExtraFiles = []*os.File{file}
	return cmd, name
}

// ownSession is how the driver runs podman: the kernel shares the processor among sessions
// (sched_autogroup), so on a busy machine the caller's session and a new one are not the same.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// OpenFIFO opens a collector's FIFO as the driver does.
func OpenFIFO(t testing.TB, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { file.Close() })
	return file
}

// Settle waits until no process names `text`: podman cleans up for a while after a removal, and what
// is measured next must not pay for it.
func Settle(t testing.TB, text string) {
	t.Helper()
	nomadkit.Eventually(t, limit, "the end of the processes that name "+text, func() error {
		if pids := nomadkit.ProcessesWith(text); len(pids) > 0 {
			return fmt.Errorf("%v", pids)
		}
		return nil
	})
}

// Destroy removes a task's container and waits until podman is done with it.
func Destroy(t testing.TB, p *nomadkit.Plugin, task *nomadkit.Task) {
	t.Helper()
	ids := nomadkit.ContainersOf(t, task.AllocID)
	if err := p.DestroyTask(task.ID, true); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		Settle(t, id)
	}
}

// Run runs such a call; the container's id goes to stdout, errors to the collector.
func (b *Bare) Run(t testing.TB, task *nomadkit.Task, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Run(); err != nil {
		t.Fatalf("podman run: %v: %s", err, task.Log("stderr"))
	}
}

// containerID is the id of a container by its name.
func containerID(t testing.TB, name string) string {
	t.Helper()
	out, err := exec.Command("podman", "inspect", "--format={{.Id}}", name).Output()
	if err != nil {
		t.Fatalf("podman inspect %s: %v", name, err)
	}
	return string(bytes.TrimSpace(out))
}

func removeBare(t testing.TB, name string) {
	t.Helper()
	id := containerID(t, name)
	if _, err := nomadkit.Podman("rm", "-f", "-t", "0", name); err != nil {
		t.Fatal(err)
	}
	Settle(t, id)
}
