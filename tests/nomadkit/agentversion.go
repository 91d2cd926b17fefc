package nomadkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-version"
)

// AgentBinary is the agent of version $NDC_NOMAD, else of the one that go.mod names; built or looked
// for when it is not there yet.
func AgentBinary() (string, error) {
	cmd := exec.Command(filepath.Join(Root(), "scripts", "nomad"))
	if wanted := os.Getenv("NDC_NOMAD"); wanted != "" {
		cmd.Args = append(cmd.Args, wanted)
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// Version is what the agent says that it is.
func (a *Agent) Version(t testing.TB) *version.Version {
	t.Helper()
	self, err := a.API.Agent().Self()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := version.NewVersion(self.Member.Tags["build"])
	if err != nil {
		t.Fatalf("the agent's version: %v", err)
	}
	return parsed.Core()
}
