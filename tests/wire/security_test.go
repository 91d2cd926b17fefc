package wire

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// script is a task's configuration that runs one; quotes in it need no care.
func script(text string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n", nomadkit.Image(), text)
}

// shows runs a script to its end, which must be good, and compares all of its output.
func shows(t *testing.T, p *nomadkit.Plugin, config, text, want string) {
	t.Helper()
	task := prints(t, p, script(text+"\necho END")+config, "END\n")
	must.Eq(t, want, strings.TrimSuffix(task.Log("stdout"), "END\n"))
}

const capabilities = "grep CapEff /proc/self/status | cut -f2"

func TestSecuritySettingsTakeEffectInTheTask(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	for name, c := range map[string]struct{ config, script, want string }{
		"cap_drop":              {`cap_drop = ["chown"]`, "touch /local/x; chown 1 /local/x 2>/dev/null || echo refused", "refused\n"},
		"no cap_drop":           {"", "touch /local/x; chown 1 /local/x && echo done", "done\n"},
		"cap_drop all":          {`cap_drop = ["ALL"]`, capabilities, "0000000000000000\n"},
		"all but what is added": {"cap_drop = [\"all\"]\ncap_add = [\"kill\", \"CAP_CHOWN\"]", capabilities, "0000000000000021\n"},
		"no-new-privileges":     {`security_opt = ["no-new-privileges"]`, "grep NoNewPrivs /proc/self/status | cut -f2", "1\n"},
		"seccomp is on":         {"", "grep Seccomp: /proc/self/status | cut -f2", "2\n"},
		"seccomp=unconfined":    {`security_opt = ["seccomp=unconfined"]`, "grep Seccomp: /proc/self/status | cut -f2", "0\n"},
		"readonly_rootfs":       {`readonly_rootfs = true`, "touch /x 2>/dev/null || echo refused; touch /tmp/x /local/x && echo written", "refused\nwritten\n"},
		"init":                  {`init = true`, "[ $$ != 1 ] && echo second", "second\n"},
		"user by name":          {`user = "nobody"`, "id -u; id -g", "65534\n65534\n"},
		"user by number":        {`user = "1234"`, "id -u", "1234\n"},
		"user and group":        {`user = "1234:4321"`, "id -u; id -g", "1234\n4321\n"},
		"ulimit":                {"ulimit {\n nofile = \"512:1024\"\n nproc = \"4000\"\n core = \"0\"\n}", "ulimit -Sn; ulimit -Hn; ulimit -c", "512\n1024\n0\n"},
		"sysctl":                {"sysctl = {\n \"net.core.somaxconn\" = \"1234\"\n}", "cat /proc/sys/net/core/somaxconn", "1234\n"},
		"pids_limit":            {`pids_limit = 17`, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max", "17\n"},
		"no pids_limit":         {`pids_limit = -1`, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max", "max\n"},
		"interactive":           {`interactive = true`, "timeout 1 cat; [ $? != 0 ] && echo waited", "waited\n"},
		"not interactive":       {"", "timeout 5 cat && echo ended", "ended\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shows(t, p, c.config, c.script, c.want)
		})
	}
}

func TestBadSecuritySettingsAreRefusedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	for config, wants := range map[string][]string{
		`cap_add = ["net_admin"]`:                           {"cap_add", "CAP_NET_ADMIN", "allow_caps", "CAP_CHOWN"},
		`cap_add = ["all"]`:                                 {"cap_add", "ALL", "allow_caps"},
		`cap_add = ["fly"]`:                                 {"cap_add", "fly"},
		`cap_drop = ["fly"]`:                                {"cap_drop", "fly"},
		`privileged = true`:                                 {"privileged", "allow_privileged"},
		`security_opt = ["nonsense=1"]`:                     {"nonsense"},
		`security_opt = ["-x"]`:                             {"security_opt", "-x"},
		"ulimit {\n nofile = \"2048:1024\"\n}":              {"ulimit.nofile", "2048:1024"},
		"ulimit {\n nofiles = \"1\"\n}":                     {"ulimit.nofiles", "nofile"},
		"ulimit {\n nofile = \"many\"\n}":                   {"ulimit.nofile", "many"},
		"sysctl = {\n \"net core\" = \"1\"\n}":              {"sysctl.net core"},
		"sysctl = {\n \"vm.swappiness\" = \"1\"\n}":         {"vm.swappiness"},
		"sysctl = {\n \"net.core.nonsense\" = \"1\"\n}":     {"nonsense"},
		`pids_limit = -2`:                                   {"pids_limit"},
		`stop_signal = "SIGNONSENSE"`:                       {"stop_signal", "SIGNONSENSE", "SIGTERM"},
		"cap_add = [\"net_admin\"]\nprivileged = true":      {"cap_add", "privileged"},
		`user = "no-such-user"`:                             {"no-such-user"},
		`user = "root:no-such-group"`:                       {"no-such-group"},
		`ssh_agent = true`:                                  {"ssh_agent", "SSH_AUTH_SOCK"},
		`readonly_rootfs = "perhaps"`:                       {"readonly_rootfs"},
		"healthchecks {\n disable = \"perhaps\"\n}":         {"disable"},
		"virtualization = true\nkernel = \"/boot/vmlinuz\"": {"virtualization", "kernel"},
	} {
		task := nomadkit.MuteTask(t, p, `image = "x"`)
		err := task.TrySetConfig(t, nomadkit.JobConfigText(t, script("true")+config))
		if err == nil {
			_, _, err = p.StartTask(task.TaskConfig)
		}
		must.Error(t, err, must.Sprint(config))
		for _, want := range wants {
			must.ErrorContains(t, err, want, must.Sprint(config))
		}
		must.SliceEmpty(t, nomadkit.ContainersOf(t, task.AllocID))
	}
}

