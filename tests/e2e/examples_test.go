package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"
	"github.com/zclconf/go-cty/cty"

	. "nomad-driver-container/tests/nomadkit"
)

func example(name string) string {
	return filepath.Join(Root(), "examples", "jobs", name+".nomad.hcl")
}

// exampleRun says how a job of examples/jobs is run on each runtime: the user's file, with other values
// for its variables at most.
type exampleRun struct{ podman, apple func(*testing.T, *Agent) }

// alike is for a job that is the same on both.
func alike(run func(*testing.T, *Agent)) exampleRun { return exampleRun{run, run} }

// A job without a row fails the test.
var exampleRuns = map[string]exampleRun{
	"hello":            alike(runHello),
	"web":              alike(runWeb),
	"redis":            {runRedis, isRefused("redis", "cannot join a network namespace")},
	"rosetta":          {waits("rosetta", "rosetta", "report"), runRosetta},
	"private-registry": {runPrivateRegistry, runPrivateRegistryOnApple},
	"storage":          {runStorage, isRefused("storage", "only once")},
	"batch":            alike(runBatch),
	"ssh-agent":        {runSSHAgent, nil}, // all images of the stand-in have the same files, and no git
	"operations":       alike(runOperations),
	"hardened":         {runHardened, waits("hardened", "security_opt", "app")},
}

func TestTheExampleJobsRun(t *testing.T) {
	files, err := filepath.Glob(example("*"))
	must.NoError(t, err)
	must.Len(t, len(exampleRuns), files)
	each(t, func(t *testing.T, agent *Agent) {
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".nomad.hcl")
			runs, known := exampleRuns[name]
			must.True(t, known, must.Sprint(name))
			run := runs.podman
			if agent.Runtime.Name() == "apple" {
				run = runs.apple
			}
			if run != nil {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, agent)
				})
			}
		}
	})
}

// isRefused is for a job that a runtime cannot do.
func isRefused(name, why string) func(*testing.T, *Agent) {
	return func(t *testing.T, on *Agent) {
		alloc := on.SubmitFile(t, example(name), testImage()).WaitStatus(t, "failed")
		for task := range alloc.TaskStates {
			if strings.Contains(Events(alloc, task), why) {
				return
			}
		}
		t.Fatalf("no task of %s is told %q", name, why)
	}
}

// waits is for a job that waits for a node with a feature that the runtime does not have.
func waits(name, feature, group string) func(*testing.T, *Agent) {
	return func(t *testing.T, on *Agent) {
		plan, _, err := on.API.Jobs().Plan(ParseJobFile(t, example(name)), true, nil)
		must.NoError(t, err)
		must.MapContainsKey(t, plan.FailedTGAllocs, group)
		must.MapContainsKey(t, plan.FailedTGAllocs[group].ConstraintFiltered,
			"${attr.driver.container.feature."+feature+"} = true")
	}
}

// fromTemplates are the variables of the environment that the templates of the examples make.
var fromTemplates = map[string]cty.Value{
	"REGISTRY_USERNAME": cty.StringVal("someone"), "REGISTRY_PASSWORD": cty.StringVal("secret"),
}

// Every file is good with its defaults: for the scheduler, and for the driver's schema.
func TestTheExampleJobsArePlannedAndFitTheSchemaOnPodman(t *testing.T) {
	p := Launch(t)
	for name := range exampleRuns {
		t.Run(name, func(t *testing.T) {
			job := ParseJobFile(t, example(name))
			must.Eq(t, name, *job.ID, must.Sprint("a job has its file's name"))
			plan, _, err := onPodman(t).API.Jobs().Plan(job, true, nil)
			must.NoError(t, err)
			// Whether memory_max counts is the operator's decision.
			if !strings.Contains(plan.Warnings, "oversubscription is not enabled") {
				must.Eq(t, "", plan.Warnings)
			}
			if name != "rosetta" {
				must.MapEmpty(t, plan.FailedTGAllocs)
			}
			schema, err := p.TaskConfigSchema()
			must.NoError(t, err)
			for _, group := range job.TaskGroups {
				for _, task := range group.Tasks {
					must.Eq(t, "container", task.Driver)
					_, err := ConvertWith(schema, task.Config, fromTemplates)
					must.NoError(t, err, must.Sprint(task.Name))
				}
			}
		})
	}
}

func testImage() string { return "image=" + Image() }

// imageOf is the variable for an image that a test's own registry has.
func imageOf(t *testing.T, r *Registry, name string, content Content) string {
	t.Helper()
	name = Unique("ndc/"+name) + ":1"
	r.Push(t, name, content)
	return r.Reference(name)
}

