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

// SecretWatch looks for secrets where others could see them: at every process's command line and at
// the files of some directories, all the time, and at what there is at the end.
type SecretWatch struct {
	secrets []string
	dirs    []string
	begun   time.Time
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	seen    map[string]bool
}

// WatchSecrets watches until Check, for a word that each process of a test may hold, but not show.
func WatchSecrets(t testing.TB, secrets ...string) *SecretWatch {
	t.Helper()
	return WatchSecretsBelow(t, nil, secrets...)
}

// WatchSecretsBelow is WatchSecrets that looks at the files below these directories as well.
func WatchSecretsBelow(t testing.TB, dirs []string, secrets ...string) *SecretWatch {
	t.Helper()
	canary := Unique("canary")
	// The times of files are of a coarser clock.
	w := &SecretWatch{secrets: append([]string{canary}, secrets...), dirs: dirs, begun: time.Now().Add(-100 * time.Millisecond),
		stop: make(chan struct{}), seen: map[string]bool{}}
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
	w.prove(t, canary)
	return w
}

// prove waits until the watch has seen a word wherever it looks: one that sees nothing would prove
// nothing.
func (w *SecretWatch) prove(t testing.TB, canary string) {
	t.Helper()
	shown := exec.Command("sleep", "60")
	shown.Args = append([]string{canary}, shown.Args[1:]...)
	if err := shown.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = shown.Process.Kill()
		_ = shown.Wait()
	}()
	for _, dir := range w.dirs {
		path := filepath.Join(dir, canary)
		if err := os.WriteFile(path, []byte(canary), 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
	}
	Eventually(t, 20*time.Second, "the watch sees a command line and files", func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		var told []string
		for place := range w.seen {
			if strings.Contains(place, canary) {
				told = append(told, place)
			}
		}
		if len(told) != 1+len(w.dirs) {
			return fmt.Errorf("seen %q of %q", told, canary)
		}
		for _, place := range told {
			delete(w.seen, place)
		}
		w.secrets = w.secrets[1:]
		return nil
	})
}

func (w *SecretWatch) look() {
	dirs, _ := os.ReadDir("/proc")
	for _, dir := range dirs {
		if _, err := strconv.Atoi(dir.Name()); err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + dir.Name() + "/cmdline")
		if err == nil {
			w.note(line, "the command line "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	for _, dir := range w.dirs {
		w.walk(dir, func(path string, info fs.FileInfo, data []byte) {
			if info.Mode().Perm()&0o044 != 0 {
				w.note(data, fmt.Sprintf("the file %s, which others can read: %v", path, info.Mode()))
			}
		})
	}
}

// note keeps a place if there is a secret in its data.
func (w *SecretWatch) note(data []byte, place string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, found := w.in(data); found {
		w.seen[place] = true
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
	for place := range w.seen {
		t.Errorf("a secret in %s", place)
	}
	for what, text := range texts {
		if secret, found := w.in([]byte(text)); found {
			i := strings.Index(text, secret)
			t.Errorf("a secret in %s: …%s", what, tail(text[:i+len(secret)], 200))
		}
	}
	for _, dir := range private {
		w.walk(dir, func(path string, info fs.FileInfo, data []byte) {
			if _, holds := w.in(data); holds {
				t.Errorf("a secret in the driver's file %s", path)
			}
			if info.Mode().Perm()&0o077 != 0 && everybodyReaches(path) {
				t.Errorf("%s is open to others: %v", path, info.Mode())
			}
		})
	}
	for _, dir := range shared {
		w.walk(dir, func(path string, info fs.FileInfo, data []byte) {
			if _, holds := w.in(data); holds && info.Mode().Perm()&0o004 != 0 && everybodyReaches(path) {
				t.Errorf("a secret in %s, which everybody can read: %v", path, info.Mode())
			}
		})
	}
}

// walk visits the regular files below a directory that were written since the watch began.
func (w *SecretWatch) walk(dir string, visit func(path string, info fs.FileInfo, data []byte)) {
	const most = 8 << 20 // an image's layer is no place for a secret of ours
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		// What a workload writes is its own; what is in "secrets" Nomad keeps there for it.
		if entry.IsDir() && (entry.Name() == "diff" || entry.Name() == "secrets") {
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
		visit(path, info, data)
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
