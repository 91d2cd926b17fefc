package nomadkit

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NothingLeftOf checks that a task left no container, no process and no file of its allocation.
func NothingLeftOf(t testing.TB, p *Plugin, task *Task) {
	t.Helper()
	Eventually(t, 10*time.Second, "nothing is left of the task", func() error {
		if ids := ContainersOf(t, task.AllocID); len(ids) != 0 {
			return fmt.Errorf("containers %v", ids)
		}
		name := "nomad-main-" + task.AllocID[:8]
		if pids := ProcessesWith(name); len(pids) != 0 {
			return fmt.Errorf("processes %v with %s in their command line", pids, name)
		}
		if files := FilesIn(p.StateDir); len(files) != 0 {
			return fmt.Errorf("files %v in the state directory", files)
		}
		return nil
	})
}

// Left says what is still there of all tasks that an agent has run, which runs itself: containers,
// processes, and files in its driver's state directory. The engine's list of all containers, which the
// driver asks for now and then, is nothing of a task's.
func (a *Agent) Left() []string {
	state := filepath.Join(a.Dir, "state")
	left := a.Runtime.Left(a.Dir)
	for _, file := range FilesIn(state) {
		left = append(left, "file "+file)
	}
	plugins := a.Plugins()
	if len(plugins) != 1 {
		left = append(left, fmt.Sprintf("%d plugins", len(plugins)))
	}
	for _, plugin := range plugins {
		for _, pid := range ChildrenOf(plugin) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if !strings.Contains(string(line), "\x00ps\x00--all\x00--no-trunc\x00") {
				left = append(left, fmt.Sprintf("child process %d", pid))
			}
		}
	}
	for _, pid := range ProcessesWith(state) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		left = append(left, fmt.Sprintf("process %d (%s)", pid, strings.ReplaceAll(string(line), "\x00", " ")))
	}
	return left
}

// NoneInContainer is an error that names the processes in the cgroups of a container, by its id.
func NoneInContainer(id string) error {
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return err
	}
	for _, path := range groups {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), id) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			return fmt.Errorf("%s is there: %s", filepath.Dir(path), strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return nil
}

// FilesIn lists what is below a directory, without the directories themselves.
func FilesIn(dir string) []string {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	return files
}
