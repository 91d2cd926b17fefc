package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// waitEvent is for what the driver notices by asking now and then, up to every 30 s.
const waitEvent = 60 * time.Second

// sees waits for an event of a task.
func sees(t *testing.T, job *Job, task, part string) {
	t.Helper()
	job.WaitFor(t, waitEvent, "event "+part, func(a *api.Allocation) bool { return strings.Contains(Events(a, task), part) })
}

func TestASmallMemoryRequestIsRaisedAndSaidOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		must.Eq(t, 200<<20, int(apple.The(t, alloc.ID).Configuration.Resources.MemoryInBytes))
		sees(t, job, "main", "Memory raised from 32 MiB to 200 MiB")

		job = agent.Submit(t, strings.Replace(BatchJob(Shell(untilSignalled)), "memory = 32", "memory = 300", 1))
		alloc = job.WaitStatus(t, "running")
		must.Eq(t, 300<<20, int(apple.The(t, alloc.ID).Configuration.Resources.MemoryInBytes))
		must.StrNotContains(t, Events(alloc, "main"), "Memory raised")
	})
}

func TestHostNetworkPublishesTheGroupsPortsOneToOneOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		job := agent.Submit(t, strings.Replace(BatchJob(Shell("echo hello > /local/index.html; exec httpd -f -p $NOMAD_PORT_http -h /local",
			`network_mode = "host"`)), `group "g" {`, "group \"g\" {\n network {\n port \"http\" {}\n}\n", 1))
		alloc := job.WaitStatus(t, "running")
		port := alloc.AllocatedResources.Shared.Ports[0]
		waitPage(t, fmt.Sprintf("http://%s:%d/", port.HostIP, port.Value), "hello\n")
		sees(t, job, "main", "published on the host one to one")
	})
}

func TestATaskIsToldWhereItsPeerIsOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		// Whichever comes first: a companion without its peer is tried again.
		again := "restart {\n attempts = 10\n interval = \"1m\"\n delay = \"100ms\"\n}\n"
		job := agent.Submit(t, pair(again, Shell(untilSignalled),
			Shell("echo peer $NOMAD_PEER_IP_MAIN; "+untilSignalled, `network_mode = "task:main"`)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLogOf(t, alloc, "side", "stdout", "peer ")
		text, err := job.LogOf(alloc, "side", "stdout")
		must.NoError(t, err)
		var a, b, c, d int
		_, err = fmt.Sscanf(text, "peer %d.%d.%d.%d\n", &a, &b, &c, &d)
		must.NoError(t, err, must.Sprint(text))
		sees(t, job, "side", "127.0.0.1 is not shared")
	})
}

// The task that others join asks for the network by its own name; it goes with the last of them.
func TestTasksOfAnAllocationShareAPrivateNetworkOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		join := `network_mode = "task:main"`
		job := agent.Submit(t, pair("", Shell(untilSignalled, join), Shell("echo peer $NOMAD_PEER_IP_MAIN; "+untilSignalled, join)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLogOf(t, alloc, "side", "stdout", "peer 192.168.")
		network := "nomad-" + alloc.ID
		ids := apple.Containers(t, alloc.ID)
		must.SliceLen(t, 2, ids)
		for _, id := range ids {
			record, err := apple.Record(id)
			must.NoError(t, err)
			must.SliceLen(t, 1, record.Configuration.Networks)
			must.Eq(t, network, record.Configuration.Networks[0].Network)
		}
		job.Stop(t)
		Eventually(t, waitEvent, "the network is gone", func() error {
			networks, err := apple.Run("network", "list", "--quiet")
			if err == nil && strings.Contains(networks, network) {
				return fmt.Errorf("there are %s", networks)
			}
			return err
		})
	})
}

