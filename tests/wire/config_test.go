package wire

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/nomad/helper/pluginutils/loader"
	"github.com/hashicorp/nomad/nomad/structs/config"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/hashicorp/nomad/plugins/drivers/fsisolation"
	"github.com/shoenig/test/must"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nomad-driver-container/tests/nomadkit"
)

func TestPluginInfoIsConstant(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	first, err := p.PluginInfo()
	must.NoError(t, err)
	must.Eq(t, base.PluginTypeDriver, first.Type)
	must.Eq(t, "container", first.Name)
	must.Eq(t, []string{"v0.1.0"}, first.PluginApiVersions)
	must.RegexMatch(t, versionPattern, first.PluginVersion)
	for i := 0; i < 100; i++ {
		again, err := p.PluginInfo()
		must.NoError(t, err)
		must.Eq(t, first, again)
	}
}

// load runs Nomad's own loader over a plugin directory with the binary in it.
func load(t *testing.T, settings map[string]any) error {
	t.Helper()
	dir := t.TempDir()
	must.NoError(t, os.Symlink(nomadkit.Binary(), filepath.Join(dir, "nomad-driver-container")))
	_, err := loader.NewPluginLoader(&loader.PluginLoaderConfig{
		Logger: hclog.NewNullLogger(), PluginDir: dir, SupportedVersions: loader.AgentSupportedApiVersions,
		Configs: []*config.PluginConfig{{Name: "nomad-driver-container", Config: settings}},
	})
	return err
}

func TestNomadsLoaderAcceptsThePluginAndReadsItsConfiguration(t *testing.T) {
	for name, text := range map[string]string{
		"no settings": ``,
		"every setting of ordinary use": `
			enabled = true
			runtime = "podman"
			gc { container = true
			     dangling_containers { enabled = true } }
			volumes { enabled = true }
			extra_labels = ["job_*", "task_name"]
			image_pull_timeout = "10m"
			pull_activity_interval = "30s"
			max_concurrent_pulls = 2
			disable_log_collection = false
			command_timeout = "45s"`,
	} {
		t.Run(name, func(t *testing.T) { must.NoError(t, load(t, nomadkit.AgentConfigText(t, text))) })
	}
}

func TestNomadsLoaderRefusesWrongConfigurationReadably(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":          {`nonsense = true`, "nonsense"},
		"a wrong type":            {`max_concurrent_pulls = "many"`, "max_concurrent_pulls"},
		"a duration that is none": {`image_pull_timeout = "soon"`, "image_pull_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, nomadkit.AgentConfigText(t, c.text))
			must.ErrorContains(t, err, c.want)
		})
	}
}

func TestSetConfigNamesTheKeyAndAValidExample(t *testing.T) {
	p := nomadkit.Launch(t)
	for text, wants := range map[string][]string{
		`image_pull_timeout = "soon"`:   {"image_pull_timeout", "soon"},
		`command_timeout = "-3"`:        {"command_timeout"},
		`runtime = "lxc"`:               {"runtime", "lxc", "podman"},
		`state_dir = "relative/path"`:   {"state_dir"},
		`pull_activity_interval = "5x"`: {"pull_activity_interval", "5x"},
		`metrics_address = "here"`:      {"metrics_address", "here", "127.0.0.1:9106"},
		`metrics_address = "[::1]:0"`:   {"metrics_address"},
		`max_concurrent_pulls = 0`:      {"max_concurrent_pulls"},
	} {
		t.Run(text, func(t *testing.T) {
			err := p.Configure(t, text)
			must.Error(t, err)
			must.Eq(t, codes.Unknown, status.Code(err))
			for _, want := range wants {
				must.ErrorContains(t, err, want)
			}
		})
	}
	must.NoError(t, p.Configure(t, ""), must.Sprint("a good configuration after bad ones"))
}

func TestSetConfigWorksTwiceAndWithoutAnything(t *testing.T) {
	p := nomadkit.Launch(t)
	must.NoError(t, p.SetConfig(&base.Config{}))
	must.NoError(t, p.SetConfig(&base.Config{ApiVersion: "v0.1.0"}))
	must.NoError(t, p.Configure(t, ""))
	must.NoError(t, p.Configure(t, `command_timeout = "20s"`))
	must.NoError(t, p.Configure(t, "gc {}\nvolumes {}"), must.Sprint("empty blocks"))
}

func TestMalformedPluginConfigurationIsAReadableError(t *testing.T) {
	p := nomadkit.Launch(t)
	for _, bytes := range []string{"\xc1", "\x81", "\xdf\xff\xff\xff\xff", "hello", "\x93\x01\x02"} {
		err := p.SetConfig(&base.Config{PluginConfig: []byte(bytes)})
		must.Eq(t, codes.Unknown, status.Code(err), must.Sprintf("%q: %v", bytes, err))
	}
	must.NoError(t, p.Configure(t, ""))
}

func TestCapabilitiesAreThoseOfAContainerDriver(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	caps, err := p.Capabilities()
	must.NoError(t, err)
	must.True(t, caps.SendSignals)
	must.True(t, caps.Exec)
	must.Eq(t, fsisolation.Image, caps.FSIsolation)
	must.False(t, caps.MustInitiateNetwork)
	must.False(t, caps.DisableLogCollection)
	must.SliceContains(t, caps.NetIsolationModes, drivers.NetIsolationModeHost)
	must.SliceContains(t, caps.NetIsolationModes, drivers.NetIsolationModeGroup)
}

func TestTheTaskSchemaRefusesWhatNomadCanSee(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.MuteTask(t, p, `image = "x"`)
	for name, c := range map[string]struct{ text, want string }{
		"no image":            {`command = "ls"`, "image"},
		"an unknown key":      {`image = "x"` + "\n" + `imagee = "y"`, "imagee"},
		"a list for a string": {`image = ["x"]`, "image"},
		"a word for a bool":   {"image = \"x\"\ninit = \"perhaps\"", "init"},
	} {
		t.Run(name, func(t *testing.T) {
			err := task.TrySetConfig(t, nomadkit.JobConfigText(t, c.text))
			must.ErrorContains(t, err, c.want)
		})
	}
}
