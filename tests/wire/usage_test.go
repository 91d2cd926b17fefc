package wire

import (
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

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
			first, usedFirst = time.Now(), nomadkit.CPUTime(pid)
		default:
			percent += cpu.Percent / samples
			user += cpu.UserMode / samples
			system += cpu.SystemMode / samples
			last, usedLast = time.Now(), nomadkit.CPUTime(pid)
		}
	}
	mean := last.Sub(first) / samples
	must.Between(t, 800*time.Millisecond, mean, 2*time.Second)
	want := float64(usedLast-usedFirst) / float64(last.Sub(first)) * 100
	must.Between(t, want*0.75, percent, want*1.25, must.Sprintf("percent of a core; the kernel says %.1f", want))
	must.Between(t, percent*0.85, user+system, percent*1.15, must.Sprint("user and system are parts of the whole"))
}