// Every refusal names the key, its value, the runtime and its version, and comes before anything is started.
func TestWhatAMacCannotDoIsRefusedOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		refused := map[string]struct{ line, value string }{
			"pids_limit":   {"pids_limit = 50", "50"},
			"sysctl":       {"sysctl = {\n \"net.core.somaxconn\" = \"512\"\n}", `["net.core.somaxconn = 512"]`},
			"extra_hosts":  {`extra_hosts = ["db.test:192.0.2.9"]`, `["db.test:192.0.2.9"]`},
			"security_opt": {`security_opt = ["no-new-privileges"]`, `["no-new-privileges"]`},
			"privileged":   {"privileged = true", "true"},
		}
		if apple.Version() == "0.11.0" {
			refused["cap_add"] = struct{ line, value string }{`cap_add = ["net_raw"]`, `["CAP_NET_RAW"]`}
			refused["cap_drop"] = struct{ line, value string }{`cap_drop = ["all"]`, `["ALL"]`}
			refused["shm_size"] = struct{ line, value string }{`shm_size = "8m"`, "8388608"}
		}
		for key, c := range refused {
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				alloc := agent.Submit(t, BatchJob(Shell("true", c.line))).WaitStatus(t, "failed")
				text := Events(alloc, "main")
				must.StrContains(t, text, fmt.Sprintf("%q: it is %s, but Apple's container %s cannot", key, c.value, apple.Version()))
				must.SliceEmpty(t, apple.Containers(t, alloc.ID))
			})
		}
		for name, c := range map[string]struct{ group, config, want string }{
			"group bridge":    {"network {\n mode = \"bridge\"\n}", "", "cannot join a network namespace"},
			"long host name":  {"", "hostname = \"" + strings.Repeat("h", 60) + "\"", "hostname"},
			"ro and rw":       {"", `volumes = ["secrets:/keys:ro"]`, "only once"},
			"unknown network": {"", `network_mode = "no-such"`, "no-such"},
			"mount option":    {"", `volumes = ["local:/data:z"]`, `"z"`},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				job := agent.Submit(t, strings.Replace(BatchJob(Shell("true", c.config)), `group "g" {`, "group \"g\" {\n"+c.group+"\n", 1))
				alloc := job.WaitStatus(t, "failed")
				must.StrContains(t, Events(alloc, "main"), c.want)
				must.SliceEmpty(t, apple.Containers(t, alloc.ID))
			})
		}
	})
}

func TestAPrivateImageNeedsItsCredentialsOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		config := func(auth string) string {
			return BatchJob(fmt.Sprintf("config {\n image = %q\n command = \"/bin/sh\"\n args = [\"-c\", \"echo in\"]\n %s\n}\n", PrivateImage, auth))
		}
		login := "auth {\n username = \"user\"\n password = \"%s\"\n}"
		for _, auth := range []string{"", fmt.Sprintf(login, "wr0ng")} {
			alloc := agent.Submit(t, config(auth)).WaitStatus(t, "failed")
			must.StrContains(t, Events(alloc, "main"), "401 Unauthorized")
			must.StrNotContains(t, Events(alloc, "main"), "wr0ng")
		}
		job := agent.Submit(t, config(fmt.Sprintf(login, "secret")))
		job.WaitLog(t, job.WaitStatus(t, "complete"), "stdout", "in\n")
		calls, err := os.ReadFile(filepath.Join(apple.State, "calls.jsonl"))
		must.NoError(t, err)
		must.StrNotContains(t, string(calls), "wr0ng")
	})
}

// The exit status went with the monitor: that is said, and no number is made up.
func TestAKilledMonitorsTaskEndsWithAnUnknownExitOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, apple *Apple) {
		job := agent.Submit(t, BatchJob(Shell("echo up; while [ ! -e /alloc/go ]; do sleep 0.05; done; exit 6")))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "up\n")
		monitor := MonitorOf(filepath.Join(agent.Dir, "state"), apple.The(t, alloc.ID).ID)
		must.Positive(t, monitor)
		must.NoError(t, syscall.Kill(monitor, syscall.SIGKILL))
		sees(t, job, "main", "monitor was killed")
		job.WriteShared(t, alloc, "go", "")
		alloc = job.WaitFor(t, waitEvent, "the end", func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
		must.Eq(t, "failed", alloc.ClientStatus)
		must.StrContains(t, Events(alloc, "main"), "unknown")
		must.StrNotContains(t, Events(alloc, "main"), "Exit Code: 6")
	})
}

// The CLI is missing when the agent starts, comes, its service ends, and starts again.
func TestTheNodeShowsHowItsRuntimeIsDoingOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		own := newAgent(t, agent, "")
		apple := own.Runtime.(*Apple)
		off := apple.CLI + ".off"
		must.NoError(t, os.Rename(apple.CLI, off))
		must.NoError(t, own.Exec())
		waitNode(t, own)
		info := waitDriver(t, own, "undetected", func(d *api.DriverInfo) bool { return strings.Contains(d.HealthDescription, "container_path") })
		must.False(t, info.Detected)
		healthy := func(d *api.DriverInfo) bool { return d.Detected && d.Healthy }
		must.NoError(t, os.Rename(off, apple.CLI))
		waitDriver(t, own, "healthy once the CLI is there", healthy)

		apple.Fault(t, "daemon-down", "yes")
		own.Submit(t, BatchJob(Shell("true"))) // a call that fails is what draws attention
		info = waitDriver(t, own, "unhealthy", func(d *api.DriverInfo) bool { return !d.Healthy })
		must.StrContains(t, info.HealthDescription, "container system start")
		apple.Fault(t, "daemon-down", "")
		waitDriver(t, own, "healthy again", healthy)
		own.Submit(t, BatchJob(Shell("true"))).WaitStatus(t, "complete")
	})
}