// variable makes a Nomad variable for one test and returns its path.
func variable(t *testing.T, on *Agent, items map[string]string) string {
	t.Helper()
	path := Unique("e2e/example")
	putVariable(t, on, path, items)
	t.Cleanup(func() { _, _ = on.API.Variables().Delete(path, nil) })
	return path
}

func putVariable(t *testing.T, on *Agent, path string, items map[string]string) {
	t.Helper()
	_, _, err := on.API.Variables().Update(&api.Variable{Path: path, Items: items}, nil)
	must.NoError(t, err)
}

// allocs waits until a job has as many allocations and all of them run.
func allocs(t *testing.T, on *Agent, job *Job, count int) []*api.AllocationListStub {
	t.Helper()
	var found []*api.AllocationListStub
	Eventually(t, 40*time.Second, fmt.Sprint(count, " running allocations"), func() error {
		var err error
		found, _, err = on.API.Jobs().Allocations(job.ID, false, nil)
		if err != nil {
			return err
		}
		running := 0
		for _, alloc := range found {
			if alloc.ClientStatus == "running" {
				running++
			}
		}
		if running != count {
			return fmt.Errorf("%d of %d run", running, len(found))
		}
		return nil
	})
	return found
}

// pageOf is the address of a port of an allocation.
func pageOf(t *testing.T, on *Agent, allocID, label string) string {
	t.Helper()
	alloc, _, err := on.API.Allocations().Info(allocID, nil)
	must.NoError(t, err)
	for _, port := range alloc.AllocatedResources.Shared.Ports {
		if port.Label == label {
			return fmt.Sprintf("http://%s:%d/", port.HostIP, port.Value)
		}
	}
	t.Fatalf("no port %q", label)
	return ""
}

func runHello(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("hello"), testImage())
	for _, alloc := range allocs(t, on, job, 1) {
		if alloc.TaskGroup == "web" {
			waitPage(t, pageOf(t, on, alloc.ID, "http"), "hello from "+alloc.ID+"\n")
		}
	}
}

func runWeb(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("web"), testImage())
	Eventually(t, 60*time.Second, "the deployment succeeds", func() error {
		deployment, _, err := on.API.Jobs().LatestDeployment(job.ID, nil)
		if err != nil || deployment == nil {
			return fmt.Errorf("%v, %v", deployment, err)
		}
		if deployment.Status != "successful" {
			return fmt.Errorf("%s: %s", deployment.Status, deployment.StatusDescription)
		}
		return nil
	})
	for _, alloc := range allocs(t, on, job, 2) {
		waitPage(t, pageOf(t, on, alloc.ID, "http"), "served by allocation "+alloc.ID+"\n")
	}
}

// In place of Redis stands a program that answers on its port, in place of the exporter one that
// shows what it got from there.
func runRedis(t *testing.T, on *Agent) {
	r := StartRegistry(t)
	on.Trust(t, r)
	image := imageOf(t, r, "redis", Content{Programs: map[string]string{"bin/redis-server": `#!/bin/sh
mkdir /www && busybox grep -c appendonly $1 > /www/index.html
touch /data/written
trap 'exit 0' TERM
busybox httpd -f -p 6379 -h /www & wait
`}})
	exporter := imageOf(t, r, "exporter", Content{Programs: map[string]string{"redis_exporter": `#!/bin/sh
trap 'exit 0' TERM
busybox nc -ll -p 9121 -e /bin/answer & wait
`, "bin/answer": `#!/bin/sh
while read -r line && [ "$line" != "$(printf '\r')" ]; do :; done # unread bytes make the close a reset
echo "HTTP/1.0 200 OK"; echo
busybox wget -q -O - http://${REDIS_ADDR#redis://}/
`}})
	volume := Unique("ndc-redis")
	t.Cleanup(func() { _, _ = Podman("volume", "rm", "-f", volume) })
	job := on.SubmitFile(t, example("redis"), "image="+image, "exporter_image="+exporter, "volume="+volume)
	alloc := job.WaitRunning(t, "redis", "exporter")
	waitPage(t, pageOf(t, on, alloc.ID, "metrics"), "1\n")
	job.Stop(t)
}

