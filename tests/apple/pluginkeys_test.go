package apple

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// What these keys mean is the same for every version: the newest one is enough.
func configured(t *testing.T, config string, env ...string) *node {
	t.Helper()
	n := newNode(t, versions()[len(versions())-1])
	n.configure(t, n.Config()+config, env...)
	return n
}

func TestADisabledDriverRefusesTasks(t *testing.T) {
	must.False(t, fails(t, configured(t, "enabled = false"), of("demo:1", ""), "disabled"))
}

func TestTheStateDirectoryIsMadeForItsOwnerOnly(t *testing.T) {
	n := newNode(t, versions()[0])
	dir := filepath.Join(n.StateDir, "deep", "state")
	n.Plugin = nomadkit.StartPluginIn(t, dir, n.Config())
	task := starts(t, n, of("demo:1", ""))
	info, err := os.Stat(dir)
	must.NoError(t, err)
	must.Eq(t, os.FileMode(0o700), info.Mode().Perm())
	must.Positive(t, n.monitorOf(task), must.Sprint("its monitor's files are there"))
}

func TestLabelsAreStampedAsTheOperatorSays(t *testing.T) {
	labels := func(config string) map[string]string {
		n := configured(t, config)
		record, err := n.Record(container(starts(t, n, of("demo:1", ""))))
		must.NoError(t, err)
		return record.Configuration.Labels
	}
	must.MapNotContainsKey(t, labels(""), "nomad.job_name")
	must.Eq(t, "wire", labels(`extra_labels = ["job_*"]`)["nomad.job_name"])
}

func TestContainersAndImagesAreKeptOrRemovedAsTheOperatorSays(t *testing.T) {
	ended := func(n *node) {
		task := starts(t, n, of("demo:1", ""))
		must.NoError(t, n.StopTask(task.ID, time.Minute, "SIGKILL"))
		must.NoError(t, n.DestroyTask(task.ID, false))
	}
	keeps := configured(t, "gc {\n container = false\n}")
	ended(keeps)
	must.Len(t, 1, keeps.Containers())
	must.Eq(t, 0, keeps.Calls("image delete"))

	n := configured(t, "gc {\n image = true\n image_delay = \"1s\"\n}")
	ended(n)
	must.SliceEmpty(t, n.Containers())
	removed := func(n *node) {
		t.Helper()
		nomadkit.Eventually(t, 20*time.Second, "the unused image is removed", func() error {
			if n.Calls("image delete") == 0 {
				return fmt.Errorf("it is still there")
			}
			return nil
		})
	}
	removed(n)

	restarted := configured(t, "gc {\n image = true\n image_delay = \"1h\"\n}")
	ended(restarted)
	restarted.Kill9(t)
	restarted.Plugin = nomadkit.StartPluginIn(t, restarted.StateDir,
		restarted.Config()+"gc {\n image = true\n image_delay = \"1s\"\n}")
	removed(restarted)
}

// leftover makes a container of a task that nobody knows any more.
func leftover(t *testing.T, n *node, id, node string) {
	t.Helper()
	_, err := n.Run("create", "--name", id, "--label", "nomad.task_id=gone", "--label", "nomad.node_id="+node, "--", "demo:1")
	must.NoError(t, err)
}

func TestADanglingContainerIsRemovedAndOthersAreNot(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		n.configure(t, n.Config()+"gc {\n dangling_containers {\n period = \"1s\"\n creation_grace = \"1ms\"\n}\n}")
		task := starts(t, n, of("demo:1", ""))
		leftover(t, n, "ours", task.NodeID)
		leftover(t, n, "of-another-agent", "another-node")
		_, err := n.Run("create", "--name", "of-somebody", "--", "demo:1")
		must.NoError(t, err)
		nomadkit.Eventually(t, 20*time.Second, "the dangling container is removed", func() error {
			if slices.Contains(n.Containers(), "ours") {
				return fmt.Errorf("it is still there")
			}
			return nil
		})
		must.SliceContainsAll(t, []string{container(task), "of-another-agent", "of-somebody"}, n.Containers())
	})
}

