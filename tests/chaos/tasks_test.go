package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/nomad/api"

	"nomad-driver-container/tests/nomadkit"
)

// Tasks, and what is held against the driver at their ends.

// job runs one task from its submission to its end and checks it.
func (w *world) job(id string, p plan) {
	image, more := w.engine.image(), ""
	if p.pulls {
		image, more = w.engine.pulled(), "force_pull = true"
	}
	text := strings.ReplaceAll(nomadkit.BatchJob("kill_timeout = \"4s\"\n"+nomadkit.Shell(p.script(), more)),
		"${image}", image)
	job := parse(w.t, text, id)
	start := time.Now()
	w.try("registering "+id, func() error {
		_, _, err := w.agent.API.Jobs().Register(job, nil)
		return err
	})
	defer w.try("deregistering "+id, func() error {
		_, _, err := w.agent.API.Jobs().Deregister(id, true, nil)
		return err
	})
	var allocID string
	w.try("an allocation of "+id, func() error {
		allocs, _, err := w.agent.API.Jobs().Allocations(id, true, nil)
		if err == nil && len(allocs) == 0 {
			err = fmt.Errorf("none yet")
		}
		if err == nil {
			allocID = allocs[0].ID
		}
		return err
	})
	if allocID == "" {
		return
	}
	if p.stopAt > 0 {
		// The moment is the plan's: this is no waiting for something.
		time.Sleep(time.Duration(p.stopAt) * time.Millisecond)
		w.try("stopping "+id, func() error {
			_, _, err := w.agent.API.Jobs().Deregister(id, false, nil)
			return err
		})
	}
	var alloc *api.Allocation
	untold, look := false, time.Now().Add(20*time.Second)
	w.try("the end of "+id, func() error {
		found, _, err := w.agent.API.Allocations().Info(allocID, nil)
		if err == nil && !found.ClientTerminalStatus() && time.Now().After(look) {
			// A client that was killed between an allocation's end and its report to the servers
			// does not report it later: they believe that it goes on.
			look = time.Now().Add(5 * time.Second)
			untold = len(w.absences(start)) > 0 &&
				(w.agentsSaid(allocID, "task run loop exiting") || w.agentsSaid(allocID, "marking allocation for GC"))
			// Nomad tries to stop a task five times by the handle that it had, with pauses of up to
			// two minutes, also when that is of a plugin that was killed.
			untold = untold || w.agentsSaid(allocID, "failed to kill task", "plugin is shut down")
		}
		if err == nil && !found.ClientTerminalStatus() && !untold {
			err = fmt.Errorf("allocation %s is %s:\n%s", allocID, found.ClientStatus, nomadkit.Events(found, "main"))
		}
		if err == nil {
			alloc = found
		}
		return err
	})
	if untold {
		w.count("task whose end Nomad does not tell")
		return
	}
	if alloc == nil {
		return
	}
	// The collector may still be at it when the task's state is told, unless it was killed.
	patience := 15 * time.Second
	if w.isUnread(alloc.ID) {
		patience = 2 * time.Second
	}
	outcome, err := w.check(alloc, p, start, missing{})
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
		time.Sleep(200 * time.Millisecond)
		outcome, err = w.check(alloc, p, start, missing{})
	}
	// What the task told otherwise is compared even where the log, or that there is none, seems right.
	if why, lost := w.uncollected(alloc.ID, start); why != "" && (err != nil || lost.any) {
		complete := outcome
		if outcome, err = w.check(alloc, p, start, lost); err == nil && outcome != complete {
			outcome += ", log incomplete: " + why
		}
	}
	if err != nil {
		w.violation("%s, allocation %s: %v\nevents:\n%sstdout: %s", id, allocID, err,
			nomadkit.Events(alloc, "main"), last(w.log(allocID, "stdout"), 600))
		return
	}
	w.noteStart(alloc, start, id, outcome)
	if outcome != notStarted {
		w.count("task " + outcome)
	}
}

