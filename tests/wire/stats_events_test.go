package wire

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"

	"nomad-driver-container/tests/nomadkit"
)

func TestStatsComeAtTheIntervalAndEndWithTheTask(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "while [ ! -e /local/go ]; do :; done")
	ctx := nomadkit.Context(t, 40*time.Second)
	stream, err := p.Raw(t).TaskStats(ctx, taskStats(task.ID, 500*time.Millisecond))
	must.NoError(t, err)
	var times []time.Time
	var cpu float64
	var memory uint64
	for len(times) < 6 {
		sample, err := stream.Recv()
		must.NoError(t, err)
		must.NotNil(t, sample.Stats)
		must.NotNil(t, sample.Stats.Timestamp)
		must.NotNil(t, sample.Stats.AggResourceUsage)
		must.NotNil(t, sample.Stats.AggResourceUsage.Cpu)
		must.NotNil(t, sample.Stats.AggResourceUsage.Memory)
		times = append(times, time.Now())
		cpu = sample.Stats.AggResourceUsage.Cpu.Percent
		memory = max(sample.Stats.AggResourceUsage.Memory.Usage, sample.Stats.AggResourceUsage.Memory.Rss)
	}
	// On a busy machine samples are late, and so further from one another or closer.
	var gaps []time.Duration
	for i := 2; i < len(times); i++ {
		gaps = append(gaps, times[i].Sub(times[i-1]))
	}
	must.Less(t, 900*time.Millisecond, slices.Min(gaps), must.Sprint("not the second that it is without a wish"))
	must.Greater(t, 350*time.Millisecond, slices.Max(gaps))
	// How much of a core it gets is the machine's affair; see the test of a known load for the figure.
	must.Between(t, 1.0, cpu, 130.0, must.Sprint("a task that spins, in percent of a core"))
	must.Positive(t, memory)

	_, err = p.ExecTask(task.ID, []string{"touch", "/local/go"}, 60*time.Second)
	must.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				close(ended)
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("the stream is open a minute after the exit")
	}
}

func TestManyStatsStreamsOpenAndCancel(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.Run(t, p, "sleep 60")
	ctx, cancel := context.WithCancel(nomadkit.Context(t, 40*time.Second))
	raw := p.Raw(t)
	for i := 0; i < 100; i++ {
		stream, err := raw.TaskStats(ctx, taskStats(task.ID, time.Second))
		must.NoError(t, err)
		_, err = stream.Recv()
		must.NoError(t, err)
	}
	cancel()
	_, err := p.InspectTask(task.ID)
	must.NoError(t, err)
}

func taskStats(id string, interval time.Duration) *dproto.TaskStatsRequest {
	return &dproto.TaskStatsRequest{TaskId: id, CollectionInterval: durationpb(interval)}
}

func TestEventsNameTheirAllocationTaskAndTime(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	events, err := p.TaskEvents(nomadkit.Context(t, 40*time.Second))
	must.NoError(t, err)
	select {
	case event := <-events:
		t.Fatalf("an event before any task: %v", event)
	case <-time.After(500 * time.Millisecond):
	}
	start := time.Now()
	task := nomadkit.Run(t, p, "exit 0")
	event := nomadkit.Receive(t, events, 10*time.Second, "a task event")
	must.Eq(t, task.AllocID, event.AllocID)
	must.Eq(t, "main", event.TaskName)
	must.Between(t, -2*time.Second, event.Timestamp.Sub(start), time.Since(start)+2*time.Second)
	must.NotEq(t, "", event.Message)
}

func TestFingerprintAnswersAtOnceAndStaysOpen(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	ctx, cancel := context.WithCancel(nomadkit.Context(t, 40*time.Second))
	stream, err := p.Raw(t).Fingerprint(ctx, &dproto.FingerprintRequest{})
	must.NoError(t, err)
	start := time.Now()
	first, err := stream.Recv()
	must.NoError(t, err)
	must.Less(t, 5*time.Second, time.Since(start), must.Sprint("an answer comes at once, whatever it is"))
	for first.Health != dproto.FingerprintResponse_HEALTHY && time.Since(start) < 30*time.Second {
		// A busy machine's podman may need longer than the first answer waits.
		must.Eq(t, "waiting for the first answer of podman", first.HealthDescription)
		first, err = stream.Recv()
		must.NoError(t, err)
	}
	must.Eq(t, dproto.FingerprintResponse_HEALTHY, first.Health, must.Sprint(first.HealthDescription))
	must.True(t, first.Attributes["driver.container"].GetBoolVal())
	must.RegexMatch(t, versionPattern, first.Attributes["driver.container.version"].GetStringVal())
	must.Eq(t, "podman", first.Attributes["driver.container.runtime"].GetStringVal())
	must.RegexMatch(t, versionPattern, first.Attributes["driver.container.runtime_version"].GetStringVal())
	next := make(chan error, 1)
	go func() {
		for {
			again, err := stream.Recv()
			if err != nil || again.HealthDescription != first.HealthDescription {
				next <- err
				return
			}
		}
	}()
	select {
	case err := <-next:
		t.Fatalf("the stream ended or changed: %v", err)
	case <-time.After(2 * time.Second):
	}
	cancel()
	must.Error(t, nomadkit.Receive(t, next, 5*time.Second, "end of the stream"))
}

func TestADisabledDriverSaysSoAndRefusesTasks(t *testing.T) {
	p := nomadkit.StartPlugin(t, "enabled = false")
	fingerprint := p.Settled(t)
	must.Eq(t, "undetected", string(fingerprint.Health))
	must.StrContains(t, fingerprint.HealthDescription, "disabled")
	task := nomadkit.MuteTask(t, p, sh("true"))
	_, _, err := p.StartTask(task.TaskConfig)
	must.ErrorContains(t, err, "disabled")
}
