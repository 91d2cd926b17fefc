package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/nomad/plugins/drivers"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// Where podman, its helpers and everybody else keep files.
var sharedDirectories = []string{os.TempDir(), "/var/tmp", "/dev/shm", "/run/containers", "/run/libpod",
	"/var/lib/containers/storage/overlay-containers", "/var/lib/containers/storage/libpod"}

// An image may name a variable without a value, or a pattern of names: podman gives it its own.
func TestTheAgentsEnvironmentReachesNoTask(t *testing.T) {
	r := nomadkit.StartRegistry(t)
	name := nomadkit.Unique("ndc/curious") + ":1"
	r.Push(t, name, nomadkit.Content{Env: []string{"VAULT_TOKEN", "CONSUL*", "AWS_SECRET_ACCESS_KEY"}})
	token := nomadkit.Unique("s3cr3t")
	p := nomadkit.StartPlugin(t, "", "VAULT_TOKEN="+token, "CONSUL_HTTP_TOKEN="+token, "AWS_SECRET_ACCESS_KEY="+token,
		"TLS_KEY="+token, nomadkit.Insecure(t, r))
	task := nomadkit.NewTask(t, p, fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"env; sleep 600\"]\n",
		r.Reference(name)), func(config *drivers.TaskConfig) { config.Env["TLS_KEY"] = "of\nthe job" }).Start(t)
	task.WaitLog(t, "stdout", "TLS_KEY=of\nthe job\n")
	if log := task.Log("stdout"); strings.Contains(log, token) {
		t.Errorf("the task has the agent's: %s", log)
	}
	result, err := p.ExecTask(task.ID, []string{"/bin/env"}, 20*time.Second)
	must.NoError(t, err)
	must.StrNotContains(t, string(result.Stdout), token)
}

func TestNoSecretIsSeenWhereOthersCanLook(t *testing.T) {
	secret := func(what string) string { return nomadkit.Unique("s3cr3t-" + what) }
	ofNomad, ofJob, multiline := secret("nomad"), secret("job"), secret("line")
	password, wrong, ofPlugin := secret("password"), secret("wrong"), secret("plugin")
	watch := nomadkit.WatchSecrets(t, ofNomad, ofJob, multiline, password, wrong, ofPlugin)

	r := nomadkit.StartRegistry(t, "someone", password)
	plugins := nomadkit.StartRegistry(t, "someone", ofPlugin)
	name := nomadkit.Unique("ndc/private") + ":1"
	r.Push(t, name, nomadkit.Content{Ballast: 1 << 20})
	plugins.Push(t, name, nomadkit.Content{Ballast: 1 << 20})
	p := nomadkit.StartPlugin(t, fmt.Sprintf("metrics_address = \"%d\"\nauth {\n username = \"someone\"\n password = %q\n server_address = %q\n}",
		nomadkit.FreePort(t), ofPlugin, plugins.Address), nomadkit.Insecure(t, r, plugins))

	texts := map[string]string{}
	events, err := p.TaskEvents(nomadkit.Context(t, 5*time.Minute))
	must.NoError(t, err)
	var mu sync.Mutex
	var told strings.Builder
	go func() {
		for event := range events {
			mu.Lock()
			fmt.Fprintf(&told, "%s %v %v\n", event.Message, event.Annotations, event.Err)
			mu.Unlock()
		}
	}()

	// What Nomad's hooks (Vault, templates with env = true) bring, and what the job says.
	env := func(config *drivers.TaskConfig) {
		config.Env["VAULT_TOKEN"] = ofNomad
		config.Env["MULTI"] = "first\n" + multiline + "\n"
	}
	config := func(image, more string) string {
		return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"echo $(printf %%s $OWN | wc -c) $(printf %%s $VAULT_TOKEN | wc -c); sleep 600\"]\n"+
			"env {\n OWN = %q\n}\n%s", image, ofJob, more)
	}
	want := fmt.Sprintf("%d %d\n", len(ofJob), len(ofNomad))
	ends := func(task *nomadkit.Task) {
		texts["the driver's state of "+task.ID] = string(task.Handle.DriverState)
		must.NoError(t, p.StopTask(task.ID, 0, "SIGKILL"))
		must.NoError(t, p.DestroyTask(task.ID, true))
	}
	refused := func(what, config string) {
		task := nomadkit.MuteTask(t, p, config, env)
		_, _, err := p.StartTask(task.TaskConfig)
		must.Error(t, err, must.Sprint(what))
		texts["the error of "+what] = err.Error()
	}

	for _, image := range []string{nomadkit.Image(), r.Reference(name), plugins.Reference(name)} {
		more := ""
		if image == r.Reference(name) {
			more = login("someone", password)
		}
		task := nomadkit.NewTask(t, p, config(image, more), env).Start(t)
		task.WaitLog(t, "stdout", want)
		result, err := p.ExecTask(task.ID, []string{"/bin/sh", "-c", "echo ${#OWN} ${#VAULT_TOKEN}"}, 20*time.Second)
		must.NoError(t, err)
		must.Eq(t, want, string(result.Stdout), must.Sprint("the command has them too"))
		status, err := p.InspectTask(task.ID)
		must.NoError(t, err)
		texts["the status of "+image] = fmt.Sprintf("%+v", status)
		if image == plugins.Reference(name) {
			defer ends(task) // runs while files are looked at
			texts["the driver's state"] = string(task.Handle.DriverState)
			continue
		}
		ends(task)
	}
	tty := nomadkit.NewTask(t, p, config(nomadkit.Image(), "tty = true"), env).Start(t)
	tty.WaitLog(t, "stdout", strings.TrimSpace(want))
	ends(tty)

	refused("a bad image", config("registry.invalid/none:1", ""))
	refused("a wrong password", config(r.Reference(name), login("someone", wrong)+"force_pull = true"))
	refused("a bad command", strings.Replace(config(nomadkit.Image(), ""), "/bin/sh", "/no/such/program", 1))
	refused("a bad name of a variable", strings.Replace(config(nomadkit.Image(), ""), "env {\n OWN", "env = {\n \"O=WN\"", 1))
	refused("a bad volume", config(nomadkit.Image(), `volumes = ["/no/such/directory:/x"]`))
	refused("a bad user", config(nomadkit.Image(), `user = "no-such-user"`))
	refused("wrong credentials", config(nomadkit.Image(), "auth {\n username = \"a:b\"\n password = \""+wrong+"\"\n}\nforce_pull = true"))
	bad := nomadkit.Launch(t)
	err = bad.Configure(t, fmt.Sprintf("command_timeout = \"soon\"\nauth {\n username = \"a\"\n password = %q\n}", ofPlugin))
	must.Error(t, err)
	texts["the error of a bad configuration"] = err.Error() + bad.Stderr.String()

	texts["the plugin's log"] = p.Stderr.String()
	mu.Lock()
	texts["events"] = told.String()
	mu.Unlock()
	must.StrContains(t, texts["events"], "Started container")
	watch.Check(t, texts, []string{p.StateDir, filepath.Dir(p.Socket())}, sharedDirectories)
}
