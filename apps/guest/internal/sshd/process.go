package sshd

import (
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"dcompute/guest/internal/program"
)

// A program without a terminal whose client vanished has this long to end after SIGHUP.
const hangUpGrace = 3 * time.Second

// process is the running program of a session.
type process struct {
	command *exec.Cmd
	channel ssh.Channel
	// files are our ends of pipes, or of the terminal.
	files    []*os.File
	terminal *os.File
	// ended is closed when the program has ended; its children may live on.
	ended chan struct{}
}

// startProcess runs a program in a session (and process group) of its own and connects it with the channel. It closes
// the channel when the program has ended and its output is through.
func startProcess(channel ssh.Channel, spec program.Spec, pty *ptyRequest) (*process, error) {
	p := &process{
		command: &exec.Cmd{Path: spec.Path, Args: spec.Args, Dir: spec.Dir, Env: spec.Env},
		channel: channel,
		ended:   make(chan struct{}),
	}
	p.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: program.CredentialOf(spec.User)}
	if pty != nil {
		return p, p.startInTerminal(spec, pty)
	}
	return p, p.startWithPipes(spec)
}

func (p *process) startWithPipes(spec program.Spec) error {
	var theirs []*os.File
	defer func() { closeAll(theirs) }()
	for stream := range 3 {
		read, write, err := os.Pipe()
		if err != nil {
			closeAll(p.files)
			return err
		}
		our, their := read, write
		if stream == 0 {
			our, their = write, read
		}
		p.files, theirs = append(p.files, our), append(theirs, their)
		// Programs open /dev/stdout and /dev/stderr by name, for which the pipe must be their user's.
		_ = their.Chown(int(spec.User.UID), int(spec.User.GID))
	}
	p.command.Stdin, p.command.Stdout, p.command.Stderr = theirs[0], theirs[1], theirs[2]
	if err := p.command.Start(); err != nil {
		closeAll(p.files)
		return err
	}
	input, output, problems := p.files[0], p.files[1], p.files[2]
	go func() {
		_, _ = io.Copy(input, p.channel)
		_ = input.Close()
	}()
	var outputs sync.WaitGroup
	outputs.Go(func() { _, _ = io.Copy(p.channel, output) })
	outputs.Go(func() { _, _ = io.Copy(p.channel.Stderr(), problems) })
	go func() {
		p.wait()
		sendExit(p.channel, p.command.ProcessState)
		// Like OpenSSH: the channel stays open while anyone holds the program's output.
		outputs.Wait()
		_ = p.channel.CloseWrite()
		_ = p.channel.Close()
	}()
	return nil
}

func (p *process) wait() {
	// The error repeats what ProcessState says.
	_ = p.command.Wait()
	close(p.ended)
}

// hangUp ends what the session leaves behind when its channel is gone: nothing after a normal end. Closing the
// terminal makes the kernel send SIGHUP to its foreground programs.
func (p *process) hangUp() {
	closeAll(p.files)
	if p.terminal != nil {
		return
	}
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.signalGroup(unix.SIGHUP)
	go func() {
		timer := time.NewTimer(hangUpGrace)
		defer timer.Stop()
		select {
		case <-p.ended:
		case <-timer.C:
			// Whoever ignores SIGHUP (nohup) asked to live on.
			if !ignoresHangUp(p.command.Process.Pid) {
				_ = p.signalGroup(unix.SIGKILL)
			}
		}
	}()
}

// signalGroup signals the program and those of its children that made no group of their own.
func (p *process) signalGroup(signal syscall.Signal) error {
	select {
	case <-p.ended:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-p.command.Process.Pid, signal)
	}
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}
