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

// seenIn names the test in which the effect of a key is seen.
type seenIn struct{ file, test string }

// nowhere is for what a runtime has nothing of.
var nowhere = seenIn{}

// pluginProof says where the effect of a key of the plugin's configuration is seen, and gives a value
// that is refused.
type pluginProof struct {
	podman, apple seenIn
	bad           string
}

// same is for what both suites call by one name.
func same(file, test, bad string) pluginProof {
	return pluginProof{seenIn{"wire/" + file, test}, seenIn{"apple/" + file, test}, bad}
}

// once is for what is the same code for every runtime, and has nothing of them in it.
func once(file, test, bad string) pluginProof {
	return pluginProof{seenIn{"wire/" + file, test}, seenIn{"wire/" + file, test}, bad}
}

const (
	gates    = "TestTheOperatorOpensAndClosesGates"
	kept     = "TestContainersAndImagesAreKeptOrRemovedAsTheOperatorSays"
	dangling = "TestADanglingContainerIsRemovedAndOthersAreNot"
	spared   = "TestDanglingContainersAreLeftAloneWhereTheOperatorSaysSo"
	paths    = "TestTheOperatorsPathsCannotBeLeft"
	slowPull = "TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen"
)

var (
	credentials        = seenIn{"wire/images_test.go", "TestCredentialsOpenTheRegistryAndServeNobodyElse"}
	credentialsOnApple = seenIn{"apple/images_test.go", "TestCredentialsServeTheirRegistryAlone"}
	gatesOnApple       = seenIn{"apple/pluginkeys_test.go", gates}
	slowPullOnApple    = seenIn{"apple/images_test.go", slowPull}
)

