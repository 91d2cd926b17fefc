package soak

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"

	"nomad-driver-container/tests/nomadkit"
)

const (
	shifts = 12 // after each the plugin is left alone, and looked at
	warmUp = 3  // of them; as many after it are the plateau, and as many the end
	lanes  = 4  // tasks at a time
	limit  = time.Minute
)

func TestPodman(t *testing.T) {
	soak(t, "podman", nomadkit.StartPlugin(t, "runtime = \"podman\"\n"))
}

func TestApple(t *testing.T) {
	dir, err := os.MkdirTemp("", "ndc-soak-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cli, err := nomadkit.NewStandin(dir, nomadkit.StandinVersion, "NDC_STANDIN_STATS_MS=50")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cli.Close)
	soak(t, "apple", nomadkit.StartPluginIn(t, filepath.Join(dir, "state"), cli.Config()))
}

func soak(t *testing.T, engine string, p *nomadkit.Plugin) {
	var seen []figures
	var after []time.Duration // each shift
	begun, perShift := time.Now(), tasks/shifts/lanes*lanes
	for shift := 1; shift <= shifts; shift++ {
		if !t.Run(fmt.Sprintf("shift%d", shift), func(t *testing.T) {
			for lane := range lanes {
				t.Run(fmt.Sprintf("lane%d", lane), func(t *testing.T) {
					t.Parallel()
					work(t, p, perShift/lanes)
				})
			}
		}) {
			return
		}
		seen = append(seen, rest(t, p))
		after = append(after, time.Since(begun))
		t.Logf("%s, %d tasks after %.0f s: %+v", engine, shift*perShift, after[shift-1].Seconds(), seen[shift-1])
	}
	for _, m := range measures {
		plateau, end := median(seen[warmUp:2*warmUp], m.of), median(seen[shifts-warmUp:], m.of)
		bound, verdict := plateau+m.slack(plateau), "flat"
		if end > bound {
			verdict = "grows"
			t.Errorf("%s%s: %d after warm-up, %d at the end, at most %d were expected", m.name, m.unit, plateau, end, bound)
		}
		fmt.Fprintf(&report, "| %s | %s%s | %d | %d | %d | %s |\n", engine, m.name, m.unit, plateau, end, bound, verdict)
	}
	fmt.Fprintf(&report, "| %s | tasks started so far | %d | %d | | |\n", engine, 2*warmUp*perShift, shifts*perShift)
	fmt.Fprintf(&report, "| %s | duration so far, s | %.0f | %.0f | | |\n", engine, after[2*warmUp-1].Seconds(), after[shifts-1].Seconds())
}

// rest waits for the ends of what still ends, and looks.
func rest(t *testing.T, p *nomadkit.Plugin) (f figures) {
	t.Helper()
	nomadkit.Eventually(t, 20*time.Second, "the plugin is idle", func() (err error) {
		if f, err = figuresOf(p); err == nil && f.children > 0 {
			err = fmt.Errorf("%d children and monitors", f.children)
		}
		return err
	})
	return f
}

func config(script string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n", nomadkit.Image(), script)
}

// work starts a task again and again, as Nomad does when it has ended: each time under a new id. It
// ends in turn by itself, on a signal and by force; now and then it cannot be started.
func work(t *testing.T, p *nomadkit.Plugin, count int) {
	task := nomadkit.NewTask(t, p, config(""))
	for i := range count {
		task.ID = task.AllocID + "/main/" + uuid.Short()
		if i > 0 { // the collector comes to the end of what the last start wrote, and a new one follows
			task.StopLogs(t)
			task.StartLogs(t)
		}
		if i%20 == 19 {
			task.SetConfig(t, fmt.Sprintf("image = %q\ncommand = \"/no/such/program\"\n", nomadkit.Image()))
			if _, _, err := p.StartTask(task.TaskConfig); err == nil {
				t.Fatal("a task without a program was started")
			}
			continue
		}
		script, code := fmt.Sprintf("echo %s; echo %[1]s >&2; exit %d", task.ID, i%100), i%100
		if i%3 != 0 {
			script, code = fmt.Sprintf("trap 'exit 5' TERM; echo %s; while :; do sleep 0.01; done", task.ID), 5
		}
		task.SetConfig(t, config(script))
		task.Start(t)
		live(t, p, task, i)
		if i%3 == 1 { // else it ends by itself, or is destroyed while it runs
			task.WaitLog(t, "stdout", task.ID) // the trap is set by then
			if err := p.StopTask(task.ID, limit, "SIGTERM"); err != nil {
				t.Fatalf("StopTask: %v", err)
			}
		}
		if i%3 != 2 {
			if result := task.Wait(t, limit); result.Err != nil || result.ExitCode != code {
				t.Fatalf("exit %+v, want code %d", result, code)
			}
		}
		if err := p.DestroyTask(task.ID, true); err != nil {
			t.Fatalf("DestroyTask: %v", err)
		}
	}
}

// live does with a task what an agent and its users do.
func live(t *testing.T, p *nomadkit.Plugin, task *nomadkit.Task, i int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	usage, err := p.TaskStats(ctx, task.ID, time.Second)
	if err == nil && i%3 != 0 {
		nomadkit.Receive(t, usage, limit, "usage of the task")
	}
	if _, err := p.InspectTask(task.ID); err != nil {
		t.Fatalf("InspectTask: %v", err)
	}
	if i%3 != 0 && i%10 == 0 {
		if result, err := p.ExecTask(task.ID, []string{"true"}, limit); err != nil || result.ExitResult.ExitCode != 0 {
			t.Fatalf("ExecTask: %+v, %v", result, err)
		}
	}
	if i%3 == 2 {
		if err := p.SignalTask(task.ID, "SIGCONT"); err != nil {
			t.Fatalf("SignalTask: %v", err)
		}
	}
}
