package chaos

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// A start lasts from second 100 to second 110. What it failed for, and what was at work when.
func TestAStartIsExplainedByAFaultThatItMet(t *testing.T) {
	const mine, other = "aaaaaaaa", "bbbbbbbb"
	base := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	at := func(second float64) time.Time { return base.Add(time.Duration(second * float64(time.Second))) }
	made := func(fault, alloc string, from, to float64) strike {
		return strike{span: span{at(from), at(to)}, fault: fault, alloc: alloc}
	}
	goesOn := func(fault string, from float64) strike { return strike{span: span{from: at(from)}, fault: fault} }
	after := func(margin time.Duration) float64 { return 100 - margin.Seconds() }
	const (
		noRoom   = `prepare state directory "/s/nomad-main-aaaaaaaa/owner.new": No space left on device; the node's disk is full`
		sigkill  = `start container "nomad-main-aaaaaaaa": podman ended with SIGKILL and gave no reason`
		vague    = `start container "nomad-main-aaaaaaaa": podman failed to start it (its words are in the task's stderr log), but could prepare it a moment later`
		late     = `start container "nomad-main-aaaaaaaa": run "podman run": no answer within 5s; killed`
		refused  = `find image "a": run "container image": not tried, because the last calls failed: run "container list": no answer within 5s; killed; check the node: container system status`
		paused   = `start container "a": run "container create": not tried, because the last calls failed: container create: no answer within 8s; killed; check the node: container system status`
		nothing  = `find image "localhost/ndc-busybox:1": chaos: nothing works`
		shutDown = `plugin is shut down`
		again    = `failed to start task after driver exited unexpectedly: rpc error: code = FailedPrecondition desc = `
	)
	tests := []struct {
		name   string
		failed string
		struck []strike
		fault  string // empty: none
		err    error
	}{
		{"during the start", noRoom, []strike{made("state directory full", "", 102, 103)}, "state directory full", nil},
		{"around the start", noRoom, []strike{made("state directory full", "", 50, 200)}, "state directory full", nil},
		{"within the margin", noRoom, []strike{made("state directory full", "", 70, after(shared)+1)}, "state directory full", nil},
		{"past the margin", noRoom, []strike{made("state directory full", "", 60, after(shared)-1)}, "", errNoFault},
		{"after the failure", noRoom, []strike{made("state directory full", "", 110.1, 112)}, "", errNoFault},
		{"the first was too early, the last too late", noRoom,
			[]strike{made("state directory full", "", 0, 1), made("state directory full", "", 111, 112)}, "", errNoFault},
		{"one of several", noRoom, []strike{made("state directory full", "", 0, 1), made("state directory full", "", 104, 105),
			made("state directory full", "", 111, 112)}, "state directory full", nil},
		{"another fault", noRoom, []strike{made("plugin killed", "", 102, 102)}, "", errNoFault},
		{"no fault at all", noRoom, nil, "", errNoFault},
		{"not over yet", noRoom, []strike{goesOn("state directory full", 104)}, "state directory full", errUndecided},
		{"not over yet, and begun too late", noRoom, []strike{goesOn("state directory full", 111)}, "", errNoFault},
		{"one is over, another is not", noRoom,
			[]strike{made("state directory full", "", 101, 102), goesOn("state directory full", 104)}, "state directory full", nil},

		{"its own call killed", sigkill, []strike{made("podman killed", mine, 103, 103)}, "podman killed", nil},
		{"a shared call killed", sigkill, []strike{made("podman killed", "", 103, 103)}, "podman killed", nil},
		{"another task's call killed", sigkill, []strike{made("podman killed", other, 103, 103)}, "", errNoFault},
		{"no full disk sends SIGKILL", sigkill, []strike{made("state directory full", "", 95, 120)}, "", errNoFault},
		{"nor does a call that hangs", sigkill, []strike{made("podman hangs", mine, 101, 101)}, "", errNoFault},
		{"a start that hung and was ended", `start container "a": container ended without a word: SIGKILL`,
			[]strike{made(hungStartEnded, mine, 109, 109)}, hungStartEnded, nil},
		{"another signal than SIGKILL", `start container "a": podman ended with SIGSEGV and gave no reason`,
			[]strike{made("podman killed", mine, 103, 103)}, "", errNoFault},

		{"a failing call that nobody heard", vague, []strike{made("podman fails", mine, 103, 104)}, "podman fails", nil},
		{"another's failing call", vague, []strike{made("podman fails", other, 103, 104)}, "", errNoFault},
		{"what another's killed call left", vague, []strike{made("podman killed", other, 103, 103)}, "podman killed", nil},
		{"words that nothing hung for", vague, []strike{made("podman hangs", mine, 103, 104)}, "", errNoFault},

		{"its own call hung", late, []strike{made("podman hangs", mine, 103, 104)}, "podman hangs", nil},
		{"another's call hung", late, []strike{made("podman hangs", other, 103, 104)}, "", errNoFault},
		{"the machine was slow", late, []strike{made(slowMachine, "", 104, 106)}, slowMachine, nil},
		{"its conmon was killed long ago", late, []strike{made("conmon killed", mine, 50, 50)}, "conmon killed", nil},

		{"an open breaker", refused, []strike{made("the CLI hangs", other, 45, 46)}, "the CLI hangs", nil},
		{"a breaker that had to be closed", refused, []strike{made("the CLI hangs", "", 0, after(breakerOpen)-1)}, "", errNoFault},
		{"paused starts", paused, []strike{made("a call hangs", other, -200, -199)}, "a call hangs", nil},
		{"starts that had to go on", paused, []strike{made("a call hangs", other, -300, after(startsPaused)-1)}, "", errNoFault},

		{"a failing call", nothing, []strike{made("a call fails", "", 105, 106)}, "a call fails", nil},
		{"words of another engine's fault", nothing, []strike{made("the service is down", "", 105, 106)}, "", errNoFault},

		{"the plugin away", shutDown, []strike{made("plugin killed", "", 99, 99)}, "plugin killed", nil},
		{"a plugin that nobody killed", shutDown, []strike{made("podman killed", "", 105, 105)}, "", errNoFault},
		{"the second try", again + noRoom,
			[]strike{made("plugin killed", "", 101, 101), made("state directory full", "", 102, 103)}, "state directory full", nil},
		{"the second try, of a plugin that crashed", again + noRoom, []strike{made("state directory full", "", 102, 103)}, "", errNoFault},
		{"the second try, without its reason", again + noRoom, []strike{made("plugin killed", "", 101, 101)}, "", errNoFault},
		{"the second try, for a reason that follows from the first", again + "a task with this id exists already",
			[]strike{made("plugin killed", "", 101, 101)}, "plugin killed", nil},

		{"words that nothing explains", "the moon is full", []strike{made("plugin killed", "", 101, 101)}, "", errNotKnown},
	}
	for _, test := range tests {
		all := strikes{}
		for _, s := range test.struck {
			all[s.fault] = append(all[s.fault], &s)
		}
		fault, err := all.explain(start{span{at(100), at(110)}, mine, test.failed})
		if fault != test.fault || !errors.Is(err, test.err) {
			t.Errorf("%s: %q, %v; want %q, %v", test.name, fault, err, test.fault, test.err)
		}
	}
}

// A name that is spelled in two ways would explain nothing.
func TestTheFaultsThatExplainAreThoseThatAreMade(t *testing.T) {
	names := []string{hungStartEnded, slowMachine}
	for _, faults := range [][]fault{small, large, (&podman{}).small(), (&podman{}).large(), (&apple{}).small(), (&apple{}).large()} {
		for _, f := range faults {
			names = append(names, f.name)
		}
	}
	for _, c := range causes {
		for _, s := range c.sources {
			for _, name := range s.faults {
				if !slices.Contains(names, name) {
					t.Errorf("%s: no fault is called %q", c.said, name)
				}
			}
		}
	}
}
