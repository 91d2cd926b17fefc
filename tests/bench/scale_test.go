package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-driver-container/tests/nomadkit"
)

// The sizes at which everything is measured; the goals speak of 50 containers.
var sizes = []int{0, 1, 10, 50, 100}

const (
	window   = 15 * time.Second // over which CPU is measured
	interval = time.Second      // of the usage streams
	kills    = 3                // of the plugin at each size
)

// fleet is a growing number of containers under one plugin, or its successors.
type fleet struct {
	p        *nomadkit.Plugin
	tasks    []*nomadkit.Task
	stateDir string
	config   string
	calls    string // where the podman in front of podman counts
}

const counter = `#!/bin/sh
for word; do case $word in -*) ;; *) echo "$word" >>"$(dirname "$0")/calls"; break ;; esac; done
exec podman "$@"
`

// TestScale starts containers all at once in steps up to 100, and measures start, usage, memory and
// recovery at each step; then it stops all at once.
func TestScale(t *testing.T) {
	f := &fleet{stateDir: t.TempDir()}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "podman"), []byte(counter), 0o755); err != nil {
		t.Fatal(err)
	}
	f.calls = filepath.Join(dir, "calls")
	f.config = fmt.Sprintf("podman_path = %q", filepath.Join(dir, "podman"))
	f.p = nomadkit.StartPluginIn(t, f.stateDir, f.config)
	threads := map[int]int{}
	for _, size := range sizes {
		if size > 0 {
			f.grow(t, size)
		}
		threads[size] = f.rest(t, size)
		if size > 0 {
			f.recover(t, size)
		}
	}
	perTask := float64(threads[100]-threads[1]) / 99
	report.Goal("plugin threads per task", perTask, "threads", "< 0.1", perTask < 0.1,
		fmt.Sprintf("/proc/PID/status: %d threads with 1 container, %d with 100; what is added are gRPC's pool threads", threads[1], threads[100]))
	f.stop(t)
}

func (f *fleet) podmanCalls() []string {
	data, _ := os.ReadFile(f.calls)
	return strings.Fields(string(data))
}

func (f *fleet) grow(t *testing.T, size int) {
	t.Helper()
	var fresh []*nomadkit.Task
	for len(f.tasks)+len(fresh) < size {
		fresh = append(fresh, nomadkit.NewTask(t, f.p, shell(sleeper)))
	}
	before := len(f.podmanCalls())
	start := time.Now()
	failures := nomadkit.Together(fresh, func(task *nomadkit.Task) error {
		handle, _, err := f.p.StartTask(task.TaskConfig)
		task.Handle = handle
		return err
	})
	took := time.Since(start)
	if len(failures) > 0 {
		t.Fatalf("%d of %d starts failed: %v", len(failures), len(fresh), failures[0])
	}
	f.tasks = append(f.tasks, fresh...)
	report.Note(fmt.Sprintf("start: %d at once, up to %d", len(fresh), size), milliseconds(took)/float64(len(fresh)),
		"ms a task", fmt.Sprintf("all StartTask calls together %.1f s, %d podman calls", took.Seconds(), len(f.podmanCalls())-before))
}

