package nomadkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
)

// Cluster is a server and clients, each client in a network namespace of its own on one bridge. They
// share this host's Podman, as they share its kernel.
type Cluster struct {
	Server  *Agent
	Clients []*Node
	API     *api.Client // the server's
	bridge  string
}

// Node is a client of a cluster.
type Node struct {
	*Agent
	ID   string // known when it is ready
	Name string
	link string // the bridge's end of its cable
}

const clusterConfig = `
data_dir   = "%[1]s/data"
plugin_dir = "%[1]s/plugins"
bind_addr  = "%[2]s"
name       = "%[3]s"
disable_update_check = true
log_level            = "DEBUG"
leave_on_terminate   = false
consul {
  auto_advertise   = false
  client_auto_join = false
  server_auto_join = false
}
`

// A client that is not heard of for about seven seconds is down. Less is too short for one that lives on a
// busy machine.
const clusterServer = `
server {
  enabled                = true
  bootstrap_expect       = 1
  heartbeat_grace        = "5s"
  min_heartbeat_ttl      = "1s"
  failover_heartbeat_ttl = "2s"
}
`

// The reaper looks every second and spares nobody for being young: a container of another node is
// safe for no other reason than that it is another node's.
const clusterClient = `
client {
  enabled           = true
  servers           = ["%[2]s:4647"]
  network_interface = "eth0"
  cpu_total_compute = 4000
  memory_total_mb   = 1024
  options {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault"
  }
}
plugin "nomad-driver-container" {
  config {
    state_dir = "%[1]s/state"
    gc {
      dangling_containers {
        period         = "1s"
        creation_grace = "1ms"
      }
    }
  }
}
`

// StartCluster starts one with so many clients and waits until all are ready. All of it ends with
// the test; what an earlier run that was killed left of its network goes first.
func StartCluster(t testing.TB, clients int) *Cluster {
	t.Helper()
	sweepNetworks()
	c := &Cluster{bridge: fmt.Sprintf("ndcb%d", os.Getpid())}
	t.Cleanup(func() { c.remove(t) })
	network := fmt.Sprintf("10.%d.%d", 160+os.Getpid()>>8&63, os.Getpid()&255)
	server := network + ".1"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(ip("link", "add", c.bridge, "type", "bridge"))
	must(ip("address", "add", server+"/24", "dev", c.bridge))
	must(ip("link", "set", c.bridge, "up"))
	var err error
	c.Server, err = clusterAgent(server, "server", clusterServer)
	must(err)
	c.API = c.Server.API
	must(c.Server.Exec())
	for i := 1; i <= clients; i++ {
		node := &Node{Name: fmt.Sprintf("ndc-%d-%d", os.Getpid(), i), link: fmt.Sprintf("ndcv%dx%d", os.Getpid(), i)}
		address := fmt.Sprintf("%s.%d", network, 10+i)
		must(ip("netns", "add", node.Name))
		c.Clients = append(c.Clients, node)
		must(ip("link", "add", node.link, "type", "veth", "peer", "name", "eth0", "netns", node.Name))
		must(ip("link", "set", node.link, "master", c.bridge, "up"))
		must(ip("-n", node.Name, "link", "set", "lo", "up"))
		must(ip("-n", node.Name, "address", "add", address+"/24", "dev", "eth0"))
		must(ip("-n", node.Name, "link", "set", "eth0", "up"))
		must(ip("-n", node.Name, "route", "add", "default", "via", server))
		node.Agent, err = clusterAgent(address, node.Name, strings.ReplaceAll(clusterClient, "%[2]s", server))
		must(err)
		node.netns = node.Name
		must(node.Exec())
	}
	for _, node := range c.Clients {
		c.WaitNode(t, node, "ready")
	}
	return c
}

func clusterAgent(address, name, role string) (*Agent, error) {
	agent, err := agentDir(PodmanKind)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(clusterConfig, agent.Dir, address, name) + strings.ReplaceAll(role, "%[1]s", agent.Dir)
	if err := os.WriteFile(filepath.Join(agent.Dir, "agent.hcl"), []byte(text), 0o644); err != nil {
		return nil, err
	}
	agent.API, err = api.NewClient(&api.Config{Address: "http://" + address + ":4646"})
	return agent, err
}

// WaitNode waits until the server has this status for a node: ready (with a healthy driver), down.
func (c *Cluster) WaitNode(t testing.TB, node *Node, status string) {
	t.Helper()
	Eventually(t, 60*time.Second, node.Name+" is "+status, func() error {
		nodes, _, err := c.API.Nodes().List(nil)
		if err != nil {
			return err
		}
		for _, found := range nodes {
			driver := found.Drivers["container"]
			if found.Name != node.Name {
				continue
			}
			if found.Status == status && (status != "ready" || driver != nil && driver.Healthy) {
				node.ID = found.ID
				return nil
			}
			return fmt.Errorf("it is %s, driver %+v", found.Status, driver)
		}
		return fmt.Errorf("not among %d nodes", len(nodes))
	})
}

// Unplug takes the client off the network, Plug brings it back.
func (n *Node) Unplug(t testing.TB) { n.setLink(t, "down") }
func (n *Node) Plug(t testing.TB)   { n.setLink(t, "up") }

func (n *Node) setLink(t testing.TB, state string) {
	t.Helper()
	if err := ip("link", "set", n.link, state); err != nil {
		t.Fatal(err)
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (c *Cluster) remove(t testing.TB) {
	for _, node := range c.Clients {
		if node.Agent != nil {
			if t.Failed() {
				t.Logf("log of %s:\n%s", node.Name, node.LogTail())
			}
			_ = ip("link", "set", node.link, "up")
			node.Remove()
		}
		// Its end of the cable goes with it.
		_ = ip("link", "delete", node.link)
		_ = ip("netns", "delete", node.Name)
	}
	if c.Server != nil {
		if t.Failed() {
			t.Logf("log of the server:\n%s", c.Server.LogTail())
		}
		c.Server.Remove()
	}
	_ = ip("link", "delete", c.bridge)
}

// sweepNetworks removes namespaces and bridges of test programs that do not run any more.
func sweepNetworks() {
	names, _ := filepath.Glob("/run/netns/ndc-*-*")
	for _, path := range names {
		var pid, number int
		if _, err := fmt.Sscanf(filepath.Base(path), "ndc-%d-%d", &pid, &number); err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); os.IsNotExist(err) {
			_ = ip("netns", "delete", filepath.Base(path))
			_ = ip("link", "delete", fmt.Sprintf("ndcb%d", pid))
		}
	}
}
