package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/shoenig/test/must"

	. "nomad-driver-container/tests/nomadkit"
)

// pair is a job of two tasks, "main" and "side", with something inside the group and each task.
func pair(group, main, side string) string {
	task := func(name, inside string) string {
		return "task \"" + name + "\" {\n driver = \"container\"\n kill_timeout = \"300ms\"\n resources {\n cpu = 50\n memory = 32\n }\n" + inside + "}\n"
	}
	return "job \"pair\" {\n group \"g\" {\n" + group + task("main", main) + task("side", side) + "}\n}\n"
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func waitPage(t *testing.T, url, want string) {
	t.Helper()
	Eventually(t, 20*time.Second, url, func() error {
		body, err := get(url)
		if err == nil && body != want {
			return fmt.Errorf("got %q", body)
		}
		return err
	})
}

const (
	servePage = "echo hello > /local/index.html; exec httpd -f -p 8080 -h /local"
	fetchPage = "until wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done; echo END; trap 'exit 0' TERM; while true; do sleep 0.05; done"
)

func TestTasksOfAGroupBridgeShareOneNamespaceItsPortsAndItsNameServersOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	show := "echo port=$NOMAD_PORT_http host_port=$NOMAD_HOST_PORT_http; " +
		"echo address=$(ip -4 -o addr show dev eth0 | awk '{print $4}' | cut -d/ -f1); echo name=$(hostname); " +
		"cat /etc/hosts /etc/resolv.conf; "
	job := agent.Submit(t, pair(`
    network {
      mode = "bridge"
      port "http" { to = 8080 }
      port "fixed" {
        static = `+fmt.Sprint(FreePort(t))+`
        to     = 8080
      }
      dns {
        servers  = ["192.0.2.53"]
        searches = ["example.test"]
        options  = ["ndots:3"]
      }
    }
`, Shell(show+servePage), Shell(fetchPage)))
	alloc := job.WaitStatus(t, "running")
	job.WaitLogOf(t, alloc, "side", "stdout", "hello\nEND\n")

	ports := map[string]api.PortMapping{}
	for _, port := range alloc.AllocatedResources.Shared.Ports {
		ports[port.Label] = port
	}
	for label := range ports {
		waitPage(t, fmt.Sprintf("http://%s:%d/", ports[label].HostIP, ports[label].Value), "hello\n")
	}
	job.WaitLog(t, alloc, "stdout", "ndots")
	text, err := job.Log(alloc, "stdout")
	must.NoError(t, err)
	must.StrContains(t, text, fmt.Sprintf("port=8080 host_port=%d\n", ports["http"].Value))
	must.StrContains(t, text, "nameserver 192.0.2.53\n")
	must.StrContains(t, text, "search example.test\n")
	must.StrContains(t, text, "options ndots:3\n")
	alloc, _, err = agent.API.Allocations().Info(alloc.ID, nil)
	must.NoError(t, err)
	must.NotNil(t, alloc.NetworkStatus)
	must.StrContains(t, text, "address="+alloc.NetworkStatus.Address+"\n")
	name := "nomad-main-" + alloc.ID[:8]
	must.StrContains(t, text, "name="+name+"\n")
	must.StrContains(t, text, alloc.NetworkStatus.Address+"\t"+name+"\n")
}

func TestATaskSharesTheNetworkOfAnotherWhicheverStartsFirstOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	job := agent.Submit(t, pair("", Shell(servePage), Shell(fetchPage, `network_mode = "task:main"`)))
	alloc := job.WaitStatus(t, "running")
	job.WaitLogOf(t, alloc, "side", "stdout", "hello\nEND\n")
	job.Stop(t)
	must.SliceEmpty(t, ContainersOf(t, alloc.ID))
}

func TestANewAttemptOfANetworksOwnerTakesItsCompanionsAlongOnPodman(t *testing.T) {
	t.Parallel()
	agent := onPodman(t)
	job := agent.Submit(t, pair("restart {\n attempts = 5\n interval = \"1m\"\n delay = \"100ms\"\n}\n",
		Shell("[ -e /alloc/once ] && exec httpd -f -p 8080 -h /local; touch /alloc/once; echo hello > /local/index.html; "+
			"httpd -p 8080 -h /local; until [ -e /alloc/go ]; do sleep 0.05; done; exit 3"),
		Shell(fetchPage, `network_mode = "task:main"`)))
	alloc := job.WaitStatus(t, "running")
	job.WaitLogOf(t, alloc, "side", "stdout", "hello\nEND\n")
	_, _, code := job.Exec(t, alloc, false, "", "touch", "/alloc/go")
	must.Eq(t, 0, code)
	job.WaitLogOf(t, alloc, "side", "stdout", "hello\nEND\nhello\nEND\n")
	job.Stop(t)
	must.SliceEmpty(t, ContainersOf(t, alloc.ID))
}

