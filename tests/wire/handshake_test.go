package wire

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func cookie() string { return base.Handshake.MagicCookieKey + "=" + base.Handshake.MagicCookieValue }

// ownTemp makes a place for the socket of a plugin that is killed and cannot remove it. Its name is
// short, as the socket's path has to be.
func ownTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ndc-t")
	must.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "TMPDIR=" + dir
}

// launch starts the bare binary and returns its handshake line.
func launch(t *testing.T, env ...string) (line string, cmd *exec.Cmd, more *bufio.Reader) {
	t.Helper()
	cmd = exec.Command(nomadkit.Binary())
	cmd.Env = append(append(os.Environ(), cookie(), "PLUGIN_PROTOCOL_VERSIONS=2", ownTemp(t)), env...)
	stdout, err := cmd.StdoutPipe()
	must.NoError(t, err)
	must.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	more = bufio.NewReader(stdout)
	got := make(chan string, 1)
	go func() {
		text, _ := more.ReadString('\n')
		got <- text
	}()
	return nomadkit.Receive(t, got, 10*time.Second, "handshake line"), cmd, more
}

func TestWithoutTheCookieItExplainsItselfOnStderrAndExits1(t *testing.T) {
	for name, env := range map[string]string{
		"none":  "X=1",
		"wrong": base.Handshake.MagicCookieKey + "=nonsense",
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(nomadkit.Binary())
			cmd.Env = append(os.Environ(), env)
			var out, err bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &err
			_ = cmd.Run()
			must.Eq(t, 1, cmd.ProcessState.ExitCode())
			must.Eq(t, "", out.String())
			must.StrContains(t, err.String(), "Nomad")
		})
	}
}

func TestVersionAndHelpAnswerWithoutNomad(t *testing.T) {
	for _, flag := range []string{"--version", "--help"} {
		out, err := exec.Command(nomadkit.Binary(), flag).CombinedOutput()
		must.NoError(t, err)
		must.StrContains(t, string(out), "nomad-driver-container")
	}
}

func TestTheHandshakeLineIsTheOnlyOutputAndTheSocketAcceptsAtOnce(t *testing.T) {
	line, cmd, more := launch(t)
	fields := strings.Split(strings.TrimSuffix(line, "\n"), "|")
	must.GreaterEq(t, 5, len(fields))
	must.Eq(t, []string{"1", "2", "unix"}, fields[:3])
	must.Eq(t, "grpc", fields[4])
	if len(fields) > 5 {
		must.Eq(t, "", fields[5])
	}
	conn, err := net.Dial("unix", fields[3])
	must.NoError(t, err)
	conn.Close()

	must.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	rest := new(bytes.Buffer)
	_, _ = rest.ReadFrom(more)
	must.Eq(t, "", rest.String())
}

func TestTheSocketIsShortAndClosedToOthers(t *testing.T) {
	line, _, _ := launch(t)
	path := strings.Split(line, "|")[3]
	must.Less(t, 104, len(path))
	socket, err := os.Stat(path)
	must.NoError(t, err)
	dir, err := os.Stat(filepath.Dir(path))
	must.NoError(t, err)
	if dir.Mode().Perm()&0o077 != 0 && socket.Mode().Perm()&0o077 != 0 {
		t.Fatalf("others can reach %s: directory %v, socket %v", path, dir.Mode(), socket.Mode())
	}
}

func TestTheSocketDirectoryOfTheEnvironmentIsUsed(t *testing.T) {
	dir, err := os.MkdirTemp("", "ndc")
	must.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	line, _, _ := launch(t, "PLUGIN_UNIX_SOCKET_DIR="+dir)
	must.StrHasPrefix(t, dir+"/", strings.Split(line, "|")[3])
}

func TestARequestForMultiplexingIsDeclined(t *testing.T) {
	line, _, _ := launch(t, "PLUGIN_MULTIPLEX_GRPC=true")
	fields := strings.Split(strings.TrimSpace(line), "|")
	must.Eq(t, "grpc", fields[4])
	if len(fields) > 6 {
		must.Eq(t, "false", fields[6])
	}
}

func TestTheHandshakeTakesLessThan100Milliseconds(t *testing.T) {
	const bound = 100 * time.Millisecond
	best := time.Hour
	for begun := time.Now(); best >= bound && time.Since(begun) < 30*time.Second; {
		start := time.Now()
		_, cmd, _ := launch(t)
		best = min(best, time.Since(start))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Logf("at best %s from exec to handshake line", best)
	must.Less(t, bound, best)
}
