package initd

import (
	"errors"
	"syscall"
)

// reaper starts children and collects every dead process that the kernel hands to PID 1, its own and orphans alike.
// It forks and reaps on one goroutine, so a child cannot be reaped before it is known.
type reaper struct {
	onExit map[int]func(syscall.WaitStatus)
}

func newReaper() *reaper { return &reaper{onExit: map[int]func(syscall.WaitStatus){}} }

// start runs a program; onExit is called by reap once it has ended.
func (r *reaper) start(path string, args []string, attr *syscall.ProcAttr, onExit func(syscall.WaitStatus)) (int, error) {
	pid, err := syscall.ForkExec(path, args, attr)
	if err != nil {
		return 0, err
	}
	r.onExit[pid] = onExit
	return pid, nil
}

// reap collects all that has died and says whether no process is left.
func (r *reaper) reap() (empty bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return true
		case err != nil || pid <= 0:
			return false
		}
		if notify, known := r.onExit[pid]; known {
			delete(r.onExit, pid)
			notify(status)
		}
	}
}
