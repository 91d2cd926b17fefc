// Package e2e runs real jobs through a real Nomad agent with the plugin.
package e2e

import (
	"fmt"
	"os"
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
	if err := agent.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
