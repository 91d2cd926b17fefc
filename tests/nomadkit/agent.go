package nomadkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Agent is a real Nomad agent, server and client in one process, with a data directory.
type Agent struct {
	Dir     string
	API     *api.Client
	Kind    RuntimeKind
	Runtime Runtime
	Env     []string // of the agent and all that it starts, beside this program's own
	cmd     *exec.Cmd
	args    []string // beside its own file
	rpc     string   // address of its server
	netns   string   // the network namespace that it runs in, or empty for this program's
	bridge  string   // of group networks; the agent makes it when the first one comes
	subnet  string   // of that bridge
	exited  chan struct{}
	trust   sync.Mutex
	runs    int
}

// agentConfig is what a test needs of any agent: its own directories and ports, and quiet.
const agentConfig = `
data_dir   = "%[1]s/data"
plugin_dir = "%[1]s/plugins"
bind_addr  = "127.0.0.1"
name       = "e2e"
disable_update_check = true
log_level  = "DEBUG"
ports {
  http = %[2]d
  rpc  = %[3]d
  serf = %[4]d
}
advertise {
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}
server {
  enabled          = true
  bootstrap_expect = 1
  # A client that was restarted reports its allocations from its second heartbeat on.
  min_heartbeat_ttl = "2s"
}
client {
  enabled           = true
  network_interface = "lo"
  cpu_total_compute = 4000
  gc_interval       = "1h"
  # All agents of a machine have one address, and none asks whether another has given a port.
  min_dynamic_port = %[7]d
  max_dynamic_port = %[8]d
  # Debian's place for containernetworking-plugins; the bridge is this agent's own.
  cni_path              = "/usr/lib/cni:/opt/cni/bin"
  bridge_network_name   = "%[5]s"
  bridge_network_subnet = "%[6]s"
  host_volume "e2e" {
    path = "%[1]s/volume"
  }
  host_volume "e2e-ro" {
    path      = "%[1]s/volume"
    read_only = true
  }
  options {
    # No questions to clouds or Consul: this agent is alone.
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
consul {
  auto_advertise      = false
  client_auto_join    = false
  server_auto_join    = false
}
limits {
  # The tests keep many connections.
  http_max_conns_per_client = 0
  rpc_max_conns_per_client  = 0
}
telemetry {
  publish_allocation_metrics = true
  collection_interval        = "1s"
}
`

const pluginConfig = `
plugin "nomad-driver-container" {
  config {
    state_dir = "%[1]s/state"
    extra_labels = ["job_name", "task_name"]
    %[2]s
    %[3]s
  }
}
`

// NewAgent prepares an agent's directory; `config` is added to the plugin's config block.
func NewAgent(kind RuntimeKind, config string) (*Agent, error) {
	return newAgent(kind, func(agent *Agent) string {
		return fmt.Sprintf(pluginConfig, agent.Dir, config, agent.Runtime.Config())
	})
}

// AddConfig gives the agent another configuration file, from its next start on.
func (a *Agent) AddConfig(name, text string) error {
	path := filepath.Join(a.Dir, name)
	a.args = append(a.args, "-config", path)
	return os.WriteFile(path, []byte(text), 0o644)
}

