package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func mount(kind, source, target, more string) string {
	return fmt.Sprintf("mount {\n type = %q\n source = %q\n target = %q\n %s\n}\n", kind, source, target, more)
}

func device(host, inside, permissions string) string {
	return fmt.Sprintf("devices {\n host_path = %q\n container_path = %q\n cgroup_permissions = %q\n}\n", host, inside, permissions)
}

func TestStorageSettingsTakeEffectInTheTask(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	host := t.TempDir()
	must.NoError(t, os.WriteFile(filepath.Join(host, "file"), []byte("of the host\n"), 0o644))
	must.NoError(t, os.Mkdir(filepath.Join(host, "a:b"), 0o755))
	must.NoError(t, os.WriteFile(filepath.Join(host, "a:b", "file"), []byte("colon\n"), 0o644))
	const write = "; touch /data/x 2>/dev/null && echo written || echo refused"
	for name, c := range map[string]struct{ config, script, want string }{
		"tmpfs with size and mode":   {`tmpfs = ["/data:size=1m,mode=1750"]`, "stat -c %a /data; head -c 2000000 /dev/zero > /data/x 2>/dev/null || stat -c %s /data/x", "1750\n1048576\n"},
		"tmpfs block":                {mount("tmpfs", "", "/data", "tmpfs_options {\n size = 1048576\n mode = 1750\n}"), "stat -c %a /data; head -c 2000000 /dev/zero > /data/x 2>/dev/null || stat -c %s /data/x", "1750\n1048576\n"},
		"tmpfs read-only":            {mount("tmpfs", "", "/data", "readonly = true"), "grep -c ' /data tmpfs' /proc/mounts" + write, "1\nrefused\n"},
		"bind block":                 {mount("bind", host, "/data", ""), "cat /data/file" + write, "of the host\nwritten\n"},
		"bind block, read-only":      {mount("bind", host, "/data", "readonly = true"), "cat /data/file" + write, "of the host\nrefused\n"},
		"bind block of one file":     {mount("bind", host+"/file", "/etc/one", "readonly = true"), "cat /etc/one", "of the host\n"},
		"bind block, relative":       {mount("bind", "local", "/data", ""), "echo here > /local/f; cat /data/f", "here\n"},
		"bind of a path with colons": {mount("bind", host+"/a:b", "/data", ""), "cat /data/file", "colon\n"},
		"relative volume":            {`volumes = ["local:/data"]`, "echo here > /data/f; cat /local/f", "here\n"},
		"shared by the allocation":   {`volumes = ["../alloc/data:/data:ro"]`, "echo here > /alloc/data/f; cat /data/f" + write, "here\nrefused\n"},
		"noexec":                     {`volumes = ["local:/data:noexec"]`, "cp /bin/busybox /local/; /data/busybox true 2>/dev/null || echo refused", "refused\n"},
		"device under another name":  {device("/dev/null", "/dev/nix", "rw"), "[ -c /dev/nix ] && echo x > /dev/nix && echo written", "written\n"},
		"device without a name":      {"devices {\n host_path = \"/dev/null\"\n}", "[ -c /dev/null ] && echo there", "there\n"},
		"shm_size":                   {`shm_size = "1m"`, "df -k /dev/shm | awk 'END { print $2 }'", "1024\n"},
		"shm_size in bytes":          {`shm_size = 2097152`, "df -k /dev/shm | awk 'END { print $2 }'", "2048\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shows(t, p, c.config, c.script, c.want)
		})
	}
}

func TestNamedVolumesKeepTheirContent(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	name := nomadkit.Unique("ndc-volume")
	t.Cleanup(func() { _, _ = nomadkit.Podman("volume", "rm", "-f", name) })
	shows(t, p, `volumes = ["`+name+`:/data"]`, "echo kept > /data/file", "")
	shows(t, p, mount("volume", name, "/data", "readonly = true"), "cat /data/file; touch /data/x 2>/dev/null || echo refused", "kept\nrefused\n")
	closed := nomadkit.StartPlugin(t, "volumes {\n enabled = false\n}")
	must.False(t, fails(t, closed, script("true")+`volumes = ["`+name+`:/data"]`, name, "volumes.enabled"))
}

func TestWhatNomadMountsForATaskArrivesAsItSays(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "volumes {\n enabled = false\n}")
	dir := t.TempDir()
	must.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("a host volume\n"), 0o644))
	task := nomadkit.NewTask(t, p, script("cat /rw/file; for d in /rw /ro; do touch $d/x 2>/dev/null && echo $d written || echo $d refused; done; "+
		"echo x > /dev/plugged && echo device; echo END; sleep 60")+mount("bind", "local", "/shared", "bind_options {\n propagation = \"rshared\"\n}"),
		func(c *drivers.TaskConfig) {
			c.Mounts = []*drivers.MountConfig{
				{HostPath: dir, TaskPath: "/rw"},
				{HostPath: dir, TaskPath: "/ro", Readonly: true},
				{HostPath: dir, TaskPath: "/slave", PropagationMode: "host-to-task"},
			}
			c.Devices = []*drivers.DeviceConfig{{HostPath: "/dev/null", TaskPath: "/dev/plugged", Permissions: "rwm"}}
		}).Start(t)
	task.WaitLog(t, "stdout", "END\n")
	must.Eq(t, "a host volume\n/rw written\n/ro refused\ndevice\nEND\n", task.Log("stdout"))
	got, err := nomadkit.Podman("inspect", "--format", "{{range .Mounts}}{{.Destination}} {{.Propagation}},{{end}}",
		nomadkit.ContainersOf(t, task.AllocID)[0])
	must.NoError(t, err)
	for _, want := range []string{"/rw rprivate,", "/slave rslave,", "/shared rshared,"} {
		must.StrContains(t, got, want)
	}
}

