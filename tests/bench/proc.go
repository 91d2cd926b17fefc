package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nomad-driver-container/tests/nomadkit"
)

// Usage is what /proc tells about a process at one moment.
type Usage struct {
	CPU         time.Duration // of its own threads that live, to the nanosecond
	Children    time.Duration // of children that were waited for, in ticks of 10 ms
	ChildFaults uint64        // their page faults: every process that ended has had some
	Threads     int
	PSS         uint64 // bytes
}

// UsageOf reads a process's usage. Threads that ended in between are missing from CPU.
func UsageOf(pid int) (Usage, error) {
	var usage Usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage, err
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 18 {
		return usage, fmt.Errorf("/proc/%d/stat: %q", pid, text)
	}
	number := func(i int) uint64 { n, _ := strconv.ParseUint(fields[i], 10, 64); return n }
	usage.ChildFaults = number(8)
	usage.Children = time.Duration(number(13)+number(14)) * 10 * time.Millisecond
	usage.Threads = int(number(17))
	usage.CPU = nomadkit.CPUTime(pid)

	rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return usage, err
	}
	for _, line := range strings.Split(string(rollup), "\n") {
		var kib uint64
		if _, err := fmt.Sscanf(line, "Pss: %d kB", &kib); err == nil {
			usage.PSS = kib << 10
		}
	}
	return usage, nil
}

// OwnProcesses lists the processes that run the plugin's executable, and its children.
func OwnProcesses(pid int) []int {
	own := nomadkit.ChildrenOf(pid)
	want, _ := filepath.EvalSymlinks(nomadkit.Binary())
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if exe, err := os.Readlink(link); err == nil && exe == want {
			if other, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil && other != pid {
				own = append(own, other)
			}
		}
	}
	return own
}

// WatchEnd returns a function that waits for the end of a process, which need not be our child, and
// says when it was seen.
func WatchEnd(pid int) (func(time.Duration) (time.Time, error), error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	return func(limit time.Duration) (time.Time, error) {
		defer unix.Close(fd)
		return readable(fd, limit)
	}, nil
}

func readable(fd int, limit time.Duration) (time.Time, error) {
	deadline := time.Now().Add(limit)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds()))
		now := time.Now()
		switch {
		case n == 1:
			return now, nil
		case err == unix.EINTR:
			continue
		case err != nil:
			return now, err
		case now.After(deadline):
			return now, fmt.Errorf("nothing within %s", limit)
		}
	}
}

// LoadAverage is the machine's load of the last minute.
func LoadAverage() float64 {
	var load float64
	if data, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(data), &load)
	}
	return load
}

// Steal is the time that the machine was not given by its host, of all cores since boot.
func Steal() time.Duration {
	data, _ := os.ReadFile("/proc/stat")
	fields := strings.Fields(strings.SplitN(string(data), "\n", 2)[0])
	if len(fields) < 9 {
		return 0
	}
	ticks, _ := strconv.ParseInt(fields[8], 10, 64)
	return time.Duration(ticks) * 10 * time.Millisecond
}
