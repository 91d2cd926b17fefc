package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nomad-driver-container/tests/nomadkit"
)

// figures is what a plugin holds at one moment.
type figures struct {
	descriptors int
	watches     int // of its inotify descriptors
	threads     int
	private     int // KiB of memory that it shares with nobody
	children    int // and monitors
	files       int // in its state directory
}

func figuresOf(p *nomadkit.Plugin) (figures, error) {
	pid := p.Cmd.Process.Pid
	var f figures
	f.descriptors = len(nomadkit.OpenFiles(pid))
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, path := range infos {
		data, _ := os.ReadFile(path)
		f.watches += strings.Count(string(data), "inotify wd:")
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	f.threads = len(threads)
	private, err := nomadkit.PrivateMemory(pid)
	if err != nil {
		return f, err
	}
	f.private = int(private >> 10)
	// Monitors are nobody's children, and name the directory.
	f.children = len(nomadkit.ChildrenOf(pid)) + len(nomadkit.ProcessesWith(p.StateDir))
	f.files = len(nomadkit.FilesIn(p.StateDir))
	return f, nil
}

// A measure is one figure, and how much more of it may be there at the end than after warm-up.
type measure struct {
	name  string
	unit  string
	of    func(f figures) int
	slack func(plateau int) int
}

func none(int) int { return 0 }

var measures = []measure{
	// Nothing but a leak adds to these: at rest there is the same to be held after any number of tasks.
	{"descriptors", "", func(f figures) int { return f.descriptors }, none},
	{"inotify watches", "", func(f figures) int { return f.watches }, none},
	{"children and monitors", "", func(f figures) int { return f.children }, none},
	{"files in the state directory", "", func(f figures) int { return f.files }, none},
	// gRPC's pool keeps as many threads as calls happened to be made at once; there are few here.
	{"threads", "", func(f figures) int { return f.threads }, func(int) int { return lanes }},
	// The heap's holes wander by some percent. Half of the tasks lie between the two looks, so that of
	// 3000 a leak of 1 KiB each is 9 % of 16 MiB.
	{"private memory", ", KiB", func(f figures) int { return f.private }, func(plateau int) int { return plateau / 20 }},
}

func median(sample []figures, of func(figures) int) int {
	var values []int
	for _, f := range sample {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
