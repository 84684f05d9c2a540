package sshd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"dcompute/guest/internal/account"
	"dcompute/guest/internal/config"
	"dcompute/guest/internal/program"
)

const (
	selfPath  = "/proc/self/exe"
	guestPath = config.Dir + "/guest"
)

var errNoShell = errors.New("This image has no shell, so an interactive login is not possible. " +
	"Programs of the image can be run by name: ssh <instance> /path/to/program argument ...")

// shellProgram is the shell of an interactive log-in. It is not a login shell: those reset PATH from /etc/profile, and
// the image's own programs (conda, CUDA) would be gone.
func (s *session) shellProgram() (program.Spec, error) {
	shell := account.FindShell(s.user)
	if shell == "" {
		return program.Spec{}, errNoShell
	}
	return s.inSession(shell, []string{filepath.Base(shell)}), nil
}

// execProgram runs a command line by the user's shell, or, in an image without one, cut into arguments.
func (s *session) execProgram(command string) (program.Spec, error) {
	shell := account.FindShell(s.user)
	if shell == "" {
		return s.execWithoutShell(command)
	}
	if isSCPServer(command) && !s.imageHas("scp", s.user.Home) {
		command = guestPath + " " + strings.TrimLeft(command, " ")
	}
	return s.inSession(shell, []string{filepath.Base(shell), "-c", command}), nil
}

func (s *session) execWithoutShell(command string) (program.Spec, error) {
	args, err := program.Split(command)
	if err != nil {
		return program.Spec{}, fmt.Errorf("the image has no shell, and the command cannot be cut into arguments: %w", err)
	}
	if len(args) == 0 {
		return program.Spec{}, errNoShell
	}
	if isSCPServer(command) && !s.imageHas("scp", "/") {
		return s.guestProgram(args...)
	}
	spec := s.inSession("", args)
	spec.Path, err = program.FindExecutable(args[0], s.environ()["PATH"], spec.Dir)
	return spec, err
}

// guestProgram runs one of the guest's own programs as the session's user.
func (s *session) guestProgram(args ...string) (program.Spec, error) {
	return s.inSession(selfPath, append([]string{guestPath}, args...)), nil
}

func (s *session) inSession(path string, args []string) program.Spec {
	dir := s.user.Home
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = "/"
	}
	return program.Spec{Path: path, Args: args, Dir: dir, Env: s.environ().List(), User: s.user}
}

func (s *session) environ() program.Environ {
	env := s.connection.env.Clone()
	for name, value := range s.env {
		env[name] = value
	}
	env["HOME"] = s.user.Home
	env["USER"] = s.user.Name
	env["LOGNAME"] = s.user.Name
	env["SHELL"] = account.FindShell(s.user)
	remoteHost, remotePort := hostPort(s.ssh.RemoteAddr())
	localHost, localPort := hostPort(s.ssh.LocalAddr())
	env["SSH_CLIENT"] = strings.Join([]string{remoteHost, remotePort, localPort}, " ")
	env["SSH_CONNECTION"] = strings.Join([]string{remoteHost, remotePort, localHost, localPort}, " ")
	if s.agent != nil {
		env["SSH_AUTH_SOCK"] = s.agent.path
	}
	if s.pty != nil && s.pty.Term != "" {
		env["TERM"] = s.pty.Term
	}
	return env
}

func (s *session) imageHas(name, dir string) bool {
	_, err := program.FindExecutable(name, s.environ()["PATH"], dir)
	return err == nil
}

// isSCPServer recognizes what `scp -O` runs on the far side.
func isSCPServer(command string) bool {
	args, err := program.Split(command)
	if err != nil || len(args) < 2 || args[0] != "scp" {
		return false
	}
	for _, arg := range args[1:] {
		if !strings.HasPrefix(arg, "-") || arg == "--" {
			return false
		}
		if strings.ContainsAny(arg, "tf") {
			return true
		}
	}
	return false
}

func hostPort(address net.Addr) (host, port string) {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return "UNKNOWN", "0"
	}
	return host, port
}
