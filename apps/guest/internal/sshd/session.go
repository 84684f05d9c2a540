package sshd

import (
	"regexp"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"dcompute/guest/internal/program"
)

// RFC 4254 sections 6.2 to 6.9.
type (
	ptyRequest struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	windowChange  struct{ Columns, Rows, Width, Height uint32 }
	envRequest    struct{ Name, Value string }
	execRequest   struct{ Command string }
	systemRequest struct{ Name string }
	signalRequest struct{ Name string }
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,255}$`)

// session is one session channel: at most one program, with or without a terminal.
type session struct {
	*connection
	channel  ssh.Channel
	env      program.Environ
	envBytes int
	pty      *ptyRequest
	agent    *agentSocket
	process  *process
	started  bool
}

func newSession(c *connection, channel ssh.Channel) *session {
	return &session{connection: c, channel: channel, env: program.Environ{}}
}

// serve answers the channel's requests until the channel is closed, by the end of the program or by the peer.
func (s *session) serve(requests <-chan *ssh.Request) {
	for request := range requests {
		s.answer(request)
	}
	if s.process != nil {
		s.process.hangUp()
	}
	if s.agent != nil {
		s.agent.close()
	}
	_ = s.channel.Close()
}

func (s *session) answer(request *ssh.Request) {
	switch request.Type {
	case "env":
		reply(request, s.addEnv(request.Payload))
	case "pty-req":
		reply(request, s.takeTerminal(request.Payload))
	case "window-change":
		reply(request, s.resize(request.Payload))
	case "auth-agent-req@openssh.com":
		reply(request, s.forwardAgent())
	case "shell":
		s.start(request, func() (program.Spec, error) { return s.shellProgram() })
	case "exec":
		var wanted execRequest
		valid := ssh.Unmarshal(request.Payload, &wanted) == nil
		s.startIf(valid, request, func() (program.Spec, error) { return s.execProgram(wanted.Command) })
	case "subsystem":
		var wanted systemRequest
		valid := ssh.Unmarshal(request.Payload, &wanted) == nil && wanted.Name == "sftp"
		s.startIf(valid, request, func() (program.Spec, error) { return s.guestProgram("sftp-server") })
	case "signal":
		reply(request, s.signal(request.Payload))
	default:
		reply(request, false)
	}
}

func (s *session) startIf(valid bool, request *ssh.Request, prepare func() (program.Spec, error)) {
	if !valid {
		reply(request, false)
		return
	}
	s.start(request, prepare)
}

// start runs the session's only program. What keeps it from starting is told to the person as a sentence on stderr.
func (s *session) start(request *ssh.Request, prepare func() (program.Spec, error)) {
	if s.started {
		reply(request, false)
		return
	}
	s.started = true
	reply(request, true)
	spec, err := prepare()
	if err == nil {
		s.process, err = startProcess(s.channel, spec, s.pty)
	}
	if err != nil {
		s.refuse(err)
	}
}

func (s *session) refuse(err error) {
	lineEnd := "\n"
	if s.pty != nil {
		// The client's terminal is in raw mode.
		lineEnd = "\r\n"
	}
	_, _ = s.channel.Stderr().Write([]byte(err.Error() + lineEnd))
	sendExitCode(s.channel, program.StartExitCode(err))
	_ = s.channel.CloseWrite()
	_ = s.channel.Close()
}

func (s *session) addEnv(payload []byte) bool {
	var wanted envRequest
	if ssh.Unmarshal(payload, &wanted) != nil || s.started || !envName.MatchString(wanted.Name) {
		return false
	}
	s.envBytes += len(wanted.Name) + len(wanted.Value)
	if len(s.env) >= maxEnvVariables || s.envBytes > maxEnvBytes {
		return false
	}
	s.env[wanted.Name] = wanted.Value
	return true
}

func (s *session) takeTerminal(payload []byte) bool {
	var wanted ptyRequest
	if ssh.Unmarshal(payload, &wanted) != nil || s.started || s.pty != nil {
		return false
	}
	s.pty = &wanted
	return true
}

func (s *session) resize(payload []byte) bool {
	var wanted windowChange
	if ssh.Unmarshal(payload, &wanted) != nil || s.pty == nil {
		return false
	}
	s.pty.Columns, s.pty.Rows, s.pty.Width, s.pty.Height = wanted.Columns, wanted.Rows, wanted.Width, wanted.Height
	return s.process == nil || s.process.resize(s.pty) == nil
}

func (s *session) forwardAgent() bool {
	if s.started || s.agent != nil {
		return false
	}
	agent, err := s.openAgent()
	if err != nil {
		s.log.Warn("agent_socket_failed", "error", err.Error())
		return false
	}
	s.agent = agent
	return true
}

func (s *session) signal(payload []byte) bool {
	var wanted signalRequest
	if ssh.Unmarshal(payload, &wanted) != nil || s.process == nil {
		return false
	}
	number := unix.SignalNum("SIG" + wanted.Name)
	return number != 0 && s.process.signalGroup(number) == nil
}
