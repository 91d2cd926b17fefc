package nomadkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Podman runs podman and returns its output, trimmed.
func Podman(args ...string) (string, error) {
	cmd := exec.Command("podman", append([]string{"--log-level=error"}, args...)...)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("podman %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return text, nil
}

// ContainersOf lists the ids of the containers, running or not, of an allocation. Podman's list fails
// over a container or an image that another test removes at this moment.
func ContainersOf(t testing.TB, allocID string) (ids []string) {
	t.Helper()
	Eventually(t, 30*time.Second, "podman lists the containers of "+allocID, func() error {
		out, err := Podman("ps", "-a", "-q", "--no-trunc", "--filter", "label=nomad.alloc_id="+allocID)
		ids = strings.Fields(out)
		return err
	})
	return ids
}

// RemoveContainersOf removes the containers of an allocation, whatever state they are in.
func RemoveContainersOf(allocID string) {
	out, err := Podman("ps", "-a", "-q", "--filter", "label=nomad.alloc_id="+allocID)
	if err != nil {
		return
	}
	for _, id := range strings.Fields(out) {
		_, _ = Podman("rm", "-f", "-t", "0", id)
	}
}

// Inspected is the part of `podman inspect` that the tests look at.
type Inspected struct {
	Name   string
	State  struct{ Pid, ConmonPid int }
	Config struct {
		Labels map[string]string
		Env    []string
	}
	HostConfig struct {
		Memory, MemoryReservation int64
		NanoCpus                  int64
		CpuShares                 uint64
		NetworkMode               string
		Init                      bool
	}
}

// Inspect looks at the one container of an allocation.
func Inspect(t testing.TB, allocID string) Inspected {
	t.Helper()
	ids := ContainersOf(t, allocID)
	if len(ids) != 1 {
		t.Fatalf("allocation %s has %d containers, want one", allocID, len(ids))
	}
	out, err := exec.Command("podman", "inspect", ids[0]).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []Inspected
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		t.Fatalf("podman inspect: %v", err)
	}
	return all[0]
}

// ProcessesWith lists the pids whose command line contains `text`.
func ProcessesWith(text string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && strings.Contains(strings.ReplaceAll(string(cmdline), "\x00", " "), text) {
			if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && pid != os.Getpid() {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// ChildrenOf lists the direct children of a process.
func ChildrenOf(pid int) []int {
	var children []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if parent, there := parentOf(child); there && parent == pid {
			children = append(children, child)
		}
	}
	return children
}

// parentOf is a process's parent; false where there is no such process.
func parentOf(pid int) (parent int, there bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The command is in parentheses and may contain anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, err == nil
}

// OpenFiles says what each descriptor of a process points to.
func OpenFiles(pid int) map[string]string {
	files := map[string]string{}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			files[entry.Name()] = target
		}
	}
	return files
}
