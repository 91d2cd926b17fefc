package bench

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// What dd says about itself: the time from its first to its last byte into the pipe.
var ddLine = regexp.MustCompile(`bytes .*copied, ([0-9.]+) seconds`)

func TestLogThroughput(t *testing.T) {
	const mib = 256
	script := fmt.Sprintf("exec dd if=/dev/zero bs=64k count=%d", mib*16)
	bare := Record(t, shell(script))
	p := nomadkit.StartPlugin(t, "")
	speed := func(task *nomadkit.Task) time.Duration {
		task.WaitLog(t, "stderr", "copied")
		found := ddLine.FindStringSubmatch(task.Log("stderr"))
		if found == nil {
			t.Fatalf("dd said %q", task.Log("stderr"))
		}
		seconds, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second))
	}
	driver := func() time.Duration {
		task := nomadkit.NewTask(t, p, shell(script)).Start(t)
		took := speed(task)
		task.Wait(t, limit)
		Destroy(t, p, task)
		return took
	}
	podman := func() time.Duration {
		task := nomadkit.NewTask(t, p, shell(script)) // never started: its FIFOs and collector
		cmd, name := bare.Command(t, OpenFIFO(t, task.StdoutPath), OpenFIFO(t, task.StderrPath))
		bare.Run(t, task, cmd)
		took := speed(task)
		removeBare(t, name)
		return took
	}
	driver()
	n := 9
	a, b := pairs(n, driver, podman)
	rate := func(ms float64) float64 { return mib / (ms / 1000) }
	ratio := Median(b) / Median(a)
	report.Goal("logs over a bare FIFO", ratio, "x", "> 0.95", ratio > 0.95,
		fmt.Sprintf("%d MiB from dd to Nomad's collector: %.0f MiB/s through the driver, %.0f MiB/s from the same container on a bare FIFO; medians of %d, in turn",
			mib, rate(Median(a)), rate(Median(b)), n))
}
