package chaos

import (
	"slices"
	"testing"
	"time"
)

func TestTwoWorkloadsOfATaskAreFound(t *testing.T) {
	root := func(pid int, task string) process { return process{pid: pid, parent: 1, begun: "7", task: task} }
	child := func(pid, parent int, task string) process {
		return process{pid: pid, parent: parent, begun: "8", task: task}
	}
	again := root(11, "a/main")
	again.begun = "9"
	one := []process{root(10, "a/main"), child(20, 10, "a/main"), child(21, 20, "a/main"), root(30, "b/main"), root(31, "b/side")}
	two := append(slices.Clone(one), root(11, "a/main"), child(22, 11, "a/main"))
	tests := []struct {
		name  string
		looks map[int][]process // by the second
		wrong int
	}{
		{"one with its children, and other tasks", map[int][]process{0: one, 10: one}, 0},
		{"two for a moment", map[int][]process{0: one, 1: two, 2: one, 10: one}, 0},
		{"two for long", map[int][]process{0: two, 5: two}, 1},
		{"two for long, told once", map[int][]process{0: two, 3: two, 6: two, 9: two, 20: two}, 1},
		{"two, and two again", map[int][]process{0: two, 1: one, 6: two, 7: one}, 0},
		{"one beside others that come and go", map[int][]process{0: two, 6: append(slices.Clone(one), again)}, 0},
		{"nobody", map[int][]process{0: nil, 9: nil}, 0},
	}
	for _, test := range tests {
		p := pairs{told: map[string]bool{}}
		var wrong []string
		for second := range 30 {
			if processes, looked := test.looks[second]; looked {
				wrong = append(wrong, p.look(time.Unix(int64(second), 0), processes)...)
			}
		}
		if len(wrong) != test.wrong {
			t.Errorf("%s: %q", test.name, wrong)
		}
	}
	if p := (pairs{}); len(p.look(time.Unix(0, 0), one)) != 0 || p.most != 3 {
		t.Errorf("%d workloads, want 3", p.most)
	}
}

func TestAWorkloadIsKnownByItsEnvironment(t *testing.T) {
	for environment, want := range map[string][2]string{
		"PATH=/bin\x00NOMAD_ALLOC_ID=0123abcd-1\x00NOMAD_TASK_NAME=main\x00": {"0123abcd-1", "main"},
		"NOMAD_TASK_NAME=main\x00NOMAD_ALLOC_ID=0123abcd-1":                  {"0123abcd-1", "main"},
		"NOMAD_ALLOC_ID=0123abcd-1\x00":                                      {"", ""},
		"X=NOMAD_ALLOC_ID=0123abcd-1\x00NOMAD_TASK_NAME=main":                {"", ""},
		"NOMAD_ALLOC_ID=../../x\x00NOMAD_TASK_NAME=main":                     {"", ""},
		"": {"", ""},
	} {
		if alloc, task := taskOf(environment); alloc != want[0] || task != want[1] {
			t.Errorf("%q: %q, %q", environment, alloc, task)
		}
	}
	const rest = " 4 4 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 1 2 3"
	p, ok := readStat("42 (a) (b c) S 41" + rest)
	if !ok || p != (process{pid: 42, parent: 41, begun: "123456"}) {
		t.Errorf("%+v, %t", p, ok)
	}
	for _, text := range []string{"", "42", "42 (sh) S 41", "42 (sh) Z 41" + rest, ") S 41" + rest} {
		if p, ok := readStat(text); ok {
			t.Errorf("%q: %+v", text, p)
		}
	}
}
