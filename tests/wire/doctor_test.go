package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

type finding struct{ Check, Verdict, Result, Cure string }

// doctor runs the subcommand and returns its exit code and findings by check.
func doctor(t *testing.T, args ...string) (int, map[string]finding) {
	t.Helper()
	code, out := doctorText(t, append([]string{"--json", "--state-dir", t.TempDir()}, args...)...)
	var answer struct {
		OK     bool
		Checks []finding
	}
	must.NoError(t, json.Unmarshal([]byte(out), &answer), must.Sprint(out))
	must.Eq(t, code == 0, answer.OK)
	findings := map[string]finding{}
	for _, each := range answer.Checks {
		findings[each.Check] = each
	}
	return code, findings
}

func doctorText(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.CommandContext(nomadkit.Context(t, time.Minute), nomadkit.Binary(), append([]string{"doctor"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// engine is an executable of this name and content.
func engine(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755))
	return path
}

func TestTheDoctorFindsThisHostFitAndLeavesNothing(t *testing.T) {
	code, findings := doctor(t, "--run", nomadkit.Image())
	for _, each := range findings {
		must.NotEq(t, "failed", each.Verdict, must.Sprintf("%+v", each))
	}
	must.Eq(t, 0, code)
	must.Eq(t, "ok", findings["trial container"].Verdict)
	name, _, _ := strings.Cut(findings["trial container"].Result, " ")
	must.StrHasPrefix(t, "nomad-doctor-", name)
	out, err := nomadkit.Podman("ps", "-a", "-q", "--filter", "name="+name)
	must.NoError(t, err)
	must.Eq(t, "", out)
}

func TestTheDoctorTellsWhyTheTrialFailed(t *testing.T) {
	code, findings := doctor(t, "--run", "localhost/ndc-no-such-image:1")
	must.Eq(t, 1, code)
	must.Eq(t, "failed", findings["trial container"].Verdict)
	must.StrContains(t, findings["trial container"].Result, "ndc-no-such-image")
}

func TestTheDoctorNamesWhatIsWrongWithPodman(t *testing.T) {
	real, err := exec.LookPath("podman")
	must.NoError(t, err)
	old := fmt.Sprintf(`case "$*" in *info*) %s "$@" | sed 's/"Version": "[0-9.]*"/"Version": "4.2.0"/' ;; *) exec %s "$@" ;; esac`, real, real)
	cases := []struct{ name, path, result, cure string }{
		{"missing", "/nonexistent/podman", "No such file", "install Podman"},
		{"too old", engine(t, "podman", old), "4.2.0 is too old", "4.3 or newer"},
		{"hangs", engine(t, "podman", "exec sleep 600"), "no answer within 1s", "podman"},
		{"fails", engine(t, "podman", "echo 'Error: the storage is broken' >&2; exit 125"), "the storage is broken", "podman info"},
		{"talks nonsense", engine(t, "podman", "echo hello"), "no JSON", "podman info"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"--podman-path", c.path}
			if c.name == "hangs" {
				args = append(args, "--timeout", "1s")
			}
			code, findings := doctor(t, args...)
			must.Eq(t, 1, code)
			must.Eq(t, "failed", findings["Podman"].Verdict)
			must.StrContains(t, findings["Podman"].Result, c.result)
			must.StrContains(t, findings["Podman"].Cure, c.cure)
		})
	}
}

func TestTheDoctorRefusesAStateDirectoryThatOthersCanWriteTo(t *testing.T) {
	dir := t.TempDir()
	must.NoError(t, os.Chmod(dir, 0o777))
	code, findings := doctor(t, "--state-dir", dir)
	must.Eq(t, 1, code)
	must.Eq(t, "failed", findings["state directory"].Verdict)
	must.StrContains(t, findings["state directory"].Result, "0700")
}

func TestTheDoctorNamesWhatIsWrongWithApplesContainer(t *testing.T) {
	cli := engine(t, "container", `case "$2" in
version) echo '[{"appName":"container","version":"1.2.2"}]' ;;
status) echo '{"status":"not running"}'; exit 1 ;;
esac`)
	code, findings := doctor(t, "--runtime", "apple", "--container-path", cli)
	must.Eq(t, 1, code)
	must.Eq(t, "ok", findings["container"].Verdict)
	must.Eq(t, "failed", findings["container's service"].Verdict)
	must.StrContains(t, findings["container's service"].Cure, "container system start")
}

func TestTheDoctorsOptionsAreExplainedAndChecked(t *testing.T) {
	code, out := doctorText(t, "--help")
	must.Eq(t, 0, code)
	must.StrContains(t, out, "--podman-path")
	code, _ = doctorText(t, "--runtime", "docker")
	must.Eq(t, 2, code)
	code, out = doctorText(t, "--podman-path", "/nonexistent/podman")
	must.Eq(t, 1, code)
	must.StrContains(t, out, "Tasks cannot run on this host")
}
