package wire

import (
	"regexp"
	"time"

	dproto "github.com/hashicorp/nomad/plugins/drivers/proto"
	durationpkg "google.golang.org/protobuf/types/known/durationpb"

	"nomad-driver-container/tests/nomadkit"
)

var versionPattern = regexp.MustCompile(`^v?\d+\.\d+\.\d+`)

// startRequest is a StartTask request with these bytes as the task's driver configuration.
func startRequest(task *nomadkit.Task, config []byte) *dproto.StartTaskRequest {
	return &dproto.StartTaskRequest{Task: &dproto.TaskConfig{
		Id: task.ID, Name: task.Name, AllocId: task.AllocID, AllocDir: task.AllocDir, Env: task.Env,
		StdoutPath: task.StdoutPath, StderrPath: task.StderrPath, NodeId: task.NodeID,
		MsgpackDriverConfig: config,
	}}
}

func durationpb(d time.Duration) *durationpkg.Duration { return durationpkg.New(d) }
