package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// proof says how a key of a task's configuration is tested: by its effect, as it is seen in the
// container or in what the runtime has on record of it; by its refusal, where a runtime does not have
// it; and by a value that is refused.
type proof struct {
	effect effect
	apple  effect // instead of `effect` on Apple's runtime
	bad    badValue
}

type effect func(*testing.T, *Agent)

type badValue struct {
	config string
	wants  []string // in the task's events
}

func bad(config string, wants ...string) badValue { return badValue{config, wants} }

// shows runs a script under a setting and compares what it prints.
func shows(config, script, want string) effect {
	return func(t *testing.T, agent *Agent) { must.Eq(t, want, output(t, agent, script+"\necho END", config, "")) }
}

// with starts a task that runs until it is stopped and looks at it from outside.
func with(config string, look func(*testing.T, *Agent, *Job, *api.Allocation)) effect {
	return func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("kill_timeout = \"300ms\"\n"+Shell(untilSignalled, config)))
		look(t, agent, job, job.WaitStatus(t, "running"))
	}
}

// records compares what is on record of the container in the stand-in for Apple's CLI.
func records(config, path, want string) effect {
	return with(config, func(t *testing.T, agent *Agent, _ *Job, alloc *api.Allocation) {
		must.Eq(t, want, agent.Runtime.(*Apple).Recorded(t, alloc.ID, path))
	})
}

// both is for a key that has two effects.
func both(first, second effect) effect {
	return func(t *testing.T, agent *Agent) {
		first(t, agent)
		second(t, agent)
	}
}

// inspects compares what Podman tells of the container.
func inspects(config, format, want string) effect {
	return with(config, func(t *testing.T, _ *Agent, _ *Job, alloc *api.Allocation) {
		got, err := Podman("inspect", "--format", format, ContainersOf(t, alloc.ID)[0])
		must.NoError(t, err)
		must.StrContains(t, got, want)
	})
}

// refused is a setting with which a task fails before there is a container. It is not restarted.
func refused(value badValue) effect {
	return func(t *testing.T, agent *Agent) {
		image := "image = \"${image}\"\n"
		if regexp.MustCompile(`(?m)^image `).MatchString(value.config) {
			image = ""
		}
		// A log collector that nobody writes to takes seconds to end.
		job := agent.Submit(t, BatchJob("logs {\n disabled = true\n}\nconfig {\n"+image+value.config+"\n}\n"))
		alloc := job.WaitStatus(t, "failed")
		for _, want := range value.wants {
			must.StrContains(t, Events(alloc, "main"), want)
		}
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	}
}

// by names the test of this or another suite that sees the effect; it has to exist.
func by(file, name string) effect {
	return func(t *testing.T, _ *Agent) { NeedTest(t, file, name) }
}

// appleOnly is a key that Podman refuses, with what to do instead.
func appleOnly(config, key, instead string) effect {
	return func(t *testing.T, agent *Agent) {
		_, node := driverInfo(t, agent)
		version := "Podman " + node.Attributes["driver.container.runtime_version"]
		refused(bad(config, key, version+" cannot do this", instead))(t, agent)
	}
}

// podmanOnly is a key that Apple's runtime refuses, in all its versions.
func podmanOnly(config, key, instead string) effect {
	return func(t *testing.T, agent *Agent) {
		refused(bad(config, key, "Apple's container "+agent.Runtime.Version()+" cannot do this", instead))(t, agent)
	}
}

// newEnough says whether the runtime is of this version or a newer one.
func newEnough(agent *Agent, since string) bool {
	return version.Must(version.NewVersion(agent.Runtime.Version())).GreaterThanOrEqual(version.Must(version.NewVersion(since)))
}

// sinceApple is a key that old versions of Apple's CLI do not have.
func sinceApple(since, config, key string, seen effect) effect {
	return func(t *testing.T, agent *Agent) {
		if newEnough(agent, since) {
			seen(t, agent)
		} else {
			podmanOnly(config, key, agent.Runtime.Version())(t, agent)
		}
	}
}

