package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

func fromRegistry(image, more string) string {
	return fmt.Sprintf("config {\n image = %q\n command = \"/bin/sh\"\n args = [\"-c\", \"cat /which\"]\n %s\n}\n", image, more)
}

// patient is a job whose task is started again after a failure.
func patient(inside string) string {
	return strings.Replace(BatchJob(inside), "attempts = 0", "attempts = 5\n interval = \"1m\"\n delay = \"100ms\"", 1)
}

func TestAJobRunsFromAPrivateRegistryOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	r := StartRegistry(t, "someone", "s3cr3t")
	agent.Trust(t, r)
	name := Unique("ndc/app") + ":1"
	r.Push(t, name, Content{Files: map[string]string{"which": "from the registry\n"}})
	image := r.Reference(name)
	login := "auth {\n username = \"someone\"\n password = \"%s\"\n}"

	job := agent.Submit(t, patient(fromRegistry(image, fmt.Sprintf(login, "wrong"))))
	alloc := job.WaitStatus(t, "failed")
	must.Eq(t, uint64(0), alloc.TaskStates["main"].Restarts, must.Sprint("another try cannot help"))
	must.StrContains(t, Events(alloc, "main"), "unauthorized")

	job = agent.Submit(t, BatchJob(fromRegistry(image, fmt.Sprintf(login, "s3cr3t"))))
	alloc = job.WaitStatus(t, "complete")
	job.WaitLog(t, alloc, "stdout", "from the registry\n")
	must.StrContains(t, Events(alloc, "main"), "Pulling image "+image)
	must.StrContains(t, Events(alloc, "main"), "Pulled image "+image)
}

// triedAgain sees that a task is started again when its registry was out of order for a while.
func triedAgain(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	s.push("at last")
	if apple, is := agent.Runtime.(*Apple); is {
		apple.Fault(t, "image-pull", "exit 1 HTTP request to https://"+s.host()+"/v2/ failed with response: 503 Service Unavailable times 2")
	} else {
		var failures atomic.Int32
		s.registry.Fail(func(w http.ResponseWriter, request *http.Request) bool {
			if !strings.Contains(request.URL.Path, "/manifests/") || failures.Add(1) > 2 {
				return false
			}
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return true
		})
	}
	job := agent.Submit(t, patient(s.task("")))
	alloc := job.WaitFor(t, 40*time.Second, "the end", func(a *api.Allocation) bool { return a.ClientTerminalStatus() })
	must.Eq(t, "complete", alloc.ClientStatus, must.Sprint(Events(alloc, "main")))
	must.Eq(t, uint64(2), alloc.TaskStates["main"].Restarts)
	job.WaitLog(t, alloc, "stdout", "at last\n")
}

func TestATaskIsTriedAgainWhenItsRegistryIsOutOfOrderForAWhileOnPodman(t *testing.T) {
	t.Parallel()
	triedAgain(t, onPodman(t))
}
