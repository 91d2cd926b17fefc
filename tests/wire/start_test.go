package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	"github.com/shoenig/test/must"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nomad-driver-container/tests/nomadkit"
)

func TestStartTaskReturnsAHandleThatNomadCanKeep(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	must.GreaterEq(t, 1, task.Handle.Version)
	must.Eq(t, task.ID, task.Handle.Config.ID)
	must.Eq(t, drivers.TaskStateRunning, task.Handle.State)
	must.Positive(t, len(task.Handle.DriverState))
	must.Eq(t, "nomad-main-"+task.AllocID[:8], nomadkit.Inspect(t, task.AllocID).Name)
}

func TestASecondStartWithTheSameIDIsRefusedAndTheFirstGoesOn(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	_, _, err := p.StartTask(task.TaskConfig)
	must.Error(t, err)
	must.False(t, structs.IsRecoverable(err))
	must.Len(t, 1, nomadkit.ContainersOf(t, task.AllocID))
	status, err := p.InspectTask(task.ID)
	must.NoError(t, err)
	must.Eq(t, drivers.TaskStateRunning, status.State)
}

func TestALeftoverContainerOfTheSameNameIsNoObstacle(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, sh("echo fresh; sleep 60"))
	_, err := nomadkit.Podman("create", "--name", "nomad-main-"+task.AllocID[:8],
		"--label", "nomad.alloc_id="+task.AllocID, "--label", "nomad.task_id=old", nomadkit.Image(), "true")
	must.NoError(t, err)
	task.Start(t)
	task.WaitLog(t, "stdout", "fresh")
	must.Len(t, 1, nomadkit.ContainersOf(t, task.AllocID))
}

func TestAFailedStartNamesTheCauseAndLeavesNothing(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	image := "image = \"${image}\"\n"
	withPorts := func(c *drivers.TaskConfig) {
		c.Resources.Ports = &structs.AllocatedPorts{{Label: "http", Value: 23456, HostIP: "127.0.0.1"}}
	}
	for name, c := range map[string]struct {
		config string
		wants  []string
		change []func(*drivers.TaskConfig)
	}{
		"an image that does not exist here": {`image = "localhost/ndc-no-such:1"`, []string{"localhost/ndc-no-such:1"}, nil},
		"an image reference that is none":   {`image = "UPPER CASE"`, []string{"UPPER CASE"}, nil},
		"an image that looks like a flag":   {`image = "--privileged"`, []string{"--privileged"}, nil},
		"a command that does not exist":     {image + `command = "/no/such/command"`, []string{"/no/such/command"}, nil},
		"a label that no port has": {image + `ports = ["htp"]`, []string{"htp", "http"},
			[]func(*drivers.TaskConfig){withPorts}},
		"a bind source that does not exist": {image + `volumes = ["/no/such/source:/data"]`, []string{"/no/such/source"}, nil},
		"a volume without a target":         {image + `volumes = ["/tmp"]`, []string{"volumes", "/tmp"}, nil},
		"a volume outside the task":         {image + `volumes = ["../../../../etc:/data"]`, []string{"../../../../etc"}, nil},
		"a working directory not absolute":  {image + `working_dir = "here"`, []string{"working_dir"}, nil},
		"a user that the image lacks":       {image + "command = \"true\"\nuser = \"no-such-user\"", []string{"no-such-user"}, nil},
		"a network that does not exist":     {image + `network_mode = "no-such-network"`, []string{"no-such-network"}, nil},
		"a duration that is none":           {image + `image_pull_timeout = "soon"`, []string{"image_pull_timeout", "soon"}, nil},
		"a setting that Podman lacks":       {image + `rosetta = true`, []string{"rosetta"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			task := nomadkit.MuteTask(t, p, c.config, c.change...)
			_, _, err := p.StartTask(task.TaskConfig)
			must.Error(t, err)
			for _, want := range c.wants {
				must.ErrorContains(t, err, want)
			}
			nomadkit.NothingLeftOf(t, p, task)
			must.SliceEmpty(t, nomadkit.ChildrenOf(p.Cmd.Process.Pid))
			err = p.DestroyTask(task.ID, true)
			must.ErrorContains(t, err, "task not found for given id")
		})
	}
}

func TestAWrongJobIsNotRecoverableAndAnUnreachableRegistryIs(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	// A port that nobody listens on, for a registry that is down.
	registry := fmt.Sprintf("127.0.0.1:%d", nomadkit.FreePort(t))

	config := "image = \"${image}\"\nworking_dir = \"here\""
	wrong := nomadkit.MuteTask(t, p, config)
	_, _, err := p.StartTask(wrong.TaskConfig)
	must.Error(t, err)
	must.False(t, structs.IsRecoverable(err))
	must.Eq(t, codes.Unknown, rawStart(t, p, wrong, config).Code())

	config = `image = "` + registry + `/nothing:1"`
	down := nomadkit.MuteTask(t, p, config)
	_, _, err = p.StartTask(down.TaskConfig)
	must.True(t, structs.IsRecoverable(err), must.Sprintf("%v", err))
	must.ErrorContains(t, err, registry)
	must.Eq(t, codes.FailedPrecondition, rawStart(t, p, down, config).Code())
	nomadkit.NothingLeftOf(t, p, down)
}