func TestTheOperatorOpensAndClosesGates(t *testing.T) {
	t.Parallel()
	all := nomadkit.StartPlugin(t, "allow_caps = [\"all\"]\nallow_privileged = true")
	shows(t, all, `cap_add = ["net_admin"]`, "ip link set lo mtu 1400 && echo done", "done\n")
	shows(t, all, `privileged = true`, "grep Seccomp: /proc/self/status | cut -f2; [ -e /dev/kmsg ] && echo devices", "0\ndevices\n")
	one := nomadkit.StartPlugin(t, `allow_caps = ["net_admin"]`)
	shows(t, one, `cap_add = ["NET_ADMIN"]`, "ip link set lo mtu 1400 && echo done", "done\n")
	fails(t, one, script("true")+`cap_add = ["mknod"]`, "CAP_MKNOD", "CAP_NET_ADMIN")
	none := nomadkit.StartPlugin(t, `allow_caps = []`)
	fails(t, none, script("true")+`cap_add = ["chown"]`, "CAP_CHOWN")
	closed := nomadkit.StartPlugin(t, `allow_virtualization = false`)
	fails(t, closed, script("true")+`virtualization = true`, "virtualization", "not allowed on this node", "allow_virtualization")
}

func TestOnlyAllowedImagesRunWhateverTheirSpelling(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, `allowed_images = ["localhost/ndc-busybox:*", "docker.io/library/redis:7*"]`)
	shows(t, p, "", "echo runs", "runs\n")
	for _, image := range []string{"localhost/other:1", "registry.invalid/localhost/ndc-busybox:1", "redis:8", "docker.io/redis:8",
		"localhost/ndc-busybox/x:1", "someone/redis:7", "f00dfeed0000"} {
		must.False(t, fails(t, p, show(image, "/x"), "allowed_images"), must.Sprint(image))
	}
	// These are allowed, and fail for another reason only.
	for _, image := range []string{"redis:7", "docker.io/redis:7.2", "index.docker.io/library/redis:7"} {
		task := nomadkit.MuteTask(t, p, show(image, "/x")+`pull_policy = "never"`)
		_, _, err := p.StartTask(task.TaskConfig)
		must.ErrorContains(t, err, "pull_policy", must.Sprint(image))
	}
}

func TestTheSSHAgentOfTheNodeIsSeen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.sock")
	listener, err := net.Listen("unix", path)
	must.NoError(t, err)
	defer listener.Close()
	info, err := os.Stat(path)
	must.NoError(t, err)
	inode := info.Sys().(*syscall.Stat_t).Ino
	p := nomadkit.StartPlugin(t, "", "SSH_AUTH_SOCK="+path)
	shows(t, p, `ssh_agent = true`, "[ -S $SSH_AUTH_SOCK ] && stat -c %i $SSH_AUTH_SOCK", fmt.Sprintf("%d\n", inode))
	shows(t, p, "", "[ -z $SSH_AUTH_SOCK ] && echo none", "none\n")
	closed := nomadkit.StartPlugin(t, `allow_ssh_agent = false`, "SSH_AUTH_SOCK="+path)
	must.False(t, fails(t, closed, script("true")+`ssh_agent = true`, "ssh_agent", "allow_ssh_agent"))
	must.NoError(t, listener.Close())
	must.False(t, fails(t, p, script("true")+`ssh_agent = true`, "ssh_agent"), must.Sprint("the agent has ended"))
}

func TestTheStopSignalIsTheJobsThenTheImages(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/stop") + ":1"
	r.Push(t, name, nomadkit.Content{StopSignal: "SIGUSR1"})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	for name, c := range map[string]struct{ image, config, signal, want string }{
		"the job's":    {r.Reference(name), `stop_signal = "SIGUSR2"`, "", "usr2"},
		"the image's":  {r.Reference(name), "", "", "usr1"},
		"neither":      {nomadkit.Image(), "", "", "term"},
		"Nomad's wins": {r.Reference(name), `stop_signal = "SIGUSR2"`, "SIGINT", "int"},
	} {
		t.Run(name, func(t *testing.T) {
			traps := ""
			for _, s := range []string{"usr1", "usr2", "term", "int"} {
				traps += "trap 'echo got " + s + "; exit 0' " + strings.ToUpper(s) + "; "
			}
			task := nomadkit.NewTask(t, p, fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", %q]\n%s",
				c.image, traps+"echo ready; while true; do sleep 0.05; done", c.config)).Start(t)
			task.WaitLog(t, "stdout", "ready")
			must.NoError(t, p.StopTask(task.ID, time.Minute, c.signal))
			must.Eq(t, 0, task.Wait(t, 30*time.Second).ExitCode)
			task.WaitLog(t, "stdout", "got "+c.want+"\n")
		})
	}
}

func TestHealthChecksOfAnImageCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/health") + ":1"
	r.Push(t, name, nomadkit.Content{HealthCheck: "echo well"})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	task := nomadkit.MuteTask(t, p, fmt.Sprintf("image = %q\ncommand = \"sleep\"\nargs = [\"60\"]\nhealthchecks {\n disable = true\n}",
		r.Reference(name))).Start(t)
	got, err := nomadkit.Podman("inspect", "--format", "{{json .Config.Healthcheck}}", nomadkit.ContainersOf(t, task.AllocID)[0])
	must.NoError(t, err)
	must.True(t, got == "null" || strings.Contains(got, "NONE"), must.Sprint(got))
	got, err = nomadkit.Podman("image", "inspect", "--format", "{{json .HealthCheck}}", r.Reference(name))
	must.NoError(t, err)
	must.StrContains(t, got, "echo well", must.Sprint("the image has one"))
}