var pluginProofs = map[string]pluginProof{
	"enabled":                               same("pluginkeys_test.go", "TestADisabledDriverRefusesTasks", `enabled = "perhaps"`),
	"runtime":                               once("pluginkeys_test.go", "TestTheEngineIsTheOneThatTheOperatorNames", `runtime = "lxc"`),
	"container_path":                        {nowhere, seenIn{"apple/lifecycle_test.go", "TestExitCodesAndLogsArriveAsTheyWere"}, `container_path = "bin/container"`},
	"podman_path":                           {seenIn{"wire/faults_test.go", "TestWithoutPodmanTheDriverIsUndetectedAndSaysTheCure"}, nowhere, `podman_path = "bin/podman"`},
	"oci_runtime":                           {seenIn{"wire/pluginkeys_test.go", "TestTheOCIRuntimeIsTheOneThatTheOperatorNames"}, nowhere, `oci_runtime = "two words"`},
	"state_dir":                             same("pluginkeys_test.go", "TestTheStateDirectoryIsMadeForItsOwnerOnly", `state_dir = "relative"`),
	"extra_labels":                          {seenIn{"wire/mapping_test.go", "TestLabelsAreSetInBothSpellingsBesideNomadsOwn"}, seenIn{"apple/pluginkeys_test.go", "TestLabelsAreStampedAsTheOperatorSays"}, `extra_labels = ["no_such"]`},
	"image_pull_timeout":                    {seenIn{"wire/registry_faults_test.go", slowPull}, slowPullOnApple, `image_pull_timeout = "soon"`},
	"image_pull_stall_timeout":              {seenIn{"wire/registry_faults_test.go", "TestAPullThatStandsStillIsEnded"}, seenIn{"cli/apple_runtime_test.cpp", "a slow pull is not taken for one that stands still"}, `image_pull_stall_timeout = "soon"`},
	"max_concurrent_pulls":                  {seenIn{"wire/pluginkeys_test.go", "TestNoMorePullsRunAtOnceThanTheOperatorAllows"}, seenIn{"apple/images_test.go", "TestNoMorePullsRunAtOnceThanTheOperatorAllows"}, `max_concurrent_pulls = 0`},
	"pull_activity_interval":                {seenIn{"wire/registry_faults_test.go", slowPull}, slowPullOnApple, `pull_activity_interval = "5x"`},
	"disable_log_collection":                {seenIn{"wire/hooks_test.go", "TestDisabledLogCollectionIsACapability"}, seenIn{"apple/pluginkeys_test.go", "TestWithoutLogCollectionATaskWritesToNothing"}, `disable_log_collection = "perhaps"`},
	"auth.username":                         {credentials, credentialsOnApple, "auth {\n username = \"a:b\"\n}"},
	"auth.password":                         {credentials, credentialsOnApple, "auth {\n username = \"a\"\n password = \"b\\nc\"\n}"},
	"auth.server_address":                   {credentials, credentialsOnApple, "auth {\n username = \"a\"\n server_address = \"two words\"\n}"},
	"auth_soft_fail":                        same("images_test.go", "TestARefusedLoginMayBeFollowedByATryWithout", `auth_soft_fail = "perhaps"`),
	"allow_caps":                            {seenIn{"wire/security_test.go", gates}, gatesOnApple, `allow_caps = ["fly"]`},
	"allow_privileged":                      {seenIn{"wire/security_test.go", gates}, nowhere, `allow_privileged = "perhaps"`},
	"allow_ssh_agent":                       {seenIn{"wire/security_test.go", "TestTheSSHAgentOfTheNodeIsSeen"}, gatesOnApple, `allow_ssh_agent = "perhaps"`},
	"allow_virtualization":                  {seenIn{"wire/security_test.go", gates}, gatesOnApple, `allow_virtualization = "perhaps"`},
	"allowed_images":                        {seenIn{"wire/security_test.go", "TestOnlyAllowedImagesRunWhateverTheirSpelling"}, gatesOnApple, `allowed_images = ["two words"]`},
	"command_timeout":                       {seenIn{"wire/faults_test.go", "TestAPodmanThatHangsIsGivenUpInTimeWithARecoverableError"}, seenIn{"apple/pluginkeys_test.go", "TestACallThatHangsIsEndedAfterTheOperatorsTime"}, `command_timeout = "-3"`},
	"metrics_address":                       {seenIn{"wire/metrics_test.go", "TestMetricsTellOfARunningTaskWhatNomadCannotCarry"}, seenIn{"apple/pluginkeys_test.go", "TestMetricsTellOfATask"}, `metrics_address = "here"`},
	"gc.container":                          same("pluginkeys_test.go", kept, "gc {\n container = \"perhaps\"\n}"),
	"gc.image":                              same("pluginkeys_test.go", kept, "gc {\n image = \"perhaps\"\n}"),
	"gc.image_delay":                        same("pluginkeys_test.go", kept, "gc {\n image_delay = \"soon\"\n}"),
	"gc.dangling_containers.enabled":        same("pluginkeys_test.go", spared, "gc {\n dangling_containers {\n enabled = \"perhaps\"\n}\n}"),
	"gc.dangling_containers.dry_run":        same("pluginkeys_test.go", spared, "gc {\n dangling_containers {\n dry_run = \"perhaps\"\n}\n}"),
	"gc.dangling_containers.period":         {seenIn{"wire/recover_test.go", dangling}, seenIn{"apple/pluginkeys_test.go", dangling}, "gc {\n dangling_containers {\n period = \"0s\"\n}\n}"},
	"gc.dangling_containers.creation_grace": same("pluginkeys_test.go", spared, "gc {\n dangling_containers {\n creation_grace = \"soon\"\n}\n}"),
	"volumes.enabled":                       {seenIn{"wire/storage_test.go", paths}, seenIn{"apple/pluginkeys_test.go", paths}, "volumes {\n enabled = \"perhaps\"\n}"},
	"volumes.allowed_paths":                 {seenIn{"wire/storage_test.go", paths}, seenIn{"apple/pluginkeys_test.go", paths}, "volumes {\n allowed_paths = [\"srv\"]\n}"},
}

