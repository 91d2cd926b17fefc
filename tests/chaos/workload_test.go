package chaos

import (
	"cmp"
	"fmt"
	"math"
	"math/rand"
	"slices"
	"strconv"
	"strings"
)

// script is a task that can be checked afterwards. Each run of it has a name and an exit code of its
// own, which nobody can know before; it numbers its lines on both streams and says its code last.
// A task that is stopped says another code. That it runs and its code it also tells a file, for the
// case that nobody collects its lines.
const script = `run=$(cat /proc/sys/kernel/random/uuid)
code=$((0x$(echo $run | cut -c1-8) %% 100 + 1))
end() { echo "$run exit $code" >>/alloc/told; echo "$run exit $code"; exit $code; }
trap 'code=$((code + 100)); end' TERM
echo "$run runs" >>/alloc/told
n=0
while [ $n -lt %d ]; do
  n=$((n + 1)); echo "$run $n"; echo "$run $n" >&2
  sleep %s & wait $!
done
end`

// plan is what a task is to do.
type plan struct {
	lines  int
	pause  string
	stopAt int  // milliseconds after which it is stopped, 0: never
	pulls  bool // its image has to be asked for at the registry
}

func newPlan(rng *rand.Rand) plan {
	p := plan{lines: 5 + rng.Intn(60), pause: fmt.Sprintf("0.%02d", 5+rng.Intn(20))}
	if rng.Intn(4) == 0 {
		p.stopAt = rng.Intn(8000)
	}
	p.pulls = rng.Intn(4) == 0
	return p
}

func (p plan) script() string { return fmt.Sprintf(script, p.lines, p.pause) }

// run is one run of the script as its log tells it.
type run struct {
	name  string
	lines int
	exit  int // as it said itself, 0: it did not
}

// codeOf says whether a run of this name may have ended with this code.
func codeOf(name string, stopped bool, code int) bool {
	number, _ := strconv.ParseUint(name[:8], 16, 64)
	own := int(number%100) + 1
	return code == own || stopped && code == own+100
}

// read takes a log apart. A line that is missing, repeated or torn, and a run that goes on after its
// successor has begun (two at a time), are errors. In a log that may have holes lines may be missing
// or torn, in one that was cut off the last line may be torn. Until the container runs, its stderr is the
// engine's: why a start failed is told there, in `foreign` lines.
func read(log string, holes, cut, foreign bool) ([]run, error) {
	var runs []run
	if cut {
		log = log[:strings.LastIndexByte(log, '\n')+1]
	}
	if log != "" && !strings.HasSuffix(log, "\n") && !holes {
		return nil, fmt.Errorf("the log ends within a line: %q", last(log, 120))
	}
	for number, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		if line == "" && log == "" {
			break
		}
		name, rest, ok := strings.Cut(line, " ")
		torn := !ok || len(name) != 36
		if torn && (holes || foreign) {
			continue
		}
		if torn {
			return nil, fmt.Errorf("line %d is %q", number+1, line)
		}
		if len(runs) == 0 || runs[len(runs)-1].name != name {
			for _, earlier := range runs {
				if earlier.name == name {
					return nil, fmt.Errorf("line %d: run %s goes on beside its successor", number+1, name)
				}
			}
			runs = append(runs, run{name: name})
		}
		current := &runs[len(runs)-1]
		if code, ok := strings.CutPrefix(rest, "exit "); ok {
			if _, err := fmt.Sscanf(code, "%d", &current.exit); err != nil {
				return nil, fmt.Errorf("line %d is %q", number+1, line)
			}
			continue
		}
		n, err := strconv.Atoi(rest)
		if err != nil && holes {
			continue
		}
		if n != current.lines+1 && !(holes && n > current.lines) {
			return nil, fmt.Errorf("line %d of run %s is %q, want %d", number+1, name, rest, current.lines+1)
		}
		current.lines = n
	}
	return runs, nil
}

// inOrder is a log with the lines of each run by their numbers, the exit last.
func inOrder(log string) string {
	place := map[string]int{}
	lines := strings.SplitAfter(log, "\n")
	number := func(line string) (int, int) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, known := place[name]; !known {
			place[name] = len(place)
		}
		n, err := strconv.Atoi(rest)
		if err != nil {
			n = math.MaxInt
		}
		return place[name], n
	}
	for _, line := range lines {
		number(line)
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		run, n := number(a)
		other, m := number(b)
		return cmp.Or(cmp.Compare(run, other), cmp.Compare(n, m))
	})
	return strings.Join(lines, "")
}

// readTold reads the file that the runs of a task tell of themselves.
func readTold(text string) []run {
	var runs []run
	for _, line := range strings.Split(text, "\n") {
		name, rest, _ := strings.Cut(line, " ")
		if len(name) != 36 {
			continue // a run that was killed while it wrote
		}
		if len(runs) == 0 || runs[len(runs)-1].name != name {
			runs = append(runs, run{name: name})
		}
		if code, ok := strings.CutPrefix(rest, "exit "); ok {
			runs[len(runs)-1].exit, _ = strconv.Atoi(code)
		}
	}
	return runs
}

// amend is the runs that were told, with the lines that were collected of each.
func amend(collected, told []run) ([]run, error) {
	if len(told) == 0 {
		return collected, nil
	}
	out, before := slices.Clone(told), -1
	for _, r := range collected {
		at := slices.IndexFunc(out, func(other run) bool { return other.name == r.name })
		if at <= before {
			return nil, fmt.Errorf("run %s is in the log, but not at its place among those that there were", r.name)
		}
		out[at].lines, before = r.lines, at
	}
	return out, nil
}

func last(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
