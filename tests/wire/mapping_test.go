package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"nomad-driver-container/tests/nomadkit"
)

func sh(script string) string {
	return "image = \"${image}\"\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"" + script + "\"]\n"
}

func TestMapsAreAcceptedInBothSpellingsAndFromJSON(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	want := "a=1 b=two\n"
	script := "echo a=$A b=$B"
	base := sh(script)
	cases := map[string]any{
		"block":      nomadkit.JobConfigText(t, base+"env {\n A = \"1\"\n B = \"two\"\n}"),
		"assignment": nomadkit.JobConfigText(t, base+"env = {\n A = \"1\"\n B = \"two\"\n}"),
		"number":     nomadkit.JobConfigText(t, base+"env {\n A = 1\n B = \"two\"\n}"),
		"json object": map[string]any{"image": nomadkit.Image(), "command": "/bin/sh", "args": []any{"-c", script},
			"env": map[string]any{"A": "1", "B": "two"}},
		"json list": map[string]any{"image": nomadkit.Image(), "command": "/bin/sh", "args": []any{"-c", script},
			"env": []any{map[string]any{"A": "1", "B": "two"}}},
		"function": nomadkit.JobConfigText(t, base+"env = merge({ A = \"1\" }, { B = \"two\" })"),
	}
	for name, config := range cases {
		t.Run(name, func(t *testing.T) {
			task := nomadkit.NewTask(t, p, `image = "x"`)
			must.NoError(t, task.TrySetConfig(t, config))
			task.Start(t)
			must.Eq(t, 0, task.Wait(t, 20*time.Second).ExitCode)
			task.WaitLog(t, "stdout", want)
		})
	}
}

func TestLabelsAreSetInBothSpellingsBesideNomadsOwn(t *testing.T) {
	p := nomadkit.StartPlugin(t, `extra_labels = ["job_name", "task_*"]`)
	for name, labels := range map[string]string{
		"block":      "labels {\n team = \"blue\"\n}",
		"assignment": "labels = {\n team = \"blue\"\n}",
	} {
		t.Run(name, func(t *testing.T) {
			task := nomadkit.NewTask(t, p, sh("sleep 60")+labels).Start(t)
			got := nomadkit.Inspect(t, task.AllocID).Config.Labels
			must.Eq(t, "blue", got["team"])
			must.Eq(t, task.AllocID, got["nomad.alloc_id"])
			must.Eq(t, task.ID, got["nomad.task_id"])
			must.Eq(t, task.NodeID, got["nomad.node_id"])
			must.Eq(t, "wire", got["nomad.job_name"])
			must.Eq(t, "main", got["nomad.task_name"])
		})
	}
}

func TestNumbersAreAcceptedHoweverTheyAreWritten(t *testing.T) {
	p := nomadkit.Launch(t)
	for _, number := range []string{`4`, `"4"`, `4.0`} {
		must.NoError(t, p.Configure(t, "max_concurrent_pulls = "+number), must.Sprint(number))
	}
	for _, number := range []string{`0.1`, `-1`, `"9223372036854775808"`} {
		err := p.Configure(t, "max_concurrent_pulls = "+number)
		must.ErrorContains(t, err, "max_concurrent_pulls", must.Sprint(number))
	}
}

func TestTheTasksEnvironmentWinsOverNomads(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	task := nomadkit.NewTask(t, p, sh("echo $NOMAD_TASK_NAME $NOMAD_TASK_DIR")+"env {\n NOMAD_TASK_NAME = \"mine\"\n}").Start(t)
	task.Wait(t, 20*time.Second)
	task.WaitLog(t, "stdout", "mine /local\n")
}

func TestEnvironmentValuesAreInNoCommandLine(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	secret := "s3cr3t-" + time.Now().Format("150405.000000")
	found := make(chan []int, 1)
	stop := make(chan struct{})
	go func() {
		var pids []int
		for {
			select {
			case <-stop:
				found <- pids
				return
			default:
				pids = append(pids, nomadkit.ProcessesWith(secret)...)
			}
		}
	}()
	task := nomadkit.NewTask(t, p, sh("echo $PASSWORD")+"env {\n PASSWORD = \""+secret+"\"\n}").Start(t)
	task.Wait(t, 20*time.Second)
	close(stop)
	must.SliceEmpty(t, <-found, must.Sprint("processes with the value in their command line"))
	task.WaitLog(t, "stdout", secret)
	must.StrNotContains(t, p.Stderr.String(), secret)
	must.False(t, strings.Contains(string(task.Handle.DriverState), secret))
}

func TestMalformedMsgpackIsAClearErrorAndLeavesNothing(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	raw := p.Raw(t)
	for _, bytes := range []string{"", "\xc1", "\x81\xa5imag", "\xdf\xff\xff\xff\xff", "\x92\x01\x02",
		strings.Repeat("\x91", 100000)} {
		task := nomadkit.MuteTask(t, p, `image = "x"`)
		_, err := raw.StartTask(nomadkit.Context(t, 20*time.Second), startRequest(task, []byte(bytes)))
		must.Eq(t, codes.Unknown, status.Code(err), must.Sprintf("%.20q: %v", bytes, err))
		must.NotEq(t, "", status.Convert(err).Message())
		nomadkit.NothingLeftOf(t, p, task)
	}
	_, err := p.PluginInfo()
	must.NoError(t, err)
}
