package wire

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/helper/uuid"
	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// beside makes a task of the same allocation as another.
func beside(owner *nomadkit.Task) func(*drivers.TaskConfig) {
	return func(c *drivers.TaskConfig) {
		c.AllocID, c.Name = owner.AllocID, "side"
		c.ID = owner.AllocID + "/side/" + uuid.Short()
		c.AllocDir = owner.AllocDir
	}
}

func httpPort(value, to int) func(*drivers.TaskConfig) {
	return func(c *drivers.TaskConfig) {
		c.Resources.Ports = &structs.AllocatedPorts{{Label: "http", Value: value, To: to, HostIP: "127.0.0.1"}}
	}
}

// The other's image may have to be pulled: it is waited for longer than for a call of the engine.
func TestATaskWaitsForTheOneWhoseNetworkItShares(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, `command_timeout = "10s"`)
	owner := nomadkit.NewTask(t, p, sh("echo hello from main | nc -l -p 8080"))
	side := nomadkit.NewTask(t, p, sh("until nc 127.0.0.1 8080; do sleep 0.1; done")+`network_mode = "task:main"`, beside(owner))
	started := make(chan error, 1)
	go func() {
		_, _, err := p.StartTask(side.TaskConfig)
		started <- err
	}()
	time.Sleep(11 * time.Second)
	owner.Start(t)
	must.NoError(t, nomadkit.Receive(t, started, 60*time.Second, "start of the companion"))
	side.Wait(t, 20*time.Second)
	side.WaitLog(t, "stdout", "hello from main\n")
	// Podman keeps a container whose network is shared; with the last companion it goes.
	must.NoError(t, p.DestroyTask(owner.ID, true))
	must.NoError(t, p.DestroyTask(side.ID, true))
	nomadkit.NothingLeftOf(t, p, owner)
}

func TestAMissingOwnerOfANetworkIsNamedAndWorthARetry(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "command_timeout = \"8s\"\nimage_pull_timeout = \"1s\"")
	task := nomadkit.MuteTask(t, p, sh("true")+`network_mode = "task:db"`)
	_, _, err := p.StartTask(task.TaskConfig)
	must.ErrorContains(t, err, `share the network of task "db"`)
	must.True(t, structs.IsRecoverable(err))
	nomadkit.NothingLeftOf(t, p, task)
}

func TestNetworkSettingsThatExcludeEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	for config, want := range map[string]string{
		`network_mode = "task:main"`:                                           "cannot share its own network",
		"network_mode = \"task:db\"\nports = [\"http\"]":                       "ports",
		"network_mode = \"task:db\"\ndns = [\"192.0.2.1\"]":                    "dns",
		"network_mode = \"task:db\"\nextra_hosts = [\"a:192.0.2.1\"]":          "extra_hosts",
		"network_mode = \"none\"\nports = [\"http\"]":                          "ports",
		"network_mode = \"none\"\ndns_search = [\"example.test\"]":             "dns_search",
		"network_mode = \"none\"\ndns_options = [\"ndots:2\"]":                 "dns_options",
		"network_mode = \"host\"\nmac_address = \"02:00:00:00:00:01\"":         "mac_address",
		`mac_address = "02:00"`:                                                "mac_address",
		`network_mode = "a network"`:                                           "network_mode",
		"network_mode = \"none\"\nextra_hosts = [\"db=192.0.2.1\"]":            "extra_hosts",
		"network_mode = \"none\"\nextra_hosts = [\"db:no address, I think\"]":  "extra_hosts",
		"network_mode = \"none\"\nextra_hosts = [\"db:still.not.an.address\"]": "extra_hosts",
		`dns = ["not an address"]`:                                             "dns",
		`hostname = "two words"`:                                               "hostname",
	} {
		task := nomadkit.MuteTask(t, p, "image = \"${image}\"\n"+config, httpPort(23456, 80))
		_, _, err := p.StartTask(task.TaskConfig)
		must.ErrorContains(t, err, want, must.Sprint(config))
		must.False(t, structs.IsRecoverable(err), must.Sprintf("%s: %v", config, err))
		nomadkit.NothingLeftOf(t, p, task)
	}
}

