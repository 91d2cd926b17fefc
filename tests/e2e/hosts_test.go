package e2e

import (
	"os"
	"testing"

	"github.com/hashicorp/go-version"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

var hooksSince = version.Must(version.NewVersion("2.0.4"))

// The agent's log holds the plugin's.
func TestTheAgentIsTheOneAskedForAndCallsTheHooksThatItKnows(t *testing.T) {
	t.Parallel()
	own := ownAgent(t, anyAgent())
	found := own.Version(t)
	if wanted := os.Getenv("NDC_NOMAD"); wanted != "" {
		must.Eq(t, wanted, found.String())
	}
	own.Submit(t, BatchJob(Shell("true"))).WaitStatus(t, "complete")
	must.NoError(t, own.Stop(false))
	knows := found.GreaterThanOrEqual(hooksSince)
	for _, hook := range []string{"the host calls Init", "the host calls Shutdown"} {
		if knows {
			must.StrContains(t, own.Log(), hook)
		} else {
			must.StrNotContains(t, own.Log(), hook)
		}
	}
	must.StrContains(t, own.Log(), "serving on", must.Sprint("the plugin's own log"))
}