// The plugin itself says which keys there are, those of nested blocks among them: one without a proof
// fails this test.
func TestEveryKeyOfThePluginHasItsEffectAndRefusesABadValue(t *testing.T) {
	p := nomadkit.Launch(t)
	schema, err := p.ConfigSchema()
	must.NoError(t, err)
	var known []string
	for key := range pluginProofs {
		known = append(known, key)
	}
	must.SliceContainsAll(t, nomadkit.SchemaKeys(schema), known, must.Sprint("the keys that the plugin has, and those with a proof of their effect and a bad value"))
	for key, proof := range pluginProofs {
		t.Run(key, func(t *testing.T) {
			for _, seen := range []seenIn{proof.podman, proof.apple} {
				if seen != nowhere {
					nomadkit.NeedTest(t, seen.file, seen.test)
				}
			}
			err := p.Configure(t, proof.bad)
			must.Error(t, err)
			// Nomad's own refusal of a wrong type does not name its key everywhere.
			if !strings.Contains(proof.bad, "perhaps") {
				must.StrContains(t, err.Error(), key)
			}
		})
	}
}

func TestADisabledDriverRefusesTasks(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, `enabled = false`)
	fails(t, p, script("true"), "disabled")
	must.StrContains(t, p.Settled(t).HealthDescription, "enabled = false")
}

func TestTheEngineIsTheOneThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "runtime = \"apple\"\ncontainer_path = \"/no/such/container\"")
	must.StrContains(t, p.Settled(t).HealthDescription, "Apple's container was not found")
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
	// The most manifests that were asked for at the same time, by three tasks with an image each. Who asks
	// alone waits for so long whether somebody else comes.
	peak := func(config string, patience time.Duration) int {
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
			select {
			case <-two:
			case <-time.After(patience):
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
	must.Eq(t, 1, peak("max_concurrent_pulls = 1", time.Second))
	must.Greater(t, 1, peak("max_concurrent_pulls = 3", time.Minute))
}

func TestDanglingContainersAreLeftAloneWhereTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]string{
		"off":     "enabled = false\n creation_grace = \"1ms\"",
		"dry run": "dry_run = true\n creation_grace = \"1ms\"",
		"grace":   "creation_grace = \"1h\"",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := filepath.Join(t.TempDir(), "calls")
			counted := fakePodman(t, `echo "$@" >> `+calls+`; exec podman "$@"`)
			p := nomadkit.StartPlugin(t, fmt.Sprintf("podman_path = %q\ngc {\n dangling_containers {\n period = \"300ms\"\n %s\n}\n}", counted, config))
			task := nomadkit.MuteTask(t, p, script("sleep 60")).Start(t)
			id, err := nomadkit.Podman("create", "--network=none", "--label=nomad.alloc_id="+task.AllocID, "--label=nomad.task_id=gone",
				"--label=nomad.node_id="+task.NodeID, nomadkit.Image(), "true")
			must.NoError(t, err)
			t.Cleanup(func() { _, _ = nomadkit.Podman("rm", "-f", "-i", "-t", "0", id) })
			looks := func() int {
				text, _ := os.ReadFile(calls)
				return strings.Count(string(text), "ps --all ")
			}
			switch name {
			case "off":
				before := looks()
				time.Sleep(time.Second) // what must not happen has no event to wait for
				must.Eq(t, before, looks())
			case "grace":
				before := looks()
				nomadkit.Eventually(t, 20*time.Second, "three looks", func() error {
					if got := looks() - before; got < 3 {
						return fmt.Errorf("%d", got)
					}
					return nil
				})
				must.StrNotContains(t, p.Stderr.String(), id)
			case "dry run":
				nomadkit.Eventually(t, 20*time.Second, "it is said what would be removed", func() error {
					if text := p.Stderr.String(); !strings.Contains(text, id+"): this would be removed (dry_run)") {
						return fmt.Errorf("%s", text)
					}
					return nil
				})
			}
			_, err = nomadkit.Podman("container", "exists", id)
			must.NoError(t, err)
		})
	}
}
