package apple

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/nomad/structs"
	"github.com/shoenig/test/must"

	"nomad-driver-container/tests/nomadkit"
)

// of is the configuration of a task that lives until it is stopped.
func of(image, more string) string {
	return fmt.Sprintf("image = %q\ncommand = \"/bin/sh\"\nargs = [\"-c\", \"exec sleep 600\"]\n%s", image, more)
}

func starts(t *testing.T, n *node, config string) *nomadkit.Task {
	t.Helper()
	return nomadkit.MuteTask(t, n.Plugin, config).Start(t)
}

// fails starts a task that must not start, and returns whether a retry may help.
func fails(t *testing.T, n *node, config string, wants ...string) bool {
	t.Helper()
	task := nomadkit.MuteTask(t, n.Plugin, config)
	_, _, err := n.StartTask(task.TaskConfig)
	must.Error(t, err)
	for _, want := range wants {
		must.ErrorContains(t, err, want)
	}
	must.SliceNotContains(t, n.Containers(), container(task))
	return structs.IsRecoverable(err)
}

func TestAnImageIsPulledOnceAndAgainOnlyWhenForced(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		pulls := func(want int, config string) {
			t.Helper()
			starts(t, n, config)
			must.Eq(t, want, n.Calls("image pull"), must.Sprint(config))
		}
		pulls(1, of("demo:1", ""))
		pulls(1, of("demo:1", ""))
		pulls(1, of("demo:1", `pull_policy = "never"`))
		pulls(2, of("demo:1", `force_pull = true`))
		pulls(3, of("demo:1", `pull_policy = "always"`))
		must.False(t, fails(t, n, of("demo:2", `pull_policy = "never"`), "demo:2", "pull_policy"))
		must.False(t, fails(t, n, of("notfound:1", ""), "notfound:1", "404"))
		must.True(t, fails(t, n, of("unreachable.test/demo:1", ""), "unreachable.test/demo:1"))
		must.Eq(t, 5, n.Calls("image pull"))
	})
}

func TestAnImageIsLoadedFromTheTasksDirectory(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		archive := func(task *nomadkit.Task) *nomadkit.Task {
			data, err := os.ReadFile(nomadkit.StandinArchive(t, "docker.io/library/brought:1"))
			must.NoError(t, err)
			must.NoError(t, os.WriteFile(filepath.Join(task.Dir, "local", "image.tar"), data, 0o644))
			return task
		}
		archive(nomadkit.MuteTask(t, n.Plugin, of("brought:1", "load = \"local/image.tar\"\nplatform = \"linux/arm64\""))).Start(t)
		must.Eq(t, 1, n.Calls("image load"))
		must.Eq(t, 0, n.Calls("image pull"))
		other := archive(nomadkit.MuteTask(t, n.Plugin, of("other:1", `load = "local/image.tar"`)))
		_, _, err := n.StartTask(other.TaskConfig)
		must.ErrorContains(t, err, "does not hold this image")
		must.False(t, fails(t, n, of("other:1", `load = "local/none.tar"`), "local/none.tar"))
		must.False(t, fails(t, n, of("other:1", `load = "../../../../etc"`), "task's directory"))
	})
}

func TestCredentialsServeTheirRegistryAlone(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		login := func(password, more string) string {
			return fmt.Sprintf("auth {\n username = \"user\"\n password = %q\n %s\n}\n", password, more)
		}
		must.False(t, fails(t, n, of("private.test/app:1", ""), "private.test/app:1"))
		must.False(t, fails(t, n, of("private.test/app:1", login("wrong", "")), "private.test", "401"))
		must.False(t, fails(t, n, of("private.test/app:1", login("secret", `server_address = "elsewhere.test"`)), "auth.server_address", "elsewhere.test"))
		starts(t, n, of("private.test/app:1", login("secret", `server_address = "private.test"`)))
		must.False(t, fails(t, n, of("private.test/app:2", ""), "private.test/app:2"), must.Sprint("the first task's login is not kept"))
		loggedIn, err := n.Run("registry", "list", "--quiet")
		must.NoError(t, err)
		must.Eq(t, "", loggedIn)

		// Those of the operator go to their registry, and to no other.
		n.configure(t, n.Config()+login("secret", `server_address = "private.test"`))
		starts(t, n, of("private.test/app:3", ""))
		before := n.Calls("registry login")
		starts(t, n, of("public.test/app:1", ""))
		must.Eq(t, before, n.Calls("registry login"))
	})
}

func TestALoginThatADeadPluginLeftServesNoOtherTask(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		n.Fault(t, "registry-logout", "exit 1 no more")
		starts(t, n, of("private.test/app:1", "auth {\n username = \"user\"\n password = \"secret\"\n}\n"))
		marks := n.LoginMarks(t)
		must.Len(t, 1, marks)
		mark, err := os.ReadFile(marks[0])
		must.NoError(t, err)
		must.StrContains(t, string(mark), "user")
		must.StrNotContains(t, string(mark), "secret")

		n.Kill9(t)
		n.Fault(t, "registry-logout", "")
		n.configure(t, n.Config())
		must.False(t, fails(t, n, of("private.test/app:2", ""), "private.test/app:2", "401"))
		loggedIn, err := n.Run("registry", "list", "--quiet")
		must.NoError(t, err)
		must.Eq(t, "", loggedIn)
		must.SliceEmpty(t, n.LoginMarks(t))
	})
}

