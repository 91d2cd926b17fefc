package wire

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// show is a task's configuration that prints a file of its image.
func show(image, file string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"cat %s\"]\n", image, file)
}

func login(user, password string) string {
	return fmt.Sprintf("auth {\n username = %q\n password = %q\n}\n", user, password)
}

// prints runs a task to its end and compares its output.
func prints(t *testing.T, p *nomadkit.Plugin, config, want string) *nomadkit.Task {
	t.Helper()
	task := nomadkit.NewTask(t, p, config).Start(t)
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	task.WaitLog(t, "stdout", want)
	return task
}

// fails starts a task that must not start, and returns why and whether a retry may help.
func fails(t *testing.T, p *nomadkit.Plugin, config string, wants ...string) bool {
	t.Helper()
	task := nomadkit.MuteTask(t, p, config)
	_, _, err := p.StartTask(task.TaskConfig)
	must.Error(t, err)
	for _, want := range wants {
		must.ErrorContains(t, err, want)
	}
	must.SliceEmpty(t, nomadkit.ContainersOf(t, task.AllocID))
	must.SliceEmpty(t, nomadkit.FilesIn(filepath.Join(p.StateDir, "nomad-main-"+task.AllocID[:8])))
	return structs.IsRecoverable(err)
}

func TestAnImageIsPulledByTagAndByDigestAndAgainOnlyWhenForced(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/app")
	first := r.Push(t, name+":1", nomadkit.Content{Files: map[string]string{"which": "first\n"}})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	tagged := r.Reference(name + ":1")
	prints(t, p, show(tagged, "/which"), "first\n")
	r.Push(t, name+":1", nomadkit.Content{Files: map[string]string{"which": "second\n"}})

	before := len(r.Requests("/manifests/"))
	prints(t, p, show(tagged, "/which"), "first\n")
	prints(t, p, show(tagged, "/which")+`pull_policy = "never"`, "first\n")
	must.Len(t, before, r.Requests("/manifests/"), must.Sprint("what is here is not asked for"))
	prints(t, p, show(tagged, "/which")+`force_pull = true`, "second\n")
	must.Greater(t, before, len(r.Requests("/manifests/")))

	digest := r.Reference(name + "@" + first)
	prints(t, p, show(digest, "/which"), "first\n")
	r.Push(t, name+":1", nomadkit.Content{Files: map[string]string{"which": "third\n"}})
	prints(t, p, show(tagged, "/which")+`pull_policy = "always"`, "third\n")
	must.False(t, fails(t, p, show(r.Reference(name+":2"), "/which")+`pull_policy = "never"`, "pull_policy"))
	must.False(t, fails(t, p, show(tagged, "/which")+`pull_policy = "sometimes"`, "pull_policy", "sometimes"))
}

func TestCredentialsOpenTheRegistryAndServeNobodyElse(t *testing.T) {
	t.Parallel()
	user, password := "someone", nomadkit.Unique("pa:ss w0rd")
	r := nomadkit.StartRegistry(t, user, password)
	env := nomadkit.Insecure(t, r)
	name := nomadkit.Unique("ndc/private")
	push := func(tag string) string {
		r.Push(t, name+":"+tag, nomadkit.Content{Files: map[string]string{"which": tag + "\n"}})
		return r.Reference(name + ":" + tag)
	}
	one, two, three, four, five := push("one"), push("two"), push("three"), push("four"), push("five")
	p := nomadkit.StartPlugin(t, "", env)

	must.False(t, fails(t, p, show(one, "/which"), one, "log in"))
	must.False(t, fails(t, p, show(one, "/which")+login(user, "wrong"), one, "log in"))
	must.False(t, fails(t, p, show(one, "/which")+login(user, "wrong")+"auth_soft_fail = true", one, "log in"))
	must.False(t, fails(t, p, show(r.Address+"/"+name+":six", "/which")+login(user, password), "name and tag"))
	prints(t, p, show(one, "/which")+login(user, password), "one\n")
	must.False(t, fails(t, p, show(two, "/which"), two), must.Sprint("the first task's login is not kept"))

	elsewhere := strings.Replace(login(user, password), "}", "server_address = \"registry.example.test\"\n}", 1)
	must.False(t, fails(t, p, show(two, "/which")+elsewhere, "server_address", "registry.example.test"))
	here := strings.Replace(login(user, password), "}", "server_address = \""+r.Address+"\"\n}", 1)
	prints(t, p, show(two, "/which")+here, "two\n")

	ofPlugin := nomadkit.StartPlugin(t, here, env)
	prints(t, ofPlugin, show(three, "/which"), "three\n")
	must.False(t, fails(t, ofPlugin, show(four, "/which")+login(user, "wrong"), four))
	otherServer := nomadkit.StartPlugin(t, elsewhere, env)
	must.False(t, fails(t, otherServer, show(four, "/which"), four))
	prints(t, otherServer, show(five, "/which")+login(user, password), "five\n")
}

