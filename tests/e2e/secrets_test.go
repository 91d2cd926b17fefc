package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// A template whose values become the task's environment, as they do with secrets from Vault.
func TestASecretOfATemplateIsSeenByTheTaskAloneOnPodman(t *testing.T) {
	agent := onPodman(t)
	secret := "s3cr3t-" + uuid.Generate()
	watch := WatchSecrets(t, secret)
	w := newWord(t, agent, secret)
	job := agent.Submit(t, BatchJob(fmt.Sprintf(`template {
        data        = "WORD={{ with nomadVar \"%s\" }}{{ .word }}{{ end }}\n"
        destination = "secrets/env"
        env         = true
      }
      `, w.path)+Shell("printf %s $WORD | wc -c; exec sleep 600")))
	alloc := job.WaitStatus(t, "running")
	job.WaitLog(t, alloc, "stdout", fmt.Sprintf("%d\n", len(secret)))
	out, _, code := job.Exec(t, alloc, false, "", "/bin/sh", "-c", "printf %s $WORD | wc -c")
	must.Eq(t, 0, code)
	must.Eq(t, fmt.Sprintf("%d\n", len(secret)), out)

	alloc, _, err := agent.API.Allocations().Info(alloc.ID, nil)
	must.NoError(t, err)
	state, err := os.ReadFile(filepath.Join(agent.Dir, "data", "client", "state.db"))
	must.NoError(t, err)
	watch.Check(t, map[string]string{
		"the agent's log, with the plugin's": agent.Log(),
		"the task's events":                  Events(alloc, "main"),
		"the client's state":                 string(state),
	}, []string{filepath.Join(agent.Dir, "state")}, []string{os.TempDir(), "/run/containers",
		"/var/lib/containers/storage/overlay-containers", "/var/lib/containers/storage/libpod"})
}
