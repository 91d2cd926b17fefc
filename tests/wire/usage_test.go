package wire

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// cpuTime is what a process has used, as the kernel counts it: in hundredths of a second.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		must.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// The load is whatever the node gives to a task that spins; the kernel says how much that was.
func TestTheCPUUsageIsTheKernelsAndComesAtTheInterval(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "while true; do :; done")
	pid := nomadkit.Inspect(t, task.AllocID).State.Pid
	stream, err := p.Raw(t).TaskStats(nomadkit.Context(t, 40*time.Second), taskStats(task.ID, time.Second))
	must.NoError(t, err)

	var first, last time.Time
	var usedFirst, usedLast time.Duration
	var percent, user, system float64
	const samples = 5
	for i := 0; i <= samples+1; i++ {
		sample, err := stream.Recv()
		must.NoError(t, err)
		cpu := sample.Stats.AggResourceUsage.Cpu
		switch {
		case i == 0: // nothing to compare with yet
		case i == 1:
			first, usedFirst = time.Now(), cpuTime(t, pid)
		default:
			percent += cpu.Percent / samples
			user += cpu.UserMode / samples
			system += cpu.SystemMode / samples
			last, usedLast = time.Now(), cpuTime(t, pid)
		}
	}
	mean := last.Sub(first) / samples
	must.Between(t, 800*time.Millisecond, mean, 1200*time.Millisecond)
	want := float64(usedLast-usedFirst) / float64(last.Sub(first)) * 100
	must.Between(t, want*0.9, percent, want*1.1, must.Sprintf("percent of a core; the kernel says %.1f", want))
	must.Between(t, percent*0.85, user+system, percent*1.15, must.Sprint("user and system are parts of the whole"))
}