func TestTheNetworkOfATaskIsToldToNomad(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	network := nomadkit.Network(t)
	const mac = "02:00:5e:00:53:07"
	for name, c := range map[string]struct {
		config    string
		advertise bool
		none      bool
	}{
		"podman's own":           {`ports = ["http"]`, false, false},
		"a named one":            {"ports = [\"http\"]\nnetwork_mode = \"" + network + "\"\nmac_address = \"" + mac + "\"", true, false},
		"the host's":             {`network_mode = "host"`, false, true},
		"none":                   {`network_mode = "none"`, false, true},
		"podman's own, no ports": {"", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			task := nomadkit.NewTask(t, p, sh("ip -o -4 addr show; cat /sys/class/net/eth0/address; echo END; sleep 60")+c.config,
				httpPort(nomadkit.FreePort(t), 8080))
			handle, told, err := p.StartTask(task.TaskConfig)
			must.NoError(t, err)
			task.Handle = handle
			if c.none {
				must.Nil(t, told)
				return
			}
			must.NotNil(t, told)
			must.Eq(t, c.advertise, told.AutoAdvertise)
			task.WaitLog(t, "stdout", "END")
			must.StrContains(t, task.Log("stdout"), told.IP+"/")
			if strings.Contains(c.config, "ports") {
				must.Eq(t, map[string]int{"http": 8080}, told.PortMap)
			}
			if strings.Contains(c.config, mac) {
				must.StrContains(t, task.Log("stdout"), mac+"\n")
			}
		})
	}
}

func TestACollisionOfPortsNamesWhoHasIt(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	publish := func(port int) *nomadkit.Task {
		return nomadkit.MuteTask(t, p, sh("sleep 60")+`ports = ["http"]`, httpPort(port, 8080))
	}
	for _, network := range []string{"tcp", "udp"} {
		port := nomadkit.FreePort(t)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if network == "tcp" {
			listener, err := net.Listen(network, address)
			must.NoError(t, err)
			defer listener.Close()
		} else {
			socket, err := net.ListenPacket(network, address)
			must.NoError(t, err)
			defer socket.Close()
		}
		task := publish(port)
		_, _, err := p.StartTask(task.TaskConfig)
		must.ErrorContains(t, err, address)
		must.ErrorContains(t, err, fmt.Sprintf("process %d ", os.Getpid()))
		nomadkit.NothingLeftOf(t, p, task)
	}
	port := nomadkit.FreePort(t)
	first := publish(port).Start(t)
	second := publish(port)
	_, _, err := p.StartTask(second.TaskConfig)
	must.ErrorContains(t, err, "nomad-main-"+first.AllocID[:8])
	must.SliceEmpty(t, nomadkit.ContainersOf(t, second.AllocID))
}

func TestNamesAndNameServersReachTheTask(t *testing.T) {
	t.Parallel()
	p := nomadkit.StartPlugin(t, "")
	group := func(c *drivers.TaskConfig) {
		c.DNS = &drivers.DNSConfig{Servers: []string{"192.0.2.53"}, Searches: []string{"group.test"}, Options: []string{"ndots:2"}}
	}
	show := sh("hostname; cat /etc/resolv.conf; tr '\\\\t' ' ' < /etc/hosts; echo END")
	for name, c := range map[string]struct {
		config string
		wants  []string
	}{
		"the group's":         {"", []string{"nameserver 192.0.2.53\n", "search group.test\n", "options ndots:2\n"}},
		"the task's own wins": {"dns = [\"192.0.2.1\"]\ndns_search = [\"task.test\"]\ndns_options = [\"ndots:5\"]", []string{"nameserver 192.0.2.1\n", "search task.test\n", "options ndots:5\n"}},
		"docker's spelling":   {"dns_servers = [\"192.0.2.1\"]\ndns_search_domains = [\"task.test\"]", []string{"nameserver 192.0.2.1\n", "search task.test\n", "options ndots:2\n"}},
		"on the host's":       {"network_mode = \"host\"\ndns = [\"192.0.2.1\"]", []string{"nameserver 192.0.2.1\n"}},
		"extra_hosts":         {`extra_hosts = ["db:192.0.2.7", "cache:2001:db8::7"]`, []string{"192.0.2.7 db\n", "2001:db8::7 cache\n"}},
		"without a network":   {"network_mode = \"none\"\nextra_hosts = [\"db:192.0.2.7\"]", []string{"192.0.2.7 db\n"}},
		"hostname":            {`hostname = "box.example.test"`, []string{"box.example.test\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			task := nomadkit.NewTask(t, p, show+c.config, group).Start(t)
			must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
			task.WaitLog(t, "stdout", "END")
			for _, want := range c.wants {
				must.StrContains(t, task.Log("stdout"), want)
			}
			if name == "the task's own wins" {
				must.StrNotContains(t, task.Log("stdout"), "192.0.2.53")
			}
		})
	}
}