// Agents may share the driver's state directory and not the engine's storage: each has containers of
// which the other's engine knows nothing.
func TestAgentsThatShareAStateDirectoryLeaveEachOthersTasksAlone(t *testing.T) {
	n, other := newNode(t, versions()[0]), newNode(t, versions()[0])
	task := starts(t, n, of("demo:1", ""))
	monitor := n.monitorOf(task)
	other.Client.Kill()
	other.Plugin = nomadkit.StartPluginIn(t, n.StateDir, other.Config()+
		"gc {\n dangling_containers {\n period = \"100ms\"\n creation_grace = \"1ms\"\n}\n}")
	theirs := starts(t, other, of("demo:1", ""))
	gone := filepath.Join(n.StateDir, "nomad-main-gone")
	must.NoError(t, os.Mkdir(gone, 0o700))
	owner := "nomad.node_id=" + theirs.NodeID + "\nnomad.task_id=" + "gone/main/1\n"
	must.NoError(t, os.WriteFile(filepath.Join(gone, "owner"), []byte(owner), 0o600))
	nomadkit.Eventually(t, 20*time.Second, "what is left of its own task is removed", func() error {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			return fmt.Errorf("%s: %v", gone, err)
		}
		return nil
	})
	must.Eq(t, monitor, n.monitorOf(task))
	must.NotEq(t, 0, monitor)
	must.NoError(t, n.DestroyTask(task.ID, true))
	must.NoError(t, other.DestroyTask(theirs.ID, true))
	n.nothingLeft(t)
}

func TestDanglingContainersAreLeftAloneWhereTheOperatorSaysSo(t *testing.T) {
	for name, config := range map[string]string{
		"off":     "enabled = false\n creation_grace = \"1ms\"",
		"dry run": "dry_run = true\n creation_grace = \"1ms\"",
		"grace":   "creation_grace = \"1h\"",
	} {
		t.Run(name, func(t *testing.T) {
			n := configured(t, "gc {\n dangling_containers {\n period = \"100ms\"\n "+config+"\n}\n}")
			task := starts(t, n, of("demo:1", ""))
			leftover(t, n, "ours", task.NodeID)
			switch name {
			case "off":
				before := n.Calls("list")
				time.Sleep(time.Second) // what must not happen has no event to wait for
				must.Eq(t, before, n.Calls("list"))
			case "grace":
				before := n.Calls("list")
				nomadkit.Eventually(t, 20*time.Second, "three looks", func() error {
					if got := n.Calls("list") - before; got < 3 {
						return fmt.Errorf("%d", got)
					}
					return nil
				})
				must.StrNotContains(t, n.Stderr.String(), "no task owns")
			case "dry run":
				nomadkit.Eventually(t, 20*time.Second, "it is said what would be removed", func() error {
					if text := n.Stderr.String(); !strings.Contains(text, "(ours): this would be removed (dry_run)") {
						return fmt.Errorf("%s", text)
					}
					return nil
				})
			}
			must.SliceContains(t, n.Containers(), "ours")
		})
	}
}

func TestWithoutLogCollectionATaskWritesToNothing(t *testing.T) {
	n := configured(t, "disable_log_collection = true")
	got, err := n.Raw(t).Capabilities(nomadkit.Context(t, 10*time.Second), &dproto.CapabilitiesRequest{})
	must.NoError(t, err)
	must.True(t, got.Capabilities.DisableLogCollection)
	task := nomadkit.MuteTask(t, n.Plugin, "image = \"demo:1\"\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"echo to nobody; exit 6\"]\n")
	task.StdoutPath, task.StderrPath = task.AllocDir+"/no.stdout.fifo", task.AllocDir+"/no.stderr.fifo"
	must.Eq(t, 6, task.Start(t).Wait(t, 20*time.Second).ExitCode)
	must.FileNotExists(t, task.StdoutPath)
}

