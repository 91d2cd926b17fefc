package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// Somebody at a keyboard, Nomad's command line, a real agent, a shell in the task.
func TestAnInteractiveShellOnATerminal(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		terminal := OpenTerminal(t, agent.CLI(t, 90*time.Second, "alloc", "exec", "-i", "-t", "-task", "main", alloc.ID, "sh"), 31, 97)
		terminal.WaitScreen(t, "# ")

		// Typed once, shown once: the line discipline of the task's terminal is the only one that echoes.
		terminal.Type(t, "echo si''zed `stty size`\r")
		terminal.WaitScreen(t, "sized 31 97\r\n")
		must.Eq(t, 1, strings.Count(terminal.Screen(), "echo si''zed"), must.Sprint("echoes of what was typed"))

		terminal.Resize(t, 44, 123)
		Eventually(t, 15*time.Second, "the shell knows the new size", func() error {
			before := len(terminal.Screen())
			terminal.Type(t, "echo no''w `stty size`\r")
			Eventually(t, 15*time.Second, "an answer", func() error {
				if !strings.Contains(terminal.Screen()[before:], "now ") {
					return fmt.Errorf("none yet")
				}
				return nil
			})
			if !strings.Contains(terminal.Screen()[before:], "now 44 123") {
				return fmt.Errorf("%q", terminal.Screen()[before:])
			}
			return nil
		})

		// Ctrl-C is the running command's, not the shell's and not the client's.
		terminal.Type(t, "sleep 1000\r")
		Eventually(t, 15*time.Second, "the sleep runs", func() error {
			if commands := CommandsWith(agent.Runtime.Look(t, alloc.ID).Pid); !slices.Contains(commands, "sleep 1000") {
				return fmt.Errorf("%q", commands)
			}
			return nil
		})
		terminal.Type(t, "\x03")
		terminal.Type(t, "echo bro''ken with $?\r")
		terminal.WaitScreen(t, "broken with 130\r\n")

		terminal.Type(t, "exit 7\r")
		must.Eq(t, 7, terminal.End(t))
		must.Eq(t, "running", job.Alloc(t).ClientStatus)
	})
}

// The agent notices a client that is gone when it has something to send to it, so the command talks.
func TestATerminalThatIsHungUpEndsItsCommand(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		cli := agent.CLI(t, 90*time.Second, "alloc", "exec", "-i", "-t", "-task", "main", alloc.ID, "sh")
		terminal := OpenTerminal(t, cli, 24, 80)
		terminal.WaitScreen(t, "# ")
		terminal.Type(t, "while echo ticking; do sleep 0.2222; done\r")
		pid := agent.Runtime.Look(t, alloc.ID).Pid
		Eventually(t, 15*time.Second, "the command runs", func() error {
			if commands := CommandsWith(pid); !slices.Contains(commands, "sleep 0.2222") {
				return fmt.Errorf("%q", commands)
			}
			return nil
		})
		must.NoError(t, cli.Process.Kill())
		Eventually(t, 15*time.Second, "the command is gone", func() error {
			commands := CommandsWith(pid)
			if len(commands) == 0 || slices.Contains(commands, "sh") || slices.Contains(commands, "sleep 0.2222") {
				return fmt.Errorf("%q", commands)
			}
			return nil
		})
	})
}

func TestTenMebibytesArePipedThroughATaskBothWays(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		data := make([]byte, 10<<20)
		seed := time.Now().UnixNano()
		t.Logf("seed %d", seed)
		rand.New(rand.NewSource(seed)).Read(data)
		stdout, stderr, code := agent.RunCLI(t, data, "alloc", "exec", "-i", "-t=false", "-task", "main", alloc.ID,
			"sh", "-c", "cat; echo done >&2; exit 4")
		must.Eq(t, 4, code)
		must.Eq(t, "done\n", stderr)
		must.Eq(t, len(data), len(stdout))
		must.Eq(t, sha256.Sum256(data), sha256.Sum256([]byte(stdout)))
	})
}

func TestTheCommandLineReportsTheExitAndKeepsTheStreamsApart(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		stdout, stderr, code := agent.RunCLI(t, []byte("three little words\n"), "alloc", "exec", "-i", "-t=false", alloc.ID,
			"sh", "-c", "wc -w; echo apart >&2; exit 42")
		must.Eq(t, "3\n", strings.TrimLeft(stdout, " "))
		must.Eq(t, "apart\n", stderr)
		must.Eq(t, 42, code)
	})
}
