package wire

import (
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	"github.com/shoenig/test/must"
	"google.golang.org/protobuf/types/known/emptypb"

	"nomad-driver-container/tests/nomadkit"
)

// Nomad calls Init and Shutdown since 2.0.4; the client packages of these tests are older, so the
// calls go past them.
func hook(t *testing.T, p *nomadkit.Plugin, name string) {
	t.Helper()
	start := time.Now()
	must.NoError(t, p.Conn(t).Invoke(nomadkit.Context(t, 60*time.Second),
		"/hashicorp.nomad.plugins.drivers.proto.Driver/"+name, &emptypb.Empty{}, &emptypb.Empty{}))
	must.Less(t, 30*time.Second, time.Since(start))
}

func TestInitTwiceIsHarmlessAndShutdownLeavesTheTasksAlive(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	hook(t, p, "Init")
	task := nomadkit.Run(t, p, "sleep 60")
	pid := nomadkit.Inspect(t, task.AllocID).State.Pid
	hook(t, p, "Init")
	must.Eq(t, pid, nomadkit.Inspect(t, task.AllocID).State.Pid)
	_, err := p.InspectTask(task.ID)
	must.NoError(t, err)

	hook(t, p, "Shutdown")
	controllerShutdown(t, p) // not the client's Kill, which waits for two seconds only
	must.Eq(t, 0, p.Cmd.ProcessState.ExitCode())
	must.True(t, running(pid))

	next := nomadkit.StartPluginIn(t, p.StateDir, "")
	hook(t, next, "Init")
	must.NoError(t, next.RecoverTask(task.RecoveredHandle()))
	must.Eq(t, pid, nomadkit.Inspect(t, task.AllocID).State.Pid)
	must.NoError(t, next.DestroyTask(task.ID, true))
}

func TestTheTaskSchemaIsThereAndTheCapabilitiesAreTheDocumentedOnes(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	ctx := nomadkit.Context(t, 10*time.Second)
	schema, err := p.Raw(t).TaskConfigSchema(ctx, &dproto.TaskConfigSchemaRequest{})
	must.NoError(t, err)
	must.NotNil(t, schema.Spec)
	_, err = nomadkit.Convert(schema.Spec, nomadkit.JobConfigText(t, `image = "x"`))
	must.NoError(t, err)

	got, err := p.Raw(t).Capabilities(ctx, &dproto.CapabilitiesRequest{})
	must.NoError(t, err)
	want := &dproto.DriverCapabilities{
		SendSignals: true, Exec: true, FsIsolation: dproto.DriverCapabilities_IMAGE,
		NetworkIsolationModes: []dproto.NetworkIsolationSpec_NetworkIsolationMode{
			dproto.NetworkIsolationSpec_HOST, dproto.NetworkIsolationSpec_GROUP, dproto.NetworkIsolationSpec_TASK},
	}
	must.Eq(t, want.String(), got.Capabilities.String())
}

func TestDisabledLogCollectionIsACapability(t *testing.T) {
	p := nomadkit.StartPlugin(t, "disable_log_collection = true")
	got, err := p.Raw(t).Capabilities(nomadkit.Context(t, 10*time.Second), &dproto.CapabilitiesRequest{})
	must.NoError(t, err)
	must.True(t, got.Capabilities.DisableLogCollection)

	// Nomad still names the FIFOs, but there are none.
	task := nomadkit.NewTask(t, p, sh("echo to nobody; exit 6"), func(config *drivers.TaskConfig) {
		config.StdoutPath, config.StderrPath = config.AllocDir+"/no.stdout.fifo", config.AllocDir+"/no.stderr.fifo"
	}).Start(t)
	must.Eq(t, 6, task.Wait(t, 20*time.Second).ExitCode)
	must.FileNotExists(t, task.StdoutPath)
}
