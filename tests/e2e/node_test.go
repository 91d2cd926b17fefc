package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// driverInfo is what the servers know of the driver on the agent's node.
func driverInfo(t *testing.T, on *Agent) (*api.DriverInfo, *api.Node) {
	t.Helper()
	node, _, err := on.API.Nodes().Info(on.NodeID(t), nil)
	must.NoError(t, err)
	info := node.Drivers["container"]
	must.NotNil(t, info)
	return info, node
}

// waitNode waits until the servers know the node and its driver, however that is doing.
func waitNode(t *testing.T, on *Agent) {
	t.Helper()
	Eventually(t, 60*time.Second, "a node", func() error {
		nodes, _, err := on.API.Nodes().List(nil)
		if err == nil && (len(nodes) != 1 || nodes[0].Drivers["container"] == nil) {
			return fmt.Errorf("%d nodes", len(nodes))
		}
		return err
	})
}

func waitDriver(t *testing.T, on *Agent, what string, good func(*api.DriverInfo) bool) *api.DriverInfo {
	t.Helper()
	var last *api.DriverInfo
	Eventually(t, 30*time.Second, what, func() error {
		last, _ = driverInfo(t, on)
		if !good(last) {
			return fmt.Errorf("detected %v, healthy %v, %q", last.Detected, last.Healthy, last.HealthDescription)
		}
		return nil
	})
	return last
}

// driverEvents are the node's events about the driver, oldest first.
func driverEvents(t *testing.T, on *Agent) []string {
	t.Helper()
	_, node := driverInfo(t, on)
	var events []string
	for _, event := range node.Events {
		if event.Details["driver"] == "container" {
			events = append(events, event.Message)
		}
	}
	return events
}

// Podman is missing when the agent starts, comes, goes, and comes again.
func TestTheNodeShowsHowItsRuntimeIsDoingOnPodman(t *testing.T) {
	t.Parallel()
	like := onPodman(t)
	dir := t.TempDir()
	podman, off := filepath.Join(dir, "podman"), filepath.Join(dir, "off")
	must.NoError(t, os.WriteFile(off, []byte("#!/bin/sh\nexec podman \"$@\"\n"), 0o755))
	own := newAgent(t, like, fmt.Sprintf("podman_path = %q", podman))
	must.NoError(t, own.Exec())
	waitNode(t, own)
	info := waitDriver(t, own, "undetected", func(d *api.DriverInfo) bool { return strings.Contains(d.HealthDescription, podman) })
	must.False(t, info.Detected)
	must.False(t, info.Healthy)

	must.NoError(t, os.Rename(off, podman))
	healthy := func(d *api.DriverInfo) bool { return d.Detected && d.Healthy }
	waitDriver(t, own, "healthy once Podman is there", healthy)

	must.NoError(t, os.Rename(podman, off))
	info = waitDriver(t, own, "unhealthy", func(d *api.DriverInfo) bool { return !d.Healthy })
	must.True(t, info.Detected, must.Sprint("it was there"))
	must.StrContains(t, info.HealthDescription, podman)
	waiting := own.Submit(t, BatchJob(Shell("true")))
	Eventually(t, 20*time.Second, "the job is refused its place", func() error {
		evaluations, _, err := own.API.Jobs().Evaluations(waiting.ID, nil)
		if err == nil && !slices.ContainsFunc(evaluations, func(e *api.Evaluation) bool { return e.Status == "blocked" }) {
			return fmt.Errorf("%d evaluations, none is blocked", len(evaluations))
		}
		return err
	})

	must.NoError(t, os.Rename(off, podman))
	info = waitDriver(t, own, "healthy again", healthy)
	// Not for ever, as it would if only the driver's health had changed.
	waiting.WaitStatus(t, "complete")
	must.Eq(t, "Healthy", info.HealthDescription)
	Eventually(t, 20*time.Second, "one node event for each of three changes", func() error {
		events := driverEvents(t, own)
		if len(events) != 3 || events[0] != "Healthy" || !strings.Contains(events[1], podman) || events[2] != "Healthy" {
			return fmt.Errorf("%q", events)
		}
		return nil
	})
	own.Submit(t, BatchJob(Shell("true"))).WaitStatus(t, "complete")
}

func TestTheDriversAttributesAreTheNodesAndPlaceJobs(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		_, node := driverInfo(t, agent)
		must.Eq(t, "1", node.Attributes["driver.container"])
		must.Eq(t, agent.Runtime.Name(), node.Attributes["driver.container.runtime"])
		must.Eq(t, "true", node.Attributes["driver.container.volumes.enabled"])
		version := node.Attributes["driver.container.runtime_version"]
		must.NotEq(t, "", version)
		if wanted := agent.Runtime.Version(); wanted != "" {
			must.Eq(t, wanted, version)
		}
		shown, _, code := agent.RunCLI(t, nil, "node", "status", "-verbose", node.ID)
		must.Eq(t, 0, code)
		for _, key := range []string{"driver.container.version", "driver.container.runtime", "driver.container.runtime_version"} {
			must.StrContains(t, shown, key)
		}

		constrained := func(constraint string) string {
			return strings.Replace(BatchJob(Shell("true")), `group "g" {`, "constraint {\n"+constraint+"\n}\ngroup \"g\" {", 1)
		}
		agent.Submit(t, constrained(`
    attribute = "${attr.driver.container.runtime_version}"
    operator  = "version"
    value     = ">= 0.11.0"`)).WaitStatus(t, "complete")
		blocked := agent.Submit(t, constrained(`
    attribute = "${attr.driver.container.runtime}"
    value     = "not-`+agent.Runtime.Name()+`"`))
		Eventually(t, 20*time.Second, "the job is refused its place", func() error {
			evaluations, _, err := agent.API.Jobs().Evaluations(blocked.ID, nil)
			if err != nil {
				return err
			}
			for _, evaluation := range evaluations {
				if metric := evaluation.FailedTGAllocs["g"]; metric != nil && metric.NodesFiltered == 1 {
					return nil
				}
			}
			return fmt.Errorf("%d evaluations", len(evaluations))
		})
	})
}