func TestBadStorageSettingsAreRefused(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	for config, wants := range map[string][]string{
		`tmpfs = ["data"]`:                                                           {"tmpfs", "data"},
		`tmpfs = ["/data:size=lots"]`:                                                {"tmpfs", "size=lots"},
		`tmpfs = ["/data:mode=rwx"]`:                                                 {"tmpfs", "mode=rwx"},
		`tmpfs = ["/data:colour=red"]`:                                               {"tmpfs", "colour=red"},
		mount("tmpfs", "/x", "/data", ""):                                            {"mount[0].source"},
		mount("bind", "/no/such/source", "/data", ""):                                {"/no/such/source"},
		mount("bind", "/tmp", "data", ""):                                            {"mount[0].target", "data"},
		mount("bind", "", "/data", ""):                                               {"mount[0].source"},
		mount("npipe", "/x", "/data", ""):                                            {"mount[0].type", "npipe"},
		mount("volume", "/tmp", "/data", ""):                                         {"mount[0].source", "/tmp"},
		mount("bind", "/tmp", "/data", "bind_options {\n propagation = \"wild\"\n}"): {"propagation", "wild"},
		`volumes = ["/tmp:/data:sometimes"]`:                                         {"volumes", "sometimes"},
		`volumes = ["name/../../etc:/data"]`:                                         {"name/../../etc"},
		`volumes = ["..:/data"]`:                                                     {".."},
		`volumes = ["a name:/data"]`:                                                 {"a name"},
		`volumes = ["/tmp:relative"]`:                                                {"/tmp:relative"},
		device("/dev/no-such-device", "/dev/x", "rw"):                                {"/dev/no-such-device"},
		device("/dev/null", "/dev/x", "rwx"):                                         {"cgroup_permissions", "rwx"},
		device("null", "/dev/x", "rw"):                                               {"null"},
		device("/etc/passwd", "/dev/x", "rw"):                                        {"/etc/passwd"},
		`shm_size = "64 llamas"`:                                                     {"shm_size", "64 llamas"},
	} {
		must.False(t, fails(t, p, script("true")+config, wants...), must.Sprint(config))
	}
}

func TestTheOperatorsPathsCannotBeLeft(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	allowed, forbidden := filepath.Join(base, "allowed"), filepath.Join(base, "allowed-not")
	for _, dir := range []string{allowed, forbidden} {
		must.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
		must.NoError(t, os.WriteFile(filepath.Join(dir, "sub", "file"), []byte(filepath.Base(dir)+"\n"), 0o644))
	}
	must.NoError(t, os.Symlink(forbidden, filepath.Join(allowed, "link")))
	must.NoError(t, os.Symlink(filepath.Join(allowed, "sub"), filepath.Join(forbidden, "link")))
	volume := func(source string) string { return `volumes = ["` + source + `:/data"]` }

	p := nomadkit.StartPlugin(t, fmt.Sprintf("volumes {\n allowed_paths = [%q]\n}", allowed))
	for _, source := range []string{allowed + "/sub", forbidden + "/link", allowed + "/../allowed/sub"} {
		shows(t, p, volume(source), "cat /data/file", "allowed\n")
	}
	shows(t, p, volume("local"), "touch /data/x && echo written", "written\n")
	for _, source := range []string{forbidden + "/sub", allowed + "/link/sub", allowed + "/../allowed-not/sub", base, "/", "/proc/self/root"} {
		must.False(t, fails(t, p, script("true")+volume(source), source, "allowed_paths"), must.Sprint(source))
		must.False(t, fails(t, p, script("true")+mount("bind", source, "/data", ""), source), must.Sprint(source))
	}
	closed := nomadkit.StartPlugin(t, "volumes {\n enabled = false\n}")
	shows(t, closed, volume("local"), "touch /data/x && echo written", "written\n")
	must.False(t, fails(t, closed, script("true")+volume(allowed+"/sub"), "volumes.enabled"))
	for _, source := range []string{"../../../../../../../../etc", "local/../../../../../..", "local/link/sub"} {
		task := nomadkit.MuteTask(t, closed, script("true")+volume(source))
		must.NoError(t, os.Symlink(forbidden, filepath.Join(task.Dir, "local", "link")))
		_, _, err := closed.StartTask(task.TaskConfig)
		must.ErrorContains(t, err, "leads out of the task's directory", must.Sprint(source))
	}
}
