package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"

	"nomad-driver-container/tests/nomadkit"
)

const rounds = 21 // with each neighbour, and without

// What the scheduler of two cores does to a measurement, more or less.
const timeSlice = 1.0 // ms

// A neighbour misbehaves until it is ended; the error is that of something else than its part. The
// driver's part is asked for: one that keeps the engine itself busy is compared with another one that
// does so without the driver, as well as with nobody.
type neighbour struct {
	name    string
	begin   func() (end func() error)
	by      string // of what the control is, empty where there is none
	control func() (end func() error)
}

func nobody() func() error { return func() error { return nil } }

// street is where the neighbours live: the driver over one engine.
type street struct {
	t     *testing.T
	p     *nomadkit.Plugin
	stuck *stuck                           // the engine's program, for the driver
	id    func(task *nomadkit.Task) string // by which the engine's program is told a container
	pause time.Duration                    // between two crashes, shorter than a life
}

// TestIsolation starts, ends and stops a task while another one misbehaves, and in turn while it
// does not.
func TestIsolation(t *testing.T) {
	gate := newStuck(t, "podman")
	bare := Record(t, shell("exit 1"))
	s := &street{t: t, p: startPlugin(t, fmt.Sprintf("podman_path = %q", gate.path)), stuck: gate, pause: time.Second}
	s.id = func(task *nomadkit.Task) string { return nomadkit.ContainersOf(t, task.AllocID)[0] }
	crashingByHand := func() func() error {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		stop := repeated(s.pause, func() error { return crashBare(t, bare, null) })
		return func() error { return errors.Join(stop(), null.Close()) }
	}
	compare(t, "", func() [3]float64 { return lifeOf(t, s.p) }, []neighbour{
		{"a crash loop", s.crashing, "bare podman", crashingByHand},
		{"a log flood", func() func() error { return s.flooding("usleep 20000") }, "", nil},
		{"a hanging exec", s.hangingExec, "", nil},
		{"a hanging stop", func() func() error { return s.hangingStop("kill") }, "", nil},
		{"a hanging start", func() func() error { return s.hangingStart("run") }, "", nil},
	})
}

// TestMachineIsolation is TestIsolation over the stand-in for Apple's CLI.
func TestMachineIsolation(t *testing.T) {
	s := &street{t: t, id: containerName, pause: 100 * time.Millisecond}
	m := newMacWith(t, func(cli *nomadkit.Standin) string {
		s.stuck = newStuck(t, cli.CLI)
		return fmt.Sprintf("runtime = \"apple\"\ncontainer_path = %q\n", s.stuck.path)
	})
	s.p = m.Plugin
	crashingByHand := func() func() error { return repeated(s.pause, func() error { return crashBareMachine(m.cli) }) }
	compare(t, "apple: ", func() [3]float64 { return m.life(t) }, []neighbour{
		{"a crash loop", s.crashing, "the bare stand-in", crashingByHand},
		{"a log flood", func() func() error { return s.flooding("sleep 0.02") }, "", nil},
		{"a hanging exec", s.hangingExec, "", nil},
		{"a hanging stop", func() func() error { return s.hangingStop("stop") }, "", nil},
		{"a hanging start", func() func() error { return s.hangingStart("start") }, "", nil},
	})
}

// compare measures lives with nobody, beside each neighbour, and beside its control.
func compare(t *testing.T, prefix string, life func() [3]float64, neighbours []neighbour) {
	t.Helper()
	life() // the image is known now
	for _, n := range neighbours {
		begins := []func() func() error{nobody, n.begin}
		if n.control != nil {
			begins = append(begins, n.control)
		}
		samples := make([][3][]float64, len(begins))
		for i := range rounds {
			for k := range begins { // each of them first in turn
				at := (i + k) % len(begins)
				end := begins[at]()
				addTo(&samples[at], life())
				if err := end(); err != nil {
					t.Fatalf("%s: %v", n.name, err)
				}
			}
		}
		calm, beside := samples[0], samples[1]
		for step, what := range []string{"start", "exit", "stop"} {
			name := fmt.Sprintf("%s%s beside %s", prefix, what, n.name)
			ratio := func(without []float64, where string) (float64, string) {
				return medianRatio(beside[step], without), fmt.Sprintf("%.1f ms, %s %.1f ms, medians; the ratio is the median of those of %d pairs, measured in turn",
					Median(beside[step]), where, Median(without), rounds)
			}
			goal := func(without []float64, where string) {
				value, how := ratio(without, where)
				met := value < 1.25 || Median(beside[step])-Median(without) < timeSlice
				report.Goal(name, value, "x", "< 1.25, or 1 ms", met, how)
			}
			if n.control == nil {
				goal(calm[step], "alone")
				continue
			}
			goal(samples[2][step], "beside one of "+n.by)
			value, how := ratio(calm[step], "alone")
			report.Note(name+", against none", value, "x", how)
		}
	}
}

