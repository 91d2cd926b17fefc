// Package cluster runs a server and three clients, each with the plugin, and takes clients away.
package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

func TestMain(m *testing.M) { Main(m) }

const instances = 4

// A service that answers with the id of its allocation, on the network of its client.
const service = `job "cluster" {
  group "g" {
    count = 4
    spread {
      attribute = "${node.unique.id}"
    }
    migrate {
      health_check     = "task_states"
      min_healthy_time = "100ms"
      max_parallel     = 4
    }
    network {
      port "http" {}
    }
    service {
      name     = "cluster"
      port     = "http"
      provider = "nomad"
    }
    task "main" {
      driver       = "container"
      kill_timeout = "1s"
      config {
        image        = "${image}"
        command      = "/bin/sh"
        args         = ["-c", "echo $NOMAD_ALLOC_ID > /local/index.html; trap 'exit 0' TERM; httpd -f -p $NOMAD_PORT_http -h /local & wait"]
        network_mode = "host"
      }
      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}`

type container struct {
	ID     string `json:"Id"`
	State  string
	Labels map[string]string
}

// containersOn lists the containers of a node, by the allocation.
func containersOn(node *Node) (map[string][]container, error) {
	out, err := Podman("ps", "-a", "--no-trunc", "--format", "json", "--filter", "label=nomad.node_id="+node.ID)
	if err != nil {
		return nil, err
	}
	var all []container
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, err
	}
	found := map[string][]container{}
	for _, each := range all {
		alloc := each.Labels["nomad.alloc_id"]
		found[alloc] = append(found[alloc], each)
	}
	return found, nil
}

// running is what the server believes: allocations that run and shall, by node.
func running(c *Cluster, job *Job) (map[string][]string, error) {
	allocs, _, err := c.API.Jobs().Allocations(job.ID, true, nil)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	count := 0
	for _, alloc := range allocs {
		if alloc.DesiredStatus == api.AllocDesiredStatusRun && alloc.ClientStatus == api.AllocClientStatusRunning {
			found[alloc.NodeID] = append(found[alloc.NodeID], alloc.ID)
			count++
		}
	}
	if count != instances {
		return nil, fmt.Errorf("%d instances run: %v", count, found)
	}
	return found, nil
}

// settled waits until all instances run on these nodes, each in one container, and nothing else
// does there. It returns the container of each allocation.
func settled(t *testing.T, c *Cluster, job *Job, nodes ...*Node) map[string]string {
	t.Helper()
	ids := map[string]string{}
	Eventually(t, 60*time.Second, "all instances run, each once", func() error {
		clear(ids)
		believed, err := running(c, job)
		if err != nil {
			return err
		}
		for _, node := range nodes {
			found, err := containersOn(node)
			if err != nil {
				return err
			}
			want := believed[node.ID]
			if len(found) != len(want) {
				return fmt.Errorf("%s has the containers %v, and the allocations %v", node.Name, found, want)
			}
			for _, alloc := range want {
				if len(found[alloc]) != 1 || found[alloc][0].State != "running" {
					return fmt.Errorf("allocation %s of %s has %v", alloc, node.Name, found[alloc])
				}
				ids[alloc] = found[alloc][0].ID
			}
		}
		if len(ids) != instances {
			return fmt.Errorf("%d of %d instances on these nodes: %v", len(ids), instances, believed)
		}
		return nil
	})
	return ids
}

// answers checks that the service's addresses are those of the instances, and that they answer.
func answers(t *testing.T, c *Cluster, ids map[string]string) {
	t.Helper()
	var want []string
	for alloc := range ids {
		want = append(want, alloc)
	}
	sort.Strings(want)
	Eventually(t, 30*time.Second, "every instance answers", func() error {
		services, _, err := c.API.Services().Get("cluster", nil)
		if err != nil {
			return err
		}
		var got []string
		client := http.Client{Timeout: time.Second}
		for _, service := range services {
			response, err := client.Get(fmt.Sprintf("http://%s:%d/", service.Address, service.Port))
			if err != nil {
				return err
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				return err
			}
			got = append(got, strings.TrimSpace(string(body)))
		}
		sort.Strings(got)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("%v answer, want %v", got, want)
		}
		return nil
	})
}

