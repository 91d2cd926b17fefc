package crashpoints

import (
	"slices"
	"strings"
	"testing"
)

// representatives are the rows of every run of the tests: one for each kind of step, by its name.
var representatives = []string{
	"podman/run/podman.start.spawned/plugin",
	"podman/run/podman.start.ran/agent",
	"podman/run/driver.start.answering/plugin",
	"podman/stop/task.stop.signalled/conmon",
	"podman/recover/podman.attach.found/plugin",
	"podman/run/task.exit.seen/plugin",
	"podman/run/podman.remove.spawned/CLI",
	"podman/run/podman.remove.removed/plugin",
	"podman/pull/podman.pull.spawned/plugin",
	"apple/run/apple.start.created/plugin",
	"apple/run/apple.start.monitor_launched/plugin",
	"apple/run/driver.start.answered/monitor",
	"apple/sockets/driver.start.answering/plugin",
	"apple/recover/apple.attach.connecting/plugin",
	"apple/spool/monitor.log.spooled/plugin",
	"apple/run/monitor.exit.synced/plugin",
	"apple/run/monitor.exit.renamed/monitor",
	"apple/spool/monitor.exit.renamed/monitor",
	"apple/spool/monitor.exit.said/monitor",
	"apple/run/apple.remove.deleted/plugin",
}

// parseRow finds the row of a name.
func parseRow(t *testing.T, name string) row {
	t.Helper()
	words := strings.Split(name, "/")
	r := row{engine: podmanEngine, point: words[2], victim: victim(words[3])}
	if words[0] == appleEngine.name {
		r.engine = appleEngine
	}
	at := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == words[1] })
	if at < 0 {
		t.Fatalf("no life cycle is called %q", words[1])
	}
	r.scenario = scenarios[at]
	return r
}
