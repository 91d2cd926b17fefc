package nomadkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// CLI is Nomad's command line on this agent; `limit` with Patience ends it.
func (a *Agent) CLI(t testing.TB, limit time.Duration, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := AgentBinary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(Context(t, limit), binary, args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR="+a.API.Address(), "NOMAD_CLI_NO_COLOR=1", "TERM=dumb")
	return cmd
}

// RunCLI runs a command to its end and returns stdout, stderr and the exit code.
func (a *Agent) RunCLI(t testing.TB, stdin []byte, args ...string) (string, string, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := a.CLI(t, 90*time.Second, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("nomad %s: %v", strings.Join(args, " "), err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// Terminal is a command on a terminal of its own, with somebody who types and reads.
type Terminal struct {
	file *os.File
	cmd  *exec.Cmd
	seen *SyncBuffer
	done chan error
}

// OpenTerminal runs a command on a new terminal.
func OpenTerminal(t testing.TB, cmd *exec.Cmd, rows, columns int) *Terminal {
	t.Helper()
	file, err := pty.StartWithSize(cmd, size(rows, columns))
	if err != nil {
		t.Fatalf("start on a terminal: %v", err)
	}
	terminal := &Terminal{file: file, cmd: cmd, seen: &SyncBuffer{}, done: make(chan error, 1)}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			_, _ = terminal.seen.Write(buffer[:n])
			if err != nil { // EIO: the last process has closed its side
				break
			}
		}
		terminal.done <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		file.Close()
		if t.Failed() {
			t.Logf("on the terminal: %q", terminal.seen.String())
		}
	})
	return terminal
}

func size(rows, columns int) *pty.Winsize {
	return &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)}
}

// Type sends keys; "\r" is Enter.
func (terminal *Terminal) Type(t testing.TB, keys string) {
	t.Helper()
	if _, err := terminal.file.WriteString(keys); err != nil {
		t.Fatalf("type %q: %v", keys, err)
	}
}

// Resize changes the size, as dragging the window does.
func (terminal *Terminal) Resize(t testing.TB, rows, columns int) {
	t.Helper()
	if err := pty.Setsize(terminal.file, size(rows, columns)); err != nil {
		t.Fatal(err)
	}
}

// Screen is all that was shown so far.
func (terminal *Terminal) Screen() string { return terminal.seen.String() }

// WaitScreen waits until `want` was shown.
func (terminal *Terminal) WaitScreen(t testing.TB, want string) {
	t.Helper()
	Eventually(t, 15*time.Second, "the screen shows "+want, func() error {
		if !strings.Contains(terminal.Screen(), want) {
			return fmt.Errorf("it shows %q", tail(terminal.Screen(), 400))
		}
		return nil
	})
}

// End waits for the command's end and returns its exit code.
func (terminal *Terminal) End(t testing.TB) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience*15*time.Second)
	defer cancel()
	select {
	case <-terminal.done:
		return terminal.cmd.ProcessState.ExitCode()
	case <-ctx.Done():
		t.Fatalf("the command on the terminal does not end; it shows %q", tail(terminal.Screen(), 400))
	}
	return -1
}
