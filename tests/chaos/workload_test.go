package chaos

import (
	"fmt"
	"math/rand"
	"strings"
)

// script is a task that can be checked afterwards. Each run of it has a name and an exit code of its
// own, which nobody can know before; it numbers its lines on both streams and says its code last.
// A task that is stopped says another code.
const script = `run=$(cat /proc/sys/kernel/random/uuid)
code=$((0x$(echo $run | cut -c1-8) %% 100 + 1))
trap 'code=$((code + 100)); echo "$run exit $code"; exit $code' TERM
n=0
while [ $n -lt %d ]; do
  n=$((n + 1)); echo "$run $n"; echo "$run $n" >&2
  sleep %s & wait $!
done
echo "$run exit $code"
exit $code`

// plan is what a task is to do.
type plan struct {
	lines  int
	pause  string
	stopAt int // milliseconds after which it is stopped, 0: never
}

func newPlan(rng *rand.Rand) plan {
	p := plan{lines: 5 + rng.Intn(60), pause: fmt.Sprintf("0.%02d", 5+rng.Intn(20))}
	if rng.Intn(4) == 0 {
		p.stopAt = rng.Intn(8000)
	}
	return p
}

func (p plan) script() string { return fmt.Sprintf(script, p.lines, p.pause) }

// run is one run of the script as its log tells it.
type run struct {
	name  string
	lines int
	exit  int // as it said itself, 0: it did not
}

// read takes a log apart. A line that is missing, repeated or torn, and a run that goes on after its
// successor has begun (two at a time), are errors.
func read(log string) ([]run, error) {
	var runs []run
	if log != "" && !strings.HasSuffix(log, "\n") {
		return nil, fmt.Errorf("the log ends within a line: %q", last(log, 120))
	}
	for number, line := range strings.Split(strings.TrimSuffix(log, "\n"), "\n") {
		if line == "" && log == "" {
			break
		}
		if podmansOwn(line) {
			continue
		}
		name, rest, ok := strings.Cut(line, " ")
		if !ok || len(name) != 36 {
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
		if want := fmt.Sprint(current.lines + 1); rest != want {
			return nil, fmt.Errorf("line %d of run %s is %q, want %s", number+1, name, rest, want)
		}
		current.lines++
	}
	return runs, nil
}

// podmansOwn says whether podman wrote a line, not the task. Until the container runs, its stderr is the
// task's: why a start failed is told there. No line of the task looks like that.
func podmansOwn(line string) bool {
	return strings.HasPrefix(line, "Error: ") || strings.HasPrefix(line, `time="`)
}

func last(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
