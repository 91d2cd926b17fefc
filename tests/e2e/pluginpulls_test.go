package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

const pullSettings = `
auth {
  username       = %q
  password       = "s3cr3t"
  server_address = %q
}
auth_soft_fail           = true
image_pull_timeout       = "20s"
image_pull_stall_timeout = "10s"
pull_activity_interval   = "5s"
max_concurrent_pulls     = 1
`

// oneAfterTheOther starts a pull that hangs and a second one, which has to wait until that is over.
func oneAfterTheOther(t *testing.T, own *Agent, hangs, second string) {
	t.Helper()
	first := own.Submit(t, BatchJob(hangs))
	first.WaitFor(t, 20*time.Second, "progress of the pull", func(a *api.Allocation) bool {
		return strings.Contains(Events(a, "main"), "Still pulling image")
	})
	pulled := eventTime(t, completes(t, own, second), "Pulled image")
	failed := first.WaitStatus(t, "failed")
	must.StrContains(t, Events(failed, "main"), "within 20s")
	// Nomad hears of the failure after the next pull has begun.
	must.GreaterEq(t, 19900*time.Millisecond, time.Duration(pulled-eventTime(t, failed, "Pulling image")), must.Sprint("max_concurrent_pulls"))
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
	public.Fail(refuseCredentials)
	completes(t, own, fromRegistry(image, fmt.Sprintf(login, "someone", "wrong", "")))

	image = pushed(slow)
	slow.FailOn(slow.Layer(), func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for request.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1024))
			w.(http.Flusher).Flush()
			<-tick.C
		}
	})
	oneAfterTheOther(t, own, fromRegistry(image, ""), fromRegistry(pushed(private), ""))
	slow.FailOn("/manifests/", func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	alloc := own.Submit(t, BatchJob(fromRegistry(image, ""))).WaitStatus(t, "failed")
	must.StrContains(t, Events(alloc, "main"), "no progress for 10s")
}

func TestPullsGoAsTheOperatorSaysOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		own := newAgent(t, agent, strings.ReplaceAll(fmt.Sprintf(pullSettings, "user", "private.test"), "s3cr3t", "secret"))
		apple := own.Runtime.(*Apple)
		const public = "public.test/ndc/app:1"
		apple.Offer(t, public)
		must.NoError(t, own.Start())
		from := func(image, more string) string { return strings.ReplaceAll(Shell("true", more), "${image}", image) }
		completes(t, own, from(PrivateImage, ""))

		apple.Fault(t, "registry-login", "exit 1 HTTP request to https://public.test/v2/ failed with response: 401 Unauthorized times 1")
		completes(t, own, from(public, fmt.Sprintf(login, "user", "wrong", "")))

		// The CLI tells no progress by which a pull could be seen to stand still: this one may take
		// longer than image_pull_stall_timeout.
		apple.Fault(t, "image-pull", "slow 12000 times 1")
		completes(t, own, from(public, "force_pull = true"))

		apple.Fault(t, "image-pull", "hang times 1")
		oneAfterTheOther(t, own, from(Image(), "force_pull = true"), from(public, "force_pull = true"))
	})
}
