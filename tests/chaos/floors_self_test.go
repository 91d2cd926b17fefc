package chaos

import (
	"testing"
	"time"
)

func TestARunOfWhichLittleWentWellIsNone(t *testing.T) {
	tests := []struct {
		name   string
		counts map[string]int
		did    int
		might  int
		enough bool
	}{
		{"the usual", map[string]int{"task exited": 65, "task ended with an unknown status, its watcher was killed": 4,
			"task not started: podman fails": 9, "task not started, the plugin was away": 1, "task stopped before it ran": 4,
			"task whose end Nomad does not tell": 3, "fault: podman killed": 16}, 65, 68, true},
		{"many faults", map[string]int{"task exited": 242, "task not started: a call fails": 2758,
			"task ended with an unknown status, its watcher was killed": 425, "task whose end Nomad does not tell": 185}, 242, 427, true},
		{"incomplete logs", map[string]int{"task exited, log incomplete: its log collector was killed": 20,
			"task killed when stopped": 5, "task exited without its last words": 2}, 25, 27, true},
		{"few that tell their status", map[string]int{"task exited": 9, "task destroyed while its client was killed": 40}, 9, 49, false},
		{"too few to tell", map[string]int{"task exited": 1, "task whose end Nomad does not tell": 18}, 1, 19, true},
	}
	for _, test := range tests {
		s := ownStatus(test.counts)
		if err := s.floor(); s.did != test.did || s.might != test.might || (err == nil) != test.enough {
			t.Errorf("%s: %s, %v", test.name, s, err)
		}
	}
}

func TestStartsThatMetAFaultForAllDoNotCount(t *testing.T) {
	base := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	at := func(second int) time.Time { return base.Add(time.Duration(second) * time.Second) }
	var starts []start
	for second := range 100 { // one of twenty succeeds
		s := start{span: span{at(second), at(second + 1)}, failed: "x"}
		if second%20 == 0 {
			s = start{span: span{at(second), at(second + 30)}}
		}
		starts = append(starts, s)
	}
	if s := startedUndisturbed(starts, nil); s.did != 5 || s.might != 100 || s.floor() != nil {
		t.Errorf("%s, %v", s, s.floor())
	}
	// A fault in the seconds 38 to 50: those of 36 to 50 meet it within two seconds.
	if s := startedUndisturbed(starts, []span{{at(38), at(50)}}); s.did != 4 || s.might != 85 || s.floor() == nil {
		t.Errorf("%s, %v", s, s.floor())
	}
	if s := startedUndisturbed(starts, []span{{at(38), at(80)}}); s.did != 2 || s.might != 55 || s.floor() != nil {
		t.Errorf("%s, too few to tell: %v", s, s.floor())
	}
}
