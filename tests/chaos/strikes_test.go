package chaos

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"

	"nomad-driver-container/tests/nomadkit"
)

// What is noted of faults and of starts, and how the one is compared with the other.

// making is one fault that is being made.
type making struct {
	*world
	fault string
	alloc string // of the one task that it hits
	armed bool   // it hits the next call, which is noted when it comes
}

// make makes a fault, one that hits all tasks where that is said.
func (w *world) make(f fault, everywhere bool, rng *rand.Rand) bool {
	m := &making{world: w, fault: f.name}
	s := w.begins(f.name)
	err := f.do(m, rng)
	w.ends(s, m.alloc, err != errNothing && !m.armed)
	if err == errNothing {
		return false
	}
	if err != nil {
		w.violation("making the fault %q: %v", f.name, err)
	}
	if everywhere {
		w.noteEverywhere(span{s.from, time.Now()}, f.name)
	}
	w.count("fault: " + f.name)
	return true
}

// begins notes that a fault is made: from now on starts may fail for it, unless it hits nothing.
func (w *world) begins(fault string) *strike {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &strike{span: span{from: time.Now()}, fault: fault}
	w.strikes[fault] = append(w.strikes[fault], s)
	return s
}

func (w *world) ends(s *strike, alloc string, hit bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.to, s.alloc = time.Now(), alloc; hit {
		return
	}
	w.strikes[s.fault] = slices.DeleteFunc(w.strikes[s.fault], func(other *strike) bool { return other == s })
}

// note notes a strike that is over.
func (w *world) note(s strike) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strikes[s.fault] = append(w.strikes[s.fault], &s)
}

// noteEverywhere notes that a fault hit all tasks, if one of the kind may fail a start.
func (w *world) noteEverywhere(s span, fault string) {
	if !mayFailAStart(fault) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.everywhere = append(w.everywhere, s)
}

// lookForStrikes notes what faults the engine's calls have met since it was here. When they did that the
// calls do not tell: their clock may be wrong.
func (w *world) lookForStrikes() {
	now := time.Now()
	for _, s := range w.engine.struck() {
		s.span = span{w.looked, time.Now()}
		w.note(s)
	}
	w.looked = now
}

// A start takes some fifteen times as long as what is asked here: it is more work, and the eight that are
// made at a time wait for each other at podman's locks. It has the deadline of a call.
const slowAnswer = commandTimeout / 15

// feelMachine notes a time in which the machine alone may have made a call late: what it takes to ask the
// engine for something that is no work, and to write a file.
func (w *world) feelMachine() {
	from := time.Now()
	w.engine.ask()
	if file, err := os.Create(filepath.Join(w.agent.Dir, "felt")); err == nil {
		_, _ = file.WriteString("x")
		_ = file.Sync()
		file.Close()
	}
	if to := time.Now(); to.Sub(from) > slowAnswer {
		w.note(strike{span: span{from, to}, fault: slowMachine})
		w.count("time that the machine was slow")
	}
}

// allocIn is the allocation of the first container that a command line names, by its first 8 characters.
func allocIn(line string) string {
	if _, rest, found := strings.Cut(line, "nomad-main-"); found && len(rest) >= 8 {
		return rest[:8]
	}
	return ""
}

// tail reads a file as it grows, line by line.
type tail struct {
	path string
	at   int64
}

func (t *tail) lines() []string {
	file, err := os.Open(t.path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() <= t.at {
		return nil
	}
	text := make([]byte, info.Size()-t.at)
	n, _ := file.ReadAt(text, t.at)
	whole := strings.LastIndexByte(string(text[:n]), '\n') + 1
	t.at += int64(whole)
	return strings.Split(string(text[:whole]), "\n")
}

// --- starts

// startOf is the last start of an allocation's task that Nomad has told the end of, or the last that failed.
func startOf(alloc *api.Allocation, submitted time.Time, failed bool) (start, bool) {
	s := start{span: span{from: submitted}, alloc: alloc.ID[:8]}
	state := alloc.TaskStates["main"]
	if state == nil {
		return s, false
	}
	received := submitted
	for _, event := range state.Events {
		at := time.Unix(0, event.Time)
		switch {
		case event.Type == api.TaskReceived: // again, where a client that was killed comes back
			received = at
		case event.Type == api.TaskStarted && !failed:
			s.span, s.failed = span{received, at}, ""
		case event.Type == api.TaskDriverFailure, event.Type == api.TaskSetupFailure:
			s.span, s.failed = span{received, at}, event.DisplayMessage
		}
	}
	return s, !s.to.IsZero()
}

// failure is a start that failed, until it is known why.
type failure struct {
	start
	noted time.Time
	told  string // of the task, should nothing explain it
}

// noteStart notes how a task's start went.
func (w *world) noteStart(alloc *api.Allocation, submitted time.Time, job, outcome string) {
	s, known := startOf(alloc, submitted, outcome == notStarted)
	if !known {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts = append(w.starts, s)
	if outcome == notStarted {
		told := fmt.Sprintf("%s, allocation %s, received %s, failed %s, events:\n%s", job, alloc.ID,
			s.from.Format(time.TimeOnly), s.to.Format("15:04:05.000"), nomadkit.Events(alloc, "main"))
		w.failures = append(w.failures, failure{s, time.Now(), told})
	}
}

// A fault is noted a moment after it has hit, or when somebody looks for it.
const settled = 10 * time.Second

// judgeStarts looks for the reasons of the starts that failed. At last, when no more faults are made, one
// that is not over has hit something.
func (w *world) judgeStarts(atLast bool) {
	w.mu.Lock()
	var open []failure
	var wrong []string
	for _, f := range w.failures {
		fault, err := w.strikes.explain(f.start)
		switch {
		case err == nil, atLast && errors.Is(err, errUndecided):
			w.counts["task not started: "+fault]++
		case !atLast && (errors.Is(err, errUndecided) || time.Since(f.noted) < settled):
			open = append(open, f)
		default:
			wrong = append(wrong, fmt.Sprintf("%s: %v", f.told, err))
		}
	}
	w.failures = open
	w.mu.Unlock()
	for _, text := range wrong {
		w.violation("%s", text)
	}
}
