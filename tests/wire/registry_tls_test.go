package wire

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

func TestARegistryOverTLSServesThoseWhoTrustItsCertificate(t *testing.T) {
	t.Parallel()
	password := nomadkit.Unique("password")
	r := nomadkit.StartTLSRegistry(t, "someone", password)
	name := nomadkit.Unique("ndc/tls") + ":1"
	r.Push(t, name, nomadkit.Content{Files: map[string]string{"which": "encrypted\n"}})
	image := show(r.Reference(name), "/which")
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t)) // no registry may be spoken to in plain HTTP
	must.True(t, fails(t, p, image+login("someone", password), r.Reference(name), "certificate"))
	must.SliceEmpty(t, r.Requests("/v2/"), must.Sprint("nothing is said to a registry that is not trusted"))

	r.TrustCertificate(t)
	must.False(t, fails(t, p, image, "log in"))
	must.False(t, fails(t, p, image+login("someone", "wrong"), "log in"))
	prints(t, p, image+login("someone", password), "encrypted\n")
}

func TestCredentialsOfOneTaskDoNotServeAnotherThatWantsTheSameImage(t *testing.T) {
	t.Parallel()
	password := nomadkit.Unique("password")
	r := nomadkit.StartRegistry(t, "someone", password)
	name := nomadkit.Unique("ndc/both") + ":1"
	r.Push(t, name, nomadkit.Content{})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	image := show(r.Reference(name), "/ballast")

	// One is in the middle of its pull, with its credentials, when the others ask.
	asked, release := make(chan bool, 1), make(chan struct{})
	var once, released sync.Once
	open := func() { released.Do(func() { close(release) }) }
	t.Cleanup(open)
	r.Fail(func(_ http.ResponseWriter, request *http.Request) bool {
		if request.URL.Path == "/v2/"+name[:len(name)-2]+"/blobs/"+r.Layer() {
			once.Do(func() { asked <- true })
			<-release
		}
		return false
	})
	first := nomadkit.MuteTask(t, p, image+login("someone", password))
	started := make(chan error, 1)
	go func() {
		_, _, err := p.StartTask(first.TaskConfig)
		started <- err
	}()
	nomadkit.Receive(t, asked, 30*time.Second, "the first task's pull")
	must.False(t, fails(t, p, image, "log in"))
	must.False(t, fails(t, p, image+login("someone", "wrong"), "log in"))
	must.False(t, fails(t, p, image+login("somebody", password), "log in"))
	open()
	must.NoError(t, nomadkit.Receive(t, started, 60*time.Second, "the first task's start"))
	must.False(t, fails(t, p, image+`force_pull = true`, "log in"), must.Sprint("nor afterwards"))
}
