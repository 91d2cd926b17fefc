// Package e2e runs real jobs through a real Nomad agent with the plugin: over Podman, and over the
// stand-in for Apple's CLI. $NDC_E2E_RUNTIMES lists the runtimes: podman, apple-1.2.2, …
//
// A test of what a job means is one body for all of them. What only one has is in a test whose name
// ends in OnPodman or OnApple, so that -skip can leave out what the other runtime does not have.
package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// agents are shared by the tests that do not disturb them: one for each runtime.
var agents []*nomadkit.Agent

func TestMain(m *testing.M) {
	if slices.Contains(nomadkit.RuntimeKinds(), nomadkit.PodmanKind) {
		nomadkit.MainWith(m, run)
	}
	nomadkit.StandinMain(m, run)
}

func run(m *testing.M) int {
	defer func() {
		for _, agent := range agents {
			agent.Remove()
		}
	}()
	closeSocket, err := offerSSHAgent()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer closeSocket()
	for _, kind := range nomadkit.RuntimeKinds() {
		agent, err := nomadkit.NewAgent(kind, "")
		if err == nil {
			agents = append(agents, agent)
			err = agent.Start()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	status := m.Run()
	for _, agent := range agents {
		if text := rejected(agent); text != "" {
			fmt.Fprintf(os.Stderr, "%s: the CLI rejected: %s\n", agent.Kind, text)
			status = 1
		}
	}
	return status
}

// offerSSHAgent makes the socket of an SSH agent for the tasks that ask for the node's; it is all that
// they see of it.
func offerSSHAgent() (func(), error) {
	dir, err := os.MkdirTemp("", "ndc-ssh")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "agent.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	return func() {
		listener.Close()
		os.RemoveAll(dir)
	}, os.Setenv("SSH_AUTH_SOCK", socket)
}

// rejected is what the driver told Apple's CLI that the CLI does not understand: always a mistake.
func rejected(agent *nomadkit.Agent) string {
	if apple, is := agent.Runtime.(*nomadkit.Apple); is {
		return apple.Rejected()
	}
	return ""
}

// each runs a test on the shared agent of each runtime, side by side.
func each(t *testing.T, test func(t *testing.T, agent *nomadkit.Agent)) {
	t.Helper()
	t.Parallel()
	for _, agent := range agents {
		t.Run(string(agent.Kind), func(t *testing.T) {
			t.Parallel()
			test(t, agent)
		})
	}
}

// onPodman is the shared agent with Podman.
func onPodman(t *testing.T) *nomadkit.Agent {
	t.Helper()
	for _, agent := range agents {
		if agent.Kind == nomadkit.PodmanKind {
			return agent
		}
	}
	t.Skip("not over Podman this time")
	return nil
}

// onApple is each for the versions of Apple's CLI alone.
func onApple(t *testing.T, test func(t *testing.T, agent *nomadkit.Agent, apple *nomadkit.Apple)) {
	t.Helper()
	t.Parallel()
	found := false
	for _, agent := range agents {
		apple, is := agent.Runtime.(*nomadkit.Apple)
		if !is {
			continue
		}
		found = true
		t.Run(string(agent.Kind), func(t *testing.T) {
			t.Parallel()
			test(t, agent, apple)
		})
	}
	if !found {
		t.Skip("not over Apple's CLI this time")
	}
}

// anyAgent is for tests to which the runtime makes no difference.
func anyAgent() *nomadkit.Agent { return agents[0] }

// newAgent prepares an agent of its own for a test, with the runtime of a shared one.
func newAgent(t *testing.T, like *nomadkit.Agent, config string) *nomadkit.Agent {
	t.Helper()
	own, err := nomadkit.NewAgent(like.Kind, config)
	must.NoError(t, err)
	t.Cleanup(func() {
		if text := rejected(own); text != "" {
			t.Errorf("the CLI rejected: %s", text)
		}
		if t.Failed() {
			t.Logf("the agent's log:\n%s", own.LogTail())
		}
		own.Remove()
	})
	return own
}

// ownAgent is an agent that a test may stop and kill.
func ownAgent(t *testing.T, like *nomadkit.Agent) *nomadkit.Agent {
	t.Helper()
	own := newAgent(t, like, "")
	must.NoError(t, own.Start())
	return own
}
