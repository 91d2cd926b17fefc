package nomadkit

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hcl1 "github.com/hashicorp/hcl"
	"github.com/hashicorp/nomad/client/logmon"
	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/jobspec2"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
)

// Task is a task's configuration with its directories and a real log collector behind its FIFOs.
type Task struct {
	*drivers.TaskConfig
	Handle *drivers.TaskHandle
	LogDir string
	Dir    string // the task's own directory, with local and secrets in it
	plugin *Plugin
	logmon logmon.LogMon
}

// NewTask makes a task from the text of a job's config block; `${image}` stands for the test image.
// Whatever it leaves is removed at the end of the test.
func NewTask(t testing.TB, p *Plugin, config string, change ...func(*drivers.TaskConfig)) *Task {
	t.Helper()
	return newTask(t, p, config, true, change)
}

// MuteTask is NewTask without a log collector, as with disabled logs: for tasks that are refused (a
// collector whose FIFOs nobody opened takes seconds to end), or whose output is not looked at.
func MuteTask(t testing.TB, p *Plugin, config string, change ...func(*drivers.TaskConfig)) *Task {
	t.Helper()
	return newTask(t, p, config, false, change)
}

func newTask(t testing.TB, p *Plugin, config string, logs bool, change []func(*drivers.TaskConfig)) *Task {
	t.Helper()
	alloc := uuid.Generate()
	base := filepath.Join(t.TempDir(), alloc)
	task := &Task{plugin: p}
	task.TaskConfig = &drivers.TaskConfig{
		ID: alloc + "/main/" + uuid.Short(), AllocID: alloc, Name: "main",
		JobName: "wire", JobID: "wire", TaskGroupName: "group", Namespace: "default",
		NodeName: "node", NodeID: uuid.Generate(), AllocDir: base,
		Env: map[string]string{
			"NOMAD_ALLOC_DIR": "/alloc", "NOMAD_TASK_DIR": "/local", "NOMAD_SECRETS_DIR": "/secrets",
			"NOMAD_ALLOC_ID": alloc, "NOMAD_TASK_NAME": "main",
		},
		Resources: &drivers.Resources{
			NomadResources: &structs.AllocatedTaskResources{
				Cpu:    structs.AllocatedCpuResources{CpuShares: 100},
				Memory: structs.AllocatedMemoryResources{MemoryMB: 64},
			},
			LinuxResources: &drivers.LinuxResources{CPUShares: 100, MemoryLimitBytes: 64 << 20, PercentTicks: 0.02},
		},
	}
	task.LogDir = filepath.Join(base, "alloc", "logs")
	task.makeDirs(t)
	task.StdoutPath, task.StderrPath = "/dev/null", "/dev/null"
	if logs {
		task.StdoutPath = filepath.Join(task.LogDir, ".main.stdout.fifo")
		task.StderrPath = filepath.Join(task.LogDir, ".main.stderr.fifo")
		task.StartLogs(t)
	}
	for _, f := range change {
		f(task.TaskConfig)
	}
	task.makeDirs(t) // a change may have made it another task
	task.SetConfig(t, config)
	t.Cleanup(func() {
		_ = p.DestroyTask(task.ID, true)
		RemoveContainersOf(alloc)
		if task.logmon != nil {
			_ = task.logmon.Stop()
		}
	})
	return task
}

// makeDirs makes the task's directories as Nomad's client does.
func (task *Task) makeDirs(t testing.TB) {
	t.Helper()
	task.Dir = filepath.Join(task.AllocDir, task.Name)
	for _, dir := range []string{task.LogDir, task.AllocDir + "/alloc/tmp", task.AllocDir + "/alloc/data",
		task.Dir + "/local", task.Dir + "/secrets", task.Dir + "/private", task.Dir + "/tmp"} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(dir, 0o777)
	}
}

// StartLogs starts the log collector, or a new one after StopLogs.
func (task *Task) StartLogs(t testing.TB) {
	t.Helper()
	task.logmon = logmon.NewLogMon(hclog.NewNullLogger())
	if err := task.logmon.Start(task.logConfig()); err != nil {
		t.Fatalf("logmon: %v", err)
	}
}