func TestServicesAdvertiseTheAddressThatTheirModeNames(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		network := agent.Runtime.Network(t)
		for mode, c := range map[string]struct {
			setting string
			own     bool // the container's own address, not the node's
		}{
			"host on the built-in one":   {"", false},
			"driver on the built-in one": {"", true},
			"auto on the built-in one":   {"", false},
			"auto on a named one":        {"network_mode = \"" + network + "\"", true},
		} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				name := Unique("e2e")
				text := strings.Replace(BatchJob("kill_timeout = \"300ms\"\n"+Shell(servePage, `ports = ["http"]`, c.setting)+`
      service {
        name         = "`+name+`"
        port         = "http"
        provider     = "nomad"
        address_mode = "`+strings.Fields(mode)[0]+`"
      }
`), `group "g" {`, "group \"g\" {\n network {\n port \"http\" {\n to = 8080\n}\n}\n", 1)
				job := agent.Submit(t, text)
				alloc := job.WaitStatus(t, "running")
				var service *api.ServiceRegistration
				Eventually(t, 20*time.Second, "the service is registered", func() error {
					services, _, err := agent.API.Services().Get(name, nil)
					if err != nil || len(services) == 0 {
						return fmt.Errorf("%d services, %v", len(services), err)
					}
					service = services[0]
					return nil
				})
				port := alloc.AllocatedResources.Shared.Ports[0]
				if c.own {
					must.NotEq(t, port.HostIP, service.Address)
					must.Eq(t, 8080, service.Port)
				} else {
					must.Eq(t, port.HostIP, service.Address)
					must.Eq(t, port.Value, service.Port)
				}
				// The stand-in's containers have an address of their own that leads nowhere.
				if !c.own || agent.Kind == PodmanKind {
					waitPage(t, fmt.Sprintf("http://%s:%d/", service.Address, service.Port), "hello\n")
				}
			})
		}
	})
}

func TestTheGroupsNameServersAreTheTasksUnlessItHasItsOwn(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		group := "network {\n dns {\n servers = [\"192.0.2.53\"]\n searches = [\"group.test\"]\n options = [\"ndots:3\"]\n}\n}\n"
		for name, c := range map[string]struct{ config, want string }{
			"the group's":    {"", "nameserver 192.0.2.53\noptions ndots:3\nsearch group.test\n"},
			"one of its own": {`dns = ["192.0.2.54"]`, "nameserver 192.0.2.54\noptions ndots:3\nsearch group.test\n"},
			"all of its own": {"dns = [\"192.0.2.54\"]\ndns_search = [\"own.test\"]\ndns_options = [\"ndots:4\"]", "nameserver 192.0.2.54\noptions ndots:4\nsearch own.test\n"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				job := agent.Submit(t, strings.Replace(BatchJob(Shell("grep -E '^(nameserver|options|search)' /etc/resolv.conf | sort; echo END", c.config)),
					`group "g" {`, "group \"g\" {\n"+group, 1))
				alloc := job.WaitStatus(t, "complete")
				job.WaitLog(t, alloc, "stdout", "END\n")
				text, err := job.Log(alloc, "stdout")
				must.NoError(t, err)
				must.Eq(t, c.want+"END\n", text)
			})
		}
	})
}

// Somebody outside of Nomad has the port.
func TestAPortThatIsTakenIsNamedWithWhoHasIt(t *testing.T) {
	each(t, func(t *testing.T, agent *Agent) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must.NoError(t, err)
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		job := agent.Submit(t, strings.Replace(BatchJob(Shell("sleep 600", `ports = ["p"]`)), `group "g" {`,
			fmt.Sprintf("group \"g\" {\n network {\n port \"p\" {\n static = %d\n}\n}\n", port), 1))
		alloc := job.WaitStatus(t, "failed")
		text := strings.ToLower(Events(alloc, "main"))
		must.StrContains(t, text, "another process has this port")
		if agent.Kind == PodmanKind {
			must.StrContains(t, text, fmt.Sprint(port))
			must.StrContains(t, text, fmt.Sprintf("process %d (", os.Getpid()))
		}
		must.SliceEmpty(t, agent.Runtime.Containers(t, alloc.ID))
	})
}