// rest measures the plugin while nothing happens but usage samples; it returns its threads.
func (f *fleet) rest(t *testing.T, size int) int {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	samples := 0
	count := func(ch <-chan *drivers.TaskResourceUsage) {
		for range ch {
			mu.Lock()
			samples++
			mu.Unlock()
		}
	}
	for _, task := range f.tasks {
		ch, err := f.p.TaskStats(ctx, task.ID, interval)
		if err != nil {
			t.Fatalf("TaskStats: %v", err)
		}
		go count(ch)
	}
	pid := f.p.Cmd.Process.Pid
	// The first samples are taken at once and the starts' conmons settle: neither is rest.
	time.Sleep(2 * time.Second)
	taken := func() int { mu.Lock(); defer mu.Unlock(); return samples }
	first, err := UsageOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	calls, begun, start := len(f.podmanCalls()), taken(), time.Now()
	time.Sleep(window)
	last, err := UsageOf(pid)
	if err != nil {
		t.Fatal(err)
	}
	wall := time.Since(start)
	got, spawned := taken()-begun, len(f.podmanCalls())-calls
	cpu := 100 * float64(last.CPU-first.CPU+last.Children-first.Children) / float64(wall)
	how := fmt.Sprintf("schedstat of its threads and its waited-for children over %.0f s, %d samples", wall.Seconds(), got)
	name := fmt.Sprintf("CPU at rest, %d containers", size)
	if size == 50 {
		report.Goal(name, cpu, "% of a core", "< 2", cpu < 2, how)
		none := spawned == 0 && last.ChildFaults == first.ChildFaults
		perSample := float64(spawned) / float64(max(got, 1))
		if !none && spawned == 0 {
			perSample = 1 // a child that is not podman
		}
		report.Goal("processes started per sample", perSample, "processes", "0", none && got > 0,
			fmt.Sprintf("calls of a counting podman, and no page fault of an ended child (/proc/PID/stat), during %d samples of 50 containers", got))
		own := OwnProcesses(pid)
		report.Goal("resident processes of ours per task", float64(len(own))/50, "processes", "0", len(own) == 0,
			"children of the plugin and other processes of its executable, 50 containers")
	} else {
		report.Note(name, cpu, "% of a core", how)
	}
	report.Note(fmt.Sprintf("plugin PSS, %d containers", size), float64(last.PSS)/(1<<20), "MiB", "/proc/PID/smaps_rollup")
	return last.Threads
}

// recover kills the plugin and gives all tasks to a new one, as a restarted Nomad client does.
func (f *fleet) recover(t *testing.T, size int) {
	t.Helper()
	var calls, whole []float64
	for i := 0; i < kills; i++ {
		f.p.Kill9(t)
		start := time.Now()
		f.p = nomadkit.StartPluginIn(t, f.stateDir, f.config)
		ready := time.Now()
		failures := nomadkit.Together(f.tasks, func(task *nomadkit.Task) error { return f.p.RecoverTask(task.RecoveredHandle()) })
		end := time.Now()
		if len(failures) > 0 {
			t.Fatalf("%d of %d recoveries failed: %v", len(failures), size, failures[0])
		}
		calls, whole = append(calls, milliseconds(end.Sub(ready))), append(whole, milliseconds(end.Sub(start)))
	}
	took := Median(whole)
	how := fmt.Sprintf("exec of a new plugin after kill -9 until every RecoverTask is answered, median of %d; the calls alone %.1f ms", kills, Median(calls))
	name := fmt.Sprintf("recovery of %d containers", size)
	if size == 50 {
		report.Goal(name, took, "ms", "< 1000", took < 1000, how)
	} else {
		report.Note(name, took, "ms", how)
	}
}

// stop ends all containers at once and takes them away.
func (f *fleet) stop(t *testing.T) {
	t.Helper()
	size, failed := len(f.tasks), 0
	// What the task itself knows is the plugin that started it, and that one is dead.
	start := time.Now()
	failures := nomadkit.Together(f.tasks, func(task *nomadkit.Task) error {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		answer, err := f.p.WaitTask(ctx, task.ID)
		if err != nil {
			return err
		}
		if err := f.p.StopTask(task.ID, limit, "SIGKILL"); err != nil {
			return err
		}
		select {
		case result := <-answer:
			if result == nil || result.Err != nil || result.Signal != 9 && result.ExitCode != 137 {
				return fmt.Errorf("exit %+v", result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("no answer of WaitTask")
		}
	})
	took := time.Since(start)
	failed += len(failures)
	for _, err := range failures {
		t.Logf("stop: %v", err)
	}
	start = time.Now()
	failures = nomadkit.Together(f.tasks, func(task *nomadkit.Task) error { return f.p.DestroyTask(task.ID, true) })
	destroyed := time.Since(start)
	failed += len(failures)
	for _, err := range failures {
		t.Logf("destroy: %v", err)
	}
	report.Note(fmt.Sprintf("stop: %d at once", size), milliseconds(took)/float64(size), "ms a task",
		"StopTask with SIGKILL until WaitTask answers, all together")
	report.Note(fmt.Sprintf("destroy: %d at once", size), milliseconds(destroyed)/float64(size), "ms a task",
		"DestroyTask of ended tasks, all together")
	report.Goal(fmt.Sprintf("errors of %d at once", size), float64(failed), "errors", "0", failed == 0,
		"start, run, recover, stop, destroy")
}
