package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

func TestTheLastStartIsFoundAmongTheEvents(t *testing.T) {
	event := func(kind string, second int64, text string) *api.TaskEvent {
		return &api.TaskEvent{Type: kind, Time: second * int64(time.Second), DisplayMessage: text}
	}
	received, again := event(api.TaskReceived, 10, ""), event(api.TaskReceived, 30, "")
	broke, ran, ended := event(api.TaskDriverFailure, 12, "broke"), event(api.TaskStarted, 31, ""), event(api.TaskTerminated, 40, "")
	tests := []struct {
		name     string
		events   []*api.TaskEvent
		failed   bool
		from, to int64
		said     string
		known    bool
	}{
		{"it failed", []*api.TaskEvent{received, broke}, true, 10, 12, "broke", true},
		{"it ran", []*api.TaskEvent{received, event(api.TaskSetup, 11, ""), event(api.TaskStarted, 12, ""), ended}, false, 10, 12, "", true},
		{"it ran for the next client", []*api.TaskEvent{received, broke, again, ran}, false, 30, 31, "", true},
		{"it failed, and ran for the next client", []*api.TaskEvent{received, broke, again, ran}, true, 10, 12, "broke", true},
		{"it failed for the next client", []*api.TaskEvent{received, again, event(api.TaskSetupFailure, 35, "late")}, true, 30, 35, "late", true},
		{"Nomad has forgotten when it began", []*api.TaskEvent{broke}, true, 5, 12, "broke", true},
		{"it never came to that", []*api.TaskEvent{received}, false, 0, 0, "", false},
	}
	for _, test := range tests {
		alloc := &api.Allocation{ID: "aaaaaaaa-0000", TaskStates: map[string]*api.TaskState{"main": {Events: test.events}}}
		s, known := startOf(alloc, time.Unix(5, 0), test.failed)
		if known != test.known || known && (s.from.Unix() != test.from || s.to.Unix() != test.to) || s.failed != test.said || s.alloc != "aaaaaaaa" {
			t.Errorf("%s: %+v, %t", test.name, s, known)
		}
	}
	if _, known := startOf(&api.Allocation{ID: "aaaaaaaa-0000"}, time.Unix(5, 0), false); known {
		t.Error("a task without a state: known")
	}
}

func TestATailReadsEachLineOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	read := tail{path: path}
	if lines := read.lines(); len(lines) != 0 {
		t.Errorf("no file: %q", lines)
	}
	for _, step := range []struct {
		text string
		want []string
	}{{"one\ntwo\nthr", []string{"one", "two", ""}}, {"ee\n", []string{"three", ""}}, {"", nil}, {"four\n", []string{"four", ""}}} {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteString(step.text)
		file.Close()
		if lines := read.lines(); !slices.Equal(lines, step.want) {
			t.Errorf("after %q: %q, want %q", step.text, lines, step.want)
		}
	}
}

func TestTheAllocationInACommandLine(t *testing.T) {
	for line, want := range map[string]string{
		"podman\x00run\x00--cidfile=/s/nomad-main-0123abcd/id\x00--name=nomad-main-0123abcd": "0123abcd",
		"container delete --force nomad-main-0123abcd":                                       "0123abcd",
		"podman pull --quiet -- 127.0.0.1:5000/ndc/chaos-1:1":                                "",
		"nomad-main-0123": "",
	} {
		if got := allocIn(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// What the stand-in and the wrapper write down.
func TestStruckCallsAreTold(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) tail {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return tail{path: path}
	}
	p := &podman{met: write("met", "fail --log-level=error run --cidfile=/s/nomad-main-0123abcd/id sh -c echo\nand more\nhang image inspect\n")}
	want := []strike{{fault: "podman fails", alloc: "0123abcd"}, {fault: "podman hangs"}}
	if met := p.struck(); !slices.Equal(met, want) {
		t.Errorf("podman: %+v", met)
	}
	a := &apple{met: write("calls.jsonl", `{"command":"create","argv":["create","--name","nomad-main-0123abcd"],"fault":"create die-after"}
{"command":"list","argv":["list"]}
{"command":"list","argv":["list"],"fault":"all hang"}
`)}
	want = []strike{{fault: "a call dies when done", alloc: "0123abcd"}, {fault: "the CLI hangs"}}
	if met := a.struck(); !slices.Equal(met, want) {
		t.Errorf("the stand-in: %+v", met)
	}
}