const (
	// Unlike /dev/null, which every container may write to.
	aDevice     = "devices {\n host_path = \"/dev/kmsg\"\n container_path = \"/dev/nix\"\n cgroup_permissions = \"%s\"\n}"
	whichDevice = "1:b\n" // the numbers of /dev/kmsg
	sizeOfData  = "df -k /data | awk 'END { print $2 }'"
	resolvConf  = "grep -c '^%s' /etc/resolv.conf"
	login       = "auth {\n username = %q\n password = %q\n %s\n}\n"
	noDevices   = "devices of the host"
	ownMachine  = "a machine of its own"
)

// block is a mount block of either name.
func block(key, kind, source, more string) string {
	return fmt.Sprintf("%s {\n type = %q\n source = %q\n target = \"/data\"\n %s\n}", key, kind, source, more)
}

// mountProofs are those of `mount`, and of `mounts`, which is the same.
func mountProofs(key string) map[string]proof {
	here := func(more string) string { return block(key, "bind", "local", more) }
	tmpfs := func(more string) string { return block(key, "tmpfs", "", "tmpfs_options {\n "+more+"\n}") }
	shared := here("bind_options {\n propagation = \"rshared\"\n}")
	seen := shows(here(""), "touch /data/x && ls /local", "x\n")
	volume := func(key, more, script, want string) effect {
		return func(t *testing.T, agent *Agent) {
			name := Unique("ndc-keys")
			t.Cleanup(func() { agent.Runtime.RemoveVolume(name) })
			shows(fmt.Sprintf("%s {\n type = \"volume\"\n source = %q\n target = \"/etc\"\n %s\n}", key, name, more), script, want)(t, agent)
		}
	}
	// Of a directory that the task has nowhere else: Apple's CLI shares one only once.
	unwritable := func(t *testing.T, agent *Agent) {
		shows(block(key, "bind", t.TempDir(), "readonly = true"), "touch /data/x 2>/dev/null || echo refused", "refused\n")(t, agent)
	}
	empty := "volume_options {\n no_copy = true\n}"
	return map[string]proof{
		".type":                     {effect: shows(tmpfs("size = 1048576"), "grep -c ' /data tmpfs' /proc/mounts", "1\n"), bad: bad(block(key, "npipe", "/x", ""), key+"[0].type", "npipe")},
		".source":                   {effect: seen, bad: bad(block(key, "bind", "", ""), key+"[0].source")},
		".target":                   {effect: seen, bad: bad(key+" {\n source = \"local\"\n target = \"data\"\n}", key+"[0].target")},
		".readonly":                 {effect: unwritable, bad: bad(here(`readonly = "perhaps"`), "bool")},
		".bind_options.propagation": {effect: inspects(shared, "{{range .Mounts}}{{.Destination}} {{.Propagation}},{{end}}", "/data rshared,"), apple: refused(bad(shared, "Apple's container", `"rshared"`)), bad: bad(here("bind_options {\n propagation = \"wild\"\n}"), "propagation", "wild")},
		".tmpfs_options.size":       {effect: shows(tmpfs("size = 1048576"), sizeOfData, "1024\n"), bad: bad(tmpfs(`size = "64 llamas"`), "size")},
		".tmpfs_options.mode":       {effect: shows(tmpfs("mode = 1750"), "stat -c %a /data", "1750\n"), bad: bad(tmpfs("mode = 1888"), "mode", "1888")},
		".volume_options.no_copy":   {effect: volume(key, empty, "[ -e /etc/group ] || echo empty", "empty\n"), apple: volume(key, empty, "touch /etc/x && echo written", "written\n"), bad: bad(here("volume_options {\n no_copy = \"perhaps\"\n}"), "bool")},
	}
}

