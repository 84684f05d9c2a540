package integration

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// connectDirectly logs in with the Go client, for what OpenSSH's has no option for.
func connectDirectly(t *testing.T, i *instance) *ssh.Client {
	t.Helper()
	signer, err := ssh.ParsePrivateKey(readFile(t, i.path("key")))
	if err != nil {
		t.Fatal(err)
	}
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey(readFile(t, i.path("host_key.pub")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", "127.0.0.1:"+i.port, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestSignalRequestsReachTheProgramAndItsChildren(t *testing.T) {
	i := sharedInstance(t)
	for _, name := range []ssh.Signal{ssh.SIGTERM, ssh.SIGINT, ssh.SIGUSR1, ssh.SIGKILL} {
		session, err := connectDirectly(t, i).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Start("sleep 2345; true"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the program", func() bool { return i.countOf("sleep 2345") == 1 })
		if err := session.Signal(name); err != nil {
			t.Fatal(err)
		}
		err = session.Wait()
		failed, ok := err.(*ssh.ExitError)
		if !ok {
			t.Fatalf("%s: ended with %v", name, err)
		}
		equal(t, "exit-signal", failed.Signal(), string(name))
		eventually(t, "the end of the child", func() bool { return i.countOf("sleep 2345") == 0 })
	}
}

// countOf counts the processes with this command line.
func (i *instance) countOf(commandLine string) int {
	i.t.Helper()
	lines := i.docker("top", i.id, "-eo", "pid,args")
	count := 0
	for _, line := range strings.Split(lines, "\n") {
		if _, args, _ := strings.Cut(strings.TrimSpace(line), " "); strings.TrimSpace(args) == commandLine {
			count++
		}
	}
	return count
}

func TestAKilledClientLeavesNoProgramBehind(t *testing.T) {
	i := sharedInstance(t)
	for _, flags := range [][]string{{"-T"}, {"-tt"}} {
		client := i.sshCommand(flags, "sleep 3456 & sleep 3456")
		startProgram(t, client)
		eventually(t, "both programs", func() bool { return i.countOf("sleep 3456") == 2 })
		if err := client.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "their end", func() bool { return i.countOf("sleep 3456") == 0 })
	}
}

func TestAProgramThatCatchesTheHangUpIsKilledAfterAMoment(t *testing.T) {
	i := sharedInstance(t)
	client := i.sshCommand(nil, "trap : HUP; while :; do sleep 0.0456; done")
	startProgram(t, client)
	eventually(t, "the program", func() bool { return strings.Contains(i.docker("top", i.id, "-eo", "pid,args"), "0.0456") })
	if err := client.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return !strings.Contains(i.docker("top", i.id, "-eo", "pid,args"), "0.0456") })
}

func TestTmuxAndNohupSurviveAKilledClient(t *testing.T) {
	i := sharedInstance(t)
	person := sitDown(t, i, 24, 80, nil)
	person.types("tmux new -d -s work 'exec sleep 4567'; setsid sleep 5678 & nohup sleep 6789 >/dev/null 2>&1 & echo rea''dy\n")
	person.sees("ready")
	running := func(want int) func() bool {
		return func() bool {
			return i.countOf("sleep 4567") == want && i.countOf("sleep 5678") == want && i.countOf("sleep 6789") == want
		}
	}
	eventually(t, "all three", running(1))
	if err := person.terminal.Close(); err != nil {
		t.Fatal(err)
	}
	person.leavesWith()
	eventually(t, "the end of the shell", func() bool { return i.countOf("bash") == 0 })
	if !running(1)() {
		t.Error("not all of them survived")
	}
	contains(t, "tmux", i.mustSSH("tmux ls"), "work")
	i.ssh("tmux kill-server; pkill -f 'sleep 5678|sleep 6789'")
}
