package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// cgroupFile reads a control file of a process's cgroup: `v2` of the unified hierarchy, else `v1` of
// the controller's own. Empty where the host has none.
func cgroupFile(t *testing.T, pid int, controller, v1, v2 string) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must.NoError(t, err)
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		paths := []string{filepath.Join("/sys/fs/cgroup", fields[2], v2)}
		if fields[1] != "" {
			paths = []string{filepath.Join("/sys/fs/cgroup", controller, fields[2], v1),
				filepath.Join("/sys/fs/cgroup", fields[1], fields[2], v1)}
			if !strings.Contains(","+fields[1]+",", ","+controller+",") {
				continue
			}
		}
		for _, path := range paths {
			if value, err := os.ReadFile(path); err == nil {
				return strings.TrimSpace(string(value))
			}
		}
	}
	return ""
}

// unlimited is how the kernel writes "no limit", in both versions of cgroups.
func unlimited(value string) bool {
	n, err := strconv.ParseUint(value, 10, 64)
	return value == "max" || (err == nil && n >= 1<<60)
}

func TestMemoryIsLimitedAsTheJobSaysOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	operator := agent.API.Operator()
	current, _, err := operator.SchedulerGetConfiguration(nil)
	must.NoError(t, err)
	// The scheduler drops memory_max unless the operator allows it.
	current.SchedulerConfig.MemoryOversubscriptionEnabled = true
	_, _, err = operator.SchedulerSetConfiguration(current.SchedulerConfig, nil)
	must.NoError(t, err)

	for name, c := range map[string]struct {
		resources string
		hard      int64 // MiB, 0 for no limit
		reserved  int64
	}{
		"memory":              {"memory = 32", 32, 0},
		"memory_max":          {"memory = 32\nmemory_max = 48", 48, 32},
		"memory_max of -1":    {"memory = 32\nmemory_max = -1", 0, 32},
		"memory_max equal it": {"memory = 40\nmemory_max = 40", 40, 0},
	} {
		t.Run(name, func(t *testing.T) {
			job := agent.Submit(t, strings.Replace(BatchJob(Shell(untilSignalled)), "memory = 32", c.resources, 1))
			alloc := job.WaitStatus(t, "running")
			inspected := Inspect(t, alloc.ID)
			must.Eq(t, c.hard<<20, inspected.HostConfig.Memory)
			if c.reserved != 0 {
				must.Eq(t, c.reserved<<20, inspected.HostConfig.MemoryReservation)
			}
			limit := cgroupFile(t, inspected.State.Pid, "memory", "memory.limit_in_bytes", "memory.max")
			if c.hard == 0 {
				must.True(t, unlimited(limit), must.Sprint(limit))
			} else {
				must.Eq(t, fmt.Sprint(c.hard<<20), limit)
			}
		})
	}
}

func TestCPUAndCoresReachTheCgroupOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	shares := func(mhz string) uint64 {
		job := agent.Submit(t, strings.Replace(BatchJob(Shell(untilSignalled)), "cpu    = 50", "cpu = "+mhz, 1))
		return Inspect(t, job.WaitStatus(t, "running").ID).HostConfig.CpuShares
	}
	must.Eq(t, uint64(60), shares("60"))
	must.Eq(t, uint64(300), shares("300"))

	job := agent.Submit(t, strings.Replace(BatchJob(Shell(untilSignalled)), "cpu    = 50", "cores = 1", 1))
	alloc := job.WaitStatus(t, "running")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", Inspect(t, alloc.ID).State.Pid))
	must.NoError(t, err)
	must.RegexMatch(t, regexp.MustCompile(`Cpus_allowed_list:\t\d+\n`), string(status), must.Sprint("one core"))
}
