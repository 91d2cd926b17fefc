package nomadkit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/nomad/api"
)

// WriteShared writes a file that the tasks of the allocation see as /alloc/<name>.
func (j *Job) WriteShared(t testing.TB, alloc *api.Allocation, name, text string) {
	t.Helper()
	path := filepath.Join(j.agent.Dir, "data", "alloc", alloc.ID, "alloc", name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