// RestartLogs starts the log collector again if it has come to its FIFOs' end, as Nomad does before
// each start of a task.
func (task *Task) RestartLogs(t testing.TB) {
	t.Helper()
	if err := task.logmon.Start(task.logConfig()); err != nil {
		t.Fatalf("logmon: %v", err)
	}
}

// StartAnew starts the next attempt of a task, with another script, through the same plugin or a next one.
func (task *Task) StartAnew(t testing.TB, next *Plugin, script string) {
	t.Helper()
	task.plugin = next
	task.ID = task.AllocID + "/main/" + uuid.Short()
	task.SetConfig(t, shellConfig(script))
	task.Start(t)
}

// LogGoesOnAnew starts a task with one plugin and, as an agent does that was killed before it wrote
// down the handle, anew with `next`. The log collector lives on, and nobody starts another one.
func LogGoesOnAnew(t testing.TB, p, next *Plugin) {
	t.Helper()
	task := Run(t, p, "echo first; sleep 600")
	task.WaitLog(t, "stdout", "first\n")
	if p != next {
		p.Kill9(t)
	}
	task.StartAnew(t, next, "echo second; sleep 600")
	task.WaitLog(t, "stdout", "second\n")
	if err := next.DestroyTask(task.ID, true); err != nil {
		t.Fatal(err)
	}
}

// LogGoesOnAfterAForgottenEnd is like LogGoesOnAnew with an attempt that ends by itself when the next
// client's collector reads already, and no client has named it since its start.
func LogGoesOnAfterAForgottenEnd(t testing.TB, p *Plugin) {
	t.Helper()
	task := Run(t, p, "trap 'exit 3' USR1; n=0; while :; do n=$((n + 1)); echo tick $n; sleep 0.05; done")
	task.WaitLog(t, "stdout", "tick 1\n")
	task.StopLogs(t)
	was := len(task.Log("stdout"))
	task.StartLogs(t)
	Eventually(t, 15*time.Second, "the next collector reads", func() error {
		if now := len(task.Log("stdout")); now <= was {
			return fmt.Errorf("the log has %d bytes, as before", now)
		}
		return nil
	})
	if err := p.SignalTask(task.ID, "SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 15*time.Second, "the end of the first attempt", func() error {
		status, err := p.InspectTask(task.ID)
		if err == nil && status.State != drivers.TaskStateExited {
			err = fmt.Errorf("it is %s", status.State)
		}
		return err
	})
	task.StartAnew(t, p, "echo second; sleep 600")
	task.WaitLog(t, "stdout", "second\n")
	if err := p.DestroyTask(task.ID, true); err != nil {
		t.Fatal(err)
	}
}

func (task *Task) logConfig() *logmon.LogConfig {
	return &logmon.LogConfig{
		LogDir: task.LogDir, StdoutLogFile: "main.stdout", StderrLogFile: "main.stderr",
		StdoutFifo: task.StdoutPath, StderrFifo: task.StderrPath, MaxFiles: 10, MaxFileSizeMB: 50,
	}
}

// StopLogs ends the log collector, as its own orderly end.
func (task *Task) StopLogs(t testing.TB) {
	t.Helper()
	if err := task.logmon.Stop(); err != nil {
		t.Fatalf("logmon: %v", err)
	}
}

// Log is what the collector has of "stdout" or "stderr".
func (task *Task) Log(stream string) string {
	data, _ := os.ReadFile(filepath.Join(task.LogDir, "main."+stream+".0"))
	return string(data)
}

// WaitLog waits until a log contains `want`.
func (task *Task) WaitLog(t testing.TB, stream, want string) {
	t.Helper()
	Eventually(t, 15*time.Second, stream+" of the task", func() error {
		if text := task.Log(stream); !strings.Contains(text, want) {
			return fmt.Errorf("has %q, want %q", tail(text, 300), want)
		}
		return nil
	})
}

