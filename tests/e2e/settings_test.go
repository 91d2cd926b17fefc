package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// output runs a script to its end, which must be good, and returns its stdout.
func output(t *testing.T, on *Agent, script, config, inside string) string {
	t.Helper()
	job := on.Submit(t, BatchJob(inside+Shell(script, config)))
	alloc := job.WaitFor(t, 40*time.Second, "the end", func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
	must.Eq(t, 0, ExitCode(t, alloc), must.Sprint(Events(alloc, "main")))
	job.WaitLog(t, alloc, "stdout", "END\n")
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	return strings.TrimSuffix(text, "END\n")
}

func TestSettingsOfOrdinaryJobsWork(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		host := t.TempDir()
		must.NoError(t, os.WriteFile(filepath.Join(host, "file"), []byte("from the host\n"), 0o644))
		for name, c := range map[string]struct{ script, config, inside, want string }{
			"env as a block":        {"echo $A $B", "env {\n A = \"1\"\n B = \"2\"\n}", "", "1 2\n"},
			"env as an assignment":  {"echo $A $B", "env = {\n A = \"1\"\n B = \"2\"\n}", "", "1 2\n"},
			"env of the task stays": {"echo $A $B", "env {\n B = \"mine\"\n}", "env {\n A = \"nomads\"\n B = \"nomads\"\n}\n", "nomads mine\n"},
			"interpolation":         {"echo $A", "env {\n A = \"${NOMAD_TASK_NAME}\"\n}", "", "main\n"},
			"working_dir":           {"pwd", `working_dir = "/tmp"`, "", "/tmp\n"},
			"work_dir":              {"pwd", `work_dir = "/tmp"`, "", "/tmp\n"},
			"hostname":              {"hostname", `hostname = "box"`, "", "box\n"},
			"user in the config":    {"id -u", `user = "65534"`, "", "65534\n"},
			"user of the task":      {"id -un", ``, "user = \"nobody\"\n", "nobody\n"},
			"user with group":       {"id -u; id -g", `user = "1234:4321"`, "", "1234\n4321\n"},
			"bind, absolute":        {"cat /data/file", `volumes = ["` + host + `:/data:ro"]`, "", "from the host\n"},
			"bind, read-only":       {"touch /data/x 2>/dev/null || echo refused", `volumes = ["` + host + `:/data:ro"]`, "", "refused\n"},
			"bind, relative":        {"cat /data/file", `volumes = ["local:/data"]`, "template {\n data = \"rendered\\n\"\n destination = \"local/file\"\n}\n", "rendered\n"},
			"tmpfs":                 {"grep -c ' /scratch tmpfs' /proc/mounts", `tmpfs = ["/scratch"]`, "", "1\n"},
			"init":                  {"test $$ != 1 && echo not first", `init = true`, "", "not first\n"},
			"network none":          {"ls /sys/class/net", `network_mode = "none"`, "", "lo\n"},
			"readonly_rootfs":       {"touch /x 2>/dev/null || echo refused", `readonly_rootfs = true`, "", "refused\n"},
			"nomad's directories":   {"echo $NOMAD_ALLOC_DIR $NOMAD_TASK_DIR $NOMAD_SECRETS_DIR; touch /alloc/a /local/b /secrets/c && echo written", "", "", "/alloc /local /secrets\nwritten\n"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				must.Eq(t, c.want, output(t, agent, c.script+"\necho END", c.config, c.inside))
			})
		}
	})
}

func TestEntrypointIsReplaced(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(`config {
        image      = "${image}"
        entrypoint = ["/bin/echo", "one"]
        command    = "two"
        args       = ["three"]
      }`))
		alloc := job.WaitStatus(t, "complete")
		job.WaitLog(t, alloc, "stdout", "one two three\n")
	})
}

func TestHostNetworkIsTheNodesOnPodman(t *testing.T) {
	agent := onPodman(t)
	host, err := os.Readlink("/proc/self/ns/net")
	must.NoError(t, err)
	must.Eq(t, host+"\n", output(t, agent, "readlink /proc/self/ns/net\necho END", `network_mode = "host"`, ""))
}

