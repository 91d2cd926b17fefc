package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"golang.org/x/sys/unix"

	"nomad-driver-container/tests/nomadkit"
)

const (
	exits      = 120
	exitsAtOne = 10 // containers that run at a time
)

// TestExitLatency ends containers one after the other, half of them with exit code 0, half with 3,
// and compares three moments: the kernel says that the process ended, conmon has written the exit
// file, WaitTask answers.
func TestExitLatency(t *testing.T) {
	p := startPlugin(t, "")
	var whole, conmon, ours []float64
	for len(whole) < exits {
		var tasks []*nomadkit.Task
		for i := 0; i < exitsAtOne; i++ {
			script := fmt.Sprintf("mkfifo /local/go; echo ready; read x </local/go; exit %d", 3*(i%2))
			tasks = append(tasks, nomadkit.NewTask(t, p, shell(script)).Start(t))
		}
		for i, task := range tasks {
			task.WaitLog(t, "stdout", "ready")
			total, file := exitOf(t, p, task, 3*(i%2))
			whole = append(whole, milliseconds(total))
			conmon = append(conmon, milliseconds(file))
			ours = append(ours, milliseconds(total-file))
		}
	}
	p99 := Quantile(whole, 0.99)
	report.Goal("exit to WaitTask, p99", p99, "ms", "< 25", p99 < 25,
		fmt.Sprintf("pidfd of the container's process to Nomad's client, %d exits one by one", len(whole)))
	report.Note("exit to WaitTask, median", Median(whole), "ms", "the same exits")
	report.Note("exit: conmon's part, median", Median(conmon), "ms", "pidfd to inotify of conmon's exit file, in this program")
	report.Note("exit: conmon's part, p99", Quantile(conmon, 0.99), "ms", "the same exits")
	report.Note("exit: the driver's part, median", Median(ours), "ms", "conmon's exit file to WaitTask's answer")
	report.Note("exit: the driver's part, p99", Quantile(ours, 0.99), "ms", "the same exits")
}

func exitOf(t *testing.T, p *nomadkit.Plugin, task *nomadkit.Task, code int) (total, file time.Duration) {
	t.Helper()
	found := nomadkit.Inspect(t, task.AllocID)
	id := nomadkit.ContainersOf(t, task.AllocID)[0]
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	answer, err := p.WaitTask(ctx, task.ID)
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		at  time.Time
		err error
	}
	ended, written := make(chan seen, 1), make(chan seen, 1)
	watch := exitFile(t, found.State.ConmonPid, id)
	process, err := WatchEnd(found.State.Pid)
	if err != nil {
		t.Fatal(err)
	}
	cleaned, err := WatchEnd(found.State.ConmonPid)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		at, err := process(limit)
		ended <- seen{at, err}
	}()
	go func() {
		at, err := watch()
		written <- seen{at, err}
	}()
	if err := os.WriteFile(filepath.Join(task.Dir, "local", "go"), []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	var result *drivers.ExitResult
	select {
	case result = <-answer:
	case <-ctx.Done():
		t.Fatal("no answer of WaitTask")
	}
	now := time.Now()
	if result.Err != nil || result.ExitCode != code {
		t.Fatalf("exit %+v, want code %d", result, code)
	}
	end, exit := <-ended, <-written
	if end.err != nil || exit.err != nil {
		t.Fatalf("the process's end: %v; the exit file: %v", end.err, exit.err)
	}
	// conmon ends after podman has cleaned up: the next exit is to have the machine for itself.
	if _, err := cleaned(limit); err != nil {
		t.Fatal(err)
	}
	return now.Sub(end.at), exit.at.Sub(end.at)
}

// exitFile returns a function that waits for the container's file in conmon's exit directory.
func exitFile(t *testing.T, conmon int, id string) func() (time.Time, error) {
	t.Helper()
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", conmon))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(string(cmdline), "\x00")
	var dir string
	for i, word := range words {
		if word == "--exit-dir" && i+1 < len(words) {
			dir = words[i+1]
		}
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE); err != nil {
		t.Fatalf("watch %q: %v", dir, err)
	}
	return func() (time.Time, error) {
		defer unix.Close(fd)
		buffer := make([]byte, 64*1024)
		for {
			at, err := readable(fd, limit)
			if err != nil {
				return at, err
			}
			n, err := unix.Read(fd, buffer)
			if err != nil {
				return at, err
			}
			if strings.Contains(string(buffer[:n]), id) {
				return at, nil
			}
		}
	}
}