func runPrivateRegistry(t *testing.T, on *Agent) {
	r := StartRegistry(t, "someone", "s3c\"r3t")
	on.Trust(t, r)
	image := imageOf(t, r, "private", Content{Programs: map[string]string{"bin/sh": "#!/bin/busybox sh\necho password=$REGISTRY_PASSWORD\n"}})
	credentials := variable(t, on, map[string]string{"username": "someone", "password": "s3c\"r3t"})
	job := on.SubmitFile(t, example("private-registry"), "image="+image, "credentials="+credentials)
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "app", "stdout", "password=\n")
}

func runPrivateRegistryOnApple(t *testing.T, on *Agent) {
	image := "private." + Unique("registry") + ".test/ndc/app:1"
	on.Runtime.(*Apple).OfferImage(t, image, map[string]any{"Cmd": []string{"/bin/sh", "-c", "echo password=$REGISTRY_PASSWORD"}})
	credentials := variable(t, on, map[string]string{"username": "user", "password": "secret"})
	job := on.SubmitFile(t, example("private-registry"), "image="+image, "credentials="+credentials)
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "app", "stdout", "password=\n")
}

// There is no other machine here than the one that the tests run on.
func runRosetta(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("rosetta"), testImage())
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "report", "stdout", "this is ")
}

func runStorage(t *testing.T, on *Agent) {
	greeting := variable(t, on, map[string]string{"greeting": "good day"})
	volume := Unique("ndc-storage")
	job := on.SubmitFile(t, example("storage"), testImage(), "greeting="+greeting, "volume="+volume)
	t.Cleanup(func() { _, _ = Podman("volume", "rm", "-f", volume) })
	alloc := job.WaitRunning(t, "app")
	job.WaitLogOf(t, alloc, "app", "stdout", "greeting = good day\nruns on this node: 1\nscratch: 1024 KiB\n"+
		"the token can be read\nthe root file system cannot be written to\n")
	putVariable(t, on, greeting, map[string]string{"greeting": "good night"})
	job.WaitLogOf(t, alloc, "app", "stdout", "configured anew\ngreeting = good night\n")
	job.Stop(t)
}

func runBatch(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("batch"), testImage(), "retry_delay=100ms")
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "sum", "stdout", "the sum is 500500\n")
	job.WaitLogOf(t, alloc, "sum", "stderr", "the first attempt fails\n")
	must.Eq(t, uint64(1), alloc.TaskStates["sum"].Restarts)
}

// In place of git stands a program that says what it was called with and whether the agent is there.
func runSSHAgent(t *testing.T, on *Agent) {
	r := StartRegistry(t)
	on.Trust(t, r)
	image := imageOf(t, r, "git", Content{Programs: map[string]string{
		"bin/git": "#!/bin/sh\n[ -S \"$SSH_AUTH_SOCK\" ] && echo an agent && echo \"$@\" && cat /local/known_hosts\n"}})
	job := on.SubmitFile(t, example("ssh-agent"), "image="+image, "repository=git@host.test:app.git")
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "clone", "stdout", "an agent\nclone --depth=1 git@host.test:app.git /alloc/data/checkout\ngithub.com ssh-ed25519")
}

func runOperations(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("operations"), testImage())
	alloc := job.WaitRunning(t, "app")
	job.WaitLogOf(t, alloc, "app", "stdout", "ready\n")
	must.NoError(t, on.API.Allocations().Signal(alloc, nil, "app", "SIGUSR1"))
	job.WaitLogOf(t, alloc, "app", "stdout", "signal number 1\n")
	stdout, _, code := job.ExecIn(t, alloc, "app", false, "", "cat", "/local/state")
	must.Eq(t, "1\n", stdout)
	must.Eq(t, 0, code)
	alloc = job.Stop(t)
	must.Eq(t, 0, ExitCodeOf(t, alloc, "app"))
	job.WaitLogOf(t, alloc, "app", "stdout", "finishing\n")
}

const hardenedOutput = "1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nthe root file system cannot be written to\n/tmp can\n"

func runHardened(t *testing.T, on *Agent) {
	job := on.SubmitFile(t, example("hardened"), testImage())
	alloc := job.WaitStatus(t, "complete")
	job.WaitLogOf(t, alloc, "app", "stdout", hardenedOutput)
}

func TestTheIndexOfTheExamplesHasEveryFileOnPodman(t *testing.T) {
	index, err := os.ReadFile(filepath.Join(Root(), "examples", "README.md"))
	must.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(Root(), "examples", "*", "*.hcl"))
	must.NoError(t, err)
	for _, file := range files {
		path, err := filepath.Rel(filepath.Join(Root(), "examples"), file)
		must.NoError(t, err)
		must.StrContains(t, string(index), "]("+path+")")
	}
}
