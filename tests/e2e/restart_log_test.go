package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "nomad-driver-container/tests/nomadkit"
)

// Nomad asks its log collector to start again before each attempt, which it does only where it has
// come to the end of the last one's output: were a FIFO still open then, and closed a moment later,
// nobody would read what the next attempt writes.
func TestTheOutputOfEveryAttemptArrivesHoweverSoonTheNextOneStarts(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("kill_timeout = \"30s\"\n"+Shell("trap 'seq 1 2000; echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done")))
		alloc := job.WaitStatus(t, "running")
		one := &strings.Builder{}
		one.WriteString("ready\n")
		for i := 1; i <= 2000; i++ {
			fmt.Fprintln(one, i)
		}
		one.WriteString("bye\n")
		for attempts := range 5 {
			job.WaitLog(t, alloc, "stdout", strings.Repeat(one.String(), attempts)+"ready\n")
			Eventually(t, 20*time.Second, "the task is known to run", func() error {
				return agent.API.Allocations().Restart(alloc, "main", nil)
			})
		}
	})
}
