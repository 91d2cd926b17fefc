package e2e

import (
	"fmt"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

func TestATaskThatTakesTooMuchMemoryIsSaidToBeOutOfMemoryOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	job := agent.Submit(t, BatchJob(Shell("exec tail -c 100000000 /dev/zero")))
	alloc := job.WaitStatus(t, "failed")
	must.Eq(t, 137, ExitCode(t, alloc))
	must.StrContains(t, Events(alloc, "main"), "OOM Killed")
	must.StrContains(t, Events(alloc, "main"), "out of memory")
}

func TestAHardenedTaskRunsWithAllOfItsSettingsTogetherOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	script := "id -u; id -g; grep CapEff /proc/self/status | cut -f2; grep NoNewPrivs /proc/self/status | cut -f2; " +
		"touch /x 2>/dev/null || echo refused; touch /scratch/x && echo written; " +
		"cat /proc/sys/net/core/somaxconn; ulimit -n; grep -c db.test /etc/hosts; echo END"
	must.Eq(t, "1000\n1000\n0000000000000000\n1\nrefused\nwritten\n512\n1024\n1\n", output(t, agent, script, `
        user            = "1000:1000"
        init            = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
        readonly_rootfs = true
        tmpfs           = ["/scratch:size=1m,mode=1777"]
        pids_limit      = 50
        shm_size        = "1m"
        extra_hosts     = ["db.test:192.0.2.9"]
        ulimit {
          nofile = "1024"
          nproc  = "4000"
        }
        sysctl = {
          "net.core.somaxconn" = "512"
        }`, ""))
}

func TestAllThatIsWrongWithATaskIsSaidAtOnce(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, patient(Shell("true", `cap_add = ["net_admin"]`, `privileged = true`,
			`volumes = ["/no/such/path:/data"]`, `ports = ["http"]`, `stop_signal = "USR9"`, "mount {\n type = \"npipe\"\n target = \"data\"\n}",
			"auth {\n username = \"u\"\n server_address = \"registry.example.test\"\n}", fmt.Sprintf("devices {\n host_path = %q\n}", "/dev/no-such"))))
		alloc := job.WaitStatus(t, "failed")
		wants := []string{"/no/such/path", "http", "USR9", "mount[0].target", "mount[0].type", "registry.example.test"}
		if agent.Runtime.Name() == "apple" {
			wants = append(wants, "cap_add", `"privileged"`, `"devices"`)
		} else {
			wants = append(wants, "CAP_NET_ADMIN", "allow_privileged", "/dev/no-such")
		}
		for _, want := range wants {
			must.StrContains(t, Events(alloc, "main"), want)
		}
		must.Eq(t, uint64(0), alloc.TaskStates["main"].Restarts)
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	})
}
