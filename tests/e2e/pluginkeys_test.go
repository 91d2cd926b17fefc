package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// What an operator sets in the plugin's configuration, in a real agent and its tasks. The table in
// tests/wire/pluginkeys_test.go has every key; here each agent has several.

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
		left := dangling(t, own)
		Eventually(t, 20*time.Second, "the dangling container is removed", func() error {
			if left() {
				return fmt.Errorf("it is still there")
			}
			return nil
		})

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
	})
}

func TestACautiousNodeTellsWhatItWouldRemoveAndWaitsAsLongAsItsOperatorSays(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		dir := t.TempDir()
		config := `
command_timeout = "5s"
gc {
  dangling_containers {
    dry_run        = true
    period         = "300ms"
    creation_grace = "1ms"
  }
}`
		var hang func()
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
		}
		left := dangling(t, own)
		Eventually(t, 20*time.Second, "it is said what would be removed", func() error {
			if text := own.Log(); !strings.Contains(text, "this would be removed (dry_run)") {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		must.True(t, left())
		hang()
		alloc := own.Submit(t, BatchJob(Shell("true"))).WaitStatus(t, "failed")
		must.StrContains(t, Events(alloc, "main"), "5s")
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

// All that is wrong in the blocks is told, whatever the runtime.
func TestAnAgentWithABadPluginConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	wrong := []string{
		`runtime = "lxc"`, `oci_runtime = "two words"`, `extra_labels = ["no_such"]`, `image_pull_timeout = "soon"`,
		`image_pull_stall_timeout = "soon"`, `max_concurrent_pulls = 0`, `pull_activity_interval = "5x"`, `allow_caps = ["fly"]`,
		`allowed_images = ["two words"]`, `command_timeout = "-3"`, `metrics_address = "here"`, `podman_path = "bin/podman"`,
		`container_path = "bin/container"`, "volumes {\n allowed_paths = [\"srv\"]\n}", "auth {\n username = \"a:b\"\n}",
		"gc {\n image_delay = \"soon\"\n dangling_containers {\n period = \"0s\"\n creation_grace = \"soon\"\n}\n}",
	}
	own := newAgent(t, anyAgent(), strings.Join(wrong, "\n"))
	must.NoError(t, own.Exec())
	Eventually(t, 30*time.Second, "the agent gives up", func() error {
		if own.Alive() {
			return fmt.Errorf("still running")
		}
		return nil
	})
	for _, key := range []string{"runtime", "oci_runtime", "extra_labels", "image_pull_timeout", "image_pull_stall_timeout",
		"max_concurrent_pulls", "pull_activity_interval", "allow_caps", "allowed_images", "command_timeout", "metrics_address",
		"podman_path", "container_path", "volumes.allowed_paths", "auth.username", "gc.image_delay",
		"gc.dangling_containers.period", "gc.dangling_containers.creation_grace"} {
		must.StrContains(t, own.Log(), key)
	}
}

const pullSettings = `
auth {
  username       = %q
  password       = "s3cr3t"
  server_address = %q
}
auth_soft_fail           = true
image_pull_timeout       = "6s"
image_pull_stall_timeout = "3s"
pull_activity_interval   = "1s"
max_concurrent_pulls     = 1
`

// oneAfterTheOther starts a pull that hangs and a second one, which has to wait until that is over.
func oneAfterTheOther(t *testing.T, own *Agent, hangs, second string) *api.Allocation {
	t.Helper()
	first := own.Submit(t, BatchJob(hangs))
	first.WaitFor(t, 20*time.Second, "progress of the pull", func(a *api.Allocation) bool {
		return strings.Contains(Events(a, "main"), "Still pulling image")
	})
	pulled := eventTime(t, completes(t, own, second), "Pulled image")
	failed := first.WaitStatus(t, "failed")
	must.Greater(t, eventTime(t, failed, "6s"), pulled, must.Sprint("max_concurrent_pulls"))
	return failed
}

// eventTime is when the task's first event with such a text was.
func eventTime(t *testing.T, alloc *api.Allocation, text string) int64 {
	t.Helper()
	for _, event := range alloc.TaskStates["main"].Events {
		if strings.Contains(event.DisplayMessage, text) {
			return event.Time
		}
	}
	t.Fatalf("no event with %q:\n%s", text, Events(alloc, "main"))
	return 0
}

func TestPullsGoAsTheOperatorSaysOnPodman(t *testing.T) {
	t.Parallel()
	like := onPodman(t)
	private, public, slow := StartRegistry(t, "someone", "s3cr3t"), StartRegistry(t), StartRegistry(t)
	own := newAgent(t, like, fmt.Sprintf(pullSettings, "someone", private.Address))
	pushed := func(r *Registry) string {
		name := Unique("ndc/app") + ":1"
		r.Push(t, name, Content{Files: map[string]string{"which": "it\n"}})
		return r.Reference(name)
	}
	for _, r := range []*Registry{private, public, slow} {
		own.Trust(t, r)
	}
	must.NoError(t, own.Start())
	completes(t, own, fromRegistry(pushed(private), ""))

	image := pushed(public)
	public.Fail(func(w http.ResponseWriter, request *http.Request) bool {
		user, _, _ := request.BasicAuth()
		if user == "" && request.URL.Path != "/v2/" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "", http.StatusUnauthorized)
		return true
	})
	completes(t, own, fromRegistry(image, fmt.Sprintf(login, "someone", "wrong", "")))

	image = pushed(slow)
	slow.FailOn(slow.Layer(), func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for request.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 64))
			w.(http.Flusher).Flush()
			<-tick.C
		}
	})
	oneAfterTheOther(t, own, fromRegistry(image, ""), fromRegistry(pushed(private), ""))
	slow.FailOn("/manifests/", func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	alloc := own.Submit(t, BatchJob(fromRegistry(image, ""))).WaitStatus(t, "failed")
	must.StrContains(t, Events(alloc, "main"), "no progress for 3s")
}

func TestPullsGoAsTheOperatorSaysOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		own := newAgent(t, agent, strings.ReplaceAll(fmt.Sprintf(pullSettings, "user", "private.test"), "s3cr3t", "secret"))
		apple := own.Runtime.(*Apple)
		const public = "public.test/ndc/app:1"
		known := fmt.Sprintf("{%q: {\"Env\": [\"PATH=/bin\"]}, %q: {\"Env\": [\"PATH=/bin\"]}, %q: {\"Env\": [\"PATH=/bin\"]}}\n", Image(), PrivateImage, public)
		must.NoError(t, os.WriteFile(filepath.Join(apple.State, "registry.json"), []byte(known), 0o600))
		must.NoError(t, own.Start())
		from := func(image, more string) string { return strings.ReplaceAll(Shell("true", more), "${image}", image) }
		completes(t, own, from(PrivateImage, ""))

		apple.Fault(t, "registry-login", "exit 1 HTTP request to https://public.test/v2/ failed with response: 401 Unauthorized times 1")
		completes(t, own, from(public, fmt.Sprintf(login, "user", "wrong", "")))

		// The CLI tells no progress by which a pull could be seen to stand still: this one may take
		// longer than image_pull_stall_timeout.
		apple.Fault(t, "image-pull", "slow 4000 times 1")
		completes(t, own, from(public, "force_pull = true"))

		apple.Fault(t, "image-pull", "hang times 1")
		oneAfterTheOther(t, own, from(Image(), "force_pull = true"), from(public, "force_pull = true"))
	})
}
