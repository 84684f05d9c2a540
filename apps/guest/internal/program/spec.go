// Package program says what to run in an instance: which file, as whom, where and with which environment.
package program

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"dcompute/guest/internal/account"
	"dcompute/guest/internal/config"
)

// Spec is a program that is ready to be started.
type Spec struct {
	Path string
	Args []string
	Dir  string
	Env  []string
	User account.User
}

// ErrNothingToRun says that neither image nor renter named a program.
var ErrNothingToRun = errors.New("the image has neither ENTRYPOINT nor CMD, and no command was given")

// Main returns the program of run type args: ENTRYPOINT with the renter's command, or with CMD.
func Main(cfg *config.Config, users account.Database, env Environ) (Spec, error) {
	arguments := cfg.Command
	if len(arguments) == 0 {
		arguments = cfg.Image.Cmd
	}
	return inImage(cfg, users, env, append(append([]string{}, cfg.Image.Entrypoint...), arguments...))
}

// OnStart returns the renter's command of run type ssh, which runs once at the start.
func OnStart(cfg *config.Config, users account.Database, env Environ) (Spec, error) {
	return inImage(cfg, users, env, cfg.Command)
}

// inImage prepares a program in the image's workdir, user and environment. The workdir is made when it is missing, as
// the engine does.
func inImage(cfg *config.Config, users account.Database, base Environ, args []string) (Spec, error) {
	if len(args) == 0 {
		return Spec{}, ErrNothingToRun
	}
	user, err := users.Resolve(cfg.Image.User)
	if err != nil {
		return Spec{}, err
	}
	dir := filepath.Join("/", cfg.Image.Workdir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Spec{}, fmt.Errorf("the image's working directory cannot be made: %w", err)
	}
	env := base.Clone()
	env.SetDefault("HOME", user.Home)
	path, err := FindExecutable(args[0], env["PATH"], dir)
	if err != nil {
		return Spec{}, err
	}
	return Spec{Path: path, Args: args, Dir: dir, Env: env.List(), User: user}, nil
}

// CredentialOf is how the kernel takes a user.
func CredentialOf(user account.User) *syscall.Credential {
	return &syscall.Credential{Uid: user.UID, Gid: user.GID, Groups: user.Groups}
}

// ExitCode is the exit code of a process as shells give it: 128+n for a signal.
func ExitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return exitSignalBase + int(status.Signal())
	}
	return status.ExitStatus()
}

// Clone returns a copy.
func (e Environ) Clone() Environ {
	copied := make(Environ, len(e))
	for name, value := range e {
		copied[name] = value
	}
	return copied
}
