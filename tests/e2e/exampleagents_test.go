package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

func agentFiles(names ...string) []string {
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join(Root(), "examples", "nomad", name+".hcl"))
	}
	return files
}

// Each file with those that it is used with, and the flags of the agent.
var exampleAgents = map[string]struct {
	with, flags []string
	elsewhere   bool // not on this host
}{
	"dev":          {with: []string{"dev"}, flags: []string{"-dev"}},
	"server":       {with: []string{"server", "client-linux"}},
	"client-linux": {with: []string{"server", "client-linux"}},
	"client-macos": {with: []string{"client-macos"}, elsewhere: true},
	"hardened":     {with: []string{"server", "client-linux", "hardened"}},
}

func TestTheExampleAgentConfigurationsAreAcceptedOnPodman(t *testing.T) {
	files, err := filepath.Glob(agentFiles("*")[0])
	must.NoError(t, err)
	must.Len(t, len(exampleAgents), files)
	for name, c := range exampleAgents {
		t.Run(name, func(t *testing.T) {
			own, err := NewAgentFrom(agentFiles(c.with...), c.flags...)
			must.NoError(t, err)
			defer own.Remove()
			text, err := os.ReadFile(agentFiles(name)[0])
			must.NoError(t, err)
			if len(c.flags) == 0 { // a file for -dev is not valid alone
				out, errors, code := onPodman(t).RunCLI(t, nil, append([]string{"config", "validate"}, agentFiles(c.with...)...)...)
				must.Eq(t, 0, code, must.Sprint(out, errors))
			}
			block := PluginBlock(t, own.Moved(string(text)))
			if name == "server" {
				must.MapEmpty(t, block)
				return
			}
			must.MapNotEmpty(t, block)
			must.NoError(t, Launch(t).ConfigureParsed(t, block))
		})
	}
}

// The image under a name that the policy allows.
func allowedImage(t *testing.T) string {
	t.Helper()
	name := "docker.io/library/" + Unique("ndc-e2e") + ":1"
	_, err := Podman("tag", Image(), name)
	must.NoError(t, err)
	t.Cleanup(func() { _, _ = Podman("untag", name, name) })
	return name
}

func TestTheExampleAgentsRunTasksOnPodman(t *testing.T) {
	for name, c := range exampleAgents {
		if c.elsewhere || name == "server" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, err := NewAgentFrom(agentFiles(c.with...), c.flags...)
			must.NoError(t, err)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the agent's log:\n%s", own.LogTail())
				}
				own.Remove()
			})
			must.NoError(t, own.Start())
			job := own.SubmitFile(t, example("hardened"), "image="+allowedImage(t))
			alloc := job.WaitStatus(t, "complete")
			job.WaitLogOf(t, alloc, "app", "stdout", hardenedOutput)
			if name == "hardened" {
				refuses(t, own)
			}
		})
	}
}

func refuses(t *testing.T, own *Agent) {
	t.Helper()
	allowed := allowedImage(t)
	refusals := map[string]string{
		`image = "` + Image() + `"`:                              "allowed_images",
		`image = "` + allowed + "\"\ncap_add = [\"chown\"]":      "CAP_CHOWN",
		`image = "` + allowed + "\"\nprivileged = true":          "allow_privileged",
		`image = "` + allowed + "\"\nssh_agent = true":           "allow_ssh_agent",
		`image = "` + allowed + "\"\nvolumes = [\"/etc:/host\"]": "allowed_paths",
	}
	jobs := map[string]*Job{}
	for config := range refusals {
		// A log collector that nobody writes to takes seconds to end.
		jobs[config] = own.Submit(t, BatchJob("logs {\n disabled = true\n}\nconfig {\n"+config+"\n}\n"))
	}
	for config, want := range refusals {
		must.StrContains(t, Events(jobs[config].WaitStatus(t, "failed"), "main"), want)
	}
}
