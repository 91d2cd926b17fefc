package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// dockerJob is a job file for Nomad's docker driver, of which only the driver's name is changed.
func dockerJob(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must.NoError(t, err)
	must.StrContains(t, string(text), `driver = "docker"`)
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	changed := strings.ReplaceAll(string(text), `driver = "docker"`, `driver = "container"`)
	must.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
	return path
}

// dockerOutputs is what the task "main" of each batch job prints.
var dockerOutputs = map[string]string{
	"args":       "first the second from main in /tmp\n",
	"entrypoint": "entered\n",
	"env":        "green global rendered\n",
	"templates":  "task = main\nread only\n",
	"mounts":     "some words\n1024\nread only\n",
	"security":   "0000000000000021\n1\nread only\n0\n",
	"names":      "app-0\nsearch internal.test\nnameserver 192.0.2.53\noptions ndots:2\n192.0.2.7\n",
	"limits":     "1024\n512\n2048\n50\n",
	"constraint": "Linux\n",
	"private":    "from the registry\n",
}

// dockerRuns are those that need more than to be run to their end.
var dockerRuns = map[string]func(t *testing.T, on *Agent, path string){
	"private": func(t *testing.T, on *Agent, path string) {
		if apple, is := on.Runtime.(*Apple); is {
			server := Unique("registry") + ".test"
			apple.OfferImage(t, server+"/docker:1", map[string]any{"Cmd": []string{"/bin/sh", "-c", "echo from the registry"}})
			dockerBatch(t, on, path, dockerOutputs["private"], "image="+server+"/docker:1", "server="+server)
			return
		}
		r := StartRegistry(t, "someone", "s3cr3t")
		on.Trust(t, r)
		image := imageOf(t, r, "docker", Content{Programs: map[string]string{"bin/sh": "#!/bin/busybox sh\necho from the registry\n"}})
		dockerBatch(t, on, path, dockerOutputs["private"], "image="+image, "server="+r.Address)
	},
	"web": func(t *testing.T, on *Agent, path string) {
		job := on.SubmitFile(t, path, testImage())
		alloc := job.WaitStatus(t, "running")
		waitPage(t, pageOf(t, on, alloc.ID, "http"), "it works\n")
		must.Eq(t, "web", on.Runtime.Look(t, alloc.ID).Labels["team"])
		job.Stop(t)
	},
	"lifecycle": func(t *testing.T, on *Agent, path string) {
		job := on.SubmitFile(t, path, testImage())
		alloc := job.WaitStatus(t, "complete")
		job.WaitLogOf(t, alloc, "after", "stdout", "before\nside\nmain\n")
	},
}

// dockerNotOnApple are those that a Mac cannot run, or not since a version, with what they are told.
var dockerNotOnApple = map[string]struct {
	since string
	wants []string
}{
	"security": {"", []string{"security_opt", ownMachine}},
	"names":    {"", []string{"extra_hosts", "template"}},
	"limits":   {"", []string{"sysctl", "pids_limit", "nproc"}},
	// "local" is writable at /local, and cannot be read-only elsewhere; of a file its directory is shared.
	"mounts":    {"", []string{"/conf", "shares a directory only once"}},
	"templates": {"0.12.0", []string{"/etc/app/app.conf", "shares a directory only once"}},
}

// dockerCannot says what a job is told that the runtime cannot run.
func dockerCannot(on *Agent, name string) ([]string, bool) {
	c, listed := dockerNotOnApple[name]
	if !listed || on.Runtime.Name() != "apple" || (c.since != "" && !newEnough(on, c.since)) {
		return nil, false
	}
	return c.wants, true
}

func dockerBatch(t *testing.T, on *Agent, path, want string, variables ...string) {
	t.Helper()
	job := on.SubmitFile(t, path, variables...)
	alloc := job.WaitStatus(t, "complete")
	job.WaitLog(t, alloc, "stdout", want)
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	must.Eq(t, want, text)
}

func TestJobsForNomadsDockerDriverRunAfterChangingTheirDriverOnly(t *testing.T) {
	files, err := filepath.Glob("testdata/docker/*.nomad.hcl")
	must.NoError(t, err)
	must.Len(t, 12, files)
	each(t, func(t *testing.T, agent *Agent) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".nomad.hcl")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				path := dockerJob(t, file)
				if wants, cannot := dockerCannot(agent, name); cannot {
					alloc := agent.SubmitFile(t, path, testImage()).WaitStatus(t, "failed")
					for _, want := range wants {
						must.StrContains(t, Events(alloc, "main"), want)
					}
					must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
					return
				}
				if run, special := dockerRuns[name]; special {
					run(t, agent, path)
					return
				}
				want, known := dockerOutputs[name]
				must.True(t, known)
				dockerBatch(t, agent, path, want, testImage())
			})
		}
	})
}
