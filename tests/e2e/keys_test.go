package e2e

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// proof says how a key of a task's configuration is tested on Podman: by its effect as it is seen in
// the container or, where Podman has none, by its refusal; and by a value that is refused.
type proof struct {
	effect func(*testing.T)
	bad    badValue
}

type badValue struct {
	config string
	wants  []string // in the task's events
}

func bad(config string, wants ...string) badValue { return badValue{config, wants} }

// shows runs a script under a setting and compares what it prints.
func shows(config, script, want string) func(*testing.T) {
	return func(t *testing.T) { must.Eq(t, want, output(t, onPodman(t), script+"\necho END", config, "")) }
}

// inspects looks at the container of a running task from outside.
func inspects(config, format, want string) func(*testing.T) {
	return func(t *testing.T) {
		job := onPodman(t).Submit(t, BatchJob("kill_timeout = \"300ms\"\n"+Shell(untilSignalled, config)))
		alloc := job.WaitStatus(t, "running")
		got, err := Podman("inspect", "--format", format, ContainersOf(t, alloc.ID)[0])
		must.NoError(t, err)
		must.Eq(t, want, got)
	}
}

// refused is a setting with which a task fails before there is a container. It is not restarted.
func refused(value badValue) func(*testing.T) {
	return func(t *testing.T) {
		image := "image = \"${image}\"\n"
		if regexp.MustCompile(`(?m)^image `).MatchString(value.config) {
			image = ""
		}
		// A log collector that nobody writes to takes seconds to end.
		job := onPodman(t).Submit(t, BatchJob("logs {\n disabled = true\n}\nconfig {\n"+image+value.config+"\n}\n"))
		alloc := job.WaitStatus(t, "failed")
		for _, want := range value.wants {
			must.StrContains(t, Events(alloc, "main"), want)
		}
		must.SliceEmpty(t, ContainersOf(t, alloc.ID))
	}
}

// by names the test of this or another suite that sees the effect; it has to exist.
func by(file, name string) func(*testing.T) {
	return func(t *testing.T) { NeedTest(t, file, name) }
}

// appleOnly is a key that Podman refuses, with what to do instead.
func appleOnly(config, key, instead string) func(*testing.T) {
	return refused(bad(config, key, "Podman", "cannot do this", instead))
}

const (
	mountTmpfs = "{\n type = \"tmpfs\"\n target = \"/data\"\n tmpfs_options {\n size = 1048576\n }\n}"
	nullDevice = "devices {\n host_path = \"/dev/null\"\n container_path = \"%s\"\n}"
	sizeOfData = "df -k /data | awk 'END { print $2 }'"
	resolvConf = "grep -c '^%s' /etc/resolv.conf"
)

