// Package initd is PID 1 of an instance: it reaps, keeps the SSH server alive, runs what the renter asked for, and
// ends everything in order.
package initd

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"dcompute/guest/internal/account"
	"dcompute/guest/internal/config"
	"dcompute/guest/internal/program"
)

const (
	// selfPath is the guest's own program, also after a renter removed the file.
	selfPath = "/proc/self/exe"
	// killWait bounds the wait for the kernel to end what was killed; a process stuck in a driver may never end.
	killWait = 5 * time.Second
	// stopLimit bounds a stop that PID 1 was asked for. The engine counts the grace of each stop itself and ends it by
	// killing PID 1, and with it everyone; no grace of the protocol is longer than 600 s, so this is only ever reached
	// when the request came from inside.
	stopLimit = 610 * time.Second

	exitSetup = 71 // EX_OSERR
)

// Init runs one instance. All of it happens on one goroutine.
type Init struct {
	cfg      *config.Config
	log      *slog.Logger
	users    account.Database
	env      program.Environ
	reaper   *reaper
	signals  signals
	listener *os.File

	ending     bool
	asked      bool
	mainPID    int
	mainStatus *syscall.WaitStatus

	sshdStarted time.Time
	sshdBackoff backoff
	sshdRestart *time.Timer
}

// Run is the life of an instance; it returns the container's exit code. It must be called as PID 1.
func Run(cfg *config.Config, log *slog.Logger) int {
	if os.Getpid() != 1 {
		log.Error("init_refused", "why", "it must be PID 1 of a container")
		return exitSetup
	}
	syscall.Umask(0o022)
	users := account.DatabaseAt("/etc")
	i := &Init{
		cfg:         cfg,
		log:         log,
		users:       users,
		env:         program.InstanceEnviron(cfg.Image.Env, os.Environ(), cfg.Env),
		reaper:      newReaper(),
		signals:     subscribe(),
		sshdRestart: time.NewTimer(0),
	}
	var err error
	// PID 1 holds the socket: logins wait in it while the SSH server restarts, and no other program can take the port.
	if i.listener, err = listen(cfg.SSHPort); err != nil {
		log.Error("ssh_port_not_opened", "error", err.Error())
		return exitSetup
	}
	code := i.run()
	i.endEveryone()
	if i.mainStatus != nil && cfg.RunType == config.RunArgs {
		return program.ExitCode(*i.mainStatus)
	}
	return code
}

// run starts the renter's program and returns when the instance is to end, with the exit code in case that program
// never ran.
func (i *Init) run() int {
	if err := i.startProgram(); err != nil {
		i.log.Error("program_not_started", "error", err.Error())
		if i.cfg.RunType == config.RunArgs {
			return program.StartExitCode(err)
		}
	}
	for {
		select {
		case <-i.signals.child:
			i.reaper.reap()
			if i.mainStatus != nil && i.cfg.RunType == config.RunArgs {
				return 0
			}
		case sig := <-i.signals.forward:
			i.forward(sig)
		case <-i.sshdRestart.C:
			i.startSSHServer()
		case <-i.signals.stop:
			i.asked = true
			return 0
		}
	}
}

func (i *Init) startProgram() error {
	prepare := program.OnStart
	if i.cfg.RunType == config.RunArgs {
		prepare = program.Main
	} else if len(i.cfg.Command) == 0 {
		return nil
	}
	spec, err := prepare(i.cfg, i.users, i.env)
	if err != nil {
		return err
	}
	input, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer input.Close()
	giveOutput(spec.User.UID)
	i.mainPID, err = i.reaper.start(spec.Path, spec.Args, &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: []uintptr{input.Fd(), 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: program.CredentialOf(spec.User)},
	}, func(status syscall.WaitStatus) { i.mainStatus = &status })
	if err != nil {
		return fmt.Errorf("%s: %w", spec.Path, err)
	}
	return nil
}

func (i *Init) startSSHServer() {
	i.sshdStarted = time.Now()
	_, err := i.reaper.start(selfPath, []string{config.Dir + "/guest", "sshd"}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, i.listener.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}, func(status syscall.WaitStatus) {
		if !i.ending {
			i.log.Warn("sshd_ended", "exit_code", program.ExitCode(status))
			i.restartSSHServer()
		}
	})
	if err != nil {
		i.log.Error("sshd_not_started", "error", err.Error())
		i.restartSSHServer()
	}
}

func (i *Init) restartSSHServer() {
	i.sshdRestart.Reset(i.sshdBackoff.delayAfter(time.Since(i.sshdStarted)))
}

func (i *Init) forward(sig os.Signal) {
	if number, ok := sig.(syscall.Signal); ok && i.mainPID != 0 && i.mainStatus == nil {
		_ = syscall.Kill(i.mainPID, number)
	}
}

// endEveryone asks all processes to end and kills what is left: after a time of its own where the main program ended by
// itself, else only after stopLimit.
func (i *Init) endEveryone() {
	i.ending = true
	signalEveryone(syscall.SIGTERM)
	// A stopped process takes its TERM only once it runs.
	signalEveryone(syscall.SIGCONT)
	grace := i.cfg.StopGrace()
	if i.asked {
		grace = stopLimit
	}
	if i.reapUntilEmpty(grace) {
		return
	}
	signalEveryone(syscall.SIGKILL)
	if !i.reapUntilEmpty(killWait) {
		i.log.Error("processes_left")
	}
}

func (i *Init) reapUntilEmpty(limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		if i.reaper.reap() {
			return true
		}
		select {
		case <-i.signals.child:
		case <-deadline.C:
			return false
		}
	}
}

func listen(port int) (*os.File, error) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		return nil, err
	}
	file, err := listener.File()
	return file, errors.Join(err, listener.Close())
}

// giveOutput makes the container's output streams the user's own, as the engine does for a container's user: images
// log to /dev/stdout by name.
func giveOutput(uid uint32) {
	for _, stream := range []int{1, 2} {
		var info syscall.Stat_t
		if syscall.Fstat(stream, &info) == nil && info.Mode&syscall.S_IFMT == syscall.S_IFIFO {
			_ = syscall.Fchown(stream, int(uid), -1)
		}
	}
}