// newAgent prepares one with `plugin` behind its own configuration.
func newAgent(kind RuntimeKind, plugin func(*Agent) string) (*Agent, error) {
	agent, err := agentDir(kind)
	if err != nil {
		return nil, err
	}
	dir := agent.Dir
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	// Agents of one machine must not share a bridge or its addresses; the port is this one's alone, and so
	// are its last 13 bits: there are no more ports to give.
	agent.subnet = fmt.Sprintf("10.%d.%d.0/24", 96+ports[0]>>8&31, ports[0]&255)
	agent.rpc = fmt.Sprintf("127.0.0.1:%d", ports[1])
	agent.bridge = fmt.Sprintf("ndc%d", ports[0])
	low, high := dynamicPorts()
	text := fmt.Sprintf(agentConfig, dir, ports[0], ports[1], ports[2], agent.bridge, agent.subnet, low, high)
	if err := os.WriteFile(filepath.Join(dir, "agent.hcl"), []byte(text+plugin(agent)), 0o644); err != nil {
		return nil, err
	}
	agent.API, err = api.NewClient(&api.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", ports[0])})
	return agent, err
}

// agentDir makes the directory of an agent: the plugin, and no configuration yet.
func agentDir(kind RuntimeKind) (*Agent, error) {
	dir, err := os.MkdirTemp("", "ndc-e2e")
	if err != nil {
		return nil, err
	}
	agent := &Agent{Dir: dir, Kind: kind}
	if agent.Runtime, err = kind.open(dir); err != nil {
		return nil, err
	}
	for _, sub := range []string{"data", "plugins", "state", "volume", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(Binary(), filepath.Join(dir, "plugins", "nomad-driver-container")); err != nil {
		return nil, err
	}
	return agent, os.WriteFile(agent.registries(), []byte(noRegistries), 0o644)
}

// Start runs the agent and waits until its node is ready with a healthy driver.
func (a *Agent) Start() error {
	if err := a.Exec(); err != nil {
		return err
	}
	deadline := time.Now().Add(Patience * 60 * time.Second)
	for {
		err := a.ready()
		if err == nil {
			return nil
		}
		select {
		case <-a.exited:
			return fmt.Errorf("the agent ended: %s", a.LogTail())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the agent is not ready: %w: %s", err, a.LogTail())
		}
	}
}

// Exec runs the agent without waiting for anything.
func (a *Agent) Exec() error {
	binary, err := AgentBinary()
	if err != nil {
		return err
	}
	a.runs++
	log, err := os.Create(a.logPath())
	if err != nil {
		return err
	}
	args := append([]string{"agent", "-config", filepath.Join(a.Dir, "agent.hcl")}, a.args...)
	a.cmd = exec.Command(binary, args...)
	if a.netns != "" {
		// Not "ip netns exec", which hides /sys/fs/cgroup.
		a.cmd = exec.Command("nsenter", append([]string{"--net=/run/netns/" + a.netns, binary}, args...)...)
	}
	a.cmd.Stdout, a.cmd.Stderr = log, log
	// A plugin that is killed leaves its socket behind; it goes with the agent's directory.
	a.cmd.Env = append(append(os.Environ(), "CONTAINERS_REGISTRIES_CONF="+a.registries(),
		"TMPDIR="+filepath.Join(a.Dir, "tmp")), a.Env...)
	if a.Kind != PodmanKind {
		a.cmd.Env = append(a.cmd.Env, "HOME="+a.Dir) // as with a keychain of its own
	}
	// A group of its own: what the test run's terminal gets is not for the agent.
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := a.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	a.exited = exited
	cmd := a.cmd
	go func() {
		_ = cmd.Wait()
		log.Close()
		close(exited)
	}()
	return nil
}

// registries is the registries.conf of this agent's Podman.
func (a *Agent) registries() string { return filepath.Join(a.Dir, "registries.conf") }

func (a *Agent) logPath() string { return filepath.Join(a.Dir, fmt.Sprintf("agent-%d.log", a.runs)) }

// Log is what the running agent has logged.
func (a *Agent) Log() string {
	data, _ := os.ReadFile(a.logPath())
	return string(data)
}

// LogTail is the end of it.
func (a *Agent) LogTail() string { return tail(a.Log(), 4000) }

func (a *Agent) ready() error {
	nodes, _, err := a.API.Nodes().List(nil)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		driver := node.Drivers["container"]
		if node.Status == "ready" && driver != nil && driver.Healthy {
			return nil
		}
		if driver != nil {
			err = fmt.Errorf("node %s, driver %q", node.Status, driver.HealthDescription)
		}
	}
	if err == nil {
		err = fmt.Errorf("no ready node with the driver among %d", len(nodes))
	}
	return err
}

// Alive says whether the agent's process runs.
func (a *Agent) Alive() bool {
	select {
	case <-a.exited:
		return false
	default:
		return true
	}
}

// Stop ends the agent with SIGTERM, or SIGKILL when `hard`. One that does not end is killed too, and
// that is the error.
func (a *Agent) Stop(hard bool) error {
	const limit = Patience * 30 * time.Second
	signal := syscall.SIGTERM
	if hard {
		signal = syscall.SIGKILL
	}
	if err := a.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-a.exited:
		return nil
	case <-time.After(limit):
		_ = a.cmd.Process.Kill()
		<-a.exited
		return fmt.Errorf("the agent did not stop within %s: %s", limit, a.LogTail())
	}
}