func TestTheOperatorOpensAndClosesGates(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent.sock")
	listen(t, socket)
	agent := "SSH_AUTH_SOCK=" + socket
	open := configured(t, "allow_caps = [\"net_admin\"]\nallowed_images = [\"docker.io/library/*\"]", agent)
	record, err := open.Record(container(starts(t, open, of("demo:1", "virtualization = true\nssh_agent = true\ncap_add = [\"net_admin\"]"))))
	must.NoError(t, err)
	must.Eq(t, []string{"CAP_NET_ADMIN"}, record.Configuration.CapAdd)
	must.Eq(t, "true", open.RecordedOf(t, record.ID, "configuration.virtualization"))
	must.Eq(t, socket, open.RecordedOf(t, record.ID, "settings.ssh-auth-sock"))
	must.False(t, fails(t, open, of("demo:1", `cap_add = ["kill"]`), "cap_add", "CAP_KILL", "allow_caps"))
	must.False(t, fails(t, open, of("docker.io/other/demo:1", ""), "image", "docker.io/other/demo:1", "allowed_images"))

	closed := configured(t, "allow_ssh_agent = false\nallow_virtualization = false", agent)
	must.False(t, fails(t, closed, of("demo:1", "virtualization = true"), "virtualization", "not allowed on this node", "allow_virtualization"))
	must.False(t, fails(t, closed, of("demo:1", "ssh_agent = true"), "ssh_agent", "not allowed on this node", "allow_ssh_agent"))
	starts(t, closed, of("demo:1", ""))

	// By default what Nomad's docker driver allows, and what a container of Apple's CLI has anyway.
	starts(t, closed, of("demo:1", "cap_drop = [\"all\"]\ncap_add = [\"net_raw\", \"chown\"]"))
	must.False(t, fails(t, closed, of("demo:1", `cap_add = ["net_admin"]`), "CAP_NET_ADMIN", "CAP_NET_RAW"))
}

func TestTheOperatorsPathsCannotBeLeft(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	must.NoError(t, err)
	allowed, forbidden := filepath.Join(base, "allowed"), filepath.Join(base, "allowed-not")
	for _, dir := range []string{allowed, forbidden} {
		must.NoError(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
	}
	must.NoError(t, os.Symlink(forbidden, filepath.Join(allowed, "link")))
	volume := func(source string) string { return `volumes = ["` + source + `:/data"]` }

	n := configured(t, fmt.Sprintf("volumes {\n allowed_paths = [%q]\n}", allowed))
	for _, source := range []string{allowed + "/sub", allowed + "/../allowed/sub"} {
		id := container(starts(t, n, of("demo:1", volume(source))))
		must.Eq(t, allowed+"/sub", n.RecordedOf(t, id, "configuration.mounts.3.source"))
	}
	for _, source := range []string{forbidden + "/sub", allowed + "/link/sub", allowed + "/../allowed-not/sub", "/"} {
		must.False(t, fails(t, n, of("demo:1", volume(source)), source, "allowed_paths"), must.Sprint(source))
		must.False(t, fails(t, n, of("demo:1", fmt.Sprintf("kernel = %q", source)), source, "allowed_paths"), must.Sprint(source))
	}
	closed := configured(t, "volumes {\n enabled = false\n}")
	starts(t, closed, of("demo:1", volume("local")))
	must.False(t, fails(t, closed, of("demo:1", volume(allowed+"/sub")), "volumes.enabled"))
	must.False(t, fails(t, closed, of("demo:1", volume("a-name")), "a-name", "volumes.enabled"))
}

func TestACallThatHangsIsEndedAfterTheOperatorsTime(t *testing.T) {
	t.Parallel() // it waits for the most part
	for _, each := range []struct{ call, config, after string }{
		{"image-inspect", "", "4s"},
		{"create", "", "6s"}, // may have to fetch what the engine misses
		{"create", `image_pull_timeout = "8s"`, "8s"},
	} {
		t.Run(each.call+" "+each.after, func(t *testing.T) {
			t.Parallel()
			n := configured(t, "command_timeout = \"4s\"\nimage_pull_timeout = \"6s\"")
			n.Fault(t, each.call, "hang")
			start := time.Now()
			must.True(t, fails(t, n, of("demo:1", each.config), each.after))
			must.Less(t, time.Minute, time.Since(start))
		})
	}
}

func TestMetricsTellOfATask(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", nomadkit.FreePort(t))
	n := configured(t, fmt.Sprintf("metrics_address = %q", address))
	task := starts(t, n, of("demo:1", ""))
	nomadkit.Eventually(t, 20*time.Second, "the task's figures", func() error {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("nomad_driver_container_task_pids{alloc_id=%q", task.AllocID)) {
			return fmt.Errorf("%v: %s", err, text)
		}
		return nil
	})
}
