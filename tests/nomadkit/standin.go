package nomadkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Standin is Apple's CLI of one node: the stand-in for it, with settings and a state of its own.
type Standin struct {
	CLI     string // the executable
	State   string // the stand-in's README says what is in there
	version string
}

// StandinVersion is the newest version of the CLI that the stand-in knows, which tests take that are not
// about versions.
const StandinVersion = "1.2.2"

// StandinBinary is $NDC_STANDIN, else the stand-in of the build that the plugin under test comes from.
func StandinBinary() string {
	if path := os.Getenv("NDC_STANDIN"); path != "" {
		return path
	}
	return filepath.Join(filepath.Dir(filepath.Dir(Binary())), "standin", "container")
}

// NewStandin makes one of this version in a directory; `settings` are more lines of its standin.env.
func NewStandin(dir, version string, settings ...string) (*Standin, error) {
	if _, err := os.Stat(StandinBinary()); err != nil {
		return nil, fmt.Errorf("the stand-in is not built (%w): run 'make build'", err)
	}
	s := &Standin{CLI: filepath.Join(dir, "container"), State: filepath.Join(dir, "cli"), version: version}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(StandinBinary(), s.CLI); err != nil {
		return nil, err
	}
	env := append([]string{"NDC_STANDIN_STATE=" + s.State, "NDC_STANDIN_VERSION=" + version}, settings...)
	return s, os.WriteFile(filepath.Join(dir, "standin.env"), []byte(strings.Join(env, "\n")+"\n"), 0o600)
}

// Set adds a line to its standin.env.
func (s *Standin) Set(t testing.TB, line string) {
	t.Helper()
	path := filepath.Join(filepath.Dir(s.CLI), "standin.env")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(data)+line+"\n")
}

// Config is for the plugin's config block.
func (s *Standin) Config() string {
	return fmt.Sprintf("runtime = \"apple\"\ncontainer_path = %q\n", s.CLI)
}

// LoginMarks lists the files that tell of logins which plugins on this stand-in have made.
func (s *Standin) LoginMarks(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(s.CLI), ".nomad-driver-container", ".logins", "login-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Run calls the CLI as a person would.
func (s *Standin) Run(args ...string) (string, error) {
	out, err := exec.Command(s.CLI, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("container %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Fault sets a fault; an empty line takes it back.
func (s *Standin) Fault(t testing.TB, name, line string) {
	t.Helper()
	path := filepath.Join(s.State, "faults", name)
	if line == "" {
		_ = os.Remove(path)
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	// The CLI may read it at any time.
	write(t, path+".new", line+"\n")
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// Version is the release that it imitates.
func (s *Standin) Version() string { return s.version }

// Call is one of the CLI's, as the stand-in recorded it.
type Call struct {
	Time    float64 // seconds
	Command string  // the subcommand, in one word or two
}

// Recorded lists all calls so far. One that is being written down is not among them yet.
func (s *Standin) Recorded(t testing.TB) []Call {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.State, "calls.jsonl"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var calls []Call
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var call Call
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatalf("calls.jsonl: %v: %q", err, line)
		}
		calls = append(calls, call)
	}
	return calls
}

// Calls counts the calls of a subcommand, or all of them.
func (s *Standin) Calls(command string) int {
	data, _ := os.ReadFile(filepath.Join(s.State, "calls.jsonl"))
	if command == "" {
		return strings.Count(string(data), "\n")
	}
	return strings.Count(string(data), fmt.Sprintf("\"command\":%q", command))
}

// Rejected is what the CLI refused to parse, which is always the driver's fault.
func (s *Standin) Rejected() string {
	data, _ := os.ReadFile(filepath.Join(s.State, "rejected.jsonl"))
	return string(data)
}

// Containers lists the ids of all containers, running or not.
func (s *Standin) Containers() []string {
	entries, _ := os.ReadDir(filepath.Join(s.State, "containers"))
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") { // half made, or half removed
			continue
		}
		// A start that was under way when its container was deleted may make the directory of a root anew,
		// which no call of the CLI takes for a container.
		if _, err := os.Stat(filepath.Join(s.State, "containers", entry.Name(), "record.json")); err == nil {
			names = append(names, entry.Name())
		}
	}
	return names
}

// Made is the part of a container's record that the tests look at.
type Made struct {
	ID            string
	Configuration struct {
		Labels    map[string]string
		Resources struct {
			CPUs          int   `json:"cpus"`
			MemoryInBytes int64 `json:"memoryInBytes"`
		}
		Networks []struct{ Network string }
		CapAdd   []string
		CapDrop  []string
		Rosetta  bool
	}
}

// Record is what took effect when a container was created.
func (s *Standin) Record(id string) (Made, error) {
	var record Made
	data, err := os.ReadFile(filepath.Join(s.State, "containers", id, "record.json"))
	if err != nil {
		return record, err
	}
	return record, json.Unmarshal(data, &record)
}

// RecordedOf is a part of a container's record: the keys and indexes that lead to it, joined by dots.
func (s *Standin) RecordedOf(t testing.TB, id, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.State, "containers", id, "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	var at any
	if err := json.Unmarshal(data, &at); err != nil {
		t.Fatal(err)
	}
	for _, step := range strings.Split(path, ".") {
		switch value := at.(type) {
		case map[string]any:
			at = value[step]
		case []any:
			index, err := strconv.Atoi(step)
			if err != nil || index >= len(value) {
				t.Fatalf("the record of %s has no %s: %s", id, path, data)
			}
			at = value[index]
		default:
			t.Fatalf("the record of %s has no %s: %s", id, path, data)
		}
	}
	return fmt.Sprint(at)
}

// Pid is the workload's process id, 0 unless it runs.
func (s *Standin) Pid(id string) int {
	data, _ := os.ReadFile(filepath.Join(s.State, "containers", id, "state"))
	pid := 0
	if _, err := fmt.Sscanf(string(data), "running %d", &pid); err != nil {
		return 0
	}
	return pid
}

// Helper is the process that stands for the virtual machine of a container that runs.
func (s *Standin) Helper(t testing.TB, id string) int {
	t.Helper()
	data, _ := os.ReadFile(filepath.Join(s.State, "containers", id, "state"))
	workload, helper := 0, 0
	if _, err := fmt.Sscanf(string(data), "running %d %d", &workload, &helper); err != nil {
		t.Fatalf("the state of %s is %q: %v", id, data, err)
	}
	return helper
}

// Close ends all containers; monitors see that and end too.
func (s *Standin) Close() {
	_ = os.RemoveAll(filepath.Join(s.State, "faults"))
	_, _ = s.Run("delete", "--all", "--force")
}

// MonitorOf is the process id of the monitor of a container, 0 without one.
func MonitorOf(stateDir, id string) int {
	data, _ := os.ReadFile(filepath.Join(stateDir, id, "lock"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if pid > 0 && syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}
