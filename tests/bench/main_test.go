package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"

	"nomad-driver-container/tests/nomadkit"
)

var report Report

// NDC_BENCH=1 runs the measurements; they take minutes and need a quiet machine.
func TestMain(m *testing.M) {
	if os.Getenv("NDC_BENCH") == "" {
		fmt.Println("bench: set NDC_BENCH=1, or run scripts/bench")
		os.Exit(0)
	}
	nomadkit.MainWith(m, func(m *testing.M) int {
		stamp, load, steal, start := nomadkit.NewStamp(), LoadAverage(), Steal(), time.Now()
		status := m.Run()
		wall := time.Since(start)
		report.Note("machine: load before", load, "", "/proc/loadavg, last minute, when the run began")
		report.Note("machine: stolen time", 100*float64(Steal()-steal)/float64(wall), "% of a core",
			"time that the host of this virtual machine kept for others during the run")
		if err := report.Write(filepath.Join(nomadkit.Root(), "build", "bench.json"), stamp); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return status
	})
}

// startPlugin starts a plugin and asks for its fingerprint, as Nomad's client does before it gives it a
// task: a plugin that has not looked at its engine knows less.
func startPlugin(t testing.TB, config string) *nomadkit.Plugin {
	t.Helper()
	p := nomadkit.StartPlugin(t, config)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	fingerprints, err := p.Fingerprint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if first := <-fingerprints; first == nil || first.Health != drivers.HealthStateHealthy {
		t.Fatalf("fingerprint %+v, want a healthy one", first)
	}
	return p
}

// shell is a config block that runs a script in the test image.
func shell(script string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n", nomadkit.Image(), script)
}

// pairs measures two things in turn, each first every second time, so that what the machine does
// meanwhile hits both; it returns both samples in milliseconds.
func pairs(n int, a, b func() time.Duration) (as, bs []float64) {
	for i := 0; i < n; i++ {
		if i%2 == 0 {
			as = append(as, milliseconds(a()))
			bs = append(bs, milliseconds(b()))
		} else {
			bs = append(bs, milliseconds(b()))
			as = append(as, milliseconds(a()))
		}
	}
	return as, bs
}