// kept checks that the containers of these nodes went on while others came and went.
func kept(t *testing.T, before, after map[string]string, on map[string][]container) {
	t.Helper()
	for alloc := range on {
		if id, still := after[alloc]; still {
			must.Eq(t, before[alloc], id, must.Sprintf("container of %s", alloc))
		} else {
			t.Fatalf("allocation %s was untouched, and is gone", alloc)
		}
	}
}

func onNode(t *testing.T, node *Node) (found map[string][]container) {
	t.Helper()
	Eventually(t, 30*time.Second, "podman lists the containers of "+node.Name, func() (err error) {
		found, err = containersOn(node)
		return err
	})
	must.MapNotEmpty(t, found, must.Sprint(node.Name))
	return found
}

// One cluster for the whole story: each part begins where the one before it ended.
func TestAClusterLosesDrainsAndRegainsItsClients(t *testing.T) {
	c := StartCluster(t, 3)
	one, two, three := c.Clients[0], c.Clients[1], c.Clients[2]
	job := c.Server.Submit(t, service)
	before := settled(t, c, job, one, two, three)
	answers(t, c, before)

	// A client dies with its plugin. Its containers go on, and the reapers of the other clients, which
	// see them, leave them alone.
	lost := onNode(t, one)
	untouched := [2]map[string][]container{onNode(t, two), onNode(t, three)}
	must.NoError(t, one.Stop(true))
	for _, pid := range one.Plugins() {
		// One that has ended without its agent is as good as killed.
		if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			must.NoError(t, err)
		}
	}
	c.WaitNode(t, one, "down")
	after := settled(t, c, job, two, three)
	answers(t, c, after)
	for _, on := range untouched {
		kept(t, before, after, on)
	}
	must.Eq(t, lost, onNode(t, one), must.Sprint("containers of the dead client"))
	// It comes back, takes its tasks over and ends what now runs elsewhere.
	must.NoError(t, one.Exec())
	c.WaitNode(t, one, "ready")
	again := settled(t, c, job, one, two, three)
	must.Eq(t, after, again)

	// A client is drained: its instances move, the other's stay.
	before, stays := again, onNode(t, three)
	_, err := c.API.Nodes().UpdateDrain(two.ID, &api.DrainSpec{Deadline: 30 * time.Second}, false, nil)
	must.NoError(t, err)
	Eventually(t, 60*time.Second, "the drained client is empty", func() error {
		found, err := containersOn(two)
		if err == nil && len(found) != 0 {
			return fmt.Errorf("%v", found)
		}
		return err
	})
	after = settled(t, c, job, one, two, three)
	kept(t, before, after, stays)
	answers(t, c, after)
	_, err = c.API.Nodes().UpdateDrain(two.ID, nil, true, nil)
	must.NoError(t, err)

	// A client is cut off: it goes on by itself, its instances are started elsewhere, and when it is
	// back what runs twice in the cluster is ended on it.
	before, lost, stays = after, onNode(t, three), onNode(t, one)
	three.Unplug(t)
	c.WaitNode(t, three, "down")
	after = settled(t, c, job, one, two)
	kept(t, before, after, stays)
	must.Eq(t, lost, onNode(t, three), must.Sprint("containers of the client that is cut off"))
	three.Plug(t)
	c.WaitNode(t, three, "ready")
	again = settled(t, c, job, one, two, three)
	must.Eq(t, after, again)
	answers(t, c, again)

	// The job ends, and nothing is left on any of them.
	_, _, err = c.API.Jobs().Deregister(job.ID, false, nil)
	must.NoError(t, err)
	for _, node := range c.Clients {
		Eventually(t, 60*time.Second, "nothing is left on "+node.Name, func() error {
			if left := node.Left(); len(left) != 0 {
				return errors.New(strings.Join(left, ", "))
			}
			return nil
		})
	}
}
