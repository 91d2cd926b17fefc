package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

// It stands in front of an engine's program. Calls with the word and the container that the file
// "stuck" beside it names wait where the FIFO "gate" is opened for somebody who opens it for writing.
const gatekeeper = `#!/bin/sh
dir=${0%%/*}
if read -r word name <"$dir/stuck"; then
	case " $* " in *" $word "*"$name"*) : <"$dir/gate" ;; esac
fi
exec %s "$@"
`

// stuck is an engine's program some calls of which do not come back for a while. Everything else it
// does as the real one.
type stuck struct {
	path       string
	dir        string
	word, name string
	gate       *os.File // held open for writing unless calls are to wait
}

// newStuck puts it in front of a program.
func newStuck(t *testing.T, program string) *stuck {
	t.Helper()
	dir := t.TempDir()
	s := &stuck{path: filepath.Join(dir, filepath.Base(program)), dir: dir}
	err := errors.Join(os.WriteFile(s.path, []byte(fmt.Sprintf(gatekeeper, program)), 0o755),
		os.WriteFile(filepath.Join(dir, "stuck"), []byte("nothing nobody\n"), 0o644),
		syscall.Mkfifo(filepath.Join(dir, "gate"), 0o600), s.release())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.release() })
	return s
}

// hang makes the calls with this word about this container wait from now on.
func (s *stuck) hang(t *testing.T, word, name string) {
	t.Helper()
	s.word, s.name = word, name
	err := os.WriteFile(filepath.Join(s.dir, "stuck"), []byte(word+" "+name+"\n"), 0o644)
	if err := errors.Join(err, s.gate.Close()); err != nil {
		t.Fatal(err)
	}
	s.gate = nil
}

// await waits until there is such a call.
func (s *stuck) await(t *testing.T) {
	t.Helper()
	nomadkit.Eventually(t, limit, "a call that hangs: "+s.word+" "+s.name, func() error {
		for _, pid := range nomadkit.ProcessesWith(s.path) {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			call, ours := strings.CutPrefix(string(line), "/bin/sh\x00"+s.path+"\x00")
			call = " " + strings.ReplaceAll(call, "\x00", " ")
			if ours && strings.Contains(call, " "+s.word+" ") && strings.Contains(call, s.name) {
				return nil
			}
		}
		return errors.New("none")
	})
}

// release lets those that wait, and all later ones, do what they were called for.
func (s *stuck) release() (err error) {
	if s.gate == nil {
		s.gate, err = os.OpenFile(filepath.Join(s.dir, "gate"), os.O_RDWR, 0)
	}
	return err
}
