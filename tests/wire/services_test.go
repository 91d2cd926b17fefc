package wire

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/shoenig/test/must"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"nomad-driver-container/tests/nomadkit"
)

func TestHealthKnowsPluginAndTheServerAndNothingElse(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	health := grpc_health_v1.NewHealthClient(p.Conn(t))
	ctx := nomadkit.Context(t, 10*time.Second)
	for _, service := range []string{"plugin", ""} {
		answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		must.NoError(t, err)
		must.Eq(t, grpc_health_v1.HealthCheckResponse_SERVING, answer.Status)
	}
	_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nonsense"})
	must.Eq(t, codes.NotFound, status.Code(err))
}

func openStream(t *testing.T, ctx context.Context, conn *grpc.ClientConn, method string, client bool) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: client}, method)
	must.NoError(t, err)
	if !client {
		must.NoError(t, stream.SendMsg(&emptypb.Empty{}))
		must.NoError(t, stream.CloseSend())
	}
	return stream
}

var longStreams = map[string]bool{ // method: does the client send, too?
	"/plugin.GRPCBroker/StartStream": true,
	"/plugin.GRPCStdio/StreamStdio":  false,
}

func TestBrokerAndStdioStreamsStayOpenUntilCancelled(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	for method, client := range longStreams {
		t.Run(method, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			stream := openStream(t, ctx, p.Conn(t), method, client)
			ended := make(chan error, 1)
			go func() { ended <- stream.RecvMsg(&emptypb.Empty{}) }()
			select {
			case err := <-ended:
				t.Fatalf("ended by itself: %v", err)
			case <-time.After(2 * time.Second):
			}
			cancel()
			err := nomadkit.Receive(t, ended, 5*time.Second, "end of the stream")
			must.Eq(t, codes.Canceled, status.Code(err))
		})
	}
	_, err := p.PluginInfo()
	must.NoError(t, err)
}

// controllerShutdown asks the plugin to end, as Nomad does, and waits until its client sees that it has.
func controllerShutdown(t *testing.T, p *nomadkit.Plugin) (took time.Duration) {
	t.Helper()
	start := time.Now()
	_ = p.Conn(t).Invoke(nomadkit.Context(t, time.Minute), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{})
	nomadkit.Eventually(t, 30*time.Second, "the process ends", func() error {
		if !p.Client.Exited() {
			return os.ErrExist
		}
		return nil
	})
	return time.Since(start)
}

// shutDownWithStreamsOpen ends a plugin that streams everything it has to stream, and says how long that took.
func shutDownWithStreamsOpen(t *testing.T) time.Duration {
	t.Helper()
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	socket := p.Socket()
	conn := p.Conn(t)
	ctx := nomadkit.Context(t, time.Minute)
	for method, client := range longStreams {
		openStream(t, ctx, conn, method, client)
	}
	_, err := p.Fingerprint(ctx)
	must.NoError(t, err)
	_, err = p.TaskEvents(ctx)
	must.NoError(t, err)
	_, err = p.WaitTask(ctx, task.ID)
	must.NoError(t, err)
	_, err = p.TaskStats(ctx, task.ID, 200*time.Millisecond)
	must.NoError(t, err)

	took := controllerShutdown(t, p)
	must.Eq(t, 0, p.Cmd.ProcessState.ExitCode())
	_, err = os.Stat(socket)
	must.ErrorIs(t, err, os.ErrNotExist)
	must.Len(t, 1, nomadkit.ContainersOf(t, task.AllocID), must.Sprint("the task's container"))
	must.Positive(t, nomadkit.Inspect(t, task.AllocID).State.Pid, must.Sprint("the task still runs"))
	return took
}

func TestControllerShutdownEndsTheProcessWithStreamsOpen(t *testing.T) {
	must.Less(t, 30*time.Second, shutDownWithStreamsOpen(t))
}

// The quickest of several counts: Nomad's client kills what needs two seconds.
func TestAShutdownWithStreamsOpenTakesLessThanASecond(t *testing.T) {
	quickest := time.Hour
	for round := 0; round < 5 && quickest >= time.Second; round++ {
		quickest = min(quickest, shutDownWithStreamsOpen(t))
	}
	must.Less(t, time.Second, quickest)
}
