package integration

import (
	"strings"
	"testing"
	"time"
)

func TestZombiesAreReaped(t *testing.T) {
	i := sharedInstance(t)
	i.mustSSH("for n in $(seq 200); do (sleep 0.01 &) ; done")
	eventually(t, "no zombie", func() bool {
		states := i.docker("top", i.id, "-eo", "pid,stat,args")
		return !strings.Contains(states, "<defunct>") && !strings.Contains(states, "sleep 0.01")
	})
}

func TestTheSSHServerComesBackWhenItIsKilled(t *testing.T) {
	i := newInstance(t, settings{})
	for range 3 {
		// The session dies with its server, so the exit code means nothing.
		i.ssh("pkill -KILL -f '^/.dcompute/guest sshd'")
		begin := time.Now()
		i.mustSSH("true")
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the next log-in took %s", took)
		}
	}
}

func TestTheSSHServerComesBackWithoutItsFile(t *testing.T) {
	i := newInstance(t, settings{})
	i.ssh("rm /.dcompute/guest; pkill -KILL -f '^/.dcompute/guest sshd'")
	i.mustSSH("true")
}

func TestSignalsToPID1FromInsideDoNotEndTheInstance(t *testing.T) {
	i := sharedInstance(t)
	i.mustSSH("for s in HUP QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 PIPE ALRM KILL; do kill -$s 1; done")
	i.mustSSH("true")
}

func TestTheMainProgramsExitCodeIsTheContainers(t *testing.T) {
	cases := map[string]struct {
		s    settings
		code int
	}{
		"of its own":                     {settings{command: []string{"sh", "-c", "exit 3"}}, 3},
		"of a signal":                    {settings{command: []string{"sh", "-c", "kill -KILL $$"}}, 137},
		"of entrypoint and cmd":          {settings{entry: []string{"sh", "-c"}, cmd: []string{"exit 4"}}, 4},
		"of entrypoint and command":      {settings{entry: []string{"sh", "-c"}, cmd: []string{"exit 4"}, command: []string{"exit 5"}}, 5},
		"of a program that is missing":   {settings{command: []string{"no-such-program"}}, 127},
		"of a file that is no program":   {settings{command: []string{"/etc/passwd"}}, 126},
		"of a user that is missing":      {settings{command: []string{"true"}, user: "no-such-user"}, 126},
		"with children that live on":     {settings{command: []string{"sh", "-c", "sleep 1000 & exit 6"}}, 6},
		"of nothing at all to be run":    {settings{}, 126},
		"of a program that ignores TERM": {settings{command: []string{"sh", "-c", "trap '' TERM; sleep 1000 & exit 7"}, grace: 1}, 7},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			c.s.runType = "args"
			i := newInstance(t, c.s)
			if code := i.awaitExit(); code != c.code {
				t.Errorf("exit code %d, want %d; log: %s", code, c.code, i.logs())
			}
		})
	}
}

func TestTheMainProgramRunsInTheImagesEnvironmentUserAndWorkdir(t *testing.T) {
	i := newInstance(t, settings{
		runType: "args", user: "www-data", workdir: "/work/here",
		imageEnv: []string{"FROM_IMAGE=image"}, renterEnv: map[string]string{"FROM_RENTER": "renter"},
		command: []string{"sh", "-c", "id -un; pwd; echo $FROM_IMAGE $FROM_RENTER $HOME; echo by-name >/dev/stdout; exec sleep 1000"},
	})
	eventually(t, "its output", func() bool { return strings.Contains(i.logs(), "by-name") })
	contains(t, "log", i.logs(), "www-data\n/work/here\nimage renter /var/www\n")
	i.mustSSH("pgrep -u www-data sleep")
}

func TestAStopGivesProgramsTheirGraceAndThenKills(t *testing.T) {
	stop := func(i *instance, grace string) (int, time.Duration) {
		begin := time.Now()
		i.docker("stop", "--time", grace, i.id)
		return i.awaitExit(), time.Since(begin)
	}
	polite := newInstance(t, settings{runType: "args", command: []string{"sh", "-c", "trap 'echo bye; exit 8' TERM; echo ready; while :; do sleep 0.1; done"}})
	eventually(t, "the program", func() bool { return strings.Contains(polite.logs(), "ready") })
	code, took := stop(polite, "30")
	equal(t, "exit code of a program that ends by itself", code, 8)
	if took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	// The grace is that of the stop, not the one of the configuration.
	stubborn := newInstance(t, settings{grace: 1, runType: "args", command: []string{"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"}})
	eventually(t, "the program", func() bool { return strings.Contains(stubborn.logs(), "ready") })
	code, took = stop(stubborn, "5")
	equal(t, "exit code of a program that was killed", code, 137)
	if took < 5*time.Second || took > 20*time.Second {
		t.Errorf("the grace is 5 s, and it took %s", took)
	}
}

func TestWhatTheMainProgramLeavesBehindIsKilledAfterTheConfiguredGrace(t *testing.T) {
	i := newInstance(t, settings{grace: 1, runType: "args", command: []string{"bash", "-c", "(trap '' TERM; sleep 1000) & sleep 0.2; exit 5"}})
	begin := time.Now()
	equal(t, "exit code", i.awaitExit(), 5)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the grace is 1 s, and it took %s", took)
	}
}

func TestAStopEndsOpenSessionsAtOnce(t *testing.T) {
	i := newInstance(t, settings{grace: 30})
	person := sitDown(t, i, 24, 80, nil)
	person.types("echo rea''dy\n")
	person.sees("ready")
	begin := time.Now()
	i.docker("stop", "--time", "40", i.id)
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
	equal(t, "exit code", i.awaitExit(), 0)
	equal(t, "the client", person.leavesWith(), 255)
}

func TestTheRentersCommandRunsOnceAndItsEndEndsNothing(t *testing.T) {
	i := newInstance(t, settings{command: []string{"sh", "-c", "echo started in $PWD; echo x >> /root/runs; exit 3"}, workdir: "/srv"})
	eventually(t, "its output", func() bool { return strings.Contains(i.logs(), "started in /srv") })
	i.ssh("pkill -KILL -f '^/.dcompute/guest sshd'")
	equal(t, "runs", i.mustSSH("cat /root/runs"), "x\n")
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	i := newInstance(t, settings{runType: "jupyter"})
	equal(t, "exit code", i.awaitExit(), 78)
	contains(t, "log", i.logs(), "run type jupyter is not supported")
}
