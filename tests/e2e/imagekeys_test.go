package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// The effects of the keys that decide where an image comes from. The table in keys_test.go runs them.

// shelved is an image of one test's own that nobody has but its registry. A task of it says what was
// pushed last before it was pulled.
type shelved struct {
	image    string
	script   string
	push     func(text string)
	registry *Registry // of Podman; Apple's CLI has none
}

// shelve makes one; with a password it is for the user "user" alone. The stand-in for Apple's CLI knows
// one password, which is "secret" unless the agent has another.
func shelve(t *testing.T, agent *Agent, password string) shelved {
	t.Helper()
	name := Unique("ndc/app") + ":1"
	if apple, is := agent.Runtime.(*Apple); is {
		host := Unique("registry") + ".test"
		if password != "" {
			host = "private." + host
		}
		image := host + "/" + name
		push := func(text string) { apple.Offer(t, image, "WHICH="+text) }
		return shelved{image, "echo $WHICH", push, nil}
	}
	var credentials []string
	if password != "" {
		credentials = []string{"user", password}
	}
	r := StartRegistry(t, credentials...)
	agent.Trust(t, r)
	push := func(text string) { r.Push(t, name, Content{Files: map[string]string{"which": text + "\n"}}) }
	return shelved{r.Reference(name), "cat /which", push, r}
}

// host is the registry of the image.
func (s shelved) host() string { return s.image[:strings.Index(s.image, "/")] }

// task is one of the image that says what it has.
func (s shelved) task(setting string) string {
	return strings.ReplaceAll(Shell(s.script, setting), "${image}", s.image)
}

// says runs it.
func (s shelved) says(t *testing.T, agent *Agent, setting, want string) {
	t.Helper()
	job := agent.Submit(t, BatchJob(s.task(setting)))
	alloc := job.WaitStatus(t, "complete")
	job.WaitLog(t, alloc, "stdout", want+"\n")
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	must.Eq(t, want+"\n", text)
}

// fails runs a task of the image that cannot be started.
func (s shelved) fails(t *testing.T, agent *Agent, setting string, wants ...string) {
	t.Helper()
	refused(bad(fmt.Sprintf("image = %q\n", s.image)+setting, wants...))(t, agent)
}

// pulledAgain sees that an image that is there already is asked for again under this setting alone.
func pulledAgain(setting string) effect {
	return func(t *testing.T, agent *Agent) {
		s := shelve(t, agent, "")
		s.push("first")
		s.says(t, agent, "", "first")
		s.push("second")
		s.says(t, agent, "", "first")
		s.says(t, agent, setting, "second")
	}
}

// pulledNever sees the policies under which nobody is asked for what is there.
func pulledNever(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	s.push("first")
	s.fails(t, agent, `pull_policy = "never"`, s.image, "pull_policy")
	s.says(t, agent, `pull_policy = "missing"`, "first")
	s.push("second")
	s.says(t, agent, `pull_policy = "missing"`, "first")
	s.says(t, agent, `pull_policy = "never"`, "first")
}

// atItsServer sees that good credentials are for the server that they are meant for.
func atItsServer(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "secret")
	s.push("it")
	meant := func(host string) string {
		return fmt.Sprintf(login, "user", "secret", fmt.Sprintf("server_address = %q", host))
	}
	s.fails(t, agent, meant("elsewhere.test"), "auth.server_address", "elsewhere.test", s.host())
	s.says(t, agent, meant("https://"+s.host()+"/v2/"), "it")
}

// refuseCredentials is a registry that gives everything to everybody, but refuses wrong credentials.
func refuseCredentials(w http.ResponseWriter, request *http.Request) bool {
	if user, _, _ := request.BasicAuth(); user == "" && request.URL.Path != "/v2/" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	http.Error(w, "", http.StatusUnauthorized)
	return true
}

