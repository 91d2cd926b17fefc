package apple

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"nomad-driver-container/tests/nomadkit"
)

// fleetSize is how many tasks run at once on each version: 100, or what NDC_FLEET says. The stand-in's
// README has the figures.
func fleetSize() int {
	if n, err := strconv.Atoi(os.Getenv("NDC_FLEET")); err == nil {
		return n
	}
	return 100
}

// commandsAfter counts the CLI's calls by subcommand, without the first `skip` ones.
func commandsAfter(t *testing.T, n *node, skip int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, call := range n.Recorded(t)[skip:] {
		counts[call.Command]++
	}
	return counts
}

// Start, run, stop: many tasks at once, and while they run nothing is started for any of them. One
// `stats` answers for all in each interval.
func TestManyTasksStartRunAndStopAndCostNothingWhileTheyRun(t *testing.T) {
	forEachVersion(t, manyTasks)
}

func manyTasks(t *testing.T, n *node) {
	tasks := make([]*nomadkit.Task, fleetSize())
	for i := range tasks {
		tasks[i] = nomadkit.MuteTask(t, n.Plugin, "image = \"${image}\"\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"exec sleep 100000\"]\n")
	}
	failed := func(what string, failures []error) {
		t.Helper()
		if len(failures) > 0 {
			t.Fatalf("%s: %d of %d failed: %v", what, len(failures), len(tasks), failures[0])
		}
	}
	failed("start", nomadkit.Together(tasks, func(task *nomadkit.Task) error {
		_, _, err := n.StartTask(task.TaskConfig)
		return err
	}))
	if running := len(n.Containers()); running != len(tasks) {
		t.Fatalf("%d containers of %d tasks", running, len(tasks))
	}
	weigh(t, n)
	restOf(t, n, tasks)
	failed("stop", nomadkit.Together(tasks, func(task *nomadkit.Task) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute*time.Duration(1+len(tasks)/100))
		defer cancel()
		answer, err := n.WaitTask(ctx, task.ID)
		if err != nil {
			return err
		}
		if err := n.StopTask(task.ID, 30*time.Second, "SIGTERM"); err != nil {
			return err
		}
		select {
		case result := <-answer:
			if result == nil || result.Err != nil || result.ExitCode != 143 {
				return fmt.Errorf("exit %+v", result)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("no answer of WaitTask")
		}
	}))
	failed("destroy", nomadkit.Together(tasks, func(task *nomadkit.Task) error { return n.DestroyTask(task.ID, false) }))
	n.nothingLeft(t)
}

// standinProcesses are the two of each container that runs, its attached CLI and its helper. The
// monitor has the CLI's command line in its own.
func standinProcesses(t *testing.T, n *node) (pids []int) {
	t.Helper()
	binary, err := filepath.EvalSymlinks(nomadkit.StandinBinary())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range nomadkit.ProcessesWith(n.CLI + " start --attach ") {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && exe == binary {
			pids = append(pids, pid)
		}
	}
	for _, id := range n.Containers() {
		pids = append(pids, n.Helper(t, id))
	}
	return pids
}

// weigh prints, as a row of the table in the stand-in's README, what its processes cost while nothing
// happens.
func weigh(t *testing.T, n *node) {
	t.Helper()
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		return // only Linux tells
	}
	pids, containers := standinProcesses(t, n), len(n.Containers())
	if len(pids) != 2*containers {
		t.Errorf("%d processes of the stand-in for %d containers, want two for each", len(pids), containers)
	}
	var private uint64
	for _, pid := range pids {
		memory, err := nomadkit.PrivateMemory(pid)
		if err != nil {
			t.Fatal(err)
		}
		private += memory
	}
	ran := func() (sum time.Duration) {
		for _, pid := range pids {
			sum += nomadkit.CPUTime(pid)
		}
		return sum
	}
	before, start := ran(), time.Now()
	time.Sleep(5 * time.Second)
	cpu := 100 * float64(ran()-before) / float64(time.Since(start))
	each := float64(containers)
	t.Logf("| %d | %d | %.1f MiB (%.0f KiB each) | %.2f %% of a core (%.4f %% each) |", containers, len(pids),
		float64(private)/(1<<20), float64(private)/each/(1<<10), cpu, cpu/each)
}

// restOf watches the calls while every task's usage is asked for once in a second.
func restOf(t *testing.T, n *node, tasks []*nomadkit.Task) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	samples := make([]atomic.Int64, len(tasks))
	for i, task := range tasks {
		stream, err := n.TaskStats(ctx, task.ID, time.Second)
		if err != nil {
			t.Fatalf("TaskStats: %v", err)
		}
		go func(stream <-chan *drivers.TaskResourceUsage) {
			for range stream {
				samples[i].Add(1)
			}
		}(stream)
	}
	all := func(least int64) func() error {
		return func() error {
			for i := range samples {
				if got := samples[i].Load(); got < least {
					return fmt.Errorf("task %d has %d samples, want %d", i, got, least)
				}
			}
			return nil
		}
	}
	nomadkit.Eventually(t, time.Minute, "a sample of every task", all(1))
	// The first stream may be ahead of the last: what it has by now is where the count begins.
	begun, before := samples[0].Load(), n.Calls("")
	nomadkit.Eventually(t, time.Minute, "five more samples of every task", all(begun+5))
	after, counts := samples[0].Load(), commandsAfter(t, n, before)
	// One call tells of all tasks; on a busy machine the samples of one task are late, or not all sent.
	if calls, got := counts["stats"], int(after-begun); calls > 2*got+2 {
		t.Errorf("%d calls of stats for %d samples", calls, got)
	}
	delete(counts, "stats")
	// The node's health is asked now and then, however many tasks there are.
	for _, ping := range []string{"system status", "system version", "version"} {
		if counts[ping] > 2 {
			t.Errorf("%d calls of %s", counts[ping], ping)
		}
		delete(counts, ping)
	}
	if len(counts) != 0 {
		t.Errorf("calls for tasks that did nothing: %v", counts)
	}
}
