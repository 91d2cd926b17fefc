package nomadkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Runtime is what runs the containers of one agent: Podman, or the stand-in for Apple's CLI. A test
// asks it for what Nomad does not show.
type Runtime interface {
	// Name is "podman" or "apple", Version what the fingerprint should say ("" where any is good).
	Name() string
	Version() string
	// Config is for the plugin's config block.
	Config() string
	// Containers lists the ids of the containers, running or not, of an allocation.
	Containers(t testing.TB, allocID string) []string
	// Look looks at the one container of an allocation.
	Look(t testing.TB, allocID string) Look
	// Network makes a network for one test.
	Network(t testing.TB) string
	// RemoveContainers and RemoveVolume take away by force, and mind nothing that is not there.
	RemoveContainers(allocID string)
	RemoveVolume(name string)
	// Left says what the engine still has of the tasks of an agent with this directory.
	Left(agentDir string) []string
	// Close removes what containers are left of an agent with this directory.
	Close(agentDir string)
}

// Look is what both runtimes tell about a container.
type Look struct {
	Name   string
	Pid    int // of the first process, in the host's numbers
	Labels map[string]string
}

// RuntimeKind is "podman" or "apple-VERSION".
type RuntimeKind string

// PodmanKind is the runtime of Linux nodes.
const PodmanKind RuntimeKind = "podman"

// RuntimeKinds are the runtimes that $NDC_E2E_RUNTIMES lists; Podman unless it does.
func RuntimeKinds() []RuntimeKind {
	var kinds []RuntimeKind
	for _, word := range strings.Fields(os.Getenv("NDC_E2E_RUNTIMES")) {
		kinds = append(kinds, RuntimeKind(word))
	}
	if len(kinds) == 0 {
		return []RuntimeKind{PodmanKind}
	}
	return kinds
}

// open makes the runtime of an agent with this directory.
func (kind RuntimeKind) open(agentDir string) (Runtime, error) {
	if kind == PodmanKind {
		return podman{}, nil
	}
	version, found := strings.CutPrefix(string(kind), "apple-")
	if !found {
		return nil, fmt.Errorf("no runtime %q: podman or apple-VERSION", kind)
	}
	return newApple(filepath.Join(agentDir, "apple"), version)
}

type podman struct{}

func (podman) Name() string    { return "podman" }
func (podman) Version() string { return "" }
func (podman) Config() string  { return "" }

func (podman) Containers(t testing.TB, allocID string) []string {
	t.Helper()
	return ContainersOf(t, allocID)
}

func (podman) Look(t testing.TB, allocID string) Look {
	t.Helper()
	found := Inspect(t, allocID)
	return Look{found.Name, found.State.Pid, found.Config.Labels}
}

func (podman) Network(t testing.TB) string {
	t.Helper()
	return Network(t)
}

func (podman) RemoveContainers(allocID string) { RemoveContainersOf(allocID) }
func (podman) RemoveVolume(name string)        { _, _ = Podman("volume", "rm", "-f", name) }

func (podman) Left(agentDir string) []string {
	var left []string
	for _, container := range PodmanContainersOf(agentDir) {
		left = append(left, "container "+container)
	}
	// What a killed podman left in its storage has neither labels nor mounts, but our names.
	stored, _ := Podman("ps", "--all", "--external", "--format", "{{.Status}} {{.Names}}")
	for _, line := range strings.Split(stored, "\n") {
		if name, found := strings.CutPrefix(line, "Storage nomad-main-"); found {
			left = append(left, "in podman's storage nomad-main-"+name)
		}
	}
	// A workload that was never let go has nothing of us in its command line. Other tests may have
	// such ones on this machine for a moment, not longer.
	for _, pid := range ProcessesWith("runc init") {
		left = append(left, fmt.Sprintf("process %d (runc init)", pid))
	}
	return left
}

func (podman) Close(agentDir string) {
	for _, id := range PodmanContainersOf(agentDir) {
		_, _ = Podman("rm", "-f", "-t", "0", id)
	}
}

// PodmanContainersOf lists the containers, running or not, of the agent with this directory: the
// allocation's directory is mounted into each.
func PodmanContainersOf(agentDir string) []string {
	out, err := Podman("ps", "-a", "-q", "--filter", "label=nomad.node_id")
	if err != nil {
		return nil
	}
	var found []string
	for _, id := range strings.Fields(out) {
		mounts, _ := Podman("inspect", "-f", "{{range .Mounts}}{{.Source}} {{end}}", id)
		if strings.Contains(mounts, agentDir+"/") {
			found = append(found, id)
		}
	}
	return found
}

// CommandsWith lists the command lines of the processes that live with `pid`: those in its PID
// namespace.
func CommandsWith(pid int) []string {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return nil
	}
	var commands []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if space, err := os.Readlink(filepath.Join(dir, "ns", "pid")); err != nil || space != own {
			continue
		}
		if _, err := strconv.Atoi(filepath.Base(dir)); err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && len(cmdline) > 0 {
			commands = append(commands, strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " ")))
		}
	}
	return commands
}
