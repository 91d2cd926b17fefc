package nomadkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// NewAgentFrom prepares an agent with configuration files as an operator has them, in their order
// and behind the test's own; `flags` are the agent's. Of the files only the places of this machine
// are changed: directories, and the address of the server.
func NewAgentFrom(files []string, flags ...string) (*Agent, error) {
	agent, err := newAgent(PodmanKind, func(*Agent) string { return "" })
	if err != nil {
		return nil, err
	}
	agent.args = flags
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			agent.Remove()
			return nil, err
		}
		path := filepath.Join(agent.Dir, filepath.Base(file))
		if err := os.WriteFile(path, []byte(agent.Moved(string(text))), 0o600); err != nil {
			agent.Remove()
			return nil, err
		}
		agent.args = append(agent.args, "-config", path)
	}
	return agent, nil
}

// Moved is a text with the directories that the examples name replaced by the agent's own.
func (a *Agent) Moved(text string) string {
	return strings.NewReplacer(
		"/opt/nomad/data", filepath.Join(a.Dir, "data"),
		"/opt/nomad/plugins", filepath.Join(a.Dir, "plugins"),
		"/opt/nomad/driver-state", filepath.Join(a.Dir, "state"),
		"/var/lib/nomad-driver-container", filepath.Join(a.Dir, "state"),
		"/srv/nomad", filepath.Join(a.Dir, "volume"),
		`["127.0.0.1"]`, `["`+a.rpc+`"]`,
	).Replace(text)
}

// PluginBlock is the inside of the plugin's config block in the text of an agent file, or nil where
// it has none.
func PluginBlock(t testing.TB, text string) map[string]any {
	t.Helper()
	inner := AgentConfigText(t, text)
	// HCL 1 makes a list of every block.
	for _, name := range []string{"plugin", "nomad-driver-container", "config"} {
		blocks, ok := inner[name].([]map[string]any)
		if !ok || len(blocks) == 0 {
			return nil
		}
		inner = blocks[0]
	}
	return inner
}
