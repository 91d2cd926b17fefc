package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"nomad-driver-container/tests/nomadkit"
)

// collected is how many bytes of stdout the collector has written.
func collected(task *nomadkit.Task) int64 {
	files, _ := filepath.Glob(filepath.Join(task.LogDir, "main.stdout.[0-9]*"))
	var sum int64
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

func TestLogThroughput(t *testing.T) {
	const mib = 256
	script := fmt.Sprintf("exec dd if=/dev/zero bs=64k count=%d", mib*16)
	bare := Record(t, shell(script))
	p := startPlugin(t, "")
	// From the first byte in the collector's files to the last.
	speed := func(task *nomadkit.Task) time.Duration {
		var first time.Time
		for deadline := time.Now().Add(limit); ; time.Sleep(500 * time.Microsecond) {
			got, now := collected(task), time.Now()
			if got > 0 && first.IsZero() {
				first = now
			}
			if got >= mib<<20 {
				return now.Sub(first)
			}
			if now.After(deadline) {
				t.Fatalf("the collector has %d bytes", got)
			}
		}
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
	n := 15
	a, b := pairs(n, driver, podman)
	rate := func(ms float64) float64 { return mib / (ms / 1000) }
	ratio := medianRatio(b, a)
	report.Goal("logs over a bare FIFO", ratio, "x", "> 0.95", ratio > 0.95,
		fmt.Sprintf("%d MiB from dd to Nomad's collector: %.0f MiB/s through the driver, %.0f MiB/s from the same container on a bare FIFO, medians; the ratio is the median of those of %d pairs, measured in turn",
			mib, rate(Median(a)), rate(Median(b)), n))
}
