package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/base"
	"github.com/hashicorp/nomad/plugins/drivers"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

const prefix = "nomad_driver_container_"

var notFound = regexp.MustCompile(`^HTTP/1\.[01] 4\d\d `)

// scrape reads an endpoint as Prometheus does: strictly, by its own parser.
func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	must.NoError(t, err)
	defer response.Body.Close()
	must.Eq(t, http.StatusOK, response.StatusCode)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	must.NoError(t, err)
	return families
}

// series finds the one of a family with these labels ("name", "value", …); nil without one.
func series(families map[string]*dto.MetricFamily, family string, labels ...string) *dto.Metric {
	for _, metric := range families[prefix+family].GetMetric() {
		found := 0
		for i := 0; i < len(labels); i += 2 {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == labels[i] && pair.GetValue() == labels[i+1] {
					found++
				}
			}
		}
		if found == len(labels)/2 {
			return metric
		}
	}
	return nil
}

func withMetrics(t *testing.T, config string, env ...string) (*nomadkit.Plugin, string) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", nomadkit.FreePort(t))
	return nomadkit.StartPlugin(t, fmt.Sprintf("metrics_address = %q\n%s", address, config), env...), address
}

// bridged gives a task a network of its own.
func bridged(config *drivers.TaskConfig) { config.NetworkIsolation = nil }

func TestMetricsTellOfARunningTaskWhatNomadCannotCarry(t *testing.T) {
	p, address := withMetrics(t, "")
	task := nomadkit.Run(t, p,
		"dd if=/dev/zero of=/local/file bs=1M count=4 conv=fsync 2>/dev/null; sleep 600 & sleep 600 & wait", bridged)
	of := []string{"alloc_id", task.AllocID, "task", "main"}

	var families map[string]*dto.MetricFamily
	nomadkit.Eventually(t, 30*time.Second, "the task's figures", func() error {
		families = scrape(t, address)
		pids := series(families, "task_pids", of...)
		if pids == nil || pids.GetGauge().GetValue() < 3 {
			return fmt.Errorf("pids: %v", pids)
		}
		return nil
	})
	for family, want := range map[string]dto.MetricType{
		"tasks":                             dto.MetricType_GAUGE,
		"task_start_phase_seconds":          dto.MetricType_HISTOGRAM,
		"runtime_call_seconds":              dto.MetricType_HISTOGRAM,
		"image_pulls_queued":                dto.MetricType_GAUGE,
		"image_pulls_running":               dto.MetricType_GAUGE,
		"task_pids":                         dto.MetricType_GAUGE,
		"task_block_read_bytes_total":       dto.MetricType_COUNTER,
		"task_block_write_bytes_total":      dto.MetricType_COUNTER,
		"task_network_receive_bytes_total":  dto.MetricType_COUNTER,
		"task_network_transmit_bytes_total": dto.MetricType_COUNTER,
	} {
		must.MapContainsKey(t, families, prefix+family)
		must.Eq(t, want, families[prefix+family].GetType(), must.Sprint(family))
		must.NotEq(t, "", families[prefix+family].GetHelp(), must.Sprint(family))
	}
	page, err := os.ReadFile(filepath.Join(nomadkit.Root(), "docs", "metrics.md"))
	must.NoError(t, err)
	for name := range families {
		if strings.HasPrefix(name, prefix) {
			must.StrContains(t, string(page), "`"+name+"`", must.Sprint("docs/metrics.md has every family"))
		}
	}
	must.Eq(t, 1.0, series(families, "tasks", "state", "running").GetGauge().GetValue())
	for _, phase := range []string{"check", "image", "logs", "container"} {
		must.Eq(t, 1, series(families, "task_start_phase_seconds", "phase", phase).GetHistogram().GetSampleCount(),
			must.Sprint(phase))
	}
	run := series(families, "runtime_call_seconds", "call", "run", "outcome", "ok").GetHistogram()
	must.Eq(t, 1, run.GetSampleCount())
	must.Between(t, 0.001, run.GetSampleSum(), 60.0)

	// The kernel's own figures of the same network.
	pid := nomadkit.Inspect(t, task.AllocID).State.Pid
	received, sent := netDev(t, pid)
	must.LessEq(t, received, series(families, "task_network_receive_bytes_total", of...).GetCounter().GetValue())
	must.LessEq(t, sent, series(families, "task_network_transmit_bytes_total", of...).GetCounter().GetValue())

	must.NoError(t, p.StopTask(task.ID, 0, "SIGKILL"))
	nomadkit.Eventually(t, 10*time.Second, "the task's series are gone with it", func() error {
		families = scrape(t, address)
		for name, family := range families {
			for _, metric := range family.GetMetric() {
				if strings.Contains(metric.String(), task.AllocID) {
					return fmt.Errorf("%s is still there", name)
				}
			}
		}
		return nil
	})
	must.Eq(t, 0.0, series(families, "tasks", "state", "running").GetGauge().GetValue())
	must.Eq(t, 1.0, series(families, "tasks", "state", "exited").GetGauge().GetValue())
	must.NoError(t, p.DestroyTask(task.ID, false))
	nomadkit.Eventually(t, 10*time.Second, "no task is counted any more", func() error {
		for _, metric := range scrape(t, address)[prefix+"tasks"].GetMetric() {
			if metric.GetGauge().GetValue() != 0 {
				return fmt.Errorf("%v", metric)
			}
		}
		return nil
	})
}

