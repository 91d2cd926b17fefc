// Package apple drives the real plugin over the stand-in for Apple's `container` CLI, with Nomad's
// own client packages.
package apple

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"nomad-driver-container/tests/nomadkit"
)

const image = "docker.io/library/demo:1"

// The oldest and the newest version, unless NDC_APPLE_VERSIONS lists others.
func versions() []string {
	if list := os.Getenv("NDC_APPLE_VERSIONS"); list != "" {
		return strings.Fields(list)
	}
	return []string{"0.11.0", "1.2.2"}
}

func TestMain(m *testing.M) {
	for _, program := range []string{nomadkit.Binary(), standin()} {
		if _, err := os.Stat(program); err != nil {
			fmt.Fprintf(os.Stderr, "not built (%v): run 'make build' and build the target container-standin\n", err)
			os.Exit(1)
		}
	}
	os.Setenv("NDC_TEST_IMAGE", image)
	os.Exit(m.Run())
}

func standin() string {
	return filepath.Join(filepath.Dir(filepath.Dir(nomadkit.Binary())), "standin", "container")
}

// node is a Mac: its CLI, its state, and the plugin that runs on it.
type node struct {
	*nomadkit.Plugin
	dir    string
	state  string
	config string
}

// forEachVersion runs a test on a node of each version.
func forEachVersion(t *testing.T, test func(t *testing.T, n *node)) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) { test(t, newNode(t, version)) })
	}
}

func newNode(t *testing.T, version string, settings ...string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "ndc-apple-")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{dir: dir, state: filepath.Join(dir, "cli")}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Symlink(standin(), filepath.Join(dir, "container")); err != nil {
		t.Fatal(err)
	}
	env := append([]string{"NDC_STANDIN_STATE=" + n.state, "NDC_STANDIN_VERSION=" + version,
		"NDC_STANDIN_STATS_MS=50"}, settings...)
	if err := os.WriteFile(filepath.Join(dir, "standin.env"), []byte(strings.Join(env, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.config = fmt.Sprintf("runtime = \"apple\"\ncontainer_path = %q\n", filepath.Join(dir, "container"))
	n.Plugin = nomadkit.StartPluginIn(t, filepath.Join(dir, "state"), n.config)
	return n
}

// successor is the plugin that takes over after a Kill9.
func (n *node) successor(t *testing.T, task *nomadkit.Task) *nomadkit.Plugin {
	t.Helper()
	n.Plugin = nomadkit.StartPluginIn(t, n.StateDir, n.config)
	if err := n.RecoverTask(task.RecoveredHandle()); err != nil {
		t.Fatalf("RecoverTask: %v", err)
	}
	return n.Plugin
}

// fault sets a fault of the stand-in; an empty line takes it back.
func (n *node) fault(t *testing.T, name, line string) {
	t.Helper()
	path := filepath.Join(n.state, "faults", name)
	if line == "" {
		_ = os.Remove(path)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// calls counts the CLI's calls of a subcommand, or all of them.
func (n *node) calls(command string) int {
	data, _ := os.ReadFile(filepath.Join(n.state, "calls.jsonl"))
	if command == "" {
		return strings.Count(string(data), "\n")
	}
	return strings.Count(string(data), fmt.Sprintf("\"command\":%q", command))
}

func (n *node) rejected() string {
	data, _ := os.ReadFile(filepath.Join(n.state, "rejected.jsonl"))
	return string(data)
}

// monitorOf is the process id of a task's monitor, 0 without one.
func (n *node) monitorOf(task *nomadkit.Task) int {
	data, _ := os.ReadFile(filepath.Join(n.StateDir, container(task), "lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if pid > 0 && syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

func container(task *nomadkit.Task) string { return "nomad-main-" + task.AllocID[:8] }

func (n *node) containers() []string {
	entries, _ := os.ReadDir(filepath.Join(n.state, "containers"))
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (n *node) nothingLeft(t *testing.T) {
	t.Helper()
	nomadkit.Eventually(t, 10*time.Second, "nothing is left", func() error {
		if files := nomadkit.FilesIn(n.StateDir); len(files) != 0 {
			return fmt.Errorf("files %v", files)
		}
		if names := n.containers(); len(names) != 0 {
			return fmt.Errorf("containers %v", names)
		}
		return nil
	})
	if text := n.rejected(); text != "" {
		t.Errorf("the CLI rejected: %s", text)
	}
}

func hasEvent(t *testing.T, events <-chan *drivers.TaskEvent, part string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case event := <-events:
			if event != nil && strings.Contains(event.Message, part) {
				return
			}
		case <-deadline:
			t.Fatalf("no event with %q", part)
		}
	}
}
