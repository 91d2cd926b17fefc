package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// tellLengths is a script that shows that the task has its secrets, and none of them.
const tellLengths = "for x in $OF_CONFIG $OF_JOB $OF_TEMPLATE; do printf %s $x | busybox wc -c; done"

// Secrets in all places where a job or an operator may have some: a task that runs, one that is not let
// in by its registry, and one whose program is not there.
func TestNoSecretIsSeenWhereOthersCanLook(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		secret := func(what string) string { return Unique("s3cr3t-" + what) }
		ofConfig, ofJob, ofTemplate, ofTask, wrong, ofPlugin := secret("config"), secret("job"), secret("template"), secret("task"), secret("wrong"), secret("plugin")

		operators := "registry.test"
		var r *Registry
		if agent.Kind == PodmanKind {
			r = StartRegistry(t, "user", ofPlugin)
			operators = r.Address
		}
		own := newAgent(t, agent, fmt.Sprintf(login, "user", ofPlugin, fmt.Sprintf("server_address = %q", operators)))
		image := operators + "/ndc/operators:1"
		apple, isApple := own.Runtime.(*Apple)
		if isApple {
			apple.Set(t, "NDC_STANDIN_PASSWORD="+ofTask)
			apple.Offer(t, image)
		} else {
			own.Trust(t, r)
			r.Push(t, "ndc/operators:1", Content{})
		}
		state, temporary := filepath.Join(own.Dir, "state"), filepath.Join(own.Dir, "tmp")
		watch := WatchSecretsBelow(t, []string{state, temporary}, ofConfig, ofJob, ofTemplate, ofTask, wrong, ofPlugin)
		must.NoError(t, own.Start())
		private := shelve(t, own, ofTask)
		private.push("it")

		w := newWord(t, own, ofTemplate)
		task := func(image, program, more string) *Job {
			return own.Submit(t, BatchJob(fmt.Sprintf(`template {
        data        = "OF_TEMPLATE={{ with nomadVar \"%s\" }}{{ .word }}{{ end }}\n"
        destination = "secrets/env"
        env         = true
      }
      env {
        OF_JOB = %q
      }
      config {
        image   = %q
        command = %q
        args    = ["-c", %q]
        env {
          OF_CONFIG = %q
        }
        %s
      }`, w.path, ofJob, image, program, tellLengths+"; exec sleep 600", ofConfig, more)))
		}
		runs := task(private.image, "/bin/sh", fmt.Sprintf(login, "user", ofTask, ""))
		fail := map[string]*Job{
			"a wrong password": task(private.image, "/bin/sh", "pull_policy = \"always\"\n"+fmt.Sprintf(login, "user", wrong, "")),
			"no program":       task(image, "/no/such/program", ""),
		}
		texts := map[string]string{}
		tell := func(what string, job *Job, alloc *api.Allocation) {
			texts["the events of "+what] = Events(alloc, "main")
			for _, stream := range []string{"stdout", "stderr"} {
				texts["the "+stream+" of "+what], _ = job.Log(alloc, stream)
			}
		}
		for what, job := range fail {
			alloc := job.WaitStatus(t, "failed")
			must.StrContains(t, Events(alloc, "main"), "Driver Failure")
			tell(what, job, alloc)
		}
		must.StrContains(t, texts["the events of no program"], "Pulled image "+image)
		alloc := runs.WaitStatus(t, "running")
		want := fmt.Sprintf("%d\n%d\n%d\n", len(ofConfig), len(ofJob), len(ofTemplate))
		runs.WaitLog(t, alloc, "stdout", want)
		out, _, code := runs.Exec(t, alloc, false, "", "/bin/sh", "-c", tellLengths)
		must.Eq(t, 0, code)
		must.Eq(t, want, out, must.Sprint("a command in the container has them too"))
		tell("the task that runs", runs, runs.Alloc(t))

		// The container runs on while files are looked at.
		must.NoError(t, own.Stop(false))
		must.SliceNotEmpty(t, FilesIn(state))
		texts["the driver's state"] = own.DriverState(t, alloc.ID, "main")
		must.StrContains(t, texts["the driver's state"], own.Runtime.Containers(t, alloc.ID)[0])
		// Nomad keeps the job there as well, but not what its templates became.
		kept, err := os.ReadFile(filepath.Join(own.Dir, "data", "client", "state.db"))
		must.NoError(t, err)
		must.StrNotContains(t, string(kept), ofTemplate)
		texts["the agent's log, with the plugin's"] = own.Log()
		if isApple {
			calls, err := os.ReadFile(filepath.Join(apple.State, "calls.jsonl"))
			must.NoError(t, err)
			texts["the calls of the CLI"] = string(calls)
		}
		watch.Check(t, texts, []string{state, temporary, filepath.Join(own.Dir, "data", "alloc")},
			[]string{os.TempDir(), "/var/tmp", "/dev/shm", "/run/containers", "/run/libpod",
				"/var/lib/containers/storage/overlay-containers", "/var/lib/containers/storage/libpod"})
	})
}