func TestTheRegistrysPasswordIsNowhereToBeSeen(t *testing.T) {
	t.Parallel()
	password := nomadkit.Unique("s3cr3t")
	r := nomadkit.StartRegistry(t, "someone", password)
	name := nomadkit.Unique("ndc/private") + ":1"
	r.Push(t, name, nomadkit.Content{})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	var mu sync.Mutex
	var seen []int
	// In the middle of the pull, when podman has the credentials.
	r.Fail(func(http.ResponseWriter, *http.Request) bool {
		pids := nomadkit.ProcessesWith(password)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, pids...)
		return false
	})
	task := prints(t, p, show(r.Reference(name), "/ballast")+login("someone", password), "")
	fails(t, p, show(r.Reference("ndc/none:1"), "/x")+login("someone", password))
	must.Positive(t, len(r.Requests("/blobs/")))
	must.SliceEmpty(t, seen, must.Sprint("processes with the password in their command line"))
	must.StrNotContains(t, p.Stderr.String(), password)
	must.False(t, strings.Contains(string(task.Handle.DriverState), password))
	for _, file := range nomadkit.FilesIn(p.StateDir) {
		data, err := os.ReadFile(file)
		must.NoError(t, err)
		must.False(t, strings.Contains(string(data), password), must.Sprint(file))
	}
}

