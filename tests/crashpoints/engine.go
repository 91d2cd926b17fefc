// Package crashpoints takes the plugin, or one of the processes beside it, away at every named point
// of a task's life (src/runtime/crash_point.hpp), goes on as Nomad's client does, and checks what the
// driver promises about recovery. It needs the build of the preset "crash".
package crashpoints

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

// A victim is a kind of process that is killed at a point.
type victim string

const (
	nobody   victim = ""         // the life cycle is only watched
	plugin   victim = "plugin"   // Nomad starts it again and goes on
	agent    victim = "agent"    // Nomad and its plugin: what was not written down is forgotten
	cli      victim = "CLI"      // the engine's CLI at work for the plugin
	conmon   victim = "conmon"   // Podman's watcher
	monitor  victim = "monitor"  // ours on Apple's runtime
	attached victim = "attached" // the CLI that a monitor holds
)

// engine is one runtime: its settings, and how its processes are told from others. A process counts
// only if its command line holds the name or the directory of this very task.
type engine struct {
	name      string
	config    func(w *world) string // of the plugin
	prepare   func(w *world)        // before the plugin is started
	image     func(w *world, s *scenario) string
	inside    func(w *world) string           // the task's local directory, as the workload sees it
	victims   func(w *world) map[victim][]int // those that live now
	isCLI     func(w *world, child process) bool
	engineHas func(w *world) []string // containers of the allocation
	// says tells whether a line of a task's log may be the engine's own words.
	says func(stream string, tty bool, line string) bool
}

type process struct {
	pid, parent int
	arguments   []string
}

func (p process) has(word string) bool { return slices.Contains(p.arguments, word) }

func (p process) mentions(text string) bool {
	return strings.Contains(strings.Join(p.arguments, " "), text)
}

// processes lists those of the machine that mention one of the texts in their command lines.
func processes(texts ...string) []process {
	var out []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		p, ok := processAt(dir)
		if !ok || !slices.ContainsFunc(texts, p.mentions) {
			continue
		}
		state, parent := stat(p.pid)
		if state == 0 || state == 'Z' || p.pid == os.Getpid() {
			continue
		}
		p.parent = parent
		out = append(out, p)
	}
	return out
}

// processAt reads a directory below /proc, without the parent.
func processAt(dir string) (p process, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(data) == 0 {
		return p, false
	}
	p.arguments = strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	p.pid, _ = strconv.Atoi(filepath.Base(dir))
	return p, true
}

// children lists those of a process that are not `known`, to which all others are added that are no
// children of it. Until they have become another program their command lines are its own.
func children(pid int, known map[string]bool) []process {
	var out []process
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if name := entry.Name(); name[0] >= '1' && name[0] <= '9' && !known[name] {
			p, ok := processAt(filepath.Join("/proc", name))
			if _, p.parent = stat(p.pid); ok && p.parent == pid {
				out = append(out, p)
			} else if ok {
				known[name] = true
			}
		}
	}
	return out
}

// stat is the state letter of a process and its parent; 0 if there is none.
func stat(pid int) (byte, int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return fields[0][0], parent
}

func pluginAlive(p *nomadkit.Plugin) bool {
	state, _ := stat(p.Cmd.Process.Pid)
	return state != 0 && state != 'Z'
}

// --- Podman

var podmanEngine = &engine{
	name:    "podman",
	config:  func(*world) string { return "runtime = \"podman\"\n" },
	prepare: func(*world) {},
	image: func(w *world, s *scenario) string {
		if s.pulls {
			return freshImage(w)
		}
		return nomadkit.Image()
	},
	inside: func(*world) string { return "/local" },
	victims: func(w *world) map[victim][]int {
		out := map[victim][]int{}
		for _, p := range processes(podmanTexts(w)...) {
			switch {
			case strings.HasSuffix(p.arguments[0], "conmon"):
				out[conmon] = append(out[conmon], p.pid)
			case podmanCLI(w, p):
				out[cli] = append(out[cli], p.pid)
			}
		}
		return out
	},
	isCLI:     podmanCLI,
	engineHas: func(w *world) []string { return nomadkit.ContainersOf(w.t, w.task.AllocID) },
	// Podman, conmon and the OCI runtime have the workload's stderr until it runs, and tell there of a
	// name that is taken, or of who was killed. On its stdout they say nothing, nor where it has a terminal.
	says: func(stream string, _ bool, _ string) bool { return stream == "stderr" },
}

