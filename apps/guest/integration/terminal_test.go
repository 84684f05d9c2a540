package integration

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dcompute/guest/internal/terminal"
)

// typist is a person at a local terminal that runs ssh.
type typist struct {
	t        *testing.T
	terminal *os.File
	mu       sync.Mutex
	seen     bytes.Buffer
	done     chan int
}

// sitDown runs ssh with a local terminal of the given size.
func sitDown(t *testing.T, i *instance, rows, columns uint32, flags []string, args ...string) *typist {
	t.Helper()
	command := i.sshCommand(flags, args...)
	command.Env = append(os.Environ(), "TERM=xterm-256color")
	master, slave, err := terminal.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	if err := terminal.SetSize(slave, terminal.Size{Rows: rows, Columns: columns}); err != nil {
		t.Fatal(err)
	}
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	person := &typist{t: t, terminal: master, done: make(chan int, 1)}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			person.mu.Lock()
			person.seen.Write(buffer[:n])
			person.mu.Unlock()
			if err != nil {
				_ = command.Wait()
				person.done <- command.ProcessState.ExitCode()
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = master.Close()
	})
	return person
}

func (p *typist) types(text string) {
	p.t.Helper()
	if _, err := p.terminal.WriteString(text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *typist) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *typist) sees(text string) {
	p.t.Helper()
	defer func() {
		if p.t.Failed() {
			p.t.Logf("screen: %q", p.screen())
		}
	}()
	eventually(p.t, "to see "+text, func() bool { return strings.Contains(p.screen(), text) })
}

func (p *typist) leavesWith() int {
	p.t.Helper()
	select {
	case code := <-p.done:
		return code
	case <-time.After(waitLimit):
		p.t.Fatalf("the session did not end; screen: %q", p.screen())
		return -1
	}
}

func TestATerminalHasNameSizeAndTypeOfTheClients(t *testing.T) {
	person := sitDown(t, sharedInstance(t), 33, 111, nil)
	person.types("tty; stty size; echo term=$TERM; echo sshtty=$SSH_TTY\n")
	person.sees("33 111")
	person.sees("term=xterm-256color")
	person.sees("sshtty=/dev/pts/")
	person.types("exit 6\n")
	equal(t, "exit code", person.leavesWith(), 6)
}

func TestATerminalFollowsTheClientsWindow(t *testing.T) {
	person := sitDown(t, sharedInstance(t), 24, 80, []string{"-t"}, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done")
	person.sees("ready")
	if err := terminal.SetSize(person.terminal, terminal.Size{Rows: 50, Columns: 132}); err != nil {
		t.Fatal(err)
	}
	person.sees("50 132")
}

func TestControlCInterruptsTheForegroundProgramOnly(t *testing.T) {
	i := sharedInstance(t)
	person := sitDown(t, i, 24, 80, nil)
	person.types("sleep 1234\n")
	eventually(t, "the program", func() bool { return i.countOf("sleep 1234") == 1 })
	person.types("\x03")
	person.types("echo code=$?\n")
	person.sees("code=130")
	person.types("exit\n")
	person.leavesWith()
}

func TestACommandInATerminalKeepsItsExitCode(t *testing.T) {
	person := sitDown(t, sharedInstance(t), 24, 80, []string{"-t"}, "tty && exit 5")
	equal(t, "exit code", person.leavesWith(), 5)
	contains(t, "screen", person.screen(), "/dev/pts/")
}

func TestAllOutputOfATerminalArrivesBeforeItsEnd(t *testing.T) {
	i := sharedInstance(t)
	output := finish(t, i.sshCommand([]string{"-tt"}, "seq 1 200000")).mustSucceed(t)
	equal(t, "lines", strings.Count(output, "\n"), 200_000)
	if !strings.HasSuffix(output, "200000\r\n") {
		t.Errorf("the output ends in %q", output[len(output)-20:])
	}
}

func TestABackgroundProgramDoesNotHoldATerminalSession(t *testing.T) {
	i := sharedInstance(t)
	begin := time.Now()
	output := finish(t, i.sshCommand([]string{"-tt"}, "nohup sleep 4321 >/dev/null 2>&1 & echo done")).mustSucceed(t)
	contains(t, "output", output, "done")
	if took := time.Since(begin); took > waitLimit {
		t.Errorf("it took %s", took)
	}
	i.ssh("pkill -f '[s]leep 4321'")
}

func TestTheClientsTerminalModesAreKept(t *testing.T) {
	person := sitDown(t, sharedInstance(t), 24, 80, []string{"-t"}, "stty -a; echo en''d")
	person.sees("end")
	contains(t, "modes", person.screen(), "intr = ^C")
	contains(t, "modes", person.screen(), " echo ")
	contains(t, "modes", person.screen(), " icrnl ")
}
