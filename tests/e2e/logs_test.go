package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// logFiles are the numbers of the files that a stream of the task is kept in, with their sizes.
func logFiles(t *testing.T, on *Agent, alloc *api.Allocation, stream string) map[int]int64 {
	t.Helper()
	entries, _, err := on.API.AllocFS().List(alloc, "/alloc/logs", nil)
	must.NoError(t, err)
	files := map[int]int64{}
	for _, entry := range entries {
		if number, found := strings.CutPrefix(entry.Name, "main."+stream+"."); found {
			n, err := strconv.Atoi(number)
			must.NoError(t, err)
			files[n] = entry.Size
		}
	}
	return files
}

func TestAHundredMebibytesOfLogPassAndRotate(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("logs {\n max_files = 3\n max_file_size = 10\n}\n"+
			Shell("yes 'a line that is written very often' | head -c 104857600; echo; echo END")))
		alloc := job.WaitFor(t, 180*time.Second, "the end", func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
		must.Eq(t, 0, ExitCode(t, alloc))
		Eventually(t, 20*time.Second, "the newest of few files holds the end", func() error {
			files := logFiles(t, agent, alloc, "stdout")
			newest := 0
			for n := range files {
				newest = max(newest, n)
			}
			// 100 MiB and a few bytes in files of 10 MiB: numbers 0 to 10.
			if newest != 10 || len(files) > 3 {
				return fmt.Errorf("files %v", files)
			}
			return nil
		})
		job.WaitLog(t, alloc, "stdout", "\nEND\n")
	})
}

func TestATerminalsOutputIsOneStream(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell("tty; echo to stdout; echo to stderr >&2", "tty = true")))
		alloc := job.WaitStatus(t, "complete")
		job.WaitLog(t, alloc, "stdout", "to stderr\r\n")
		text, err := job.Log(alloc, "stdout")
		must.NoError(t, err)
		must.RegexMatch(t, regexp.MustCompile(`^/dev/pts/\d+\r\nto stdout\r\nto stderr\r\n$`), text)
		text, err = job.Log(alloc, "stderr")
		must.NoError(t, err)
		must.Eq(t, "", text)
	})
}

// isUp waits until the task has written /alloc/up, as it does when its trap is set.
func isUp(t *testing.T, on *Agent, alloc *api.Allocation) {
	t.Helper()
	Eventually(t, 10*time.Second, "the trap is set", func() error {
		_, _, err := on.API.AllocFS().Stat(alloc, "/alloc/up", nil)
		return err
	})
}

// A collector whose FIFO nobody ever opened would make Nomad wait for four seconds, each time: a stop that
// takes longer for another reason says nothing.
func TestASilentTaskStopsAtOnce(t *testing.T) {
	const bound = 3500 * time.Millisecond
	each(t, func(t *testing.T, agent *Agent) {
		for _, tty := range []string{"", "tty = true"} {
			quickest := time.Hour
			for round := 0; round < 5 && quickest >= bound; round++ {
				job := agent.Submit(t, BatchJob("kill_timeout = \"30s\"\n"+
					Shell("trap 'exit 0' TERM; touch /alloc/up; while true; do sleep 0.05; done", tty)))
				isUp(t, agent, job.WaitStatus(t, "running"))
				start := time.Now()
				must.Eq(t, 0, ExitCode(t, job.Stop(t)))
				quickest = min(quickest, time.Since(start))
			}
			must.Less(t, bound, quickest)
		}
	})
}

func TestWithoutLogCollectionATaskWritesToNothingOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	job := agent.Submit(t, BatchJob("kill_timeout = \"30s\"\nlogs {\n disabled = true\n}\n"+
		Shell("echo lost; trap 'exit 0' TERM INT; touch /alloc/up; while true; do sleep 0.05; done")))
	alloc := job.WaitStatus(t, "running")
	isUp(t, agent, alloc)
	state := Inspect(t, alloc.ID).State
	files := OpenFiles(state.Pid)
	must.Eq(t, "/dev/null", files["1"])
	must.Eq(t, "/dev/null", files["2"])
	for _, pid := range []int{state.Pid, state.ConmonPid} {
		for fd, target := range OpenFiles(pid) {
			must.StrNotContains(t, target, "/alloc/logs/", must.Sprintf("descriptor %s of %d", fd, pid))
		}
	}
	must.MapEmpty(t, logFiles(t, agent, alloc, "stdout"))
	must.Eq(t, 0, ExitCode(t, job.Stop(t)))
}

// Nomad starts a new collector when the agent starts, not before: until then the pipe has to hold
// what the task writes, and the task must live.
func TestATaskOutlivesItsLogCollectorAndItsLogGoesOn(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := ownAgent(t, agent)
		job := own.Submit(t, BatchJob(Shell("seq 1 100; while [ ! -e /alloc/go ]; do sleep 0.05; done; seq 101 200; "+
			"touch /alloc/written; while [ ! -e /alloc/end ]; do sleep 0.05; done; seq 201 300; exit 21")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "100\n")
		pids := own.CollectorsByAlloc()[alloc.ID]
		must.Len(t, 1, pids)
		pid := own.Runtime.Look(t, alloc.ID).Pid
		must.NoError(t, syscall.Kill(pids[0], syscall.SIGKILL))
		job.WriteShared(t, alloc, "go", "")
		Eventually(t, 10*time.Second, "the task writes on", func() error {
			_, _, err := own.API.AllocFS().Stat(alloc, "/alloc/written", nil)
			return err
		})
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)

		must.NoError(t, own.Stop(false))
		must.NoError(t, own.Start())
		job.WaitStatus(t, "running")
		must.Eq(t, pid, own.Runtime.Look(t, alloc.ID).Pid)
		job.WaitLog(t, alloc, "stdout", "200\n")
		job.WriteShared(t, alloc, "end", "")
		must.Eq(t, 21, ExitCode(t, job.WaitStatus(t, "failed")))
		var want strings.Builder
		for i := 1; i <= 300; i++ {
			fmt.Fprintln(&want, i)
		}
		Eventually(t, 10*time.Second, "the whole log", func() error {
			text, err := job.Log(alloc, "stdout")
			if text != want.String() {
				return fmt.Errorf("%d bytes, want %d: %q (%v)", len(text), want.Len(), text[max(0, len(text)-60):], err)
			}
			return nil
		})
	})
}