// One user's agents have one keychain, whatever their state directories.
func TestAgentsOfOneUserTakeTurnsAtALogin(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		other := &node{nomadkit.StartPluginIn(t, t.TempDir(), n.Config()), n.Standin}
		begin := func(n *node, image string) <-chan error {
			task := nomadkit.MuteTask(t, n.Plugin, of(image, "auth {\n username = \"user\"\n password = \"secret\"\n}\n"))
			done := make(chan error, 1)
			go func() {
				_, _, err := n.StartTask(task.TaskConfig)
				done <- err
			}()
			return done
		}
		called := func(command string, want int) {
			t.Helper()
			nomadkit.Eventually(t, 20*time.Second, command, func() error {
				if got := n.Calls(command); got != want {
					return fmt.Errorf("%d calls, not %d", got, want)
				}
				return nil
			})
		}
		n.Fault(t, "image-pull", "wait")
		begin(n, "private.test/app:1")
		called("image pull", 1)
		started := begin(other, "private.test/app:2")
		nomadkit.Eventually(t, 20*time.Second, "the other agent's plugin waits", func() error {
			if !strings.Contains(other.Stderr.String(), "waits for its end") {
				return fmt.Errorf("it does not say so")
			}
			return nil
		})
		must.Eq(t, 1, n.Calls("registry login"))
		must.Eq(t, 0, n.Calls("registry logout"))

		// What held the lock is gone, though the pull that it began goes on.
		n.Kill9(t)
		called("registry login", 2)
		must.Eq(t, 1, n.Calls("registry logout"))
		n.Fault(t, "image-pull", "")
		must.NoError(t, nomadkit.Receive(t, started, 30*time.Second, "the other agent's task"))
		loggedIn, err := n.Run("registry", "list", "--quiet")
		must.NoError(t, err)
		must.Eq(t, "", loggedIn)
		must.SliceEmpty(t, n.LoginMarks(t))
	})
}

func TestARefusedLoginMayBeFollowedByATryWithout(t *testing.T) {
	forEachVersion(t, func(t *testing.T, n *node) {
		// As a registry that gives public images to everybody, but refuses wrong credentials.
		n.Fault(t, "registry-login", "exit 1 HTTP request to https://public.test/v2/ failed with response: 401 Unauthorized")
		image := of("public.test/demo:1", "auth {\n username = \"user\"\n password = \"wrong\"\n}\n")
		must.False(t, fails(t, n, image, "public.test", "401"))
		starts(t, n, image+"auth_soft_fail = true")

		n.configure(t, n.Config()+"auth_soft_fail = true")
		must.False(t, fails(t, n, image+"force_pull = true\nauth_soft_fail = false", "401"))
		starts(t, n, image+"force_pull = true")
	})
}

func TestAPullIsEndedAfterItsTimeAndTellsOfItselfUntilThen(t *testing.T) {
	t.Parallel() // it waits for the most part
	forEachVersion(t, func(t *testing.T, n *node) {
		t.Parallel()
		n.configure(t, n.Config()+"image_pull_timeout = \"15s\"\npull_activity_interval = \"300ms\"")
		events, err := n.TaskEvents(nomadkit.Context(t, time.Minute))
		must.NoError(t, err)
		n.Fault(t, "image-pull", "hang")
		must.True(t, fails(t, n, of("demo:1", ""), "demo:1", "15s"))
		hasEvent(t, events, "Pulling image demo:1")
		// One in each interval, and with the beginning and the end no more than Nomad keeps.
		for i := 1; i <= 8; i++ {
			event := nomadkit.Receive(t, events, 5*time.Second, "progress of the pull")
			must.StrHasPrefix(t, "Still pulling image demo:1 after ", event.Message)
			must.Eq(t, i == 8, strings.HasSuffix(event.Message, "the next event is its end"), must.Sprint(i, event.Message))
		}

		// The task's own setting counts.
		must.True(t, fails(t, n, of("demo:1", `image_pull_timeout = "1s"`), "demo:1", "within 1s"))
	})
}

// pulled are the times at which pulls began, in seconds.
func pulled(t *testing.T, n *node) []float64 {
	t.Helper()
	var times []float64
	for _, call := range n.Recorded(t) {
		if call.Command == "image pull" {
			times = append(times, call.Time)
		}
	}
	return times
}

func TestNoMorePullsRunAtOnceThanTheOperatorAllows(t *testing.T) {
	n := newNode(t, versions()[0])
	three := func(config string) {
		n.configure(t, n.Config()+config)
		tasks := make([]*nomadkit.Task, 3)
		for i := range tasks {
			tasks[i] = nomadkit.MuteTask(t, n.Plugin, of(nomadkit.Unique(fmt.Sprintf("demo%d", i))+":1", ""))
		}
		go nomadkit.Together(tasks, func(task *nomadkit.Task) error {
			_, _, err := n.StartTask(task.TaskConfig)
			return err
		})
	}
	n.Fault(t, "image-pull", "slow 500")
	three("max_concurrent_pulls = 1")
	nomadkit.Eventually(t, 20*time.Second, "three pulls", func() error {
		if got := len(pulled(t, n)); got != 3 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	times := pulled(t, n)
	for i := range 2 {
		must.GreaterEq(t, 0.5, times[i+1]-times[i], must.Sprint("one after the other"))
	}
	n.Fault(t, "image-pull", "hang")
	three("max_concurrent_pulls = 3\nimage_pull_timeout = \"20s\"")
	nomadkit.Eventually(t, 15*time.Second, "three more at once", func() error {
		if got := len(pulled(t, n)); got != 6 {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}
