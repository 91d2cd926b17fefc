package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers/testutils"
	"github.com/shoenig/test/must"

	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"

	"nomad-driver-container/tests/nomadkit"
)

func TestExecReturnsOutputAndExitCode(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	result, err := p.ExecTask(task.ID, []string{"sh", "-c", "echo out; echo err >&2; exit 5"}, 60*time.Second)
	must.NoError(t, err)
	must.Eq(t, 5, result.ExitResult.ExitCode)
	must.Eq(t, "out\n", string(result.Stdout))
	must.Eq(t, "err\n", string(result.Stderr))
}

func TestExecKeepsTheTailOfLongOutput(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	result, err := p.ExecTask(task.ID, []string{"seq", "1", "300000"}, 60*time.Second)
	must.NoError(t, err)
	must.Between(t, 4000, len(result.Stdout), 70000)
	must.StrHasSuffix(t, "299999\n300000\n", string(result.Stdout))
}

func TestExecPastItsTimeoutEndsTheProcessInsideToo(t *testing.T) {
	t.Parallel() // it waits for the most part
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	command := longSleep(4)
	start := time.Now()
	answer, err := p.Raw(t).ExecTask(nomadkit.Context(t, 90*time.Second), &dproto.ExecTaskRequest{
		TaskId: task.ID, Command: strings.Fields(command), Timeout: durationpb(5 * time.Second)})
	must.Less(t, 30*time.Second, time.Since(start))
	if err == nil {
		must.NotNil(t, answer.Result)
		must.NotEq(t, 0, answer.Result.ExitCode)
	}
	nomadkit.Eventually(t, 30*time.Second, "the command inside is gone", func() error {
		if pids := nomadkit.ProcessesWith(command); len(pids) > 0 {
			return fmt.Errorf("still there: %v", pids)
		}
		return nil
	})
}

func TestExecOfACommandThatDoesNotExistSaysSo(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	result, err := p.ExecTask(task.ID, []string{"no-such-command"}, 60*time.Second)
	if err != nil {
		must.ErrorContains(t, err, "no-such-command")
		return
	}
	must.NotEq(t, 0, result.ExitResult.ExitCode)
}

func TestNomadsOwnExecCasesPass(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 120")
	harness := testutils.NewDriverHarness(t, p.DriverPlugin)
	testutils.TestExecTaskStreamingBasicResponses(t, harness, task.ID)
}

func TestExecStreamsBinaryDataBothWaysAndEndsWithTheExit(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	stream, err := p.Raw(t).ExecTaskStreaming(nomadkit.Context(t, 60*time.Second))
	must.NoError(t, err)
	must.NoError(t, stream.Send(&dproto.ExecTaskStreamingRequest{Setup: &dproto.ExecTaskStreamingRequest_Setup{
		TaskId: task.ID, Command: []string{"cat"}}}))
	block := strings.Repeat("\x00\xff\n\r\x04 binary ", 1000)
	const blocks = 810 // more than 10 MiB
	go func() {
		for i := 0; i < blocks; i++ {
			_ = stream.Send(&dproto.ExecTaskStreamingRequest{}) // a heartbeat
			_ = stream.Send(&dproto.ExecTaskStreamingRequest{Stdin: &dproto.ExecTaskStreamingIOOperation{Data: []byte(block)}})
		}
		_ = stream.Send(&dproto.ExecTaskStreamingRequest{Stdin: &dproto.ExecTaskStreamingIOOperation{Close: true}})
	}()
	var got strings.Builder
	for {
		answer, err := stream.Recv()
		must.NoError(t, err)
		if answer.Exited {
			must.NotNil(t, answer.Result)
			must.Zero(t, answer.Result.ExitCode)
			must.Nil(t, answer.Stdout)
			break
		}
		if answer.Stdout != nil {
			got.Write(answer.Stdout.Data)
		}
	}
	must.Eq(t, blocks*len(block), got.Len())
	must.True(t, got.String() == strings.Repeat(block, blocks))
	_, err = stream.Recv()
	must.EqError(t, err, "EOF")
}

func TestACancelledExecKillsItsProcess(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	command := longSleep(5)
	for _, tty := range []bool{false, true} {
		ctx, cancel := context.WithCancel(nomadkit.Context(t, time.Minute))
		stream, err := p.Raw(t).ExecTaskStreaming(ctx)
		must.NoError(t, err)
		must.NoError(t, stream.Send(&dproto.ExecTaskStreamingRequest{Setup: &dproto.ExecTaskStreamingRequest_Setup{
			TaskId: task.ID, Command: []string{"sh", "-c", "echo up; exec " + command}, Tty: tty}}))
		answer, err := stream.Recv()
		must.NoError(t, err)
		must.StrContains(t, string(answer.Stdout.GetData()), "up")
		cancel()
		for err == nil {
			_, err = stream.Recv()
		}
		nomadkit.Eventually(t, 30*time.Second, "the command is gone", func() error {
			if pids := nomadkit.ProcessesWith(command); len(pids) > 0 {
				return fmt.Errorf("still there: %v (tty %v)", pids, tty)
			}
			return nil
		})
	}
}