func TestANamedVolumeKeepsItsContent(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		name := fmt.Sprintf("ndc-e2e-%d", time.Now().UnixNano())
		t.Cleanup(func() { agent.Runtime.RemoveVolume(name) })
		volume := `volumes = ["` + name + `:/data"]`
		output(t, agent, "echo kept > /data/file\necho END", volume, "")
		must.Eq(t, "kept\n", output(t, agent, "cat /data/file\necho END", volume, ""))
	})
}

func TestLabelsAndNomadsOwnAreOnTheContainer(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob(Shell(untilSignalled, "labels {\n team = \"blue\"\n}")))
		alloc := job.WaitStatus(t, "running")
		labels := agent.Runtime.Look(t, alloc.ID).Labels
		must.Eq(t, "blue", labels["team"])
		must.Eq(t, alloc.ID, labels["nomad.alloc_id"])
		must.Eq(t, agent.NodeID(t), labels["nomad.node_id"])
		must.Eq(t, job.ID, labels["nomad.job_name"])
	})
}

func TestMemoryAndCPULimitsReachTheCgroupOnPodman(t *testing.T) {
	agent := onPodman(t)
	read := "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes\necho END"
	must.Eq(t, "33554432\n", output(t, agent, read, "", ""))
	job := agent.Submit(t, strings.Replace(BatchJob(Shell(untilSignalled)), "memory = 32", "memory = 32\nmemory_max = 64", 1))
	alloc := job.WaitStatus(t, "running")
	host := Inspect(t, alloc.ID).HostConfig
	// The scheduler drops memory_max unless oversubscription is switched on.
	must.SliceContains(t, []int64{32 << 20, 64 << 20}, host.Memory)
	must.Positive(t, host.CpuShares)
}

func TestAStaticPortIsPublishedOverTCPAndUDP(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		port := FreePort(t)
		text := strings.Replace(BatchJob(Shell("/tools/udpecho 8080 & while true; do echo over tcp | nc -l -p 8080; done",
			`ports = ["p"]`, `volumes = ["`+UDPEcho(t)+`:/tools:ro"]`)),
			`group "g" {`, fmt.Sprintf("group \"g\" {\n network {\n port \"p\" {\n static = %d\n to = 8080\n}\n}\n", port), 1)
		job := agent.Submit(t, text)
		alloc := job.WaitStatus(t, "running")
		address := fmt.Sprintf("%s:%d", alloc.AllocatedResources.Shared.Ports[0].HostIP, port)
		Eventually(t, 15*time.Second, "answer over TCP", func() error {
			_, err := DialTCP(address)
			return err
		})
		Eventually(t, 15*time.Second, "answer over UDP", func() error {
			_, err := EchoUDP(address, "ping")
			return err
		})
	})
}

// impossible is a setting that a runtime does not have, for each of them.
var impossible = map[string]struct{ key, line string }{
	"podman": {"rosetta", "rosetta = true"},
	"apple":  {"pids_limit", "pids_limit = 50"},
}

func TestBadJobsFailWithAReasonAndTheAgentLives(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		beyond := impossible[agent.Runtime.Name()]
		for name, c := range map[string]struct{ config, inside, want string }{
			"unknown image":      {"config {\n image = \"localhost/ndc-no-such:1\"\n}", "", "localhost/ndc-no-such:1"},
			"unknown port label": {"config {\n image = \"${image}\"\n ports = [\"htp\"]\n}", "", "htp"},
			"bad duration":       {"config {\n image = \"${image}\"\n image_pull_timeout = \"soon\"\n}", "", "image_pull_timeout"},
			"unknown key":        {"config {\n image = \"${image}\"\n nonsense = 1\n}", "", "nonsense"},
			"no image":           {"config {\n command = \"ls\"\n}", "", "image"},
			"bad command":        {"config {\n image = \"${image}\"\n command = \"/no/such\"\n}", "", "/no/such"},
			"not on this one":    {"config {\n image = \"${image}\"\n " + beyond.line + "\n}", "", beyond.key},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				job := agent.Submit(t, BatchJob(c.inside+c.config))
				alloc := job.WaitStatus(t, "failed")
				must.StrContains(t, Events(alloc, "main"), c.want)
				must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
			})
		}
		must.True(t, agent.Alive())
	})
}
