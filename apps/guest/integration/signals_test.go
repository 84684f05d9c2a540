package integration

import (
	"bufio"
	"os/exec"
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

func TestAProgramThatCatchesTheHangUpIsKilledAfterAMomentAndOneThatIgnoresItLivesOn(t *testing.T) {
	const catches = `python3 -c 'import signal, time
signal.signal(signal.SIGHUP, lambda *_: None)
print("ready", flush=True)
while True: time.sleep(1)'`
	i := sharedInstance(t)
	ignoring := i.sshCommand(nil, "nohup sleep 7890")
	startProgram(t, ignoring)
	catching := i.sshCommand(nil, catches)
	output, err := catching.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startProgram(t, catching)
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the program did not start: %q, %v", line, err)
	}
	eventually(t, "the other program", func() bool { return i.countOf("sleep 7890") == 1 })
	for _, client := range []*exec.Cmd{ignoring, catching} {
		if err := client.Process.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "its end", func() bool { return i.ssh("pgrep -f 'while [T]rue: time'").code == 1 })
	equal(t, "programs that ignore the hang-up", i.countOf("sleep 7890"), 1)
	i.ssh("pkill -f '[s]leep 7890'")
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
	i.ssh("tmux kill-server; pkill -f '[s]leep 5678|[s]leep 6789'")
}

func TestMalformedAndExcessiveRequestsAreRefusedAndHarmNobody(t *testing.T) {
	i := sharedInstance(t)
	client := connectDirectly(t, i)
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	refused := func(kind string, payload []byte) {
		t.Helper()
		if ok, err := channel.SendRequest(kind, true, payload); ok || err != nil {
			t.Errorf("%s: accepted %v, %v", kind, ok, err)
		}
	}
	for _, kind := range []string{"pty-req", "env", "window-change", "exec", "subsystem", "signal", "x11-req", "no-such-request"} {
		refused(kind, []byte{0, 0, 0, 255, 1})
	}
	refused("subsystem", ssh.Marshal(struct{ Name string }{"netconf"}))
	refused("env", ssh.Marshal(struct{ Name, Value string }{"BAD NAME", ""}))
	refused("env", ssh.Marshal(struct{ Name, Value string }{"LARGE", strings.Repeat("x", 200_000)}))
	for _, kind := range []string{"tcpip-forward", "streamlocal-forward@openssh.com", "cancel-tcpip-forward", "no-such-request"} {
		if ok, _, err := client.SendRequest(kind, true, []byte{0, 0, 0, 255}); ok || err != nil {
			t.Errorf("%s: accepted %v, %v", kind, ok, err)
		}
	}
	for _, kind := range []string{"direct-tcpip", "direct-streamlocal@openssh.com", "x11", "no-such-channel"} {
		if _, _, err := client.OpenChannel(kind, []byte{1}); err == nil {
			t.Errorf("%s: opened", kind)
		}
	}
	exec := ssh.Marshal(struct{ Command string }{"sleep 600"})
	if ok, err := channel.SendRequest("exec", true, exec); !ok || err != nil {
		t.Fatalf("exec: %v, %v", ok, err)
	}
	refused("exec", exec)
	refused("shell", nil)
	i.mustSSH("true")
}
