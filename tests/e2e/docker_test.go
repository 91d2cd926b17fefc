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
var dockerRuns = map[string]func(t *testing.T, path string){
	"private": func(t *testing.T, path string) {
		r := StartRegistry(t, "someone", "s3cr3t")
		onPodman(t).Trust(t, r)
		image := imageOf(t, r, "docker", Content{Programs: map[string]string{"bin/sh": "#!/bin/busybox sh\necho from the registry\n"}})
		dockerBatch(t, path, dockerOutputs["private"], "image="+image, "server="+r.Address)
	},
	"web": func(t *testing.T, path string) {
		job := onPodman(t).SubmitFile(t, path, testImage())
		alloc := job.WaitStatus(t, "running")
		waitPage(t, pageOf(t, alloc.ID, "http"), "it works\n")
		must.Eq(t, "web", Inspect(t, alloc.ID).Config.Labels["team"])
		job.Stop(t)
	},
	"lifecycle": func(t *testing.T, path string) {
		job := onPodman(t).SubmitFile(t, path, testImage())
		alloc := job.WaitStatus(t, "complete")
		job.WaitLogOf(t, alloc, "after", "stdout", "before\nside\nmain\n")
	},
}

func dockerBatch(t *testing.T, path, want string, variables ...string) {
	t.Helper()
	job := onPodman(t).SubmitFile(t, path, variables...)
	alloc := job.WaitStatus(t, "complete")
	job.WaitLog(t, alloc, "stdout", want)
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	must.Eq(t, want, text)
}

func TestJobsForNomadsDockerDriverRunAfterChangingTheirDriverOnlyOnPodman(t *testing.T) {
	files, err := filepath.Glob("testdata/docker/*.nomad.hcl")
	must.NoError(t, err)
	must.Len(t, 12, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".nomad.hcl")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := dockerJob(t, file)
			if run, special := dockerRuns[name]; special {
				run(t, path)
				return
			}
			want, known := dockerOutputs[name]
			must.True(t, known)
			dockerBatch(t, path, want, testImage())
		})
	}
}
