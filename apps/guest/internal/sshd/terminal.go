package sshd

import (
	"io"
	"os"
	"time"

	"dcompute/guest/internal/program"
	"dcompute/guest/internal/terminal"
)

const (
	// After the program has ended, its last output is read until the terminal is silent this long.
	drainSilence = 50 * time.Millisecond
	// The kernel holds less than this; more comes from a background program that would write for ever.
	drainBytes    = 256 << 10
	terminalChunk = 32 << 10
)

// startInTerminal runs the program as the leader of a new terminal. Its end ends the session, whoever else holds the
// terminal, as with OpenSSH.
func (p *process) startInTerminal(spec program.Spec, wanted *ptyRequest) error {
	master, slave, err := terminal.Open()
	if err != nil {
		return err
	}
	defer slave.Close()
	p.terminal, p.files = master, []*os.File{master}
	if err := prepareTerminal(slave, spec, wanted); err != nil {
		return closeWith(master, err)
	}
	p.command.Stdin, p.command.Stdout, p.command.Stderr = slave, slave, slave
	p.command.Env = append(p.command.Env, "SSH_TTY="+slave.Name())
	p.command.SysProcAttr.Setctty = true
	if err := p.command.Start(); err != nil {
		return closeWith(master, err)
	}
	go func() { _, _ = io.Copy(master, p.channel) }()
	outputDone := make(chan struct{})
	go func() {
		defer close(outputDone)
		p.copyTerminal()
	}()
	go func() {
		p.wait()
		_ = master.SetReadDeadline(time.Now().Add(drainSilence))
		<-outputDone
		sendExit(p.channel, p.command.ProcessState)
		_ = p.channel.CloseWrite()
		_ = p.channel.Close()
	}()
	return nil
}

// copyTerminal sends what the terminal shows until nobody holds it any more, or the program has ended and its last
// output is through.
func (p *process) copyTerminal() {
	buffer := make([]byte, terminalChunk)
	for drained := 0; drained < drainBytes; {
		n, err := p.terminal.Read(buffer)
		if n > 0 {
			if _, err := p.channel.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		select {
		case <-p.ended:
			drained += n
			_ = p.terminal.SetReadDeadline(time.Now().Add(drainSilence))
		default:
		}
	}
}

func prepareTerminal(slave *os.File, spec program.Spec, wanted *ptyRequest) error {
	if err := slave.Chown(int(spec.User.UID), -1); err != nil {
		return err
	}
	if err := terminal.ApplyModes(slave, wanted.Modes); err != nil {
		return err
	}
	return terminal.SetSize(slave, sizeOf(wanted))
}

func (p *process) resize(wanted *ptyRequest) error {
	if p.terminal == nil {
		return os.ErrInvalid
	}
	return terminal.SetSize(p.terminal, sizeOf(wanted))
}

func sizeOf(wanted *ptyRequest) terminal.Size {
	return terminal.Size{Columns: wanted.Columns, Rows: wanted.Rows, Width: wanted.Width, Height: wanted.Height}
}

func closeWith(file *os.File, err error) error {
	_ = file.Close()
	return err
}
