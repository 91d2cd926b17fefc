package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/base"

	"nomad-driver-container/tests/nomadkit"
)

const sleeper = "exec sleep 100000"

func TestHandshake(t *testing.T) {
	var sample []float64
	for i := 0; i < 21; i++ {
		cmd := exec.Command(nomadkit.Binary())
		cmd.Env = append(os.Environ(), base.Handshake.MagicCookieKey+"="+base.Handshake.MagicCookieValue)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		sample = append(sample, milliseconds(time.Since(start)))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if err != nil {
			t.Fatalf("handshake %q: %v", line, err)
		}
	}
	report.Note("handshake", Median(sample), "ms", "exec of the plugin to its handshake line, median of 21")
}

func TestStartLatency(t *testing.T) {
	bare := Record(t, shell(sleeper))
	p := startPlugin(t, "")

	driver := func() time.Duration {
		task := nomadkit.NewTask(t, p, shell(sleeper))
		start := time.Now()
		task.Start(t)
		took := time.Since(start)
		Destroy(t, p, task)
		return took
	}
	podman := func() time.Duration {
		task := nomadkit.NewTask(t, p, shell(sleeper)) // never started: its FIFOs and collector
		cmd, name := bare.Command(t, OpenFIFO(t, task.StdoutPath), OpenFIFO(t, task.StderrPath))
		start := time.Now()
		bare.Run(t, task, cmd)
		took := time.Since(start)
		removeBare(t, name)
		return took
	}
	driver() // the image is known now
	podman()
	n := 41
	a, b := pairs(n, driver, podman)
	var added []float64
	for i := range a {
		added = append(added, a[i]-b[i])
	}
	ratio := medianRatio(a, b)
	report.Goal("start over bare podman run -d", ratio, "x", "< 1.05", ratio < 1.05,
		fmt.Sprintf("StartTask %.0f ms, the same command line by hand %.0f ms; medians; the ratio is the median of those of %d pairs, measured in turn", Median(a), Median(b), n))
	report.Note("start: added by the driver", Median(added), "ms", "median of the differences of each pair")
}

func TestExecLatency(t *testing.T) {
	p := startPlugin(t, "")
	task := nomadkit.NewTask(t, p, shell(sleeper)).Start(t)
	id := nomadkit.ContainersOf(t, task.AllocID)[0]
	driver := func() time.Duration {
		start := time.Now()
		result, err := p.ExecTask(task.ID, []string{"true"}, 20*time.Second)
		took := time.Since(start)
		if err != nil || result.ExitResult.ExitCode != 0 {
			t.Fatalf("exec: %v %+v", err, result)
		}
		return took
	}
	podman := func() time.Duration {
		cmd := exec.Command("podman", "exec", id, "true")
		cmd.SysProcAttr = ownSession()
		start := time.Now()
		out, err := cmd.CombinedOutput()
		took := time.Since(start)
		if err != nil {
			t.Fatalf("podman exec: %v: %s", err, out)
		}
		return took
	}
	driver()
	podman()
	n := 41
	a, b := pairs(n, driver, podman)
	ratio := medianRatio(a, b)
	report.Goal("exec over bare podman exec", ratio, "x", "< 1.1", ratio < 1.1,
		fmt.Sprintf("ExecTask of true %.0f ms, podman exec %.0f ms, medians; the ratio is the median of those of %d pairs, measured in turn", Median(a), Median(b), n))
}
