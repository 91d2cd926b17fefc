package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// A podman whose `exec` never comes back for a container of the task "stuck".
const stuckPodman = `#!/bin/sh
for word; do [ "$word" != exec ] || { for name; do case $name in *%[1]s*) exec sleep 1000 ;; esac; done; }; done
exec podman "$@"
`

const rounds = 11 // calm and beside each neighbour

// TestIsolation starts, ends and stops a task while another one misbehaves, and in turn while it
// does not. What the neighbour costs the machine is kept small: the driver's part is asked for.
func TestIsolation(t *testing.T) {
	dir := t.TempDir()
	wrapper := filepath.Join(dir, "podman")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec podman \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q", wrapper))

	crashing := func() func() {
		return repeated(300*time.Millisecond, func() {
			task := nomadkit.NewTask(t, p, shell("exit 1")).Start(t)
			task.Wait(t, limit)
			Destroy(t, p, task)
		})
	}
	flooding := func() func() {
		task := nomadkit.NewTask(t, p, shell("while :; do head -c 200000 /dev/zero; usleep 20000; done")).Start(t)
		return func() { Destroy(t, p, task) }
	}
	hanging := func() func() {
		task := nomadkit.NewTask(t, p, shell(sleeper)).Start(t)
		id := nomadkit.ContainersOf(t, task.AllocID)[0]
		if err := os.WriteFile(wrapper, []byte(fmt.Sprintf(stuckPodman, id)), 0o755); err != nil {
			t.Fatal(err)
		}
		stop := repeated(100*time.Millisecond, func() {
			_, _ = p.ExecTask(task.ID, []string{"true"}, time.Second)
		})
		return func() { stop(); Destroy(t, p, task) }
	}
	for _, neighbour := range []struct {
		name  string
		begin func() (end func())
	}{{"a crash loop", crashing}, {"a log flood", flooding}, {"a hanging runtime call", hanging}} {
		var calm, beside [3][]float64
		for i := 0; i < rounds; i++ {
			quiet := func() { addTo(&calm, lifeOf(t, p)) }
			loud := func() {
				end := neighbour.begin()
				addTo(&beside, lifeOf(t, p))
				end()
			}
			if i%2 == 0 {
				quiet()
				loud()
			} else {
				loud()
				quiet()
			}
		}
		for step, name := range []string{"start", "exit", "stop"} {
			ratio := medianRatio(beside[step], calm[step])
			report.Goal(fmt.Sprintf("%s beside %s", name, neighbour.name), ratio, "x", "< 1.25", ratio < 1.25,
				fmt.Sprintf("%.1f ms, alone %.1f ms, medians; the ratio is the median of those of %d pairs, measured in turn", Median(beside[step]), Median(calm[step]), rounds))
		}
	}
}

// lifeOf is what one task takes to start, to be seen as exited, and, another one, to stop.
func lifeOf(t *testing.T, p *nomadkit.Plugin) [3]float64 {
	t.Helper()
	task := nomadkit.NewTask(t, p, shell("mkfifo /local/go; echo ready; read x </local/go; exit 3"))
	begun := time.Now()
	task.Start(t)
	start := time.Since(begun)
	task.WaitLog(t, "stdout", "ready")
	total, _ := exitOf(t, p, task, 3)
	Destroy(t, p, task)

	other := nomadkit.NewTask(t, p, shell(sleeper)).Start(t)
	begun = time.Now()
	if err := p.StopTask(other.ID, limit, "SIGKILL"); err != nil {
		t.Fatal(err)
	}
	stop := time.Since(begun)
	Destroy(t, p, other)
	return [3]float64{milliseconds(start), milliseconds(total), milliseconds(stop)}
}

func addTo(samples *[3][]float64, sample [3]float64) {
	for i := range sample {
		samples[i] = append(samples[i], sample[i])
	}
}

// repeated does it again and again, with pauses, until the function that it returns is called.
func repeated(pause time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Add(1)
	go func() {
		defer wait.Done()
		for {
			do()
			select {
			case <-done:
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() { close(done); wait.Wait() }
}
