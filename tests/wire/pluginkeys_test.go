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

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// pluginProof says where the effect of a key of the plugin's configuration is seen, and gives a value
// that is refused. Without a test it has no effect on Podman.
type pluginProof struct {
	file, test string
	bad        string
}

var pluginProofs = map[string]pluginProof{
	"enabled":                  {"wire/pluginkeys_test.go", "TestADisabledDriverRefusesTasks", `enabled = "perhaps"`},
	"runtime":                  {"wire/pluginkeys_test.go", "TestTheEngineIsTheOneThatTheOperatorNames", `runtime = "lxc"`},
	"container_path":           {"apple/lifecycle_test.go", "TestExitCodesAndLogsArriveAsTheyWere", `container_path = "bin/container"`},
	"podman_path":              {"wire/faults_test.go", "TestWithoutPodmanTheDriverIsUndetectedAndSaysTheCure", `podman_path = "bin/podman"`},
	"oci_runtime":              {"wire/pluginkeys_test.go", "TestTheOCIRuntimeIsTheOneThatTheOperatorNames", `oci_runtime = ["runc"]`},
	"state_dir":                {"wire/pluginkeys_test.go", "TestTheStateDirectoryIsMadeForItsOwnerOnly", `state_dir = "relative"`},
	"extra_labels":             {"wire/mapping_test.go", "TestLabelsAreSetInBothSpellingsBesideNomadsOwn", `extra_labels = ["no_such"]`},
	"image_pull_timeout":       {"wire/registry_faults_test.go", "TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen", `image_pull_timeout = "soon"`},
	"image_pull_stall_timeout": {"wire/registry_faults_test.go", "TestAPullThatStandsStillIsEnded", `image_pull_stall_timeout = "soon"`},
	"max_concurrent_pulls":     {"wire/pluginkeys_test.go", "TestNoMorePullsRunAtOnceThanTheOperatorAllows", `max_concurrent_pulls = 0`},
	"pull_activity_interval":   {"wire/registry_faults_test.go", "TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen", `pull_activity_interval = "5x"`},
	"disable_log_collection":   {"wire/hooks_test.go", "TestDisabledLogCollectionIsACapability", `disable_log_collection = "perhaps"`},
	"auth":                     {"wire/images_test.go", "TestCredentialsOpenTheRegistryAndServeNobodyElse", "auth {\n username = [\"a\"]\n}"},
	"auth_soft_fail":           {"wire/images_test.go", "TestARefusedLoginMayBeFollowedByATryWithout", `auth_soft_fail = "perhaps"`},
	"allow_caps":               {"wire/security_test.go", "TestTheOperatorOpensAndClosesGates", `allow_caps = ["fly"]`},
	"allow_privileged":         {"wire/security_test.go", "TestTheOperatorOpensAndClosesGates", `allow_privileged = "perhaps"`},
	"allow_ssh_agent":          {"wire/security_test.go", "TestTheSSHAgentOfTheNodeIsSeen", `allow_ssh_agent = "perhaps"`},
	"allow_virtualization":     {"", "", `allow_virtualization = "perhaps"`}, // no effect on Podman, which refuses what it allows
	"allowed_images":           {"wire/security_test.go", "TestOnlyAllowedImagesRunWhateverTheirSpelling", `allowed_images = ["two words"]`},
	"command_timeout":          {"wire/faults_test.go", "TestAPodmanThatHangsIsGivenUpInTimeWithARecoverableError", `command_timeout = "-3"`},
	"metrics_address":          {"wire/metrics_test.go", "TestMetricsTellOfARunningTaskWhatNomadCannotCarry", `metrics_address = "here"`},
	"gc":                       {"wire/pluginkeys_test.go", "TestContainersAndImagesAreKeptOrRemovedAsTheOperatorSays", "gc {\n image_delay = \"soon\"\n}"},
	"volumes":                  {"wire/storage_test.go", "TestTheOperatorsPathsCannotBeLeft", "volumes {\n allowed_paths = [\"srv\"]\n}"},
}

// The plugin itself says which keys there are: one without a proof fails this test.
func TestEveryKeyOfThePluginHasItsEffectAndRefusesABadValue(t *testing.T) {
	p := nomadkit.Launch(t)
	schema, err := p.ConfigSchema()
	must.NoError(t, err)
	keys := schema.GetObject().GetAttributes()
	must.MapNotEmpty(t, keys)
	for key := range pluginProofs {
		must.MapContainsKey(t, keys, key, must.Sprint("a key that the plugin has"))
	}
	for key := range keys {
		t.Run(key, func(t *testing.T) {
			proof, found := pluginProofs[key]
			must.True(t, found, must.Sprint("it has no proof of its effect and no bad value"))
			if proof.file != "" {
				nomadkit.NeedTest(t, proof.file, proof.test)
			}
			err := p.Configure(t, proof.bad)
			must.Error(t, err)
			// Nomad's own refusal of a wrong type does not name its key everywhere.
			must.NotEq(t, "", err.Error())
		})
	}
}

