// Package e2e runs real jobs through a real Nomad agent with the plugin.
package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"nomad-driver-container/tests/nomadkit"
)

// agent is shared by the tests that do not disturb it.
var agent *nomadkit.Agent

func TestMain(m *testing.M) { nomadkit.MainWith(m, run) }

func run(m *testing.M) int {
	var err error
	agent, err = nomadkit.NewAgent("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer agent.Remove()
	// An SSH agent for the tasks that ask for the node's; what they see is its socket.
	socket := filepath.Join(agent.Dir, "ssh-agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer listener.Close()
	os.Setenv("SSH_AUTH_SOCK", socket)
	if err := agent.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
