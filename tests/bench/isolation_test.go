package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"

	"nomad-driver-container/tests/nomadkit"
)

// A podman whose `exec` never comes back for the container that the file "stuck" beside it names.
const stuckPodman = `#!/bin/sh
stuck=$(cat "$(dirname "$0")/stuck" 2>/dev/null)
if [ -n "$stuck" ]; then
	for word; do [ "$word" != exec ] || { for name; do [ "$name" != "$stuck" ] || exec sleep 1000; done; }; done
fi
exec podman "$@"
`

const rounds = 21 // without and with each neighbour

// What the scheduler of two cores does to a measurement, more or less.
const timeSlice = 1.0 // ms

// A neighbour misbehaves until it is ended; the error is that of something else than its part.
type neighbour struct {
	name    string
	begin   func() (end func() error)
	without string // what is there in its place
	control func() (end func() error)
}

// TestIsolation starts, ends and stops a task while another one misbehaves, and in turn while it
// does not. The driver's part is asked for: where the neighbour keeps podman itself busy, it is
// compared with one that does so without the driver.
func TestIsolation(t *testing.T) {
	dir := t.TempDir()
	wrapper, stuck := filepath.Join(dir, "podman"), filepath.Join(dir, "stuck")
	if err := os.WriteFile(wrapper, []byte(stuckPodman), 0o755); err != nil {
		t.Fatal(err)
	}
	bare := Record(t, shell("exit 1"))
	p := startPlugin(t, fmt.Sprintf("podman_path = %q", wrapper))
	lifeOf(t, p) // the image is known now

	crashing := func() func() error {
		task := nomadkit.MuteTask(t, p, shell("exit 1"))
		return repeated(time.Second, func() error { return crash(p, task) })
	}
	crashingByHand := func() func() error {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		stop := repeated(time.Second, func() error { return crashBare(t, bare, null) })
		return func() error { return errors.Join(stop(), null.Close()) }
	}
	nobody := func() func() error { return func() error { return nil } }
	flooding := func() func() error {
		task := nomadkit.NewTask(t, p, shell("while :; do head -c 200000 /dev/zero; usleep 20000; done")).Start(t)
		return func() error { return p.DestroyTask(task.ID, true) }
	}
	hanging := func() func() error {
		task := nomadkit.NewTask(t, p, shell(sleeper)).Start(t)
		if err := os.WriteFile(stuck, []byte(nomadkit.ContainersOf(t, task.AllocID)[0]), 0o644); err != nil {
			t.Fatal(err)
		}
		stop := repeated(100*time.Millisecond, func() error {
			if _, err := p.ExecTask(task.ID, []string{"true"}, time.Second); err == nil {
				return fmt.Errorf("the hanging exec was answered")
			}
			return nil
		})
		return func() error {
			return errors.Join(stop(), os.Remove(stuck), p.DestroyTask(task.ID, true))
		}
	}
	for _, neighbour := range []neighbour{
		{"a crash loop", crashing, "beside one of bare podman", crashingByHand},
		{"a log flood", flooding, "alone", nobody},
		{"a hanging runtime call", hanging, "alone", nobody},
	} {
		var calm, beside [3][]float64
		measure := func(samples *[3][]float64, begin func() func() error) {
			end := begin()
			addTo(samples, lifeOf(t, p))
			if err := end(); err != nil {
				t.Fatalf("%s: %v", neighbour.name, err)
			}
		}
		for i := range rounds {
			if i%2 == 0 {
				measure(&calm, neighbour.control)
				measure(&beside, neighbour.begin)
			} else {
				measure(&beside, neighbour.begin)
				measure(&calm, neighbour.control)
			}
		}
		for step, name := range []string{"start", "exit", "stop"} {
			with, without := Median(beside[step]), Median(calm[step])
			ratio := medianRatio(beside[step], calm[step])
			report.Goal(fmt.Sprintf("%s beside %s", name, neighbour.name), ratio, "x", "< 1.25, or 1 ms",
				ratio < 1.25 || with-without < timeSlice,
				fmt.Sprintf("%.1f ms, %s %.1f ms, medians; the ratio is the median of those of %d pairs, measured in turn", with, neighbour.without, without, rounds))
		}
	}
}

// crash starts the task, under a new id as Nomad does, and waits for its end.
func crash(p *nomadkit.Plugin, task *nomadkit.Task) error {
	task.ID = task.AllocID + "/main/" + uuid.Short()
	if _, _, err := p.StartTask(task.TaskConfig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	answer, err := p.WaitTask(ctx, task.ID)
	if err != nil {
		return err
	}
	if result := <-answer; result == nil || result.Err != nil || result.ExitCode != 1 {
		return fmt.Errorf("exit %+v, want code 1", result)
	}
	return p.DestroyTask(task.ID, true)
}

// crashBare is what crash does to podman.
func crashBare(t testing.TB, bare *Bare, null *os.File) error {
	cmd, name := bare.Command(t, null, null)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("podman run: %w", err)
	}
	_, err := nomadkit.Podman("rm", "--force", "--time=0", name)
	return err
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

// repeated does it again and again, with pauses, until the function that it returns is called, or an
// error ends it.
func repeated(pause time.Duration, do func() error) (stop func() error) {
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			if err := do(); err != nil {
				ended <- err
				return
			}
			select {
			case <-done:
				ended <- nil
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() error { close(done); return <-ended }
}