// try repeats something that the agent may refuse while it is broken or away.
func (w *world) try(what string, step func() error) {
	// A driver whose starts have hung tries none for five minutes.
	deadline := time.Now().Add(8 * time.Minute)
	for {
		err := step()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.violation("%s: not within 8 minutes: %v", what, err)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// log reads what the collector wrote; there is one file, the tasks say little.
func (w *world) log(allocID, stream string) string {
	data, _ := os.ReadFile(filepath.Join(w.agent.Dir, "data/alloc", allocID, "alloc/logs/main."+stream+".0"))
	// A client that is killed before it has written down its collector leaves it at work, and the next
	// client starts another one beside it: of two that read one FIFO and write one file, each line comes
	// from one, in no order.
	if w.agentsThatSaid(allocID, "logmon: plugin started") > 1 {
		return inOrder(string(data))
	}
	return string(data)
}

// told is what the task wrote into a file of its allocation, past all collectors.
func (w *world) told(allocID string) []run {
	data, _ := os.ReadFile(filepath.Join(w.agent.Dir, "data/alloc", allocID, "alloc/told"))
	return readTold(string(data))
}

// missing is what nobody has collected of a task's log, for a reason.
type missing struct {
	end bool // from some moment on
	any bool // and lines before it: what the task told otherwise is compared instead
}

// notStarted is what became of a task whose start failed. For what reason is looked at once all faults of
// that time are noted.
const notStarted = "not started"

// check compares what Nomad says of a task with what the task itself wrote, but for what is `lost`.
func (w *world) check(alloc *api.Allocation, p plan, start time.Time, lost missing) (string, error) {
	excused, collectorKilled := w.mayHaveHole(alloc.ID, start)
	holes, cut := excused || collectorKilled || lost.any, lost.end
	stdout, err := read(w.log(alloc.ID, "stdout"), holes, cut, false)
	if err != nil {
		return "", fmt.Errorf("stdout: %w", err)
	}
	stderr, err := read(w.log(alloc.ID, "stderr"), holes, cut, true)
	if err != nil {
		return "", fmt.Errorf("stderr: %w", err)
	}
	for i, r := range stdout {
		// Every line goes to stdout first: a run that was killed or stopped may have one more there.
		errLines := 0
		if i < len(stderr) {
			errLines = stderr[i].lines
		}
		if !holes && !cut && (r.lines != errLines && r.lines != errLines+1 || r.exit != 0 && p.stopAt == 0 && r.lines != errLines) {
			return "", fmt.Errorf("run %s has %d lines on stdout, %d on stderr", r.name, r.lines, errLines)
		}
	}
	told := false
	if lost.any {
		runs := w.told(alloc.ID)
		if stdout, err = amend(stdout, runs); err != nil {
			return "", err
		}
		told = len(runs) > 0
	}
	var ended *api.TaskEvent
	failure, failedLater := "", false
	if state := alloc.TaskStates["main"]; state != nil {
		for _, event := range state.Events {
			switch event.Type {
			case api.TaskStarted: // anew, by a client that could not recover it
				ended = nil
			case api.TaskTerminated:
				ended, failedLater = event, false
			case api.TaskDriverFailure, api.TaskSetupFailure:
				failure, failedLater = event.DisplayMessage, true
			}
		}
	}
	if ended == nil {
		return w.checkUnended(alloc, p, start, stdout, failure)
	}
	if strings.Contains(ended.DisplayMessage, "unknown") {
		if excused {
			return "ended with an unknown status, its watcher was killed", nil
		}
		// A client that was killed while it destroyed an ended task recovers it when it is back.
		if strings.Contains(ended.DisplayMessage, "was removed before its exit") && len(w.absences(start)) > 0 {
			return "destroyed while its client was killed", nil
		}
		return "", fmt.Errorf("its exit status is unknown for no reason: %s", ended.DisplayMessage)
	}
	// Nomad asks the next plugin for the exit of a task that runs, not for that of one it is ending.
	if p.stopAt > 0 && ended.ExitCode == 0 && strings.Contains(ended.DisplayMessage, "plugin is shut down") {
		return "given up by Nomad, the plugin was killed within its stop", nil
	}
	if ended.Signal == int(syscall.SIGPIPE) {
		return "", fmt.Errorf("SIGPIPE killed it")
	}
	if len(stdout) == 0 {
		switch {
		case p.stopAt > 0 && ended.ExitCode != 0:
			return "stopped at once", nil
		case cut && !lost.any:
			return "ended", nil
		}
		return "", fmt.Errorf("it wrote nothing and ended with %d (%s)", ended.ExitCode, ended.DisplayMessage)
	}
	final := stdout[len(stdout)-1]
	// The container of a start that failed may have run for a moment before it was ended, or to its end.
	if failedLater && final.exit != ended.ExitCode && len(stdout) > 1 {
		final = stdout[len(stdout)-2]
	}
	switch {
	case final.exit != 0 && ended.ExitCode == final.exit:
		if p.stopAt == 0 && final.lines != p.lines && !holes {
			return "", fmt.Errorf("%d lines of %d", final.lines, p.lines)
		}
		return "exited", nil
	case final.exit == 0 && p.stopAt > 0 && (ended.Signal != 0 || ended.ExitCode == 128+int(syscall.SIGKILL)):
		return "killed when stopped", nil
	case final.exit == 0 && (holes || cut) && !told && codeOf(final.name, p.stopAt > 0, ended.ExitCode):
		return "exited without its last words", nil
	}
	return "", fmt.Errorf("its last run said %d, Nomad says %d, signal %d (%s)", final.exit, ended.ExitCode,
		ended.Signal, ended.DisplayMessage)
}

// checkUnended is check for an allocation without a word about a task's end.
func (w *world) checkUnended(alloc *api.Allocation, p plan, start time.Time, stdout []run, failure string) (string, error) {
	switch {
	case failure != "":
		return notStarted, nil
	// Nomad asks the driver for its capabilities before there is a task; no event tells of that.
	case strings.Contains(alloc.ClientDescription, "plugin is shut down") && len(stdout) == 0:
		return "not started, the plugin was away", nil
	case p.stopAt > 0 && len(stdout) == 0:
		return "stopped before it ran", nil
	// A client that comes back to an allocation that is to be stopped ends it without an event.
	case p.stopAt > 0 && len(w.absences(start)) > 0:
		return "stopped while its client was away", nil
	// A client whose plugin dies again while it recovers a task, or right after that, gives the task up.
	case w.agentsSaid(alloc.ID, "wait task failed"),
		w.agentsSaid(alloc.ID, "failed to initialize driver after it exited unexpectedly"),
		w.agentsSaid(alloc.ID, "error recovering task", "plugin is shut down"):
		return "given up by Nomad, the plugin was killed within its recovery", nil
	}
	return "", fmt.Errorf("it is %s (%s) without a word about how", alloc.ClientStatus, alloc.ClientDescription)
}

// uncollected says why nobody may have collected what of an allocation's log, "" if somebody must.
func (w *world) uncollected(alloc string, start time.Time) (string, missing) {
	// With the collector goes what it had read and not yet written, and Nomad starts none in its
	// place before it starts the task again or comes back itself.
	if w.isUnread(alloc) {
		return "its log collector was killed", missing{end: true, any: true}
	}
	// A task over Podman writes into the collector's FIFO itself. When it ends while collector and
	// plugin are away, the last end of the FIFO goes, and with it what was not read.
	for _, a := range w.absences(start) {
		if a.alone && w.agent.Kind == nomadkit.PodmanKind {
			return "the task ended while log collector and plugin were away", missing{end: true}
		}
	}
	// Nomad starts no new collector when it calls StartTask again. The one that it has came to its
	// FIFO's end when the plugin that had opened it was killed.
	if w.agentsSaid(alloc, "failed to start task because plugin shutdown unexpectedly") {
		return "the plugin was killed within StartTask", missing{end: true, any: true}
	}
	return "", missing{}
}
