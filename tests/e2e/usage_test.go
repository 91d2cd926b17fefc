package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// tableAfter is the header and the row below a title of the CLI's output.
func tableAfter(t *testing.T, text, title string) (header, row string) {
	t.Helper()
	_, rest, found := strings.Cut(text, title+"\n")
	must.True(t, found, must.Sprintf("%q in\n%s", title, text))
	lines := strings.SplitN(rest, "\n", 3)
	must.Len(t, 3, lines)
	return lines[0], lines[1]
}

// columns splits where two blanks or more are: names of columns have single ones.
func columns(line string) []string {
	var names []string
	for _, name := range strings.Split(line, "  ") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// measured are the fields that each runtime has, by the table that shows them.
var measured = map[string]map[string][]string{
	"podman": {"CPU Stats": {"Percent", "System Mode", "User Mode"}, "Memory Stats": {"RSS", "Cache", "Usage"}},
	"apple":  {"CPU Stats": {"Percent"}, "Memory Stats": {"Usage"}},
}

// Nomad prints a name for each measured field and a value for each that it knows: a field that it has
// no value for would shift the row against its header.
func TestTheUsageTableOfTheCommandLineIsAligned(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("trap 'exit 0' TERM; while true; do :; done")))
		alloc := job.WaitStatus(t, "running")
		var text string
		Eventually(t, 20*time.Second, "usage of the task", func() error {
			stdout, stderr, code := agent.RunCLI(t, nil, "alloc", "status", "-stats", alloc.ID)
			if text = stdout; code != 0 || !strings.Contains(text, "CPU Stats") || strings.Contains(text, " 0.00%  ") {
				return fmt.Errorf("exit %d: %s%s", code, stdout, stderr)
			}
			return nil
		})
		for title, wants := range measured[agent.Runtime.Name()] {
			header, row := tableAfter(t, text, title)
			names, values := columns(header), columns(row)
			must.Eq(t, len(names), len(values), must.Sprintf("%s:\n%s\n%s", title, header, row))
			for _, want := range wants {
				must.SliceContains(t, names, want)
			}
			at := 0
			for i, name := range names {
				at += strings.Index(header[at:], name)
				must.StrHasPrefix(t, values[i], row[at:], must.Sprintf("%s is not above its value:\n%s\n%s", name, header, row))
				at += len(name)
			}
		}
	})
}

// The web interface draws the ticks against the reserved MHz, and the resident memory in bytes.
func TestTheWebInterfacesNumbersAreMegahertzAndBytes(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("trap 'exit 0' TERM; while true; do :; done")))
		alloc := job.WaitStatus(t, "running")
		type usage struct {
			ResourceUsage struct {
				CpuStats    struct{ TotalTicks, Percent float64 }
				MemoryStats struct{ RSS, Usage uint64 }
			}
			Timestamp int64
		}
		Eventually(t, 20*time.Second, "usage", func() error {
			response, err := http.Get(agent.API.Address() + "/v1/client/allocation/" + alloc.ID + "/stats")
			if err != nil {
				return err
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return err
			}
			var all struct{ Tasks map[string]usage }
			if err := json.Unmarshal(body, &all); err != nil {
				return err
			}
			task := all.Tasks["main"]
			cpu, memory := task.ResourceUsage.CpuStats, task.ResourceUsage.MemoryStats
			if cpu.Percent <= 0 {
				return fmt.Errorf("%s", body)
			}
			// The node says 4000 MHz, on however many cores it has.
			perCore := cpu.TotalTicks / cpu.Percent * 100
			if perCore < 10 || perCore > 4000 {
				return fmt.Errorf("%.1f ticks at %.1f %%: a core would have %.1f MHz", cpu.TotalTicks, cpu.Percent, perCore)
			}
			if bytes := max(memory.RSS, memory.Usage); bytes < 50<<10 || bytes > 32<<20 {
				return fmt.Errorf("%d bytes of a task that may have 32 MiB", bytes)
			}
			if age := time.Since(time.Unix(0, task.Timestamp)); age < -time.Second || age > 10*time.Second {
				return fmt.Errorf("a sample that is %s old", age)
			}
			return nil
		})
	})
}
