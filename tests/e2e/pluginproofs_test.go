package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// seenIn names the test in which the effect of a key of the plugin is seen.
type seenIn struct{ file, test string }

// nowhere is for what a runtime has nothing of.
var nowhere = seenIn{}

// operatorProof says where the effect of a key is seen on each runtime.
type operatorProof struct{ podman, apple seenIn }

func keysOf(test string) seenIn            { return seenIn{"e2e/pluginkeys_test.go", test} }
func everywhere(test string) operatorProof { return operatorProof{keysOf(test), keysOf(test)} }

var (
	closed   = everywhere("TestAClosedNodeTellsATaskAllThatItsOperatorDoesNotAllow")
	opened   = everywhere("TestAnOpenNodeGivesATaskWhatItsOperatorAllows")
	keeping  = everywhere("TestANodeKeepsWhatItsOperatorWantsToLookAt")
	tidy     = everywhere("TestANodeTidiesUpAsItsOperatorSays")
	cautious = everywhere("TestACautiousNodeTellsWhatItWouldRemoveAndWaitsAsLongAsItsOperatorSays")
	pulling  = operatorProof{seenIn{"e2e/pluginpulls_test.go", "TestPullsGoAsTheOperatorSaysOnPodman"}, seenIn{"e2e/pluginpulls_test.go", "TestPullsGoAsTheOperatorSaysOnApple"}}

	attributes = seenIn{"e2e/node_test.go", "TestTheDriversAttributesAreTheNodesAndPlaceJobs"}
	labels     = seenIn{"e2e/settings_test.go", "TestLabelsAndNomadsOwnAreOnTheContainer"}
)

var operatorProofs = map[string]operatorProof{
	"enabled":                               everywhere("TestADisabledDriverIsUndetectedAndSaysWhy"),
	"runtime":                               {attributes, attributes},
	"container_path":                        {nowhere, seenIn{"e2e/apple_test.go", "TestTheNodeShowsHowItsRuntimeIsDoingOnApple"}},
	"podman_path":                           {seenIn{"e2e/node_test.go", "TestTheNodeShowsHowItsRuntimeIsDoingOnPodman"}, nowhere},
	"oci_runtime":                           {keysOf("TestTheOCIRuntimeIsTheOneThatTheOperatorNamesOnPodman"), nowhere},
	"state_dir":                             keeping,
	"extra_labels":                          {labels, labels},
	"image_pull_timeout":                    pulling,
	"image_pull_stall_timeout":              pulling,
	"max_concurrent_pulls":                  pulling,
	"pull_activity_interval":                pulling,
	"disable_log_collection":                keeping,
	"auth.username":                         pulling,
	"auth.password":                         pulling,
	"auth.server_address":                   pulling,
	"auth_soft_fail":                        pulling,
	"allow_caps":                            opened,
	"allow_privileged":                      {opened.podman, nowhere},
	"allow_ssh_agent":                       closed,
	"allow_virtualization":                  {nowhere, closed.apple},
	"allowed_images":                        closed,
	"command_timeout":                       cautious,
	"metrics_address":                       opened,
	"gc.container":                          keeping,
	"gc.image":                              tidy,
	"gc.image_delay":                        tidy,
	"gc.dangling_containers.enabled":        keeping,
	"gc.dangling_containers.dry_run":        cautious,
	"gc.dangling_containers.period":         tidy,
	"gc.dangling_containers.creation_grace": tidy,
	"volumes.enabled":                       closed,
	"volumes.allowed_paths":                 opened,
}

// The plugin itself says which keys there are, those of nested blocks among them: one without a proof
// or a bad value fails this test.
func TestEveryKeyOfThePluginHasItsEffectInAnAgent(t *testing.T) {
	schema, err := Launch(t).ConfigSchema()
	must.NoError(t, err)
	keys := SchemaKeys(schema)
	var known []string
	for key, proof := range operatorProofs {
		known = append(known, key)
		for _, seen := range []seenIn{proof.podman, proof.apple} {
			if seen != nowhere {
				NeedTest(t, seen.file, seen.test)
			}
		}
	}
	must.SliceContainsAll(t, keys, known, must.Sprint("the keys that the plugin has, and those with a proof of their effect"))
	wrong := slices.Concat(toldTogether, onlyTyped, slices.Collect(maps.Keys(toldAlone)))
	must.SliceContainsAll(t, keys, wrong, must.Sprint("the keys that the plugin has, and those with a bad value"))
}