// rawStart starts a task past Nomad's client and returns the status of the failure.
func rawStart(t *testing.T, p *nomadkit.Plugin, task *nomadkit.Task, config string) *status.Status {
	t.Helper()
	spec, err := p.TaskConfigSchema()
	must.NoError(t, err)
	value, err := nomadkit.Convert(spec, nomadkit.JobConfigText(t, config))
	must.NoError(t, err)
	_, err = p.Raw(t).StartTask(nomadkit.Context(t, 60*time.Second), startRequest(task, nomadkit.Pack(t, value)))
	must.Error(t, err)
	return status.Convert(err)
}

func TestPortsArePublishedOverTCPAndUDPOnTheirHostAddress(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	port := nomadkit.FreePort(t)
	nomadkit.NewTask(t, p, sh("/tools/udpecho 8080 & while true; do echo over tcp | nc -l -p 8080; done")+
		"ports = [\"web\"]\nvolumes = [\""+nomadkit.UDPEcho(t)+":/tools:ro\"]", func(c *drivers.TaskConfig) {
		c.Resources.Ports = &structs.AllocatedPorts{{Label: "web", Value: port, To: 8080, HostIP: "127.0.0.1"}}
	}).Start(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	nomadkit.Eventually(t, 10*time.Second, "answer over TCP", func() error {
		got, err := nomadkit.DialTCP(address)
		if err == nil && got != "over tcp\n" {
			return fmt.Errorf("got %q", got)
		}
		return err
	})
	nomadkit.Eventually(t, 10*time.Second, "echo over UDP", func() error {
		got, err := nomadkit.EchoUDP(address, "ping")
		if err == nil && got != "ping" {
			return fmt.Errorf("got %q", got)
		}
		return err
	})
}

func TestUnknownIDsAreAnsweredAlikeByEveryCall(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	raw := p.Raw(t)
	ctx := nomadkit.Context(t, 20*time.Second)
	id := "no/such/task"
	calls := map[string]func() error{
		"WaitTask":    func() error { _, err := raw.WaitTask(ctx, &dproto.WaitTaskRequest{TaskId: id}); return err },
		"StopTask":    func() error { _, err := raw.StopTask(ctx, &dproto.StopTaskRequest{TaskId: id}); return err },
		"DestroyTask": func() error { _, err := raw.DestroyTask(ctx, &dproto.DestroyTaskRequest{TaskId: id}); return err },
		"InspectTask": func() error { _, err := raw.InspectTask(ctx, &dproto.InspectTaskRequest{TaskId: id}); return err },
		"SignalTask": func() error {
			_, err := raw.SignalTask(ctx, &dproto.SignalTaskRequest{TaskId: id, Signal: "SIGHUP"})
			return err
		},
		"ExecTask": func() error {
			_, err := raw.ExecTask(ctx, &dproto.ExecTaskRequest{TaskId: id, Command: []string{"true"}})
			return err
		},
		"TaskStats": func() error {
			stream, err := raw.TaskStats(ctx, &dproto.TaskStatsRequest{TaskId: id})
			must.NoError(t, err)
			_, err = stream.Recv()
			return err
		},
		"ExecTaskStreaming": func() error {
			stream, err := raw.ExecTaskStreaming(ctx)
			must.NoError(t, err)
			must.NoError(t, stream.Send(&dproto.ExecTaskStreamingRequest{Setup: &dproto.ExecTaskStreamingRequest_Setup{
				TaskId: id, Command: []string{"true"}}}))
			_, err = stream.Recv()
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			err := call()
			must.Eq(t, codes.Unknown, status.Code(err), must.Sprintf("%v", err))
			must.Eq(t, "task not found for given id", status.Convert(err).Message())
		})
	}
}

func TestRequestsWithoutTheirMessagesAreErrorsNotCrashes(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	raw := p.Raw(t)
	ctx := nomadkit.Context(t, 20*time.Second)
	_, err := raw.StartTask(ctx, &dproto.StartTaskRequest{})
	must.Eq(t, codes.Unknown, status.Code(err))
	_, err = raw.StartTask(ctx, &dproto.StartTaskRequest{Task: &dproto.TaskConfig{}})
	must.Eq(t, codes.Unknown, status.Code(err))
	_, err = raw.RecoverTask(ctx, &dproto.RecoverTaskRequest{})
	must.Eq(t, codes.Unknown, status.Code(err))
	_, err = raw.RecoverTask(ctx, &dproto.RecoverTaskRequest{Handle: &dproto.TaskHandle{
		Config: &dproto.TaskConfig{Id: "a/b/c"}, DriverState: []byte("\xc1\xff rubbish")}})
	must.Eq(t, codes.Unknown, status.Code(err))
	stream, err := raw.ExecTaskStreaming(ctx)
	must.NoError(t, err)
	must.NoError(t, stream.Send(&dproto.ExecTaskStreamingRequest{}))
	_, err = stream.Recv()
	must.Error(t, err)
	_, err = p.PluginInfo()
	must.NoError(t, err)
}
