package sshd

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// RFC 4254 section 6.10.
type (
	exitStatus struct{ Status uint32 }
	exitSignal struct {
		Signal     string
		CoreDumped bool
		Message    string
		Language   string
	}
)

// rfcSignals are those that RFC 4254 names.
var rfcSignals = map[syscall.Signal]string{
	unix.SIGABRT: "ABRT", unix.SIGALRM: "ALRM", unix.SIGFPE: "FPE", unix.SIGHUP: "HUP", unix.SIGILL: "ILL",
	unix.SIGINT: "INT", unix.SIGKILL: "KILL", unix.SIGPIPE: "PIPE", unix.SIGQUIT: "QUIT", unix.SIGSEGV: "SEGV",
	unix.SIGTERM: "TERM", unix.SIGUSR1: "USR1", unix.SIGUSR2: "USR2",
}

func sendExit(channel ssh.Channel, state *os.ProcessState) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		sendExitCode(channel, state.ExitCode())
		return
	}
	name, known := rfcSignals[status.Signal()]
	if !known {
		name = fmt.Sprintf("SIG%d@dcompute", int(status.Signal()))
	}
	message := exitSignal{Signal: name, CoreDumped: status.CoreDump()}
	_, _ = channel.SendRequest("exit-signal", false, ssh.Marshal(message))
}

func sendExitCode(channel ssh.Channel, code int) {
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{Status: uint32(code)}))
}

// ignoresHangUp says whether a process ignores SIGHUP, as nohup arranges.
func ignoresHangUp(pid int) bool {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		text, found := strings.CutPrefix(lines.Text(), "SigIgn:")
		if !found {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		return err == nil && mask&(1<<(uint(unix.SIGHUP)-1)) != 0
	}
	return false
}