// stops sees which signal a task gets when nothing else names one.
func stops(config, signal string) effect {
	return func(t *testing.T, agent *Agent) {
		job := agent.Submit(t, BatchJob("kill_timeout = \"30s\"\n"+
			Shell("trap 'echo got it; exit 0' "+signal+"; echo up; while true; do sleep 0.05; done", config)))
		alloc := job.WaitStatus(t, "running")
		job.WaitLog(t, alloc, "stdout", "up\n")
		job.WaitLog(t, job.Stop(t), "stdout", "got it\n")
	}
}

// labelled sees a label of the container.
func labelled(t *testing.T, agent *Agent) {
	with("labels {\n team = \"blue\"\n}", func(t *testing.T, agent *Agent, _ *Job, alloc *api.Allocation) {
		must.Eq(t, "blue", agent.Runtime.Look(t, alloc.ID).Labels["team"])
	})(t, agent)
}

// booted sees a file of the host as the machine's kernel.
func booted(t *testing.T, agent *Agent) {
	kernel := filepath.Join(t.TempDir(), "vmlinux")
	must.NoError(t, os.WriteFile(kernel, []byte("a kernel"), 0o644))
	records(fmt.Sprintf("kernel = %q", kernel), "settings.kernel", kernel)(t, agent)
}

// published reaches a task's socket at its path on the host.
func published(t *testing.T, agent *Agent) {
	dir, err := os.MkdirTemp("", "ndc-sock")
	must.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "app.sock")
	records(fmt.Sprintf("publish_sockets = [%q]", path+":/run/app.sock"), "configuration.publishedSockets.0.hostPath", path)(t, agent)
}

