// Package apple drives the real plugin over the stand-in for Apple's `container` CLI, with Nomad's
// own client packages.
package apple

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"nomad-driver-container/tests/nomadkit"
)

// The oldest and the newest version, unless NDC_APPLE_VERSIONS lists others.
func versions() []string {
	if list := os.Getenv("NDC_APPLE_VERSIONS"); list != "" {
		return strings.Fields(list)
	}
	return []string{"0.11.0", "1.2.2"}
}

func TestMain(m *testing.M) { nomadkit.StandinMain(m, func(m *testing.M) int { return m.Run() }) }

// node is a Mac: its CLI, its state, and the plugin that runs on it.
type node struct {
	*nomadkit.Plugin
	*nomadkit.Standin
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
	t.Cleanup(func() { os.RemoveAll(dir) })
	standin, err := nomadkit.NewStandin(dir, version, append([]string{"NDC_STANDIN_STATS_MS=50"}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standin.Close)
	return &node{nomadkit.StartPluginIn(t, filepath.Join(dir, "state"), standin.Config()), standin}
}

// configure ends the plugin and starts one with another configuration.
func (n *node) configure(t *testing.T, config string, env ...string) {
	t.Helper()
	dir := n.StateDir
	n.Client.Kill()
	n.Plugin = nomadkit.StartPluginIn(t, dir, config, env...)
}

// successor is the plugin that takes over after a Kill9.
func (n *node) successor(t *testing.T, task *nomadkit.Task) *nomadkit.Plugin {
	t.Helper()
	n.Plugin = nomadkit.StartPluginIn(t, n.StateDir, n.Config())
	if err := n.RecoverTask(task.RecoveredHandle()); err != nil {
		t.Fatalf("RecoverTask: %v", err)
	}
	return n.Plugin
}

// monitorOf is the process id of a task's monitor, 0 without one.
func (n *node) monitorOf(task *nomadkit.Task) int {
	return nomadkit.MonitorOf(n.StateDir, container(task))
}

func container(task *nomadkit.Task) string { return "nomad-main-" + task.AllocID[:8] }

func (n *node) nothingLeft(t *testing.T) {
	t.Helper()
	nomadkit.Eventually(t, 10*time.Second, "nothing is left", func() error {
		if files := nomadkit.FilesIn(n.StateDir); len(files) != 0 {
			return fmt.Errorf("files %v", files)
		}
		if names := n.Containers(); len(names) != 0 {
			return fmt.Errorf("containers %v", names)
		}
		return nil
	})
	if text := n.Rejected(); text != "" {
		t.Errorf("the CLI rejected: %s", text)
	}
}

func hasEvent(t *testing.T, events <-chan *drivers.TaskEvent, part string) {
	t.Helper()
	deadline := time.After(nomadkit.Patience * 20 * time.Second)
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

// listen makes a unix socket that lasts as long as the test.
func listen(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
}
