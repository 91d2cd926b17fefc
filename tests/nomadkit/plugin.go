package nomadkit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/nomad/client/lib/numalib"
	"github.com/hashicorp/nomad/helper/pluginutils/hclspecutils"
	"github.com/hashicorp/nomad/helper/pluginutils/hclutils"
	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	"github.com/hashicorp/nomad/plugins/shared/hclspec"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/msgpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Plugin is a running plugin process and Nomad's client of it.
type Plugin struct {
	drivers.DriverPlugin
	Client   *plugin.Client
	Cmd      *exec.Cmd
	StateDir string
	Stderr   *SyncBuffer

	socketDir string
}

// SyncBuffer is a bytes.Buffer for one writer and one reader.
type SyncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *SyncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *SyncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// StartPlugin starts the binary as Nomad's loader does and configures it. `config` is the text of
// a plugin's config block; `state_dir` is added to it unless it has one. `env` is added to the
// plugin's environment.
func StartPlugin(t testing.TB, config string, env ...string) *Plugin {
	t.Helper()
	return StartPluginIn(t, t.TempDir(), config, env...)
}

// A config block that names a stand-in for Apple's CLI.
var standinCLI = regexp.MustCompile(`container_path = "([^"]+)/container"`)

// StartPluginIn is StartPlugin with a given state directory: the successor of a killed plugin. Over a
// stand-in the plugin's user has a home of that stand-in's own, as with a keychain of its own.
func StartPluginIn(t testing.TB, stateDir, config string, env ...string) *Plugin {
	t.Helper()
	if cli := standinCLI.FindStringSubmatch(config); cli != nil {
		env = append([]string{"HOME=" + cli[1]}, env...)
	}
	p := Launch(t, env...)
	p.StateDir = stateDir
	if !strings.Contains(config, "state_dir") {
		config = fmt.Sprintf("state_dir = %q\n%s", stateDir, config)
	}
	if err := p.Configure(t, config); err != nil {
		t.Fatalf("SetConfig: %v", err)
	}
	return p
}

// Launch starts the binary and dispenses the driver, without SetConfig.
func Launch(t testing.TB, env ...string) *Plugin {
	t.Helper()
	p := &Plugin{Stderr: &SyncBuffer{}}
	p.Cmd = exec.Command(Binary())
	p.Cmd.Env = append(os.Environ(), env...)
	p.Client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: base.Handshake,
		Plugins: map[string]plugin.Plugin{
			base.PluginTypeBase:   &base.PluginBase{},
			base.PluginTypeDriver: drivers.NewDriverPlugin(nil, hclog.NewNullLogger()),
		},
		Cmd:              p.Cmd,
		SkipHostEnv:      true, // which is in it, and would take the place of what is added
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		Stderr:           p.Stderr,
		StartTimeout:     Patience * 20 * time.Second,
	})
	t.Cleanup(func() {
		p.Client.Kill()
		// A killed plugin cannot remove it itself.
		if strings.HasPrefix(filepath.Base(p.socketDir), "ndcp-") {
			_ = os.RemoveAll(p.socketDir)
		}
		if t.Failed() {
			t.Logf("the plugin's log:\n%s", tail(p.Stderr.String(), 12000))
		}
	})
	rpc, err := p.Client.Client()
	if err != nil {
		t.Fatalf("start the plugin: %v\n%s", err, p.Stderr.String())
	}
	raw, err := rpc.Dispense(base.PluginTypeDriver)
	if err != nil {
		t.Fatalf("dispense: %v", err)
	}
	p.DriverPlugin = raw.(drivers.DriverPlugin)
	p.socketDir = filepath.Dir(p.Socket())
	return p
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}

// Configure encodes a config block against the plugin's schema, as the agent does, and calls
// SetConfig.
func (p *Plugin) Configure(t testing.TB, config string) error {
	t.Helper()
	return p.ConfigureParsed(t, AgentConfigText(t, config))
}

// ConfigureParsed is Configure with a block that is parsed already.
func (p *Plugin) ConfigureParsed(t testing.TB, config map[string]any) error {
	t.Helper()
	spec, err := p.ConfigSchema()
	if err != nil {
		t.Fatalf("ConfigSchema: %v", err)
	}
	value, err := Convert(spec, config)
	if err != nil {
		return err
	}
	return p.SetConfig(&base.Config{
		ApiVersion:   drivers.ApiVersion010,
		PluginConfig: Pack(t, value),
		AgentConfig: &base.AgentConfig{Driver: &base.ClientDriverConfig{
			ClientMinPort: 14000,
			ClientMaxPort: 14512,
			Topology:      numalib.Scan(numalib.PlatformScanners(false)),
		}},
	})
}

// Pack is the msgpack of a value, as SetConfig carries it.
func Pack(t testing.TB, value cty.Value) []byte {
	t.Helper()
	data, err := msgpack.Marshal(value, value.Type())
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return data
}

// Convert checks parsed configuration against a schema exactly as Nomad's client does.
func Convert(spec *hclspec.Spec, parsed any) (cty.Value, error) {
	return ConvertWith(spec, parsed, nil)
}

// ConvertWith is Convert of a configuration that uses variables of the task's environment.
func ConvertWith(spec *hclspec.Spec, parsed any, variables map[string]cty.Value) (cty.Value, error) {
	decoded, diags := hclspecutils.Convert(spec)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("the schema is invalid: %w", diags)
	}
	value, diags, errs := hclutils.ParseHclInterface(parsed, decoded, variables)
	if diags.HasErrors() {
		return cty.NilVal, fmt.Errorf("%v", errs)
	}
	return value, nil
}

// Kill9 kills the plugin and waits until its client knows.
func (p *Plugin) Kill9(t testing.TB) time.Duration {
	t.Helper()
	start := time.Now()
	if err := p.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 10*time.Second, "the client sees the plugin's end", func() error {
		if p.Client.Exited() {
			return nil
		}
		return fmt.Errorf("still thought alive")
	})
	return time.Since(start)
}

// Conn is a second, raw connection to the plugin.
func (p *Plugin) Conn(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+p.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Settled is the first fingerprint that the engine has had a say in, or that needs none. One that the
// engine was too slow for comes before it.
func (p *Plugin) Settled(t testing.TB) *drivers.Fingerprint {
	t.Helper()
	ch, err := p.Fingerprint(Context(t, 2*time.Minute))
	if err != nil {
		t.Fatalf("Fingerprint: %v", err)
	}
	for {
		fingerprint := Receive(t, ch, 30*time.Second, "fingerprint")
		if fingerprint.Err != nil {
			t.Fatalf("fingerprint: %v", fingerprint.Err)
		}
		if !strings.HasPrefix(fingerprint.HealthDescription, "waiting for the first answer of ") {
			return fingerprint
		}
	}
}

// Raw is the driver service without Nomad's client in between.
func (p *Plugin) Raw(t testing.TB) dproto.DriverClient { return dproto.NewDriverClient(p.Conn(t)) }

// Socket is the path the plugin listens on.
func (p *Plugin) Socket() string { return p.Client.ReattachConfig().Addr.String() }

// Context ends with the test or after `limit` with Patience.
func Context(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience*limit)
	t.Cleanup(cancel)
	return ctx
}