func podmanTexts(w *world) []string {
	texts := []string{w.container(), w.image}
	if w.task.Handle != nil {
		texts = append(texts, w.containerID())
	}
	return texts
}

func podmanCLI(w *world, p process) bool {
	return p.parent == w.plugin.Cmd.Process.Pid && !p.has("ps") && slices.ContainsFunc(podmanTexts(w), p.mentions)
}

var registry *nomadkit.Registry

// freshImage is one that Podman has to pull.
func freshImage(w *world) string {
	name := nomadkit.Unique("ndc/crash") + ":1"
	registry.Push(w.t, name, nomadkit.Content{Files: map[string]string{"which": name}})
	return registry.Reference(name)
}

// --- Apple's container, imitated

// appleVersion is that of the stand-in.
var appleVersion = cmp.Or(os.Getenv("NDC_CRASH_APPLE_VERSION"), nomadkit.StandinVersion)

func standin() string {
	return filepath.Join(filepath.Dir(filepath.Dir(nomadkit.Binary())), "standin", "container")
}

var appleEngine = &engine{
	name: "apple",
	config: func(w *world) string {
		return fmt.Sprintf("runtime = \"apple\"\ncontainer_path = %q\n", filepath.Join(w.dir, "container"))
	},
	prepare: func(w *world) {
		if err := os.Symlink(standin(), filepath.Join(w.dir, "container")); err != nil {
			w.t.Fatal(err)
		}
		env := "NDC_STANDIN_STATE=" + w.dir + "/cli\nNDC_STANDIN_VERSION=" + appleVersion + "\nNDC_STANDIN_STATS_MS=50\n"
		if err := os.WriteFile(filepath.Join(w.dir, "standin.env"), []byte(env), 0o600); err != nil {
			w.t.Fatal(err)
		}
	},
	image: func(_ *world, s *scenario) string {
		if s.pulls {
			return "private.example.com/demo:1"
		}
		return "docker.io/library/demo:1"
	},
	inside: func(w *world) string { return filepath.Join(w.task.Dir, "local") },
	victims: func(w *world) map[victim][]int {
		out := map[victim][]int{}
		program := filepath.Join(w.dir, "container")
		for _, p := range processes(w.dir) {
			switch {
			case p.has("monitor") && p.mentions(filepath.Join(w.stateDir, w.container())):
				out[monitor] = append(out[monitor], p.pid)
			case p.arguments[0] == program && p.has("start") && p.has("--attach"):
				out[attached] = append(out[attached], p.pid)
			case appleCLI(w, p):
				out[cli] = append(out[cli], p.pid)
			}
		}
		return out
	},
	isCLI: appleCLI,
	engineHas: func(w *world) []string {
		return (&nomadkit.Standin{State: filepath.Join(w.dir, "cli")}).Containers()
	},
	// The attached CLI has one stderr for the workload's and for why a container that was removed under it
	// did not start; with a terminal there is one stream for all.
	says: func(stream string, tty bool, line string) bool {
		return (stream == "stderr" || tty) && strings.HasPrefix(line, "Error: ")
	},
}

func appleCLI(w *world, p process) bool {
	return p.arguments[0] == filepath.Join(w.dir, "container") && p.parent == w.plugin.Cmd.Process.Pid &&
		(p.has(w.container()) || p.has("pull") || p.has("login") || p.has("logout"))
}

// leftovers says what of the task is still there, nil for nothing.
func (w *world) leftovers() error {
	if ids := w.engine.engineHas(w); len(ids) != 0 {
		return fmt.Errorf("containers %v", ids)
	}
	for _, p := range processes(w.container()) {
		return fmt.Errorf("process %d: %q", p.pid, p.arguments)
	}
	var left []string
	_ = filepath.WalkDir(w.stateDir, func(path string, entry os.DirEntry, err error) error {
		hidden := entry != nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".")
		if err == nil && path != w.stateDir && !hidden {
			left = append(left, path)
		}
		return nil
	})
	if len(left) != 0 {
		return fmt.Errorf("in the state directory: %v", left)
	}
	return nil
}

func shortID(t testing.TB, alloc string) string {
	if len(alloc) < 8 {
		t.Fatalf("allocation %q", alloc)
	}
	return alloc[:8]
}