var proofs = map[string]proof{
	"image":        {effect: shows("", "[ -x /bin/busybox ] && echo busybox", "busybox\n"), bad: bad(`image = "two words"`, "image", "two words")},
	"command":      {effect: shows("", "echo run by the shell", "run by the shell\n"), bad: bad(`command = ["a"]`, "command")},
	"args":         {effect: shows("", "echo $0", "/bin/sh\n"), bad: bad(`args = "one"`, "args")},
	"entrypoint":   {effect: by("e2e/settings_test.go", "TestEntrypointIsReplaced"), bad: bad("entrypoint = { a = \"b\" }", "entrypoint")},
	"working_dir":  {effect: shows(`working_dir = "/tmp"`, "pwd", "/tmp\n"), bad: bad(`working_dir = "tmp"`, "working_dir", "absolute")},
	"work_dir":     {effect: shows(`work_dir = "/tmp"`, "pwd", "/tmp\n"), bad: bad("work_dir = \"/a\"\nworking_dir = \"/b\"", "work_dir", "working_dir")},
	"env":          {effect: shows("env {\n A = \"1\"\n}", "echo $A", "1\n"), bad: bad("env = { \"A=B\" = \"1\" }", "env", "A=B")},
	"user":         {effect: shows(`user = "1234:4321"`, "id -u; id -g", "1234\n4321\n"), bad: bad(`user = "no-such-user"`, "no-such-user")},
	"hostname":     {effect: shows(`hostname = "box"`, "hostname", "box\n"), bad: bad(`hostname = "two words"`, "hostname")},
	"labels":       {effect: labelled, bad: bad("labels = { \"a=b\" = \"1\" }", "labels", "a=b")},
	"init":         {effect: shows(`init = true`, "[ $$ != 1 ] && echo second", "second\n"), bad: bad(`init = "perhaps"`, "init")},
	"tty":          {effect: by("e2e/logs_test.go", "TestATerminalsOutputIsOneStream"), bad: bad(`tty = "perhaps"`, "tty")},
	"interactive":  {effect: shows(`interactive = true`, "timeout 1 cat; [ $? != 0 ] && echo waited", "waited\n"), bad: bad(`interactive = "perhaps"`, "interactive")},
	"stop_signal":  {effect: stops(`stop_signal = "SIGUSR2"`, "USR2"), bad: bad(`stop_signal = "SIGNONSENSE"`, "stop_signal", "SIGNONSENSE")},
	"pull_policy":  {effect: both(pulledAgain(`pull_policy = "always"`), pulledNever), bad: bad(`pull_policy = "sometimes"`, "pull_policy", "sometimes")},
	"force_pull":   {effect: pulledAgain(`force_pull = true`), bad: bad("force_pull = true\npull_policy = \"never\"", "force_pull", "pull_policy")},
	"platform":     {effect: ofItsPlatform, apple: records(`platform = "linux/amd64"`, "configuration.platform.architecture", "amd64"), bad: bad(`platform = "arm64"`, "platform", "arm64")},
	"load":         {effect: loaded, bad: bad(`load = "/etc/passwd"`, "load", "/etc/passwd")},
	"volumes":      {effect: shows(`volumes = ["local:/data"]`, "touch /data/x && ls /local", "x\n"), bad: bad(`volumes = ["/no/such/path:/data"]`, "/no/such/path")},
	"tmpfs":        {effect: shows(`tmpfs = ["/data:size=1m"]`, sizeOfData, "1024\n"), bad: bad(`tmpfs = ["/data:colour=red"]`, "tmpfs", "colour=red")},
	"shm_size":     {effect: shows(`shm_size = "1m"`, "df -k /dev/shm | awk 'END { print $2 }'", "1024\n"), apple: sinceApple("1.0.0", `shm_size = "1m"`, "shm_size", shows(`shm_size = "1m"`, "df -k /dev/shm | awk 'END { print $2 }'", "1024\n")), bad: bad(`shm_size = "64 llamas"`, "shm_size", "64 llamas")},
	"ports":        {effect: by("e2e/settings_test.go", "TestAStaticPortIsPublishedOverTCPAndUDP"), bad: bad(`ports = ["htp"]`, "publish port", "htp")},
	"network_mode": {effect: shows(`network_mode = "none"`, "ls /sys/class/net", "lo\n"), bad: bad(`network_mode = "a network"`, "network_mode", "a network")},
	"dns":          {effect: shows(`dns = ["192.0.2.53"]`, fmt.Sprintf(resolvConf, "nameserver 192.0.2.53"), "1\n"), bad: bad(`dns = ["nobody"]`, "dns", "nobody")},
	"dns_servers":  {effect: shows(`dns_servers = ["192.0.2.53"]`, fmt.Sprintf(resolvConf, "nameserver 192.0.2.53"), "1\n"), bad: bad(`dns_servers = ["nobody"]`, "dns_servers", "nobody")},
	"dns_search":   {effect: shows(`dns_search = ["a.test"]`, fmt.Sprintf(resolvConf, "search a.test"), "1\n"), bad: bad(`dns_search = ["two words"]`, "dns_search", "two words")},
	"dns_options":  {effect: shows(`dns_options = ["ndots:3"]`, fmt.Sprintf(resolvConf, "options ndots:3"), "1\n"), bad: bad(`dns_options = ["two words"]`, "dns_options", "two words")},
	"extra_hosts":  {effect: shows(`extra_hosts = ["db:192.0.2.7"]`, "grep -w db /etc/hosts | awk '{ print $1 }'", "192.0.2.7\n"), apple: podmanOnly(`extra_hosts = ["db:192.0.2.7"]`, "extra_hosts", "template"), bad: bad(`extra_hosts = ["db"]`, "extra_hosts", "db")},
	"mac_address":  {effect: shows(`mac_address = "02:00:5e:00:53:07"`, "cat /sys/class/net/eth0/address", "02:00:5e:00:53:07\n"), apple: records(`mac_address = "02:00:5e:00:53:07"`, "configuration.networks.0.options.macAddress", "02:00:5e:00:53:07"), bad: bad(`mac_address = "02:00"`, "mac_address", "02:00")},
	"cap_add":      {effect: shows("cap_drop = [\"all\"]\ncap_add = [\"kill\"]", capEff, "0000000000000020\n"), apple: sinceApple("0.12.0", `cap_add = ["kill"]`, "cap_add", shows("cap_drop = [\"all\"]\ncap_add = [\"kill\"]", capEff, "0000000000000020\n")), bad: bad(`cap_add = ["net_admin"]`, "cap_add", "CAP_NET_ADMIN", "allow_caps")},
	"cap_drop":     {effect: shows(`cap_drop = ["all"]`, capEff, "0000000000000000\n"), apple: sinceApple("0.12.0", `cap_drop = ["all"]`, "cap_drop", shows(`cap_drop = ["all"]`, capEff, "0000000000000000\n")), bad: bad(`cap_drop = ["fly"]`, "cap_drop", "fly")},
	"privileged":   {effect: by("e2e/pluginkeys_test.go", "TestAnOpenNodeGivesATaskWhatItsOperatorAllows"), apple: podmanOnly(`privileged = true`, "privileged", ownMachine), bad: bad(`privileged = true`, "privileged", "allow_privileged")},
	"security_opt": {effect: shows(`security_opt = ["no-new-privileges"]`, "grep NoNewPrivs /proc/self/status | cut -f2", "1\n"), apple: podmanOnly(`security_opt = ["no-new-privileges"]`, "security_opt", ownMachine), bad: bad(`security_opt = ["-x"]`, "security_opt", "-x")},
	"ulimit":       {effect: shows("ulimit {\n nofile = \"512\"\n nproc = \"4000\"\n}", "ulimit -n", "512\n"), bad: bad("ulimit {\n nofile = \"many\"\n}", "ulimit.nofile", "many")},
	"sysctl":       {effect: shows("sysctl = { \"net.core.somaxconn\" = \"512\" }", "cat /proc/sys/net/core/somaxconn", "512\n"), apple: podmanOnly("sysctl = { \"net.core.somaxconn\" = \"512\" }", "sysctl", "entrypoint"), bad: bad("sysctl = { \"net core\" = \"1\" }", "sysctl", "net core")},
	"pids_limit":   {effect: shows(`pids_limit = 17`, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max", "17\n"), apple: podmanOnly(`pids_limit = 17`, "pids_limit", "nproc"), bad: bad(`pids_limit = -2`, "pids_limit")},
	"ssh_agent":    {effect: shows(`ssh_agent = true`, "[ -S $SSH_AUTH_SOCK ] && echo there", "there\n"), bad: bad(`ssh_agent = "perhaps"`, "ssh_agent")},
	"rosetta":      {effect: appleOnly(`rosetta = true`, "rosetta", "platform"), apple: both(records(`rosetta = true`, "configuration.rosetta", "true"), records(`rosetta = true`, "configuration.platform.architecture", "amd64")), bad: bad(`rosetta = "perhaps"`, "rosetta")},
	"virtualization": {effect: appleOnly(`virtualization = true`, "virtualization", "/dev/kvm"), apple: records(`virtualization = true`, "configuration.virtualization", "true"),
		bad: bad(`virtualization = "perhaps"`, "virtualization")},
	"kernel":     {effect: appleOnly(`kernel = "/boot/vmlinux"`, "kernel", "apple"), apple: booted, bad: bad(`kernel = "vmlinux"`, "kernel", "absolute")},
	"init_image": {effect: appleOnly(`init_image = "localhost/init:1"`, "init_image", "apple"), apple: records(`init_image = "localhost/init:1"`, "settings.init-image", "localhost/init:1"), bad: bad(`init_image = "-x"`, "init_image", "-x")},
	"publish_sockets": {effect: appleOnly(`publish_sockets = ["/run/a.sock:/run/b.sock"]`, "publish_sockets", "volumes"), apple: published,
		bad: bad(`publish_sockets = ["a.sock"]`, "publish_sockets", "a.sock")},
	"readonly_rootfs": {effect: shows(`readonly_rootfs = true`, "touch /x 2>/dev/null || echo refused", "refused\n"),
		bad: bad(`readonly_rootfs = "perhaps"`, "readonly_rootfs")},
	"auth.username": {effect: by("e2e/images_test.go", "TestAJobRunsFromAPrivateRegistryOnPodman"), apple: by("e2e/apple_test.go", "TestAPrivateImageNeedsItsCredentialsOnApple"),
		bad: bad(fmt.Sprintf(login, "", "secret", ""), "auth.username")},
	"auth.password": {effect: by("e2e/images_test.go", "TestAJobRunsFromAPrivateRegistryOnPodman"), apple: by("e2e/apple_test.go", "TestAPrivateImageNeedsItsCredentialsOnApple"),
		bad: bad(fmt.Sprintf(login, "user", "se\ncret", ""), "auth.password")},
	"auth.server_address": {effect: atItsServer,
		bad: bad(fmt.Sprintf(login, "user", "secret", `server_address = "registry.example.test"`), "auth.server_address", "registry.example.test")},
	"auth_soft_fail": {effect: pulledWithout, apple: by("e2e/imagekeys_test.go", "TestPullsGoAsTheTaskSaysOnApple"),
		bad: bad(`auth_soft_fail = "perhaps"`, "auth_soft_fail")},
	"image_pull_timeout": {effect: pulledInTime, apple: by("e2e/imagekeys_test.go", "TestPullsGoAsTheTaskSaysOnApple"),
		bad: bad(`image_pull_timeout = "soon"`, "image_pull_timeout", "soon")},
	"dns_search_domains": {effect: shows(`dns_search_domains = ["a.test"]`, fmt.Sprintf(resolvConf, "search a.test"), "1\n"),
		bad: bad(`dns_search_domains = ["two words"]`, "dns_search_domains", "two words")},
	// Apple's CLI runs no health checks of an image.
	"healthchecks.disable": {effect: unchecked, apple: shows("healthchecks {\n disable = true\n}", "echo runs", "runs\n"),
		bad: bad("healthchecks {\n disable = \"perhaps\"\n}", "bool")},
	"devices.host_path": {effect: shows(fmt.Sprintf(aDevice, "rwm"), "stat -c %t:%T /dev/nix", whichDevice), apple: podmanOnly(fmt.Sprintf(aDevice, "rwm"), "devices", noDevices),
		bad: bad("devices {\n host_path = \"null\"\n}", "devices", "null")},
	"devices.container_path": {effect: shows(fmt.Sprintf(aDevice, "rwm"), "stat -c %t:%T /dev/nix", whichDevice), apple: podmanOnly(fmt.Sprintf(aDevice, "rwm"), "devices", noDevices),
		bad: bad("devices {\n host_path = \"/dev/null\"\n container_path = \"nix\"\n}", "devices", "nix")},
	"devices.cgroup_permissions": {effect: shows(fmt.Sprintf(aDevice, "r"), "{ echo x > /dev/nix; } 2>/dev/null || echo refused", "refused\n"), apple: podmanOnly(fmt.Sprintf(aDevice, "r"), "devices", noDevices),
		bad: bad(fmt.Sprintf(aDevice, "rwx"), "cgroup_permissions", "rwx")},
}

const capEff = "grep CapEff /proc/self/status | cut -f2"

func init() {
	for _, key := range []string{"mount", "mounts"} {
		for nested, proof := range mountProofs(key) {
			proofs[key+nested] = proof
		}
	}
}

// The plugin itself says which keys there are, those of nested blocks among them: one without a proof
// fails this test.
func TestEveryKeyOfATaskHasItsEffectAndRefusesABadValue(t *testing.T) {
	schema, err := Launch(t).TaskConfigSchema()
	must.NoError(t, err)
	var known []string
	for key := range proofs {
		known = append(known, key)
	}
	must.SliceContainsAll(t, SchemaKeys(schema), known, must.Sprint("the keys that the plugin has, and those with a proof of their effect and a bad value"))
	each(t, func(t *testing.T, agent *Agent) {
		for key, proof := range proofs {
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				if proof.apple != nil && agent.Runtime.Name() == "apple" {
					proof.apple(t, agent)
				} else {
					proof.effect(t, agent)
				}
			})
			t.Run(key+", bad", func(t *testing.T) {
				t.Parallel()
				refused(proof.bad)(t, agent)
			})
		}
	})
}
