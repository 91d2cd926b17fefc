package nomadkit

import (
	"fmt"
	"io/fs"
	"path/filepath"
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
