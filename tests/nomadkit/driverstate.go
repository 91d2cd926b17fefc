package nomadkit

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/client/state"
)

// DriverState is what an agent that does not run has on disk of the driver's own about a task.
func (a *Agent) DriverState(t testing.TB, allocID, task string) string {
	t.Helper()
	db, err := state.NewBoltStateDB(hclog.NewNullLogger(), filepath.Join(a.Dir, "data", "client"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	local, _, err := db.GetTaskRunnerState(allocID, task)
	if err != nil {
		t.Fatal(err)
	}
	if local == nil || local.TaskHandle == nil {
		t.Fatalf("the agent has no handle of the task %q of %s", task, allocID)
	}
	return string(local.TaskHandle.DriverState)
}
