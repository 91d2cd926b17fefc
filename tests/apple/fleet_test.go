package apple

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"nomad-driver-container/tests/nomadkit"
)

// fleetSize is how many tasks run at once: 100, or what NDC_FLEET says.
func fleetSize() int {
	if n, err := strconv.Atoi(os.Getenv("NDC_FLEET")); err == nil {
		return n
	}
	return 100
}

// commandsAfter counts the CLI's calls by subcommand, without the first `skip` ones.
func commandsAfter(t *testing.T, n *node, skip int) map[string]int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(n.State, "calls.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var call struct{ Command string }
		if i < skip {
			continue
		}
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatalf("calls.jsonl: %v: %q", err, line)
		}
		counts[call.Command]++
	}
	return counts
}

// Start, run, stop: many tasks at once, and while they run nothing is started for any of them. One
// `stats` answers for all in each interval.
func TestManyTasksStartRunAndStopAndCostNothingWhileTheyRun(t *testing.T) {
	n := newNode(t, versions()[len(versions())-1])
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
	restOf(t, n, tasks)
	failed("stop", nomadkit.Together(tasks, func(task *nomadkit.Task) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	if calls, got := counts["stats"], int(after-begun); calls < got-1 || calls > got+1 {
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