func (s *street) crashing() func() error {
	task := nomadkit.MuteTask(s.t, s.p, shell("exit 1"))
	return repeated(s.pause, func() error { return crash(s.p, task) })
}

func (s *street) flooding(pause string) func() error {
	task := nomadkit.NewTask(s.t, s.p, shell("while :; do head -c 200000 /dev/zero; "+pause+"; done")).Start(s.t)
	return func() error { return s.destroy(task) }
}

// hangingExec runs commands in a task that do not come back before their time is up.
func (s *street) hangingExec() func() error {
	task := nomadkit.NewTask(s.t, s.p, shell(sleeper)).Start(s.t)
	s.stuck.hang(s.t, "exec", s.id(task))
	stop := repeated(100*time.Millisecond, func() error {
		if _, err := s.p.ExecTask(task.ID, []string{"true"}, time.Second); err == nil {
			return errors.New("the hanging exec was answered")
		}
		return nil
	})
	s.stuck.await(s.t)
	return func() error { return errors.Join(stop(), s.stuck.release(), s.destroy(task)) }
}

// hangingStop stops a task that is deaf to signals; the engine's call to kill it, with this word,
// hangs.
func (s *street) hangingStop(word string) func() error {
	task := nomadkit.NewTask(s.t, s.p, shell("trap '' TERM; echo ready; "+sleeper)).Start(s.t)
	task.WaitLog(s.t, "stdout", "ready")
	s.stuck.hang(s.t, word, s.id(task))
	stopped := make(chan error, 1)
	go func() { stopped <- s.p.StopTask(task.ID, 50*time.Millisecond, "SIGTERM") }()
	s.stuck.await(s.t)
	return func() error { return errors.Join(s.stuck.release(), <-stopped, s.destroy(task)) }
}

// hangingStart starts a task; the engine's call for that, with this word, hangs.
func (s *street) hangingStart(word string) func() error {
	task := nomadkit.NewTask(s.t, s.p, shell(sleeper))
	s.stuck.hang(s.t, word, containerName(task))
	started := make(chan error, 1)
	go func() {
		_, _, err := s.p.StartTask(task.TaskConfig)
		started <- err
	}()
	s.stuck.await(s.t)
	return func() error {
		if err := errors.Join(s.stuck.release(), <-started); err != nil {
			return err
		}
		return s.destroy(task)
	}
}

// destroy removes a task and waits until the engine is done with it: who comes next must not pay.
func (s *street) destroy(task *nomadkit.Task) error {
	id := s.id(task)
	if err := s.p.DestroyTask(task.ID, true); err != nil {
		return err
	}
	Settle(s.t, id)
	return nil
}

func containerName(task *nomadkit.Task) string { return "nomad-main-" + task.AllocID[:8] }

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

// crashBareMachine is what crash does to the stand-in.
func crashBareMachine(cli *nomadkit.Standin) error {
	name := "nomad-main-" + uuid.Short()
	if _, err := cli.Run("create", "--name="+name, "--", nomadkit.Image(), "/bin/sh", "-c", "exit 1"); err != nil {
		return err
	}
	var exit *exec.ExitError
	if err := exec.Command(cli.CLI, "start", "--attach", name).Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return fmt.Errorf("container start: %v, want exit 1", err)
	}
	_, err := cli.Run("delete", "--force", name)
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
