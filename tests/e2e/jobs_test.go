package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

const untilSignalled = "trap 'exit 0' TERM INT; echo ready; while true; do sleep 0.05; done"

func TestAServiceIsReachedOnItsDynamicPortAndItsHealthCheckPasses(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, `job "web" {
  group "g" {
    network {
      port "http" { to = 8080 }
    }
    service {
      name     = "e2e-web"
      port     = "http"
      provider = "nomad"
      check {
        type     = "http"
        path     = "/index.html"
        interval = "1s"
        timeout  = "1s"
      }
    }
    task "main" {
      driver = "container"
      resources {
        cpu    = 50
        memory = 32
      }
      `+Shell("echo hello from the task > /local/index.html; exec httpd -f -p 8080 -h /local", `ports = ["http"]`)+`
    }
  }
}`)
		alloc := job.WaitStatus(t, "running")
		var address string
		Eventually(t, 20*time.Second, "the service is registered", func() error {
			services, _, err := agent.API.Services().Get("e2e-web", nil)
			if err != nil || len(services) == 0 {
				return fmt.Errorf("%d services, %v", len(services), err)
			}
			address = fmt.Sprintf("http://%s:%d/index.html", services[0].Address, services[0].Port)
			return nil
		})
		Eventually(t, 20*time.Second, "the page", func() error {
			response, err := http.Get(address)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err == nil && string(body) != "hello from the task\n" {
				return fmt.Errorf("got %q", body)
			}
			return err
		})
		Eventually(t, 20*time.Second, "the check passes", func() error {
			checks, err := agent.API.Allocations().Checks(alloc.ID, nil)
			if err != nil {
				return err
			}
			for _, check := range checks {
				if check.Status == "success" {
					return nil
				}
			}
			return fmt.Errorf("checks: %v", checks)
		})
	})
}

func TestABatchJobThatSucceedsIsComplete(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("echo to stdout; echo to stderr >&2")))
		alloc := job.WaitStatus(t, "complete")
		must.Eq(t, 0, ExitCode(t, alloc))
		job.WaitLog(t, alloc, "stdout", "to stdout\n")
		job.WaitLog(t, alloc, "stderr", "to stderr\n")
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	})
}

func TestABatchJobThatFailsIsRestartedAsOftenAsItsPolicySays(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		text := strings.Replace(BatchJob(Shell("echo attempt; exit 42")), "attempts = 0",
			"attempts = 2\n interval = \"1m\"\n delay = \"100ms\"", 1)
		job := agent.Submit(t, text)
		alloc := job.WaitStatus(t, "failed")
		must.Eq(t, 42, ExitCode(t, alloc))
		must.Eq(t, uint64(2), alloc.TaskStates["main"].Restarts)
		job.WaitLog(t, alloc, "stdout", "attempt\nattempt\nattempt\n")
		must.StrContains(t, Events(alloc, "main"), "Exit Code: 42")
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	})
}

func TestStoppingAJobSendsItsKillSignalAndLeavesNothing(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("kill_signal = \"SIGINT\"\nkill_timeout = \"30s\"\n"+
			Shell("trap 'echo got int; exit 0' INT; echo ready; while true; do sleep 0.05; done")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "ready")
		alloc = job.Stop(t)
		must.Eq(t, 0, ExitCode(t, alloc))
		job.WaitLog(t, alloc, "stdout", "got int")
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	})
}

func TestATaskThatIgnoresItsSignalIsKilledAfterItsTimeout(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("kill_timeout = \"1s\"\n"+
			Shell("trap '' TERM; echo ready; while true; do sleep 0.05; done")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "ready")
		must.Eq(t, 137, ExitCode(t, job.Stop(t)))
	})
}