var proofs = map[string]proof{
	"image":        {shows("", "[ -x /bin/busybox ] && echo busybox", "busybox\n"), bad(`image = "two words"`, "image", "two words")},
	"command":      {shows("", "echo run by the shell", "run by the shell\n"), bad(`command = ["a"]`, "command")},
	"args":         {shows("", "echo $0", "/bin/sh\n"), bad(`args = "one"`, "args")},
	"entrypoint":   {by("e2e/settings_test.go", "TestEntrypointIsReplaced"), bad("entrypoint = { a = \"b\" }", "entrypoint")},
	"working_dir":  {shows(`working_dir = "/tmp"`, "pwd", "/tmp\n"), bad(`working_dir = "tmp"`, "working_dir", "absolute")},
	"work_dir":     {shows(`work_dir = "/tmp"`, "pwd", "/tmp\n"), bad("work_dir = \"/a\"\nworking_dir = \"/b\"", "work_dir", "working_dir")},
	"env":          {shows("env {\n A = \"1\"\n}", "echo $A", "1\n"), bad("env = { \"A=B\" = \"1\" }", "env", "A=B")},
	"user":         {shows(`user = "1234:4321"`, "id -u; id -g", "1234\n4321\n"), bad(`user = "no-such-user"`, "no-such-user")},
	"hostname":     {shows(`hostname = "box"`, "hostname", "box\n"), bad(`hostname = "two words"`, "hostname")},
	"labels":       {inspects("labels {\n team = \"blue\"\n}", `{{index .Config.Labels "team"}}`, "blue"), bad("labels = { \"a=b\" = \"1\" }", "labels", "a=b")},
	"init":         {shows(`init = true`, "[ $$ != 1 ] && echo second", "second\n"), bad(`init = "perhaps"`, "init")},
	"tty":          {by("e2e/logs_test.go", "TestATerminalsOutputIsOneStream"), bad(`tty = "perhaps"`, "tty")},
	"interactive":  {shows(`interactive = true`, "timeout 1 cat; [ $? != 0 ] && echo waited", "waited\n"), bad(`interactive = "perhaps"`, "interactive")},
	"stop_signal":  {inspects(`stop_signal = "SIGUSR2"`, "{{.Config.StopSignal}}", "12"), bad(`stop_signal = "SIGNONSENSE"`, "stop_signal", "SIGNONSENSE")},
	"healthchecks": {by("wire/security_test.go", "TestHealthChecksOfAnImageCanBeSwitchedOff"), bad("healthchecks {\n disable = \"perhaps\"\n}", "disable")},
	"pull_policy":  {refused(bad("image = \"localhost/ndc-none:1\"\npull_policy = \"never\"", "pull_policy")), bad(`pull_policy = "sometimes"`, "pull_policy", "sometimes")},
	"force_pull":   {by("wire/images_test.go", "TestAnImageIsPulledByTagAndByDigestAndAgainOnlyWhenForced"), bad("force_pull = true\npull_policy = \"never\"", "force_pull", "pull_policy")},
	"platform":     {by("wire/images_test.go", "TestThePlatformChoosesAmongTheImagesOfOneName"), bad(`platform = "arm64"`, "platform", "arm64")},
	"load":         {by("wire/images_test.go", "TestAnImageIsLoadedFromTheTasksDirectory"), bad(`load = "/etc/passwd"`, "load", "/etc/passwd")},
	"auth":         {by("e2e/images_test.go", "TestAJobRunsFromAPrivateRegistryOnPodman"), bad("auth {\n username = \"u\"\n server_address = \"registry.example.test\"\n}", "auth")},
	"volumes":      {shows(`volumes = ["local:/data"]`, "touch /data/x && ls /local", "x\n"), bad(`volumes = ["/no/such/path:/data"]`, "/no/such/path")},
	"tmpfs":        {shows(`tmpfs = ["/data:size=1m"]`, sizeOfData, "1024\n"), bad(`tmpfs = ["/data:colour=red"]`, "tmpfs", "colour=red")},
	"mount":        {shows("mount "+mountTmpfs, sizeOfData, "1024\n"), bad("mount {\n type = \"npipe\"\n source = \"/x\"\n target = \"/data\"\n}", "mount[0].type", "npipe")},
	"mounts":       {shows("mounts "+mountTmpfs, sizeOfData, "1024\n"), bad("mounts {\n source = \"/tmp\"\n target = \"data\"\n}", "mounts[0].target")},
	"devices":      {shows(fmt.Sprintf(nullDevice, "/dev/nix"), "[ -c /dev/nix ] && echo there", "there\n"), bad(fmt.Sprintf(nullDevice, "nix"), "devices", "nix")},
	"shm_size":     {shows(`shm_size = "1m"`, "df -k /dev/shm | awk 'END { print $2 }'", "1024\n"), bad(`shm_size = "64 llamas"`, "shm_size", "64 llamas")},
	"ports":        {by("e2e/settings_test.go", "TestAStaticPortIsPublishedOverTCPAndUDP"), bad(`ports = ["htp"]`, "publish port", "htp")},
	"network_mode": {shows(`network_mode = "none"`, "ls /sys/class/net", "lo\n"), bad(`network_mode = "a network"`, "network_mode", "a network")},
	"dns":          {shows(`dns = ["192.0.2.53"]`, fmt.Sprintf(resolvConf, "nameserver 192.0.2.53"), "1\n"), bad(`dns = ["nobody"]`, "dns", "nobody")},
	"dns_servers":  {shows(`dns_servers = ["192.0.2.53"]`, fmt.Sprintf(resolvConf, "nameserver 192.0.2.53"), "1\n"), bad(`dns_servers = ["nobody"]`, "dns_servers", "nobody")},
	"dns_search":   {shows(`dns_search = ["a.test"]`, fmt.Sprintf(resolvConf, "search a.test"), "1\n"), bad(`dns_search = ["two words"]`, "dns_search", "two words")},
	"dns_options":  {shows(`dns_options = ["ndots:3"]`, fmt.Sprintf(resolvConf, "options ndots:3"), "1\n"), bad(`dns_options = ["two words"]`, "dns_options", "two words")},
	"extra_hosts":  {shows(`extra_hosts = ["db:192.0.2.7"]`, "grep -w db /etc/hosts | awk '{ print $1 }'", "192.0.2.7\n"), bad(`extra_hosts = ["db"]`, "extra_hosts", "db")},
	"mac_address":  {shows(`mac_address = "02:00:5e:00:53:07"`, "cat /sys/class/net/eth0/address", "02:00:5e:00:53:07\n"), bad(`mac_address = "02:00"`, "mac_address", "02:00")},
	"cap_add":      {shows("cap_drop = [\"all\"]\ncap_add = [\"kill\"]", "grep CapEff /proc/self/status | cut -f2", "0000000000000020\n"), bad(`cap_add = ["net_admin"]`, "cap_add", "CAP_NET_ADMIN", "allow_caps")},
	"cap_drop":     {shows(`cap_drop = ["all"]`, "grep CapEff /proc/self/status | cut -f2", "0000000000000000\n"), bad(`cap_drop = ["fly"]`, "cap_drop", "fly")},
	"privileged":   {by("wire/security_test.go", "TestTheOperatorOpensAndClosesGates"), bad(`privileged = true`, "privileged", "allow_privileged")},
	"security_opt": {shows(`security_opt = ["no-new-privileges"]`, "grep NoNewPrivs /proc/self/status | cut -f2", "1\n"), bad(`security_opt = ["-x"]`, "security_opt", "-x")},
	"ulimit":       {shows("ulimit {\n nofile = \"512\"\n nproc = \"4000\"\n}", "ulimit -n", "512\n"), bad("ulimit {\n nofile = \"many\"\n}", "ulimit.nofile", "many")},
	"sysctl":       {shows("sysctl = { \"net.core.somaxconn\" = \"512\" }", "cat /proc/sys/net/core/somaxconn", "512\n"), bad("sysctl = { \"net core\" = \"1\" }", "sysctl", "net core")},
	"pids_limit":   {shows(`pids_limit = 17`, "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max", "17\n"), bad(`pids_limit = -2`, "pids_limit")},
	"ssh_agent":    {shows(`ssh_agent = true`, "[ -S $SSH_AUTH_SOCK ] && echo there", "there\n"), bad(`ssh_agent = "perhaps"`, "ssh_agent")},
	"rosetta":      {appleOnly(`rosetta = true`, "rosetta", "platform"), bad(`rosetta = "perhaps"`, "rosetta")},
	"virtualization": {appleOnly(`virtualization = true`, "virtualization", "/dev/kvm"),
		bad(`virtualization = "perhaps"`, "virtualization")},
	"kernel":     {appleOnly(`kernel = "/boot/vmlinux"`, "kernel", "apple"), bad(`kernel = "vmlinux"`, "kernel", "absolute")},
	"init_image": {appleOnly(`init_image = "localhost/init:1"`, "init_image", "apple"), bad(`init_image = "-x"`, "init_image", "-x")},
	"publish_sockets": {appleOnly(`publish_sockets = ["/run/a.sock:/run/b.sock"]`, "publish_sockets", "volumes"),
		bad(`publish_sockets = ["a.sock"]`, "publish_sockets", "a.sock")},
	"readonly_rootfs": {shows(`readonly_rootfs = true`, "touch /x 2>/dev/null || echo refused", "refused\n"),
		bad(`readonly_rootfs = "perhaps"`, "readonly_rootfs")},
	"auth_soft_fail": {by("wire/images_test.go", "TestARefusedLoginMayBeFollowedByATryWithout"), bad(`auth_soft_fail = "perhaps"`, "auth_soft_fail")},
	"image_pull_timeout": {by("wire/registry_faults_test.go", "TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen"),
		bad(`image_pull_timeout = "soon"`, "image_pull_timeout", "soon")},
	"dns_search_domains": {shows(`dns_search_domains = ["a.test"]`, fmt.Sprintf(resolvConf, "search a.test"), "1\n"),
		bad(`dns_search_domains = ["two words"]`, "dns_search_domains", "two words")},
}

// The plugin itself says which keys there are: one without a proof fails this test.
func TestEveryKeyOfATaskHasItsEffectAndRefusesABadValueOnPodman(t *testing.T) {
	schema, err := Launch(t).TaskConfigSchema()
	must.NoError(t, err)
	keys := schema.GetObject().GetAttributes()
	must.MapNotEmpty(t, keys)
	for key := range proofs {
		must.MapContainsKey(t, keys, key, must.Sprint("a key that the plugin has"))
	}
	for key := range keys {
		proof, found := proofs[key]
		if !found {
			t.Errorf("%s has no proof of its effect and no bad value: add it to proofs", key)
			continue
		}
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			proof.effect(t)
		})
		t.Run(key+", bad", func(t *testing.T) {
			t.Parallel()
			refused(proof.bad)(t)
		})
	}
}
