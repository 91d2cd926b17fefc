package apple

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// Up to 1.1.0 the CLI fills in what an image names without a value from its own environment.
func TestAnImageGetsNothingOfTheAgentsEnvironment(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		must.NoError(t, os.MkdirAll(n.State, 0o700))
		must.NoError(t, os.WriteFile(filepath.Join(n.State, "registry.json"),
			[]byte(`{"curious:1": {"Env": ["NOMAD_TOKEN", "CONTAINER_REGISTRY_TOKEN", "AWS_SECRET_ACCESS_KEY", "LC_CURIOUS"]}}`), 0o600))
		secret := nomadkit.Unique("s3cr3t")
		n.configure(t, n.Config(), "NOMAD_TOKEN="+secret, "CONTAINER_REGISTRY_TOKEN="+secret, "AWS_SECRET_ACCESS_KEY="+secret, "LC_CURIOUS=told")
		task := nomadkit.NewTask(t, n.Plugin, "image = \"curious:1\"\ncommand = \"/bin/sh\"\n"+
			`args = ["-c", "echo [$NOMAD_TOKEN] [$CONTAINER_REGISTRY_TOKEN] [$AWS_SECRET_ACCESS_KEY] [$LC_CURIOUS]; exec sleep 600"]`).Start(t)
		harmless := "[]"
		if slices.Contains([]string{"0.11.0", "0.12.3", "1.0.0", "1.1.0"}, n.Version()) {
			harmless = "[told]" // so the CLI does look
		}
		task.WaitLog(t, "stdout", "[] [] [] "+harmless+"\n")

		monitor, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", n.monitorOf(task)))
		if runtime.GOOS == "linux" {
			must.NoError(t, err)
			must.StrContains(t, string(monitor), "LC_CURIOUS=told")
			must.StrNotContains(t, string(monitor), secret)
		}
	})
}

func TestNoSecretIsSeenWhereOthersCanLook(t *testing.T) {
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) { secretsOn(t, version) })
	}
}

func secretsOn(t *testing.T, version string) {
	secret := func(what string) string { return nomadkit.Unique("s3cr3t-" + what) }
	ofNomad, ofJob, password, wrong := secret("nomad"), secret("job"), secret("password"), secret("wrong")
	watch := nomadkit.WatchSecrets(t, ofNomad, ofJob, password, wrong)
	n := newNode(t, version, "NDC_STANDIN_PASSWORD="+password)
	events, err := n.TaskEvents(nomadkit.Context(t, 2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	texts := map[string]string{}
	env := func(config *drivers.TaskConfig) { config.Env["VAULT_TOKEN"] = ofNomad }
	config := func(image, more string) string {
		return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"echo $(printf %%s $OWN | wc -c) $(printf %%s $VAULT_TOKEN | wc -c); sleep 600\"]\n"+
			"env {\n OWN = %q\n}\n%s", image, ofJob, more)
	}
	auth := func(password string) string {
		return fmt.Sprintf("auth {\n username = \"user\"\n password = %q\n}\n", password)
	}
	want := fmt.Sprintf("%d %d\n", len(ofJob), len(ofNomad))
	var running *nomadkit.Task
	for image, more := range map[string]string{nomadkit.Image(): "", "private.example.test/demo:1": auth(password)} {
		running = nomadkit.NewTask(t, n.Plugin, config(image, more), env).Start(t)
		running.WaitLog(t, "stdout", want)
		result, err := n.ExecTask(running.ID, []string{"/bin/sh", "-c", "echo ${#OWN} ${#VAULT_TOKEN}"}, 60*time.Second)
		if err != nil || string(result.Stdout) != want {
			t.Errorf("exec: %v %+v", err, result)
		}
		texts["the driver's state with "+image] = string(running.Handle.DriverState)
	}
	for what, config := range map[string]string{
		"a bad image":      config("docker.io/library/notfound:1", ""),
		"a wrong password": config("private.example.test/other:1", auth(wrong)),
		"a bad command":    strings.Replace(config(nomadkit.Image(), ""), "/bin/sh", "/no/such/program", 1),
	} {
		task := nomadkit.NewTask(t, n.Plugin, config, env)
		_, _, err := n.StartTask(task.TaskConfig)
		if err == nil {
			t.Errorf("%s: started", what)
			continue
		}
		texts["the error of "+what] = err.Error()
	}
	for seen := false; !seen; {
		event := nomadkit.Receive(t, events, 10*time.Second, "event of the last start")
		texts["events"] += fmt.Sprintf("%s %v\n", event.Message, event.Annotations)
		seen = strings.Contains(event.Message, "Started container")
	}
	for len(events) > 0 {
		event := <-events
		texts["events"] += fmt.Sprintf("%s %v\n", event.Message, event.Annotations)
	}
	texts["the plugin's log"] = n.Stderr.String()
	calls, _ := os.ReadFile(filepath.Join(n.State, "calls.jsonl"))
	rejected, _ := os.ReadFile(filepath.Join(n.State, "rejected.jsonl"))
	texts["the argv of each call"] = string(calls) + string(rejected)
	ofUser := filepath.Join(filepath.Dir(n.CLI), ".nomad-driver-container")
	watch.Check(t, texts, []string{n.StateDir, ofUser, filepath.Dir(n.Socket())}, []string{os.TempDir(), "/var/tmp", "/dev/shm"})
}
