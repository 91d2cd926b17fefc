package nomadkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PrivateMemory is what a process shares with no other, in bytes.
func PrivateMemory(pid int) (uint64, error) {
	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, line := range strings.Split(string(rollup), "\n") {
		var kib uint64
		for _, field := range []string{"Private_Clean: %d kB", "Private_Dirty: %d kB"} {
			if _, err := fmt.Sscanf(line, field, &kib); err == nil {
				sum += kib << 10
			}
		}
	}
	return sum, nil
}

// CPUTime is how long the threads of a process that live have run, to the nanosecond.
func CPUTime(pid int) (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, path := range threads {
		if data, err := os.ReadFile(path); err == nil {
			var ran uint64
			if _, err := fmt.Sscan(string(data), &ran); err == nil {
				sum += time.Duration(ran)
			}
		}
	}
	return sum
}