func TestARefusedLoginMayBeFollowedByATryWithout(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	// As a registry that gives public images to everybody, but refuses wrong credentials.
	r.Fail(func(w http.ResponseWriter, request *http.Request) bool {
		if user, _, _ := request.BasicAuth(); user != "" {
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return true
		}
		if request.URL.Path == "/v2/" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	name := nomadkit.Unique("ndc/public") + ":1"
	r.Push(t, name, nomadkit.Content{Files: map[string]string{"which": "public\n"}})
	env := nomadkit.Insecure(t, r)
	image := show(r.Reference(name), "/which") + login("someone", "wrong")
	p := nomadkit.StartPlugin(t, "", env)
	must.False(t, fails(t, p, image, "log in"))
	prints(t, p, image+"auth_soft_fail = true", "public\n")
	soft := nomadkit.StartPlugin(t, "auth_soft_fail = true", env)
	must.False(t, fails(t, soft, image+"auth_soft_fail = false\nforce_pull = true", "log in"))
	prints(t, soft, image+"force_pull = true", "public\n")
}

func TestTheImageThatHasTheNameNowIsTheOneThatRuns(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	image := func(text string) string {
		name := nomadkit.Unique("ndc/name") + ":1"
		r.Push(t, name, nomadkit.Content{Files: map[string]string{"which": text + "\n"}})
		prints(t, p, show(r.Reference(name), "/which"), text+"\n")
		return r.Reference(name)
	}
	one, two := image("one"), image("two")
	_, err := nomadkit.Podman("tag", two, one)
	must.NoError(t, err)
	prints(t, p, show(one, "/which"), "two\n")
	_, err = nomadkit.Podman("untag", two, one)
	must.NoError(t, err)
	must.True(t, !fails(t, p, show(one, "/which")+"pull_policy = \"never\"", "not on this node"))
	prints(t, p, show(one, "/which"), "one\n")
}

func TestAShortNameThatTheHostKnowsNothingOfIsDockerIOs(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/short") + ":1"
	r.Push(t, name, nomadkit.Content{Files: map[string]string{"which": "short\n"}})
	t.Cleanup(func() { _, _ = nomadkit.Podman("rmi", "-f", "docker.io/"+name) })
	p := nomadkit.StartPlugin(t, "", r.AsDockerIO(t))
	prints(t, p, show(name, "/which"), "short\n")
	prints(t, p, show(name, "/which")+"pull_policy = \"never\"", "short\n")
	fails(t, p, show("ndc/no-such:1", "/which"), "manifest unknown")
}

func TestTasksThatWaitForOneImageShareItsPull(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/shared")
	r.Push(t, name+":1", nomadkit.Content{Files: map[string]string{"which": "shared\n"}})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	image := r.Reference(name + ":1")
	const tasks = 6
	asked := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	r.Fail(func(w http.ResponseWriter, request *http.Request) bool {
		if strings.Contains(request.URL.Path, "/manifests/") {
			once.Do(func() { close(asked) })
			<-release
		}
		return false
	})
	events, err := p.TaskEvents(nomadkit.Context(t, time.Minute))
	must.NoError(t, err)
	var group sync.WaitGroup
	errs := make(chan error, tasks)
	for range tasks {
		task := nomadkit.MuteTask(t, p, show(image, "/which"))
		group.Add(1)
		go func() {
			defer group.Done()
			_, _, err := p.StartTask(task.TaskConfig)
			errs <- err
		}()
	}
	<-asked
	told := map[string]bool{}
	for len(told) < tasks {
		event := nomadkit.Receive(t, events, 10*time.Second, "event of a task that waits for the pull")
		if strings.Contains(event.Message, "Pulling image "+image) {
			told[event.AllocID] = true
		}
	}
	close(release)
	group.Wait()
	for range tasks {
		must.NoError(t, <-errs)
	}
	must.Len(t, 1, r.Requests("/"+name+"/manifests/1"), must.Sprint(r.Requests(name)))
}

func TestAnImageIsLoadedFromTheTasksDirectory(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	name := "localhost/" + nomadkit.Unique("ndc-loaded") + ":1"
	t.Cleanup(func() { _, _ = nomadkit.Podman("rmi", "--force", name) })
	data, err := os.ReadFile(nomadkit.Archive(t, name))
	must.NoError(t, err)
	type maker = func(testing.TB, *nomadkit.Plugin, string, ...func(*drivers.TaskConfig)) *nomadkit.Task
	load := func(make maker, image, path string) *nomadkit.Task {
		task := make(t, p, fmt.Sprintf("image = %q\nload = %q\ncommand = \"echo\"\nargs = [\"loaded\"]", image, path))
		must.NoError(t, os.WriteFile(filepath.Join(task.Dir, "local", "image.tar"), data, 0o644))
		must.NoError(t, os.WriteFile(filepath.Join(task.Dir, "local", "rubbish.tar"), []byte("rubbish"), 0o644))
		return task
	}
	task := load(nomadkit.NewTask, name, "local/image.tar").Start(t)
	must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
	task.WaitLog(t, "stdout", "loaded\n")
	for path, want := range map[string]string{
		"local/none.tar":    "local/none.tar",
		"local/rubbish.tar": "archive",
		"../../../../etc":   "task's directory",
		"/etc/passwd":       "load",
	} {
		task := load(nomadkit.MuteTask, name, path)
		_, _, err := p.StartTask(task.TaskConfig)
		must.ErrorContains(t, err, want, must.Sprint(path))
		must.False(t, structs.IsRecoverable(err), must.Sprintf("%v", err))
	}
	other := load(nomadkit.MuteTask, "localhost/ndc-other:1", "local/image.tar")
	_, _, err = p.StartTask(other.TaskConfig)
	must.ErrorContains(t, err, "does not hold this image")
	must.ErrorContains(t, err, name)
}

// Somebody else pulls the same name for another platform in the moment between the pull and the start.
func TestAPulledImageIsTheOneOfItsPlatformWhateverItsNameMeansByNow(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/moved") + ":1"
	// None of another test: images of the same content are one in podman's storage, and it goes with
	// the first of the tests.
	r.PushForPlatforms(t, name,
		nomadkit.Content{Architecture: "amd64", Files: map[string]string{"which": "amd64\n", "moved": ""}},
		nomadkit.Content{Architecture: "arm64", Files: map[string]string{"which": "arm64\n", "moved": ""}})
	others := fakePodman(t, `podman "$@"; code=$?
case "$*" in *"pull --quiet --platform=linux/arm64"*) podman pull --quiet --platform=linux/amd64 `+r.Reference(name)+` >/dev/null ;; esac
exit $code`)
	p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q", others), nomadkit.Insecure(t, r))
	prints(t, p, show(r.Reference(name), "/which")+`platform = "linux/arm64"`, "arm64\n")
}

func TestThePlatformChoosesAmongTheImagesOfOneName(t *testing.T) {
	t.Parallel()
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/multi") + ":1"
	r.PushForPlatforms(t, name,
		nomadkit.Content{Architecture: "amd64", Files: map[string]string{"which": "amd64\n"}},
		nomadkit.Content{Architecture: "arm64", Files: map[string]string{"which": "arm64\n"}})
	p := nomadkit.StartPlugin(t, "", nomadkit.Insecure(t, r))
	image := show(r.Reference(name), "/which")
	// Both hold this machine's busybox, so that both run here.
	for _, architecture := range []string{"arm64", "amd64", "arm64"} {
		prints(t, p, image+`platform = "linux/`+architecture+`"`, architecture+"\n")
	}
	must.False(t, fails(t, p, image+`platform = "linux/s390x"`, "s390x"))
	must.False(t, fails(t, p, image+`platform = "arm64"`, "platform"))
}