// SetConfig encodes a job's config block the way a job file goes: jobspec2, schema, msgpack.
func (task *Task) SetConfig(t testing.TB, config string) {
	t.Helper()
	if err := task.TrySetConfig(t, JobConfigText(t, config)); err != nil {
		t.Fatalf("task config: %v", err)
	}
}

// TrySetConfig encodes a parsed config block, or says why Nomad's client would refuse it.
func (task *Task) TrySetConfig(t testing.TB, parsed any) error {
	t.Helper()
	spec, err := task.plugin.TaskConfigSchema()
	if err != nil {
		t.Fatalf("TaskConfigSchema: %v", err)
	}
	value, err := Convert(spec, parsed)
	if err != nil {
		return err
	}
	return task.EncodeDriverConfig(value)
}

// Start starts the task, which must succeed.
func (task *Task) Start(t testing.TB) *Task {
	t.Helper()
	handle, _, err := task.plugin.StartTask(task.TaskConfig)
	if err != nil {
		t.Fatalf("StartTask: %v", err)
	}
	task.Handle = handle
	return task
}

// Run is NewTask and Start with a shell command.
func Run(t testing.TB, p *Plugin, script string, change ...func(*drivers.TaskConfig)) *Task {
	t.Helper()
	return NewTask(t, p, shellConfig(script), change...).Start(t)
}

func shellConfig(script string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n", Image(), script)
}

// Wait waits for the task's exit, for at most `limit` with Patience.
func (task *Task) Wait(t testing.TB, limit time.Duration) *drivers.ExitResult {
	t.Helper()
	return task.WaitOn(t, task.plugin, limit)
}

// WaitOn is Wait with the plugin that took over.
func (task *Task) WaitOn(t testing.TB, p *Plugin, limit time.Duration) *drivers.ExitResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience*limit)
	defer cancel()
	ch, err := p.WaitTask(ctx, task.ID)
	if err != nil {
		t.Fatalf("WaitTask: %v", err)
	}
	// A wait that is over without an exit comes as a result, too: as one of the code 0, with an error.
	result := Receive(t, ch, limit+5*time.Second, "exit of the task")
	if result.Err != nil && ctx.Err() != nil {
		t.Fatalf("exit of the task: not within %s: %v", Patience*limit, result.Err)
	}
	return result
}

// RecoveredHandle is the handle as a new agent has it: without the task's driver configuration.
func (task *Task) RecoveredHandle() *drivers.TaskHandle {
	handle := task.Handle.Copy()
	config := *task.TaskConfig
	bare := drivers.TaskConfig{
		ID: config.ID, Name: config.Name, AllocID: config.AllocID, JobName: config.JobName, JobID: config.JobID,
		TaskGroupName: config.TaskGroupName, Namespace: config.Namespace, NodeName: config.NodeName,
		NodeID: config.NodeID, Env: maps.Clone(config.Env), Resources: config.Resources, User: config.User,
		AllocDir: config.AllocDir, StdoutPath: config.StdoutPath, StderrPath: config.StderrPath,
	}
	handle.Config = &bare
	return handle
}

// JobConfigText parses the inside of a config block as a job file's.
func JobConfigText(t testing.TB, config string) map[string]any {
	t.Helper()
	job := fmt.Sprintf("job \"j\" {\n group \"g\" {\n task \"t\" {\n driver = \"container\"\n config {\n%s\n}\n}\n}\n}",
		strings.ReplaceAll(config, "${image}", Image()))
	parsed, err := jobspec2.ParseWithConfig(&jobspec2.ParseConfig{Path: "job.hcl", Body: []byte(job), AllowFS: false})
	if err != nil {
		t.Fatalf("job file: %v", err)
	}
	return parsed.TaskGroups[0].Tasks[0].Config
}

// AgentConfigText parses the inside of a config block as an agent file's (HCL 1).
func AgentConfigText(t testing.TB, config string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := hcl1.Decode(&parsed, config); err != nil {
		t.Fatalf("agent file: %v", err)
	}
	return parsed
}
