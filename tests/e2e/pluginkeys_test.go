package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// What an operator sets in the plugin's configuration, in a real agent and its tasks. Each agent here
// has several keys; the table in pluginproofs_test.go has them all.

// operated starts an agent whose plugin is configured like this.
func operated(t *testing.T, like *Agent, config string) *Agent {
	t.Helper()
	own := newAgent(t, like, config)
	must.NoError(t, own.Start())
	return own
}

// completes runs a batch job to its end and returns its allocation.
func completes(t *testing.T, on *Agent, inside string) *api.Allocation {
	t.Helper()
	return on.Submit(t, BatchJob(inside)).WaitStatus(t, "complete")
}

func TestAClosedNodeTellsATaskAllThatItsOperatorDoesNotAllow(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := operated(t, agent, fmt.Sprintf(`
allow_caps           = ["chown"]
allow_ssh_agent      = false
allow_virtualization = false
allowed_images       = [%q]
volumes {
  enabled = false
}`, Image()))
		wants := []string{"docker.io/not/allowed:1", "allowed_images", "allow_ssh_agent", "/etc", "volumes.enabled", "CAP_KILL"}
		more := "privileged = true"
		if agent.Kind == PodmanKind {
			wants = append(wants, "allow_caps", "allow_privileged")
		} else {
			more, wants = "virtualization = true", append(wants, "allow_virtualization")
		}
		refused(bad(`
image     = "docker.io/not/allowed:1"
ssh_agent = true
volumes   = ["/etc:/data"]
cap_add   = ["kill"]
`+more, wants...))(t, own)
		completes(t, own, Shell("true", `volumes = ["local:/data"]`))
	})
}

func TestAnOpenNodeGivesATaskWhatItsOperatorAllows(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		base, err := filepath.EvalSymlinks(t.TempDir())
		must.NoError(t, err)
		shared := filepath.Join(base, "shared")
		must.NoError(t, os.Mkdir(shared, 0o755))
		must.NoError(t, os.WriteFile(filepath.Join(shared, "file"), []byte("of the node\n"), 0o644))
		address := fmt.Sprintf("127.0.0.1:%d", FreePort(t))
		own := operated(t, agent, fmt.Sprintf(`
allow_caps       = ["net_admin"]
allow_privileged = true
metrics_address  = %q
volumes {
  allowed_paths = [%q]
}`, address, shared))
		shows(`volumes = ["`+shared+`:/data:ro"]`, "cat /data/file", "of the node\n")(t, own)
		refused(bad(`volumes = ["`+base+`:/data"]`, base, "allowed_paths"))(t, own)
		const powers = "cap_drop = [\"all\"]\ncap_add = [\"net_admin\"]"
		const effective = "sed -n 's/^CapEff:.0*//p' /proc/self/status"
		if agent.Kind == PodmanKind {
			shows(powers, effective, "1000\n")(t, own) // bit 12 is CAP_NET_ADMIN
			inspects("privileged = true", "{{.HostConfig.Privileged}}", "true")(t, own)
		} else {
			sinceApple("0.12.0", powers, "cap_add", records(powers, "configuration.capAdd.0", "CAP_NET_ADMIN"))(t, own)
		}
		with("", func(t *testing.T, _ *Agent, _ *Job, alloc *api.Allocation) {
			Eventually(t, 20*time.Second, "the figures of the task", func() error {
				response, err := http.Get("http://" + address + "/metrics")
				if err != nil {
					return err
				}
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				if err == nil && !strings.Contains(string(text), fmt.Sprintf("task_pids{alloc_id=%q", alloc.ID)) {
					err = fmt.Errorf("%s", text)
				}
				return err
			})
		})(t, own)
	})
}

func TestANodeKeepsWhatItsOperatorWantsToLookAt(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := operated(t, agent, `
disable_log_collection = true
gc {
  container = false
  dangling_containers {
    enabled        = false
    period         = "100ms"
    creation_grace = "1ms"
  }
}`)
		job := own.Submit(t, BatchJob(Shell("echo to nobody; "+untilSignalled)))
		alloc := job.WaitStatus(t, "running")
		must.SliceNotEmpty(t, FilesIn(filepath.Join(own.Dir, "state")), must.Sprint("state_dir is where the task's files are"))
		job.Stop(t)
		must.MapEmpty(t, logFiles(t, own, alloc, "stdout"))
		Eventually(t, 20*time.Second, "the task is destroyed", func() error {
			if files := FilesIn(filepath.Join(own.Dir, "state")); len(files) > 0 {
				return fmt.Errorf("%v", files)
			}
			return nil
		})
		// Longer than many of the reaper's periods.
		completes(t, own, Shell("sleep 1"))
		must.Len(t, 1, own.Runtime.Containers(t, alloc.ID))
	})
}