func TestLogsOfBothStreamsArriveByteForByte(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("logs {\n max_files = 3\n max_file_size = 20\n}\n"+
			Shell("seq 1 400000; seq 400001 800000 >&2")))
		alloc := job.WaitStatus(t, "complete")
		for stream, first := range map[string]int{"stdout": 1, "stderr": 400001} {
			var want strings.Builder
			for i := first; i < first+400000; i++ {
				fmt.Fprintln(&want, i)
			}
			Eventually(t, 20*time.Second, stream, func() error {
				got, err := job.Log(alloc, stream)
				if got != want.String() {
					return fmt.Errorf("%d bytes, want %d (%v)", len(got), want.Len(), err)
				}
				return nil
			})
		}
	})
}

func TestAllocSignalReachesTheTask(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("trap 'echo got usr1' USR1; trap 'exit 0' TERM; echo ready; while true; do sleep 0.05; done")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "ready")
		must.NoError(t, agent.API.Allocations().Signal(alloc, nil, "main", "SIGUSR1"))
		job.WaitLog(t, alloc, "stdout", "got usr1")
		must.Error(t, agent.API.Allocations().Signal(alloc, nil, "main", "SIGNONSENSE"))
	})
}

func TestAllocRestartStartsTheTaskAgain(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "ready")
		must.NoError(t, agent.API.Allocations().Restart(alloc, "main", nil))
		job.WaitLog(t, alloc, "stdout", "ready\nready\n")
		must.Len(t, 1, agent.Runtime.Containers(t, alloc.ID))
	})
}

func TestATemplateIsRenderedAndItsChangeSignalsTheTask(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		path := "e2e/" + fmt.Sprint(time.Now().UnixNano())
		put := func(value string) {
			_, _, err := agent.API.Variables().Update(&api.Variable{Path: path, Items: map[string]string{"word": value}}, nil)
			if err != nil {
				_, _, err = agent.API.Variables().Create(&api.Variable{Path: path, Items: map[string]string{"word": value}}, nil)
			}
			must.NoError(t, err)
		}
		put("first")
		job := agent.Submit(t, BatchJob(`
      template {
        data          = "word={{ with nomadVar \"`+path+`\" }}{{ .word }}{{ end }}\n"
        destination   = "local/word"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        splay         = "0s"
      }
      `+Shell("trap 'echo changed; cat /local/word' HUP; trap 'exit 0' TERM; cat /local/word; while true; do sleep 0.05; done")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "word=first\n")
		put("second")
		job.WaitLog(t, alloc, "stdout", "changed\nword=second\n")
	})
}

func TestAllocExecReturnsOutputAndExitCode(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		stdout, stderr, code := job.Exec(t, alloc, false, "", "sh", "-c", "echo out; echo err >&2; exit 9")
		must.Eq(t, "out\n", stdout)
		must.Eq(t, "err\n", stderr)
		must.Eq(t, 9, code)
		stdout, _, code = job.Exec(t, alloc, false, "piped in\n", "cat")
		must.Eq(t, "piped in\n", stdout)
		must.Eq(t, 0, code)
		stdout, _, code = job.Exec(t, alloc, true, "", "sh", "-c", "tty; exit 3")
		must.Eq(t, 3, code, must.Sprintf("stdout %q", stdout))
		must.StrContains(t, stdout, "/dev/")
	})
}

func TestTheUsageOfATaskIsShown(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("trap 'exit 0' TERM; while true; do :; done")))
		alloc := job.WaitStatus(t, "running")
		Eventually(t, 20*time.Second, "usage", func() error {
			usage, err := agent.API.Allocations().Stats(alloc, nil)
			if err != nil {
				return err
			}
			task := usage.Tasks["main"]
			if task == nil {
				return fmt.Errorf("none")
			}
			cpu, memory := task.ResourceUsage.CpuStats, task.ResourceUsage.MemoryStats
			if cpu.Percent <= 0 || max(memory.Usage, memory.RSS) == 0 {
				return fmt.Errorf("%+v, %+v", cpu, memory)
			}
			return nil
		})
	})
}
