package chaos

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"
)

// The checker itself must be able to find something.
func TestReadFindsWhatIsWrong(t *testing.T) {
	const a, b = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"
	good := a + " 1\n" + a + " 2\n" + b + " 1\n" + b + " exit 7\n"
	runs, err := read(good, false, false, false)
	if err != nil || len(runs) != 2 || runs[0].lines != 2 || runs[1].exit != 7 {
		t.Fatalf("%+v, %v", runs, err)
	}
	for name, log := range map[string]string{
		"lost line":     a + " 1\n" + a + " 3\n",
		"repeated line": a + " 1\n" + a + " 1\n",
		"torn line":     a + " 1\n" + a + " 2",
		"two at a time": a + " 1\n" + b + " 1\n" + a + " 2\n",
		"foreign bytes": a + " 1\nhello\n",
	} {
		if _, err := read(log, false, false, false); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
	if runs, err := read("", false, false, false); err != nil || len(runs) != 0 {
		t.Errorf("an empty log: %v, %v", runs, err)
	}
	if _, err := read(a+" 1\n"+a+" 3\n"+a+" ", true, false, false); err != nil {
		t.Errorf("a log that may have holes: %v", err)
	}
	if _, err := read(a+" 2\n"+a+" 2\n", true, false, false); err == nil {
		t.Error("a repeated line in a log that may have holes: not found")
	}
	const swapped = a + " 2\n" + a + " 1\n" + a + " exit 7\n" + b + " 1\n"
	if _, err := read(swapped, false, false, false); err == nil {
		t.Error("lines that changed places: not found")
	}
	if runs, err := read(inOrder(swapped), false, false, false); err != nil || len(runs) != 2 || runs[0].exit != 7 {
		t.Errorf("lines of two collectors: %+v, %v", runs, err)
	}
	if _, err := read(inOrder(a+" 1\n"+a+" 3\n"), false, false, false); err == nil {
		t.Error("a lost line of two collectors: not found")
	}
	if runs := readTold(a + " runs\n" + a[:9] + b + " runs\n" + b + " exit 7\n" + b + " exit 107\n"); len(runs) != 2 || runs[0].exit != 0 || runs[1].exit != 107 {
		t.Errorf("what two runs told: %+v", runs)
	}
	told := []run{{a, 0, 5}, {b, 0, 7}}
	if runs, err := amend([]run{{b, 3, 0}}, told); err != nil || !slices.Equal(runs, []run{{a, 0, 5}, {b, 3, 7}}) {
		t.Errorf("a log without its first run and its end: %+v, %v", runs, err)
	}
	if _, err := amend([]run{{b, 3, 0}, {a, 1, 0}}, told); err == nil {
		t.Error("two runs in the wrong order: not found")
	}
	if _, err := amend([]run{{a, 1, 0}}, told[1:]); err == nil {
		t.Error("a run that there was not: not found")
	}
	if !strings.Contains(plan{lines: 3, pause: "0.1"}.script(), "% 100") {
		t.Error("the script's own percent signs are gone")
	}
}

// Whatever a fault draws besides.
func TestASeedRepeatsTheFaults(t *testing.T) {
	attempts := func(draws int) []string {
		master := rand.New(rand.NewSource(12))
		var out []string
		for range 50 {
			next := nextAttempt(master, large, time.Second)
			out = append(out, fmt.Sprintf("%s after %s, %d", next.fault.name, next.pause, next.rng.Int63()))
			for range draws {
				next.rng.Int63()
			}
		}
		return out
	}
	few, many := attempts(0), attempts(3)
	if !slices.Equal(few, many) {
		t.Errorf("the same seed gave\n%s\nand\n%s", strings.Join(few, "\n"), strings.Join(many, "\n"))
	}
}