// netDev sums what the interfaces but loopback of a process's network have received and sent.
func netDev(t *testing.T, pid int) (received, sent float64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	must.NoError(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		name, rest, found := strings.Cut(strings.TrimSpace(line), ":")
		fields := strings.Fields(rest)
		if !found || name == "lo" || len(fields) < 9 {
			continue
		}
		var in, out float64
		_, err := fmt.Sscan(fields[0]+" "+fields[8], &in, &out)
		must.NoError(t, err)
		received, sent = received+in, sent+out
	}
	return received, sent
}

func TestATaskOnTheNodesNetworkHasNoNetworkFigures(t *testing.T) {
	p, address := withMetrics(t, "")
	config := fmt.Sprintf("image = %q\ncommand = \"sleep\"\nargs = [\"600\"]\nnetwork_mode = \"host\"", nomadkit.Image())
	task := nomadkit.MuteTask(t, p, config).Start(t)
	of := []string{"alloc_id", task.AllocID}
	nomadkit.Eventually(t, 30*time.Second, "the task's figures", func() error {
		families := scrape(t, address)
		if series(families, "task_pids", of...) == nil {
			return fmt.Errorf("no pids yet")
		}
		must.Nil(t, series(families, "task_network_receive_bytes_total", of...), must.Sprint("they would be the node's"))
		return nil
	})
}

func TestAPullUnderWayIsSeenAndForgotten(t *testing.T) {
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/measured") + ":1"
	r.Push(t, name, nomadkit.Content{Ballast: 1 << 20})
	p, address := withMetrics(t, "", nomadkit.Insecure(t, r))
	release := make(chan struct{})
	proceed := func() func() {
		done := false
		return func() {
			if !done {
				close(release)
			}
			done = true
		}
	}()
	t.Cleanup(proceed)
	r.FailOn(r.Layer(), func(w http.ResponseWriter, _ *http.Request) {
		<-release
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
	image := r.Reference(name)
	task := nomadkit.MuteTask(t, p, show(image, "/x"))
	started := make(chan error, 1)
	go func() {
		_, _, err := p.StartTask(task.TaskConfig)
		started <- err
	}()
	nomadkit.Eventually(t, 30*time.Second, "the pull is seen", func() error {
		families := scrape(t, address)
		bytes := series(families, "image_pull_bytes", "image", image)
		if bytes == nil || bytes.GetGauge().GetValue() == 0 {
			return fmt.Errorf("bytes: %v", bytes)
		}
		must.Eq(t, 1.0, families[prefix+"image_pulls_running"].GetMetric()[0].GetGauge().GetValue())
		return nil
	})
	proceed()
	must.Error(t, nomadkit.Receive(t, started, 60*time.Second, "end of the start"))
	// Who waits for the start may be told a moment before the gauges are set.
	var families map[string]*dto.MetricFamily
	nomadkit.Eventually(t, 30*time.Second, "the pull is forgotten", func() error {
		families = scrape(t, address)
		bytes := series(families, "image_pull_bytes", "image", image)
		running := families[prefix+"image_pulls_running"].GetMetric()[0].GetGauge().GetValue()
		if bytes != nil || running != 0 {
			return fmt.Errorf("bytes: %v, running: %v", bytes, running)
		}
		return nil
	})
	must.Eq(t, 1, series(families, "image_pull_seconds", "outcome", "failed").GetHistogram().GetSampleCount())
}

func TestAMetricsPortInUseIsSaidAndOneWithoutTasksIsNotTaken(t *testing.T) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nomadkit.FreePort(t)))
	must.NoError(t, err)
	defer listener.Close()
	p := nomadkit.Launch(t)
	config := fmt.Sprintf("metrics_address = %q", listener.Addr().String())

	// Nomad also calls SetConfig just to validate: that must not touch the port.
	spec, err := p.ConfigSchema()
	must.NoError(t, err)
	value, err := nomadkit.Convert(spec, nomadkit.AgentConfigText(t, config))
	must.NoError(t, err)
	must.NoError(t, p.SetConfig(&base.Config{ApiVersion: drivers.ApiVersion010, PluginConfig: nomadkit.Pack(t, value)}))

	err = p.Configure(t, config)
	for _, want := range []string{listener.Addr().String(), "in use", "metrics_address", "127.0.0.1:9106"} {
		must.ErrorContains(t, err, want)
	}
	listener.Close()
	must.NoError(t, p.Configure(t, config), must.Sprint("the port is free again"))
	scrape(t, listener.Addr().String())
	must.NoError(t, p.Configure(t, ""))
	nomadkit.Eventually(t, 15*time.Second, "the end of what a configuration without it takes away", func() error {
		answer, err := http.Get("http://" + listener.Addr().String() + "/metrics")
		if err != nil {
			return nil
		}
		answer.Body.Close()
		return errors.New("it still answers")
	})
}

func TestTheMetricsPortServesNothingElse(t *testing.T) {
	_, address := withMetrics(t, "")
	for _, path := range []string{"/", "/etc/passwd", "/../../../etc/passwd", "/metrics/../etc/passwd"} {
		conn, err := net.Dial("tcp", address)
		must.NoError(t, err)
		_, err = fmt.Fprintf(conn, "GET %s HTTP/1.0\r\n\r\n", path)
		must.NoError(t, err)
		answer, err := io.ReadAll(conn)
		must.NoError(t, err)
		must.RegexMatch(t, notFound, string(answer), must.Sprint(path))
		conn.Close()
	}
}
