package nomadkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/jobspec2"
)

// Job is a job that runs on an agent; it is purged at the end of the test.
type Job struct {
	ID    string
	agent *Agent
}

// Submit registers a job file's text; `${image}` stands for the test image and the job's id is made
// unique.
func (a *Agent) Submit(t testing.TB, text string) *Job {
	t.Helper()
	text = strings.ReplaceAll(text, "${image}", Image())
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: "job.hcl", Body: []byte(text), AllowFS: false})
	if err != nil {
		t.Fatalf("job file: %v", err)
	}
	return a.register(t, parsed)
}

// SubmitFile registers a job file as it is, with values for its variables ("name=value").
func (a *Agent) SubmitFile(t testing.TB, path string, variables ...string) *Job {
	t.Helper()
	return a.register(t, ParseJobFile(t, path, variables...))
}

// ParseJobFile parses one as the command line does.
func ParseJobFile(t testing.TB, path string, variables ...string) *api.Job {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: path, Body: text, ArgVars: variables, Strict: true})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return parsed
}

// register gives the job an id of its own and its end.
func (a *Agent) register(t testing.TB, parsed *api.Job) *Job {
	t.Helper()
	id := fmt.Sprintf("%s-%s", *parsed.ID, uuid.Short())
	parsed.ID, parsed.Name = &id, &id
	if _, _, err := a.API.Jobs().Register(parsed, nil); err != nil {
		t.Fatalf("register: %v", err)
	}
	job := &Job{ID: id, agent: a}
	t.Cleanup(func() {
		if t.Failed() {
			job.Describe(t)
		}
		_, _, _ = a.API.Jobs().Deregister(id, true, nil)
		allocs, _, err := a.API.Jobs().Allocations(id, true, nil)
		if err != nil {
			return
		}
		for _, alloc := range allocs {
			job.waitAlloc(alloc.ID, 20*time.Second, func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
			a.Runtime.RemoveContainers(alloc.ID)
		}
	})
	return job
}

// BatchJob wraps the inside of a task (config, env, template …) into a batch job that never restarts.
func BatchJob(inside string) string {
	return `job "e2e" {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "main" {
      driver = "container"
      resources {
        cpu    = 50
        memory = 32
      }
      ` + inside + `
    }
  }
}`
}

// Shell is a config block that runs a script in the test image; `more` is added to it.
func Shell(script string, more ...string) string {
	return fmt.Sprintf("config {\n image = \"${image}\"\n command = \"/bin/sh\"\n args = [\"-c\", %q]\n %s\n}\n",
		script, strings.Join(more, "\n"))
}

// Alloc waits for the job's newest allocation.
func (j *Job) Alloc(t testing.TB) *api.Allocation {
	t.Helper()
	var found string
	Eventually(t, 20*time.Second, "an allocation of "+j.ID, func() error {
		allocs, _, err := j.agent.API.Jobs().Allocations(j.ID, false, nil)
		if err != nil {
			return err
		}
		var newest *api.AllocationListStub
		for _, alloc := range allocs {
			if newest == nil || alloc.CreateIndex > newest.CreateIndex {
				newest = alloc
			}
		}
		if newest == nil {
			return fmt.Errorf("none")
		}
		found = newest.ID
		return nil
	})
	alloc, _, err := j.agent.API.Allocations().Info(found, nil)
	if err != nil {
		t.Fatal(err)
	}
	return alloc
}

// waitAlloc returns what the allocation was last, satisfying `done` or not.
func (j *Job) waitAlloc(id string, limit time.Duration, done func(*api.Allocation) bool) *api.Allocation {
	deadline := time.Now().Add(Patience * limit)
	var last *api.Allocation
	options := &api.QueryOptions{WaitTime: time.Second}
	for time.Now().Before(deadline) {
		alloc, meta, err := j.agent.API.Allocations().Info(id, options)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		last = alloc
		if done(alloc) {
			return alloc
		}
		options.WaitIndex = meta.LastIndex
	}
	return last
}

// WaitFor waits until the newest allocation satisfies `done`.
func (j *Job) WaitFor(t testing.TB, limit time.Duration, what string, done func(*api.Allocation) bool) *api.Allocation {
	t.Helper()
	alloc := j.waitAlloc(j.Alloc(t).ID, limit, done)
	if alloc == nil || !done(alloc) {
		t.Fatalf("%s: %s: not within %s", j.ID, what, Patience*limit)
	}
	return alloc
}

// WaitStatus waits for a client status: running, complete, failed.
func (j *Job) WaitStatus(t testing.TB, status string) *api.Allocation {
	t.Helper()
	if status == "running" {
		return j.WaitRunning(t, "main")
	}
	return j.waitFor(t, "status "+status, func(a *api.Allocation) bool { return a.ClientStatus == status })
}

// waitFor is WaitFor that does not go on waiting when the allocation has come to another end.
func (j *Job) waitFor(t testing.TB, what string, done func(*api.Allocation) bool) *api.Allocation {
	t.Helper()
	alloc := j.WaitFor(t, 40*time.Second, what, func(a *api.Allocation) bool { return done(a) || a.ClientTerminalStatus() })
	if !done(alloc) {
		t.Fatalf("%s: %s: it is %s", j.ID, what, alloc.ClientStatus)
	}
	return alloc
}

// WaitRunning waits until these tasks of the newest allocation run.
func (j *Job) WaitRunning(t testing.TB, tasks ...string) *api.Allocation {
	t.Helper()
	return j.waitFor(t, fmt.Sprint(tasks, " running"), func(a *api.Allocation) bool {
		for _, task := range tasks {
			if state := a.TaskStates[task]; state == nil || state.State != "running" {
				return false
			}
		}
		return a.ClientStatus == "running"
	})
}

// Stop deregisters the job and waits until its allocation has ended.
func (j *Job) Stop(t testing.TB) *api.Allocation {
	t.Helper()
	id := j.Alloc(t).ID
	if _, _, err := j.agent.API.Jobs().Deregister(j.ID, false, nil); err != nil {
		t.Fatal(err)
	}
	alloc := j.waitAlloc(id, 40*time.Second, func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
	if alloc == nil || !alloc.ClientTerminalStatus() {
		t.Fatalf("%s did not stop", j.ID)
	}
	return alloc
}

// Events is the text of the events of a task, oldest first.
func Events(alloc *api.Allocation, task string) string {
	var text strings.Builder
	state := alloc.TaskStates[task]
	if state == nil {
		return ""
	}
	for _, event := range state.Events {
		fmt.Fprintf(&text, "%s: %s\n", event.Type, event.DisplayMessage)
	}
	return text.String()
}

// ExitCode is the code of the last Terminated event of the task "main".
func ExitCode(t testing.TB, alloc *api.Allocation) int {
	t.Helper()
	return ExitCodeOf(t, alloc, "main")
}

// ExitCodeOf is ExitCode of any task.
func ExitCodeOf(t testing.TB, alloc *api.Allocation, task string) int {
	t.Helper()
	state := alloc.TaskStates[task]
	if state != nil {
		for i := len(state.Events) - 1; i >= 0; i-- {
			if event := state.Events[i]; event.Type == api.TaskTerminated {
				return event.ExitCode
			}
		}
	}
	t.Fatalf("no Terminated event among:\n%s", Events(alloc, task))
	return -1
}

// Log is the whole of a log stream of the task "main".
func (j *Job) Log(alloc *api.Allocation, stream string) (string, error) {
	return j.LogOf(alloc, "main", stream)
}

// LogOf is Log of any task.
func (j *Job) LogOf(alloc *api.Allocation, task, stream string) (string, error) {
	const limit = Patience * 20 * time.Second
	cancel := make(chan struct{})
	defer close(cancel)
	frames, errs := j.agent.API.AllocFS().Logs(alloc, false, task, stream, "start", 0, cancel, nil)
	var text bytes.Buffer
	for {
		select {
		case frame, ok := <-frames:
			if !ok {
				return text.String(), nil
			}
			text.Write(frame.Data)
		case err := <-errs:
			return text.String(), err
		case <-time.After(limit):
			return text.String(), fmt.Errorf("no end of the log within %s", limit)
		}
	}
}

// WaitLog waits until a log stream of the task "main" contains `want`.
func (j *Job) WaitLog(t testing.TB, alloc *api.Allocation, stream, want string) {
	t.Helper()
	j.WaitLogOf(t, alloc, "main", stream, want)
}

// WaitLogOf is WaitLog of any task.
func (j *Job) WaitLogOf(t testing.TB, alloc *api.Allocation, task, stream, want string) {
	t.Helper()
	Eventually(t, 20*time.Second, stream+" of "+task+" in "+j.ID, func() error {
		text, err := j.LogOf(alloc, task, stream)
		if !strings.Contains(text, want) {
			return fmt.Errorf("has %q (%v), want %q", tail(text, 300), err, want)
		}
		return nil
	})
}

// Exec runs a command in the task "main" and returns its output and exit code. With a terminal
// nothing is typed: `stdin` is not used.
func (j *Job) Exec(t testing.TB, alloc *api.Allocation, tty bool, stdin string, command ...string) (string, string, int) {
	t.Helper()
	return j.ExecIn(t, alloc, "main", tty, stdin, command...)
}

// ExecIn is Exec in any task.
func (j *Job) ExecIn(t testing.TB, alloc *api.Allocation, task string, tty bool, stdin string, command ...string) (string, string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience*20*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	input := io.NopCloser(strings.NewReader(stdin))
	if tty {
		// A terminal does not end by itself; one that does hangs up on the command.
		terminal, keyboard := io.Pipe()
		defer keyboard.Close()
		input = terminal
	}
	sizes := make(chan api.TerminalSize, 1)
	code, err := j.agent.API.Allocations().Exec(ctx, alloc, task, tty, command,
		input, &stdout, &stderr, sizes, nil)
	if err != nil {
		t.Fatalf("alloc exec: %v", err)
	}
	return stdout.String(), stderr.String(), code
}

// Describe logs what there is to know of a job whose test failed.
func (j *Job) Describe(t testing.TB) {
	allocs, _, err := j.agent.API.Jobs().Allocations(j.ID, true, nil)
	if err != nil {
		t.Logf("allocations: %v", err)
		return
	}
	for _, stub := range allocs {
		alloc, _, err := j.agent.API.Allocations().Info(stub.ID, nil)
		if err != nil {
			continue
		}
		t.Logf("allocation %s is %s (%s)", alloc.ID, alloc.ClientStatus, alloc.ClientDescription)
		for task := range alloc.TaskStates {
			stdout, _ := j.LogOf(alloc, task, "stdout")
			stderr, _ := j.LogOf(alloc, task, "stderr")
			t.Logf("task %s\n%sstdout: %q\nstderr: %q", task, Events(alloc, task), tail(stdout, 500), tail(stderr, 500))
		}
	}
}
