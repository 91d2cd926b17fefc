package nomadkit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// SecretWatch looks for secrets where others could see them: at every process's command line, all
// the time, and at what there is at the end.
type SecretWatch struct {
	secrets []string
	begun   time.Time
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	seen    map[string]bool
}

// WatchSecrets watches until Check, for a word that each process of a test may hold, but not show.
func WatchSecrets(t testing.TB, secrets ...string) *SecretWatch {
	t.Helper()
	canary := Unique("canary")
	w := &SecretWatch{secrets: append([]string{canary}, secrets...), begun: time.Now(), stop: make(chan struct{}),
		seen: map[string]bool{}}
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		for {
			select {
			case <-w.stop:
				return
			default:
				w.look()
			}
		}
	}()
	t.Cleanup(func() { w.end() })
	// A watch that sees nothing would prove nothing.
	shown := exec.Command("sleep", "60")
	shown.Args = append([]string{canary}, shown.Args[1:]...)
	if err := shown.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = shown.Process.Kill()
		_ = shown.Wait()
	}()
	Eventually(t, 20*time.Second, "the watch sees a command line", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for line := range w.seen {
			if strings.Contains(line, canary) {
				delete(w.seen, line)
				w.secrets = w.secrets[1:]
				return nil
			}
		}
		return fmt.Errorf("not seen %q", canary)
	})
	return w
}

func (w *SecretWatch) look() {
	dirs, _ := os.ReadDir("/proc")
	for _, dir := range dirs {
		if _, err := strconv.Atoi(dir.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + dir.Name() + "/cmdline")
		if err != nil {
			continue
		}
		w.mu.Lock()
		if _, found := w.in(line); found {
			w.seen[string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))] = true
		}
		w.mu.Unlock()
	}
}

func (w *SecretWatch) in(data []byte) (string, bool) {
	for _, secret := range w.secrets {
		if bytes.Contains(data, []byte(secret)) {
			return secret, true
		}
	}
	return "", false
}

func (w *SecretWatch) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

// Check ends the watch. `texts` are what the plugin said, by what they are; `private` are
// directories of the driver, in which nothing may hold a secret nor be open to others; `shared` are
// directories of others, in which a file with a secret must not be readable by everybody.
func (w *SecretWatch) Check(t testing.TB, texts map[string]string, private, shared []string) {
	t.Helper()
	w.end()
	for line := range w.seen {
		t.Errorf("a secret in a command line: %s", line)
	}
	for what, text := range texts {
		if secret, found := w.in([]byte(text)); found {
			i := strings.Index(text, secret)
			t.Errorf("a secret in %s: …%s", what, tail(text[:i+len(secret)], 200))
		}
	}
	for _, dir := range private {
		w.walk(dir, func(path string, info fs.FileInfo, holds bool) {
			if holds {
				t.Errorf("a secret in the driver's file %s", path)
			}
			if info.Mode().Perm()&0o077 != 0 && everybodyReaches(path) {
				t.Errorf("%s is open to others: %v", path, info.Mode())
			}
		})
	}
	for _, dir := range shared {
		w.walk(dir, func(path string, info fs.FileInfo, holds bool) {
			if holds && info.Mode().Perm()&0o004 != 0 && everybodyReaches(path) {
				t.Errorf("a secret in %s, which everybody can read: %v", path, info.Mode())
			}
		})
	}
}

// walk visits the regular files below a directory that were written since the watch began.
func (w *SecretWatch) walk(dir string, visit func(path string, info fs.FileInfo, holds bool)) {
	const most = 8 << 20 // an image's layer is no place for a secret of ours
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if entry.IsDir() && entry.Name() == "diff" { // of a container: the workload's own
			return fs.SkipDir
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > most || info.ModTime().Before(w.begun) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		_, holds := w.in(data)
		visit(path, info, holds)
		return nil
	})
}

// everybodyReaches says whether all directories above a file let everybody through.
func everybodyReaches(path string) bool {
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}