// misconfigured runs an agent whose plugin does not accept its configuration until the agent gives up,
// and returns its log.
func misconfigured(t *testing.T, like *Agent, config string) string {
	t.Helper()
	own := newAgent(t, like, "")
	path := filepath.Join(own.Dir, "agent.hcl")
	text, err := os.ReadFile(path)
	must.NoError(t, err)
	const plugin = "plugin \"nomad-driver-container\" {\n"
	ofAgent, _, found := strings.Cut(string(text), plugin)
	must.True(t, found)
	must.NoError(t, os.WriteFile(path, []byte(ofAgent+plugin+"config {\n"+config+"\n}\n}\n"), 0o600))
	must.NoError(t, own.Exec())
	Eventually(t, 30*time.Second, "the agent gives up", func() error {
		if own.Alive() {
			return fmt.Errorf("still running")
		}
		return nil
	})
	return own.Log()
}

// wrongTogether has a wrong value of each key of which the plugin tells all at once.
const wrongTogether = `
container_path           = "bin/container"
podman_path              = "bin/podman"
state_dir                = "relative"
extra_labels             = ["no_such"]
image_pull_timeout       = "soon"
image_pull_stall_timeout = "soon"
max_concurrent_pulls     = 0
pull_activity_interval   = "5x"
allow_caps               = ["fly"]
allowed_images           = ["two words"]
command_timeout          = "-3"
metrics_address          = "here"
auth {
  username = "a:b"
}
volumes {
  allowed_paths = ["srv"]
}
gc {
  image_delay = "soon"
  dangling_containers {
    period         = "0s"
    creation_grace = "soon"
  }
}
`

var toldTogether = []string{"container_path", "podman_path", "state_dir", "extra_labels", "image_pull_timeout",
	"image_pull_stall_timeout", "max_concurrent_pulls", "pull_activity_interval", "allow_caps", "allowed_images",
	"command_timeout", "metrics_address", "auth.username", "volumes.allowed_paths", "gc.image_delay",
	"gc.dangling_containers.period", "gc.dangling_containers.creation_grace"}

// toldAlone are wrong values of the others of `auth`, of which the plugin tells the first, and of the
// runtime, without which the other keys are not those of this one.
var toldAlone = map[string]string{
	"runtime":             `runtime = "lxc"`,
	"auth.password":       "auth {\n username = \"a\"\n password = \"b\\nc\"\n}",
	"auth.server_address": "auth {\n username = \"a\"\n server_address = \"two words\"\n}",
}

// onlyTyped are the keys that take any value of their type: true or false, and the OCI runtime, whose
// name may be any text. A value of a wrong type is refused by Nomad, before the plugin sees it: one
// key stands for each type.
var onlyTyped = []string{"enabled", "oci_runtime", "disable_log_collection", "auth_soft_fail", "allow_privileged",
	"allow_ssh_agent", "allow_virtualization", "gc.container", "gc.image", "gc.dangling_containers.enabled",
	"gc.dangling_containers.dry_run", "volumes.enabled"}

const wrongTypes = "allow_privileged = \"perhaps\"\noci_runtime = [\"runc\"]"

func tells(t *testing.T, log string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		must.StrContains(t, log, fmt.Sprintf("read setting %q: ", key))
	}
}

func TestAnAgentWithABadPluginConfigSaysAllThatIsWrong(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		t.Run("together", func(t *testing.T) {
			t.Parallel()
			tells(t, misconfigured(t, agent, fmt.Sprintf("runtime = %q\n", agent.Runtime.Name())+wrongTogether), toldTogether...)
		})
		for key, config := range toldAlone {
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				tells(t, misconfigured(t, agent, config), key)
			})
		}
		t.Run("types", func(t *testing.T) {
			t.Parallel()
			log := misconfigured(t, agent, wrongTypes)
			must.StrContains(t, log, "allow_privileged")
			must.StrContains(t, log, "oci_runtime")
		})
	})
}