// pulledWithout sees that refused credentials are left out where the task says so.
func pulledWithout(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	s.push("public")
	refuse := func() { s.registry.Fail(refuseCredentials) }
	if apple, is := agent.Runtime.(*Apple); is {
		refuse = func() {
			apple.Fault(t, "registry-login", "exit 1 HTTP request to https://"+s.host()+"/v2/ failed with response: 401 Unauthorized times 1")
		}
	}
	wrong := fmt.Sprintf(login, "user", "wrong", "")
	refuse()
	s.fails(t, agent, wrong, s.image)
	refuse()
	s.says(t, agent, wrong+"auth_soft_fail = true", "public")
}

// pulledInTime sees how long a task waits for a pull that does not end.
func pulledInTime(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	s.push("late")
	if apple, is := agent.Runtime.(*Apple); is {
		apple.Fault(t, "image-pull", "hang times 1")
	} else {
		s.registry.FailOn("/manifests/", func(_ http.ResponseWriter, request *http.Request) { <-request.Context().Done() })
	}
	s.fails(t, agent, `image_pull_timeout = "1100ms"`, s.image, "within 1s100ms")
}

// ofItsPlatform sees which of the images of one name is pulled.
func ofItsPlatform(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	var contents []Content
	for _, architecture := range []string{"amd64", "arm64"} {
		// Both hold this machine's busybox, so that both run here.
		contents = append(contents, Content{Architecture: architecture, Files: map[string]string{"which": architecture + "\n"}})
	}
	_, name, _ := strings.Cut(s.image, "/")
	s.registry.PushForPlatforms(t, name, contents...)
	for _, content := range contents {
		s.says(t, agent, fmt.Sprintf("platform = \"linux/%s\"", content.Architecture), content.Architecture)
	}
}

// loaded sees an image that no registry has, out of an archive in the task's directory.
func loaded(t *testing.T, agent *Agent) {
	name := "localhost/" + Unique("ndc-loaded") + ":1"
	archive, platform := "", ""
	if agent.Kind == PodmanKind {
		archive = Archive(t, name)
		t.Cleanup(func() { _, _ = Podman("rmi", "--force", name) })
	} else {
		archive, platform = StandinArchive(t, name), `platform = "linux/arm64"`
	}
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(archive))))
	t.Cleanup(server.Close)
	brought := fmt.Sprintf("artifact {\n source = \"%s/%s\"\n destination = \"local/image.tar\"\n mode = \"file\"\n options {\n archive = \"false\"\n}\n}\n",
		server.URL, filepath.Base(archive))
	run := func(image string) *Job {
		return agent.Submit(t, BatchJob(brought+strings.ReplaceAll(Shell("echo loaded", `load = "local/image.tar"`, platform), "${image}", image)))
	}
	job := run(name)
	job.WaitLog(t, job.WaitStatus(t, "complete"), "stdout", "loaded\n")
	other := run("localhost/ndc-other:1").WaitStatus(t, "failed")
	must.StrContains(t, Events(other, "main"), "does not hold this image")
}

// unchecked sees that the health check of an image is not the container's.
func unchecked(t *testing.T, agent *Agent) {
	s := shelve(t, agent, "")
	_, name, _ := strings.Cut(s.image, "/")
	s.registry.Push(t, name, Content{HealthCheck: "echo well"})
	check := func(setting string) string {
		inside := strings.ReplaceAll(Shell(untilSignalled, setting), "${image}", s.image)
		alloc := agent.Submit(t, BatchJob("kill_timeout = \"300ms\"\n"+inside)).WaitStatus(t, "running")
		found, err := Podman("inspect", "--format", "{{json .Config.Healthcheck}}", ContainersOf(t, alloc.ID)[0])
		must.NoError(t, err)
		return found
	}
	must.StrContains(t, check(""), "echo well")
	must.StrNotContains(t, check("healthchecks {\n disable = true\n}"), "echo well")
}

// The faults of the stand-in are for whoever pulls next: not on the agent that others use.
func TestPullsGoAsTheTaskSaysOnApple(t *testing.T) {
	onApple(t, func(t *testing.T, agent *Agent, _ *Apple) {
		own := ownAgent(t, agent)
		triedAgain(t, own)
		pulledWithout(t, own)
		pulledInTime(t, own)
	})
}