func TestADisabledDriverRefusesTasks(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, `enabled = false`)
	fails(t, p, script("true"), "disabled")
	ch, err := p.Fingerprint(nomadkit.Context(t, 20*time.Second))
	must.NoError(t, err)
	must.StrContains(t, nomadkit.Receive(t, ch, 5*time.Second, "fingerprint").HealthDescription, "enabled = false")
}

func TestTheEngineIsTheOneThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "runtime = \"apple\"\ncontainer_path = \"/no/such/container\"")
	ch, err := p.Fingerprint(nomadkit.Context(t, 20*time.Second))
	must.NoError(t, err)
	must.StrContains(t, nomadkit.Receive(t, ch, 5*time.Second, "fingerprint").HealthDescription, "Apple's container was not found")
}

func TestTheOCIRuntimeIsTheOneThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	fails(t, nomadkit.StartPlugin(t, `oci_runtime = "ndc-no-such"`), script("true"), "ndc-no-such")
	shows(t, nomadkit.StartPlugin(t, `oci_runtime = "runc"`), "", "echo runs", "runs\n")
}

func TestTheStateDirectoryIsMadeForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "state")
	p := nomadkit.StartPluginIn(t, dir, "")
	shows(t, p, "", "echo runs", "runs\n")
	info, err := os.Stat(dir)
	must.NoError(t, err)
	must.Eq(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestContainersAndImagesAreKeptOrRemovedAsTheOperatorSays(t *testing.T) {
	t.Parallel()
	ended := func(p *nomadkit.Plugin, config string) *nomadkit.Task {
		task := nomadkit.NewTask(t, p, config).Start(t)
		must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
		must.NoError(t, p.DestroyTask(task.ID, false))
		return task
	}
	keeps := nomadkit.StartPlugin(t, "gc {\n container = false\n dangling_containers {\n enabled = false\n }\n}")
	must.Len(t, 1, nomadkit.ContainersOf(t, ended(keeps, script("true")).AllocID))

	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/gc") + ":1"
	r.Push(t, name, nomadkit.Content{})
	image := r.Reference(name)
	p := nomadkit.StartPlugin(t, "gc {\n image = true\n image_delay = \"1s\"\n}", nomadkit.Insecure(t, r))
	must.SliceEmpty(t, nomadkit.ContainersOf(t, ended(p, show(image, "/ballast")).AllocID))
	nomadkit.Eventually(t, 20*time.Second, "the unused image is removed", func() error {
		if _, err := nomadkit.Podman("image", "exists", image); err == nil {
			return fmt.Errorf("it is still there")
		}
		return nil
	})
}

func TestNoMorePullsRunAtOnceThanTheOperatorAllows(t *testing.T) {
	t.Parallel()
	// The most manifests that were asked for at the same time, by three tasks with an image each.
	peak := func(config string) int {
		r := nomadkit.StartRegistry(t)
		p := nomadkit.StartPlugin(t, config, nomadkit.Insecure(t, r))
		var mu sync.Mutex
		asking, most := 0, 0
		two := make(chan struct{})
		var once sync.Once
		r.Fail(func(_ http.ResponseWriter, request *http.Request) bool {
			if request.Method != http.MethodGet || !strings.Contains(request.URL.Path, "/manifests/") {
				return false
			}
			mu.Lock()
			asking++
			most = max(most, asking)
			if most == 2 {
				once.Do(func() { close(two) })
			}
			mu.Unlock()
			// Somebody else who may come has the time to.
			select {
			case <-two:
			case <-time.After(time.Second):
			}
			mu.Lock()
			defer mu.Unlock()
			asking--
			return false
		})
		var tasks sync.WaitGroup
		for i := range 3 {
			name := nomadkit.Unique(fmt.Sprintf("ndc/pulls%d", i)) + ":1"
			r.Push(t, name, nomadkit.Content{})
			task := nomadkit.MuteTask(t, p, show(r.Reference(name), "/ballast"))
			tasks.Go(func() {
				if _, _, err := p.StartTask(task.TaskConfig); err != nil {
					t.Errorf("StartTask: %v", err)
				}
			})
		}
		tasks.Wait()
		return most
	}
	must.Eq(t, 1, peak("max_concurrent_pulls = 1"))
	must.Greater(t, 1, peak("max_concurrent_pulls = 3"))
}
