package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Which workloads live, past the engines: their containers have names that no other has, and what is left
// of one that the engine has forgotten is in no list of its.

// process is one of a task's workload.
type process struct {
	pid, parent int
	begun       string // in the kernel's ticks: a pid may come again
	task        string
}

// workloads are the processes of this agent's tasks, by what Nomad puts into each task's environment.
func (w *world) workloads() []process {
	var found []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		environment, _ := os.ReadFile(filepath.Join(dir, "environ")) // empty for one that ends
		alloc, task := taskOf(string(environment))
		if alloc == "" {
			continue
		}
		// Other tests have tasks on this machine too.
		if _, err := os.Stat(filepath.Join(w.agent.Dir, "data/alloc", alloc)); err != nil {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
		if p, ok := readStat(string(stat)); ok {
			p.task = alloc + "/" + task
			found = append(found, p)
		}
	}
	return found
}

// taskOf is the task in a process's environment.
func taskOf(environment string) (alloc, task string) {
	for _, entry := range strings.Split(environment, "\x00") {
		if value, found := strings.CutPrefix(entry, "NOMAD_ALLOC_ID="); found {
			alloc = value
		} else if value, found := strings.CutPrefix(entry, "NOMAD_TASK_NAME="); found {
			task = value
		}
	}
	if alloc == "" || task == "" || strings.Contains(alloc, "/") {
		return "", ""
	}
	return alloc, task
}

// readStat reads /proc/PID/stat, but for a process that has ended.
func readStat(text string) (process, bool) {
	// The command is in parentheses and may contain anything.
	name := strings.LastIndexByte(text, ')')
	if name < 0 {
		return process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(text[:max(0, strings.IndexByte(text, '('))]))
	fields := strings.Fields(text[name+1:])
	if err != nil || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	return process{pid: pid, parent: parent, begun: fields[19]}, err == nil
}

// roots are the first processes of the workloads: those whose parents are no process of the same task.
func roots(processes []process) []process {
	return slices.DeleteFunc(slices.Clone(processes), func(p process) bool {
		return slices.ContainsFunc(processes, func(other process) bool { return other.pid == p.parent && other.task == p.task })
	})
}

// pairs follows workloads that live beside another one of the same task.
type pairs struct {
	since map[process]time.Time
	told  map[string]bool
	most  int // workloads at a time
}

// Of two of which one is about to end both live for a moment: what was sent SIGKILL goes within
// milliseconds, and on a machine with ten runnable processes for each core within a second.
const bothLive = 5 * time.Second

// look says which tasks have had two workloads for so long, of each once.
func (p *pairs) look(now time.Time, processes []process) []string {
	byTask := map[string][]process{}
	for _, root := range roots(processes) {
		byTask[root.task] = append(byTask[root.task], root)
	}
	p.most = max(p.most, len(byTask))
	since := map[process]time.Time{}
	var wrong []string
	for task, roots := range byTask {
		if len(roots) < 2 {
			continue
		}
		var pids []int
		for _, root := range roots {
			begun, known := p.since[root]
			if !known {
				begun = now
			}
			if since[root] = begun; now.Sub(begun) >= bothLive {
				pids = append(pids, root.pid)
			}
		}
		if len(pids) > 1 && !p.told[task] {
			p.told[task] = true
			slices.Sort(pids)
			wrong = append(wrong, fmt.Sprintf("task %s has %d workloads: processes %v", task, len(pids), pids))
		}
	}
	p.since = since
	slices.Sort(wrong)
	return wrong
}

// oneEach checks that no task has two workloads.
func (w *world) oneEach() {
	for _, text := range w.pairs.look(time.Now(), w.workloads()) {
		w.violation("%s", text)
	}
}