func TestTheOCIRuntimeIsTheOneThatTheOperatorNamesOnPodman(t *testing.T) {
	t.Parallel()
	like := onPodman(t)
	dir := t.TempDir()
	runtime, calls := filepath.Join(dir, "runtime"), filepath.Join(dir, "calls")
	must.NoError(t, os.WriteFile(runtime, []byte("#!/bin/sh\necho \"$@\" >> "+calls+"\nexec runc \"$@\"\n"), 0o755))
	own := operated(t, like, fmt.Sprintf("oci_runtime = %q", runtime))
	with("", func(t *testing.T, _ *Agent, _ *Job, alloc *api.Allocation) {
		text, err := os.ReadFile(calls)
		must.NoError(t, err)
		must.RegexMatch(t, regexp.MustCompile(`(?m)^create .*`+ContainersOf(t, alloc.ID)[0]+"$"), string(text))
	})(t, own)
}

// dangling makes a container of a task of this node that nobody knows any more; it says whether it is
// still there.
func dangling(t *testing.T, on *Agent) (there func() bool) {
	t.Helper()
	labels := []string{"--label", "nomad.task_id=gone", "--label", "nomad.alloc_id=gone", "--label", "nomad.node_id=" + on.NodeID(t)}
	if apple, is := on.Runtime.(*Apple); is {
		_, err := apple.Run(append(append([]string{"create", "--name", "left"}, labels...), "--", Image())...)
		must.NoError(t, err)
		return func() bool { _, err := apple.Record("left"); return err == nil }
	}
	id, err := Podman(append(append([]string{"create", "--network=none"}, labels...), Image(), "true")...)
	must.NoError(t, err)
	id = strings.TrimSpace(id)
	t.Cleanup(func() { _, _ = Podman("rm", "-f", "-i", "-t", "0", id) })
	return func() bool { _, err := Podman("container", "exists", id); return err == nil }
}

func TestANodeTidiesUpAsItsOperatorSays(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := operated(t, agent, `
gc {
  image       = true
  image_delay = "1s"
  dangling_containers {
    period         = "300ms"
    creation_grace = "1ms"
  }
}`)
		image, apple := Image(), (*Apple)(nil)
		if agent.Kind == PodmanKind {
			// Another name for it: the image itself is every test's.
			image = "localhost/" + Unique("ndc/gc") + ":1"
			_, err := Podman("tag", Image(), image)
			must.NoError(t, err)
			t.Cleanup(func() { _, _ = Podman("untag", Image(), image) })
		} else {
			apple = own.Runtime.(*Apple)
		}
		alloc := completes(t, own, strings.ReplaceAll(Shell("true"), "${image}", image))
		Eventually(t, 20*time.Second, "container and image are removed", func() error {
			if ids := own.Runtime.Containers(t, alloc.ID); len(ids) > 0 {
				return fmt.Errorf("%v", ids)
			}
			if apple != nil && apple.Calls("image delete") > 0 {
				return nil
			}
			if _, err := Podman("image", "exists", image); apple == nil && err != nil {
				return nil
			}
			return fmt.Errorf("the image is still there")
		})

		// The driver knows its node, and so what is the node's own, since there was a task.
		left := dangling(t, own)
		Eventually(t, 20*time.Second, "the dangling container is removed", func() error {
			if left() {
				return fmt.Errorf("it is still there")
			}
			return nil
		})
	})
}

func TestACautiousNodeTellsWhatItWouldRemoveAndWaitsAsLongAsItsOperatorSays(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		dir := t.TempDir()
		config := `
command_timeout = "15s"
gc {
  dangling_containers {
    dry_run        = true
    period         = "300ms"
    creation_grace = "1ms"
  }
}`
		var hang func()
		image := Image()
		if agent.Kind == PodmanKind {
			// Only starts hang: the node stays healthy.
			script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *\" create \"*|*\" run \"*|*\" start \"*) [ -e %s/hang ] && exec sleep 7656 ;; esac\nexec podman \"$@\"\n", dir)
			must.NoError(t, os.WriteFile(filepath.Join(dir, "podman"), []byte(script), 0o755))
			config += fmt.Sprintf("\npodman_path = %q\n", filepath.Join(dir, "podman"))
			hang = func() { must.NoError(t, os.WriteFile(filepath.Join(dir, "hang"), nil, 0o644)) }
		}
		own := operated(t, agent, config)
		if agent.Kind != PodmanKind {
			hang = func() { own.Runtime.(*Apple).Fault(t, "image-inspect", "hang") }
			image = "localhost/unseen:1" // what was looked at once is known
		}
		completes(t, own, Shell("true")) // the driver knows its node since there was a task
		left := dangling(t, own)
		Eventually(t, 20*time.Second, "it is said what would be removed", func() error {
			if text := own.Log(); !strings.Contains(text, "this would be removed (dry_run)") {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		must.True(t, left())
		hang()
		alloc := own.Submit(t, BatchJob(strings.ReplaceAll(Shell("true"), "${image}", image))).WaitStatus(t, "failed")
		must.StrContains(t, Events(alloc, "main"), "within 15s")
	})
}

func TestADisabledDriverIsUndetectedAndSaysWhy(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		own := newAgent(t, agent, "enabled = false")
		must.NoError(t, own.Exec())
		waitNode(t, own)
		info := waitDriver(t, own, "undetected", func(d *api.DriverInfo) bool { return strings.Contains(d.HealthDescription, "enabled = false") })
		must.False(t, info.Detected)
		must.False(t, info.Healthy)
	})
}
