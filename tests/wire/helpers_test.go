package wire

import (
	"fmt"
	"os"
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

// longSleep is a command line that no other test run on this machine has; `which` is a digit of the caller's.
func longSleep(which int) string { return fmt.Sprintf("sleep %d%07d", which, os.Getpid()) }

func durationpb(d time.Duration) *durationpkg.Duration { return durationpkg.New(d) }
