package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-driver-container/tests/nomadkit"
)

const (
	machines = 500 // tasks over the stand-in for Apple's CLI
	watched  = 100 // of them when monitors are weighed

	probing = 30 * time.Second // between two looks of the driver at a node in order
)

// probes are the calls that tell how the node is doing.
var probes = []string{"system version", "system status", "version"}

// mac is the plugin over the stand-in, with its tasks.
type mac struct {
	*nomadkit.Plugin
	cli   *nomadkit.Standin
	tasks []*nomadkit.Task
}

func newMac(t *testing.T) *mac { return newMacWith(t, (*nomadkit.Standin).Config) }

// newMacWith is newMac with another configuration of the plugin.
func newMacWith(t *testing.T, config func(cli *nomadkit.Standin) string) *mac {
	t.Helper()
	dir, err := os.MkdirTemp("", "ndc-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cli, err := nomadkit.NewStandin(dir, nomadkit.StandinVersion, "NDC_STANDIN_STATS_MS=50")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cli.Close)
	m := &mac{Plugin: nomadkit.StartPluginIn(t, filepath.Join(dir, "state"), config(cli)), cli: cli}
	m.watchHealth(t)
	return m
}

// watchHealth holds the stream of fingerprints open until the test ends, as Nomad's client does: with
// nobody there to be told the plugin does not look at its engine.
func (m *mac) watchHealth(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	fingerprints, err := m.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for {
		fingerprint := nomadkit.Receive(t, fingerprints, limit, "healthy fingerprint")
		if fingerprint.Err != nil {
			t.Fatalf("the stream of fingerprints ended: %v", fingerprint.Err)
		}
		if fingerprint.Health == drivers.HealthStateHealthy {
			break
		}
	}
	go func() {
		for range fingerprints {
		}
	}()
}

// calls counts those of the CLI: all, `stats`, and the fingerprint's.
func (m *mac) calls(t *testing.T) (all, stats, health int) {
	t.Helper()
	recorded := m.cli.Recorded(t)
	for _, call := range recorded {
		switch {
		case call.Command == "stats":
			stats++
		case slices.Contains(probes, call.Command):
			health++
		}
	}
	return len(recorded), stats, health
}

func (m *mac) grow(t *testing.T, size int) {
	t.Helper()
	var fresh []*nomadkit.Task
	for len(m.tasks)+len(fresh) < size {
		fresh = append(fresh, nomadkit.MuteTask(t, m.Plugin, shell(sleeper)))
	}
	if failures := nomadkit.Together(fresh, func(task *nomadkit.Task) error {
		handle, _, err := m.StartTask(task.TaskConfig)
		task.Handle = handle
		return err
	}); len(failures) > 0 {
		t.Fatalf("%d of %d starts failed: %v", len(failures), len(fresh), failures[0])
	}
	m.tasks = append(m.tasks, fresh...)
}

func (m *mac) monitor(t *testing.T, task *nomadkit.Task) int {
	t.Helper()
	pid := nomadkit.MonitorOf(m.StateDir, containerName(task))
	if pid == 0 {
		t.Fatal("a task without a monitor")
	}
	return pid
}

// TestMachines starts 500 tasks over the stand-in: what they cost while nothing happens, and how long
// a new plugin takes to find them again.
func TestMachines(t *testing.T) {
	m := newMac(t)
	m.grow(t, watched)
	m.weigh(t)
	m.grow(t, machines)
	m.rest(t)
	m.recover(t)
	if failures := nomadkit.Together(m.tasks, func(task *nomadkit.Task) error {
		if err := m.StopTask(task.ID, limit, "SIGKILL"); err != nil {
			return err
		}
		return m.DestroyTask(task.ID, true)
	}); len(failures) > 0 {
		t.Fatalf("%d of %d ends failed: %v", len(failures), len(m.tasks), failures[0])
	}
}

// weigh measures the memory that monitors share with nobody.
func (m *mac) weigh(t *testing.T) {
	t.Helper()
	var sample []float64
	for _, task := range m.tasks {
		private, err := nomadkit.PrivateMemory(m.monitor(t, task))
		if err != nil {
			t.Fatal(err)
		}
		sample = append(sample, float64(private)/(1<<20))
	}
	most := Quantile(sample, 1)
	report.Goal("apple: private memory of a monitor", most, "MiB", "< 1", most < 1,
		fmt.Sprintf("/proc/PID/smaps_rollup, private clean and dirty: the most of %d, the median is %.2f MiB", len(sample), Median(sample)))
}

// rest counts the calls of the CLI while every task's usage is asked for once in a second, for as long
// as the driver looks at the node twice.
func (m *mac) rest(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var samples atomic.Int64
	for _, task := range m.tasks {
		stream, err := m.TaskStats(ctx, task.ID, interval)
		if err != nil {
			t.Fatalf("TaskStats: %v", err)
		}
		go func(stream <-chan *drivers.TaskResourceUsage) {
			for range stream {
				samples.Add(1)
			}
		}(stream)
	}
	time.Sleep(2 * time.Second) // the first samples are taken at once, which is no rest
	first, err := UsageOf(m.Cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	callsBefore, statsBefore, healthBefore := m.calls(t)
	taken, start := samples.Load(), time.Now()
	time.Sleep(2 * probing)
	wall := time.Since(start)
	calls, stats, health := m.calls(t)
	calls, stats, health, taken = calls-callsBefore, stats-statsBefore, health-healthBefore, samples.Load()-taken
	last, err := UsageOf(m.Cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	report.Goal("apple: processes started at rest", float64(calls)/wall.Seconds(), "per second", "one `stats`, and one of the fingerprint's per 30 s",
		taken > 0 && atRest(calls, stats, health, wall),
		fmt.Sprintf("calls of the CLI in %.0f s for %d samples of %d tasks: %d `stats`; besides one `stats` per interval: %.1f of the fingerprint's per 30 s, and %d others",
			wall.Seconds(), taken, machines, stats, float64(health)*float64(probing)/float64(wall), calls-stats-health))
	report.Note(fmt.Sprintf("apple: CPU at rest, %d tasks", machines), 100*float64(last.CPU-first.CPU)/float64(wall), "% of a core",
		"schedstat of the plugin's threads; the stand-in's own cost says nothing about a Mac")
	report.Note(fmt.Sprintf("apple: plugin PSS, %d tasks", machines), float64(last.PSS)/(1<<20), "MiB", "/proc/PID/smaps_rollup")
}

// atRest tells whether nothing was called but one `stats` for all tasks in each interval, and once in
// its own what tells how the node is doing. With one of each the window may have begun.
func atRest(calls, stats, health int, wall time.Duration) bool {
	return calls == stats+health && stats <= int(wall/interval)+1 && health <= int(wall/probing)+1
}

func TestOneStatsCallForAllTasksIsRest(t *testing.T) {
	for _, c := range []struct {
		calls, stats, health int
		want                 bool
	}{
		{62, 60, 2, true}, {61, 61, 0, true}, {64, 61, 3, true}, {0, 0, 0, true},
		{61, 60, 0, false},       // something else was called
		{62, 62, 0, false},       // more often than usage is asked for
		{66, 60, 6, false},       // three calls for each look at the node
		{30000, 30000, 0, false}, // once for each of 500 tasks
	} {
		if got := atRest(c.calls, c.stats, c.health, 2*probing+time.Millisecond); got != c.want {
			t.Errorf("%d calls, %d of them stats, %d of the fingerprint's: rest is %v, want %v", c.calls, c.stats, c.health, got, c.want)
		}
	}
}

func (m *mac) recover(t *testing.T) {
	t.Helper()
	var whole []float64
	for range kills {
		m.Kill9(t)
		start := time.Now()
		m.Plugin = nomadkit.StartPluginIn(t, m.StateDir, m.cli.Config())
		failures := nomadkit.Together(m.tasks, func(task *nomadkit.Task) error { return m.RecoverTask(task.RecoveredHandle()) })
		whole = append(whole, milliseconds(time.Since(start)))
		if len(failures) > 0 {
			t.Fatalf("%d of %d recoveries failed: %v", len(failures), len(m.tasks), failures[0])
		}
		m.watchHealth(t)
	}
	took := Median(whole)
	report.Goal(fmt.Sprintf("apple: recovery of %d tasks", machines), took, "ms", "< 2000", took < 2000,
		fmt.Sprintf("exec of a new plugin after kill -9 until every RecoverTask is answered, median of %d", kills))
}

// TestMachineExitLatency compares two moments: the attached CLI has ended, WaitTask answers. All that
// lies between is the driver's: the monitor, the record on the disk, its word to the plugin. A 1 may be
// the CLI's own: where the last line of stderr has the shape of its errors, and only there, the driver
// looks at the container before it answers.
func TestMachineExitLatency(t *testing.T) {
	m := newMac(t)
	sample := m.exitsWith(t, 0, 3)
	p99 := Quantile(sample, 0.99)
	report.Goal("apple: exit to WaitTask, p99", p99, "ms", "< 20", p99 < 20,
		fmt.Sprintf("pidfd of the attached CLI to Nomad's client, %d exits one by one, with 0 and 3 in turn", len(sample)))
	report.Note("apple: exit to WaitTask, median", Median(sample), "ms", "the same exits")
	sample = m.exitsWith(t, 1)
	report.Note("apple: exit with 1 to WaitTask, p99", Quantile(sample, 0.99), "ms",
		fmt.Sprintf("the same for %d exits with 1 that say nothing: they are told at once too", len(sample)))
	report.Note("apple: exit with 1 to WaitTask, median", Median(sample), "ms", "the same exits")
	sample = m.exitsAfter(t, "echo 'Error: x' >&2; ", 1)
	report.Note("apple: exit with 1 after `Error: x` to WaitTask, p99", Quantile(sample, 0.99), "ms",
		fmt.Sprintf("the same for %d exits with 1 whose last line of stderr could be the CLI's own error: the driver looks at the container first, with a call of the stand-in", len(sample)))
	report.Note("apple: exit with 1 after `Error: x` to WaitTask, median", Median(sample), "ms", "the same exits")
}

// exitsWith measures exits one by one, with these codes in turn.
func (m *mac) exitsWith(t *testing.T, codes ...int) []float64 { return m.exitsAfter(t, "", codes...) }

// exitsAfter is exitsWith of tasks that run a piece of script last of all.
func (m *mac) exitsAfter(t *testing.T, script string, codes ...int) []float64 {
	t.Helper()
	var sample []float64
	for i := range exits {
		code := codes[i%len(codes)]
		task, release := m.waiting(t, script, code)
		task.Start(t)
		task.WaitLog(t, "stdout", "ready")
		sample = append(sample, milliseconds(m.exitOf(t, task, release, code)))
	}
	return sample
}

// waiting is a task that runs a piece of script and ends with this code when something is written into
// the FIFO.
func (m *mac) waiting(t *testing.T, script string, code int) (task *nomadkit.Task, release string) {
	t.Helper()
	task = nomadkit.NewTask(t, m.Plugin, shell(""))
	release = filepath.Join(task.Dir, "local", "go")
	task.SetConfig(t, shell(fmt.Sprintf("mkfifo %s; echo ready; read x <%s; %sexit %d", release, release, script, code)))
	return task, release
}

// life is lifeOf over the stand-in.
func (m *mac) life(t *testing.T) [3]float64 {
	t.Helper()
	task, release := m.waiting(t, "", 3)
	begun := time.Now()
	task.Start(t)
	start := time.Since(begun)
	task.WaitLog(t, "stdout", "ready")
	exit := m.exitOf(t, task, release, 3)
	Settle(t, containerName(task))

	other := nomadkit.NewTask(t, m.Plugin, shell(sleeper)).Start(t)
	begun = time.Now()
	if err := m.StopTask(other.ID, limit, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	stop := time.Since(begun)
	if err := m.DestroyTask(other.ID, true); err != nil {
		t.Fatal(err)
	}
	Settle(t, containerName(other))
	return [3]float64{milliseconds(start), milliseconds(exit), milliseconds(stop)}
}

func (m *mac) exitOf(t *testing.T, task *nomadkit.Task, release string, code int) time.Duration {
	t.Helper()
	children := nomadkit.ChildrenOf(m.monitor(t, task))
	if len(children) != 1 {
		t.Fatalf("the monitor has children %v, want the CLI", children)
	}
	end, err := WatchEnd(children[0])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	answer, err := m.WaitTask(ctx, task.ID)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan time.Time, 1)
	go func() {
		at, err := end(limit)
		if err != nil {
			at = time.Time{}
		}
		ended <- at
	}()
	if err := os.WriteFile(release, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	result := nomadkit.Receive(t, answer, limit, "answer of WaitTask")
	now := time.Now()
	at := <-ended
	if at.IsZero() || result.Err != nil || result.ExitCode != code {
		t.Fatalf("exit %+v, want code %d; the CLI's end was seen at %v", result, code, at)
	}
	if err := m.DestroyTask(task.ID, false); err != nil {
		t.Fatal(err)
	}
	return now.Sub(at)
}
