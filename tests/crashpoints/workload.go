package crashpoints

import (
	"fmt"
	"strconv"
	"strings"
)

// workload is a shell program that numbers its lines on both streams, each with an id of this run,
// until it is told to end; it learns its exit code only then. On SIGTERM it ends in the same way, but
// not between a line's two streams.
func workload(dir string, tty bool) string {
	both := "echo \"$R $*\"; echo \"$R $*\" >&2"
	if tty {
		both = "echo \"$R $*\"" // there is one stream
	}
	return fmt.Sprintf(`read R < /proc/sys/kernel/random/uuid
say() { %s; }
finish() {
	if [ -e %[2]s/flood ]; then while [ $i -lt 3000 ]; do i=$((i+1)); say $i; done; fi
	say last $i; exit $(cat %[2]s/code)
}
trap 'told=1' TERM
i=0
while [ ! -e %[2]s/go ] && [ -z "$told" ]; do i=$((i+1)); say $i; sleep 0.02; done
finish`, both, dir)
}

// checkLog says what is wrong with a log. Each run must count from 1 without a hole, one run after
// the other (two at a time would be two containers); the last one must be complete unless `cut`. A line
// that is none of the workload's is torn, unless the engine `says` such.
func checkLog(text string, cut bool, says func(line string) bool) error {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	last := lines[len(lines)-1]
	if last != "" && !cut {
		return fmt.Errorf("it ends within a line: %q", last)
	}
	lines = lines[:len(lines)-1]
	done := map[string]bool{}
	run, count, complete := "", 0, false
	for at, line := range lines {
		id, word, _ := strings.Cut(line, " ")
		if len(id) != 36 {
			if says(line) {
				continue
			}
			return fmt.Errorf("line %d is none of the workload's: %q", at+1, line)
		}
		if id != run {
			if done[id] {
				return fmt.Errorf("line %d: two runs at the same time, %q after %q", at+1, line, lines[at-1])
			}
			done[id] = true
			run, count, complete = id, 0, false
		}
		if complete {
			return fmt.Errorf("line %d: %q after the last one", at+1, line)
		}
		if number, found := strings.CutPrefix(word, "last "); found {
			if number != strconv.Itoa(count) {
				return fmt.Errorf("line %d: the workload wrote %s lines, there are %d", at+1, number, count)
			}
			complete = true
			continue
		}
		count++
		if word != strconv.Itoa(count) {
			return fmt.Errorf("line %d of the log is line %q of its run, want %d", at+1, word, count)
		}
	}
	if !complete && !cut {
		return fmt.Errorf("its end is missing: %d lines, last %q", len(lines), lines[max(0, len(lines)-1):])
	}
	return nil
}
