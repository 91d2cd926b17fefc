package wire

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// half sends half of a megabyte, then calls `then`.
func half(then func(http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(make([]byte, 512<<10))
		w.(http.Flusher).Flush()
		then(w, request)
	}
}

func answer(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", code) }
}

func TestTheFailuresOfARegistryAreToldApart(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/app")
	r.Push(t, name+":1", nomadkit.Content{})
	p := nomadkit.StartPlugin(t, `command_timeout = "20s"`, nomadkit.Insecure(t, r))
	for _, c := range []struct {
		what, part  string
		fault       http.HandlerFunc
		wants       []string
		recoverable bool
	}{
		{"500", "/manifests/", answer(500), []string{"500"}, true},
		{"503", "/manifests/", answer(503), []string{"503"}, true},
		{"500 at once", "/v2/", answer(500), []string{"500"}, true},
		{"404", "/manifests/", answer(404), []string{"name"}, false},
		{"401", "/manifests/", answer(401), []string{"log in"}, false},
		{"403", "/manifests/", answer(403), []string{"credentials"}, false},
		{"404 of a layer", r.Layer(), answer(404), nil, false},
		{"no registry at all", "/v2/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }, nil, true},
		{"dies mid-layer", r.Layer(), half(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), nil, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			r.FailOn(c.part, c.fault)
			image := r.Reference(name + ":1")
			got := fails(t, p, show(image, "/x"), append(c.wants, image)...)
			must.Eq(t, c.recoverable, got)
		})
	}
	r.Fail(nil)
	must.False(t, fails(t, p, show(r.Reference(name+":2"), "/x"), "name and tag"))
	must.False(t, fails(t, p, show(r.Reference(nomadkit.Unique("ndc/none")+":1"), "/x"), "name"))
	prints(t, p, show(r.Reference(name+":1"), "/ballast"), "")
}

func TestAPullThatStandsStillIsEnded(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/slow") + ":1"
	r.Push(t, name, nomadkit.Content{})
	env := nomadkit.Insecure(t, r)
	wait := func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() }
	for part, fault := range map[string]http.HandlerFunc{r.Layer(): half(wait), "/manifests/": wait} {
		r.FailOn(part, fault)
		p := nomadkit.StartPlugin(t, "image_pull_stall_timeout = \"1s\"\nimage_pull_timeout = \"5m\"", env)
		start := time.Now()
		must.True(t, fails(t, p, show(r.Reference(name), "/x"), "no progress for 1s", "image_pull_stall_timeout"))
		must.Less(t, time.Minute, time.Since(start))
		nomadkit.Eventually(t, 5*time.Second, "podman has ended", func() error {
			if pids := nomadkit.ProcessesWith(r.Reference(name)); len(pids) != 0 {
				return fmt.Errorf("processes %v", pids)
			}
			return nil
		})
	}
}

func TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/slow") + ":1"
	r.Push(t, name, nomadkit.Content{})
	// Some bytes all the time: no stall, but no end either.
	r.FailOn(r.Layer(), func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for range 1 << 20 {
			_, _ = w.Write(make([]byte, 1024))
			w.(http.Flusher).Flush()
			select {
			case <-request.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	p := nomadkit.StartPlugin(t, "image_pull_stall_timeout = \"2s\"\nimage_pull_timeout = \"3s\"\npull_activity_interval = \"1s\"",
		nomadkit.Insecure(t, r))
	events, err := p.TaskEvents(nomadkit.Context(t, time.Minute))
	must.NoError(t, err)
	image := r.Reference(name)
	must.True(t, fails(t, p, show(image, "/x"), image, "3s"))
	var told []string
	for len(told) < 3 {
		event := nomadkit.Receive(t, events, 5*time.Second, "event of the pull")
		must.Eq(t, image, event.Annotations["image"])
		told = append(told, event.Message)
	}
	must.Eq(t, "Pulling image "+image, told[0])
	for i, after := range []string{"1s", "2s"} {
		must.True(t, strings.HasPrefix(told[1+i], "Still pulling image "+image+" after "+after), must.Sprint(told))
	}

	// The task's own setting counts.
	must.True(t, fails(t, p, show(image, "/x")+`image_pull_timeout = "1s"`, image, "within 1s"))
}

func TestARegistryThatIsDownIsWorthARetry(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	image := fmt.Sprintf("127.0.0.1:%d/ndc/down:1", nomadkit.FreePort(t))
	must.True(t, fails(t, p, show(image, "/x"), image))
	must.True(t, fails(t, p, show("registry.invalid/ndc/down:1", "/x"), "registry.invalid"))
	// A registry that is not known to speak plain HTTP.
	other := nomadkit.StartRegistry(t)
	must.True(t, fails(t, p, show(other.Reference("ndc/app:1"), "/x"), "registries.conf"))
	must.False(t, fails(t, p, show("no-registry-in-it:1", "/x"), "no-registry-in-it:1"))
}