// Plugins lists the pids of this agent's plugin processes. What a plugin starts has its command line
// until it has begun a program of its own.
func (a *Agent) Plugins() []int {
	found := ProcessesWith(filepath.Join(a.Dir, "plugins", "nomad-driver-container"))
	var plugins []int
	for _, pid := range found {
		if parent, there := parentOf(pid); there && !slices.Contains(found, parent) {
			plugins = append(plugins, pid)
		}
	}
	return plugins
}

// Remove ends the agent and everything it started, and removes its directory.
func (a *Agent) Remove() {
	if a.cmd != nil && a.Alive() {
		_ = a.Stop(false)
	}
	// What outlives an agent by design: plugin, log collectors. A collector whose agent was killed before
	// it told it what to collect has nothing of the agent's but its environment.
	pids := append(a.Plugins(), a.Collectors()...)
	for _, pid := range ProcessesWith(" logmon") {
		environment, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if strings.Contains(string(environment), "\x00TMPDIR="+a.Dir+"/") {
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	a.Runtime.Close(a.Dir)
	if a.bridge != "" {
		// Nomad keeps its bridge, and the rule that lets its packets through, for later agents.
		_ = exec.Command("ip", "link", "delete", a.bridge).Run()
		_ = exec.Command("iptables", "-w", "-D", "NOMAD-ADMIN", "-d", a.subnet, "-o", a.bridge, "-j", "ACCEPT").Run()
	}
	unmountBelow(a.Dir)
	_ = os.RemoveAll(a.Dir)
}

// Collectors lists the agent's log collectors, which it leaves behind when it is killed.
func (a *Agent) Collectors() []int {
	var pids []int
	for _, of := range a.CollectorsByAlloc() {
		pids = append(pids, of...)
	}
	return pids
}

// CollectorsByAlloc lists them by the allocations whose log files they have open: from the moment on
// at which they are told what to collect.
func (a *Agent) CollectorsByAlloc() map[string][]int {
	found := map[string][]int{}
	for _, pid := range ProcessesWith(" logmon") {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if words := strings.Split(string(line), "\x00"); len(words) < 2 || words[1] != "logmon" {
			continue
		}
		for _, target := range OpenFiles(pid) {
			if rest, ours := strings.CutPrefix(target, a.Dir+"/data/alloc/"); ours {
				alloc, _, _ := strings.Cut(rest, "/")
				found[alloc] = append(found[alloc], pid)
				break
			}
		}
	}
	return found
}

// unmountBelow takes away the small file systems that the agent mounts for secrets.
func unmountBelow(dir string) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	lines := strings.Split(string(data), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			_ = syscall.Unmount(fields[1], syscall.MNT_DETACH)
		}
	}
}

// NodeID is the id of the agent's node.
func (a *Agent) NodeID(t testing.TB) string {
	t.Helper()
	nodes, _, err := a.API.Nodes().List(nil)
	if err != nil || len(nodes) == 0 {
		t.Fatalf("nodes: %v", err)
	}
	return nodes[0].ID
}
