package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// pair is a map-like setting with two entries that show in the task or on its container.
type pair struct{ key, a, valueA, b, valueB string }

var mapSettings = []pair{
	{"env", "A", "1", "B", "two"},
	{"labels", "team", "blue", "tier", "9"},
	{"ulimit", "nofile", "512:512", "nproc", "4000:4000"},
	{"sysctl", "kernel.shm_rmid_forced", "1", "kernel.msgmax", "4096"},
}

// spelled writes every map-like setting in one way; `write` gets the key and the two entries as
// HCL attributes.
func spelled(write func(key, first, second string) string) string {
	var text strings.Builder
	for _, p := range mapSettings {
		fmt.Fprintln(&text, write(p.key, fmt.Sprintf("%q = %q", p.a, p.valueA), fmt.Sprintf("%q = %q", p.b, p.valueB)))
	}
	return text.String()
}

const showMaps = "echo a=$A b=$B nofile=`ulimit -n` nproc=`grep -c 'processes  *4000 ' /proc/self/limits` " +
	"shm=`cat /proc/sys/kernel/shm_rmid_forced` msg=`cat /proc/sys/kernel/msgmax`; sleep 60"

// Every way to write a map in a job file or in a JSON job, for every setting that is a map.
func TestEveryMapIsAcceptedInEverySpelling(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	base := sh(showMaps)
	// In JSON a map is an object, or a list of objects.
	fromJSON := func(wrap func(maps ...any) any) map[string]any {
		config := map[string]any{"image": nomadkit.Image(), "command": "/bin/sh", "args": []any{"-c", showMaps}}
		for _, p := range mapSettings {
			config[p.key] = wrap(map[string]any{p.a: p.valueA}, map[string]any{p.b: p.valueB})
		}
		return config
	}
	merged := func(maps ...any) any {
		all := map[string]any{}
		for _, each := range maps {
			for key, value := range each.(map[string]any) {
				all[key] = value
			}
		}
		return all
	}
	for name, config := range map[string]map[string]any{
		"an assignment": nomadkit.JobConfigText(t, base+spelled(func(key, a, b string) string {
			return key + " = {\n" + a + "\n" + b + "\n}"
		})),
		"a list of maps": nomadkit.JobConfigText(t, base+spelled(func(key, a, b string) string {
			return key + " = [{ " + a + " }, { " + b + " }]"
		})),
		"a function": nomadkit.JobConfigText(t, base+spelled(func(key, a, b string) string {
			return key + " = merge({ " + a + " }, { " + b + " })"
		})),
		"in parentheses": nomadkit.JobConfigText(t, base+spelled(func(key, a, b string) string {
			return key + " = ({ " + a + ", " + b + " })"
		})),
		"a JSON object":          fromJSON(merged),
		"a JSON list":            fromJSON(func(maps ...any) any { return maps }),
		"a JSON list of one":     fromJSON(func(maps ...any) any { return []any{merged(maps...)} }),
		"what a block becomes":   fromJSON(func(maps ...any) any { return []map[string]any{merged(maps...).(map[string]any)} }),
		"a block, and two of it": blocksOf(t, base),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := nomadkit.NewTask(t, p, `image = "x"`)
			must.NoError(t, task.TrySetConfig(t, config))
			task.Start(t)
			task.WaitLog(t, "stdout", "a=1 b=two nofile=512 nproc=1 shm=1 msg=4096\n")
			labels := nomadkit.Inspect(t, task.AllocID).Config.Labels
			must.Eq(t, "blue", labels["team"])
			must.Eq(t, "9", labels["tier"])
		})
	}
}

// blocksOf writes `env` and `labels` as two blocks each and `ulimit` as one. A block's names are
// words, so the sysctls, whose names have dots, stay an assignment.
func blocksOf(t *testing.T, base string) map[string]any {
	return nomadkit.JobConfigText(t, base+`
env { A = "1" }
env { B = "two" }
labels { team = "blue" }
labels { tier = 9 }
ulimit {
  nofile = "512:512"
  nproc  = "4000:4000"
}
sysctl = { "kernel.shm_rmid_forced" = "1", "kernel.msgmax" = 4096 }
`)
}

func TestANumberOfATaskIsAcceptedHoweverItIsWritten(t *testing.T) {
	p := nomadkit.StartPlugin(t, "")
	for _, number := range []string{`50`, `50.0`, `"70"`} {
		t.Run(number, func(t *testing.T) {
			task := nomadkit.NewTask(t, p, sh("sleep 60")+"pids_limit = "+number).Start(t)
			out, err := nomadkit.Podman("inspect", "-f", "{{.HostConfig.PidsLimit}}", nomadkit.ContainersOf(t, task.AllocID)[0])
			must.NoError(t, err)
			must.Eq(t, strings.TrimSuffix(strings.Trim(number, `"`), ".0"), out)
		})
	}
	task := nomadkit.MuteTask(t, p, sh("true"))
	for _, number := range []string{`0.1`, `3.2`, `9223372036854775808`, `"9223372036854775808"`} {
		t.Run(number, func(t *testing.T) {
			task.SetConfig(t, sh("true")+"pids_limit = "+number)
			_, _, err := p.StartTask(task.TaskConfig)
			must.ErrorContains(t, err, "pids_limit")
			nomadkit.NothingLeftOf(t, p, task)
		})
	}
}

// A block that is absent, one that is empty and one whose keys are null mean the same: the defaults.
func TestAnAbsentAndAnEmptyBlockAreTheSameDefaults(t *testing.T) {
	for config, want := range map[string]bool{
		"":                                  true,
		"volumes {}\ngc {}":                 true,
		"gc {\n dangling_containers {} \n}": true,
		"volumes {\n enabled = true\n}":     true,
		"volumes {\n enabled = false\n}":    false, // or the others would prove nothing
	} {
		t.Run(config, func(t *testing.T) {
			p := nomadkit.StartPlugin(t, config)
			enabled := p.Settled(t).Attributes["driver.container.volumes.enabled"]
			must.NotNil(t, enabled)
			value, ok := enabled.GetBool()
			must.True(t, ok)
			must.Eq(t, want, value)
		})
	}
}
